"""How unsure a model is: a model that sees what is there is sure, and one that is led astray is not."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.spots import SPOTS
from posewright.geometry import picture_box
from posewright.poses import Poses
from posewright.runtime.doubt import FAR, Doubt, doubts

PLACES = np.array([[60.0, 40.0], [100.0, 80.0], [140.0, 60.0]])


class Seer:
    """Finds the same places on every view of a 200 x 120 picture, whichever box it is shown, and mirrored ones mirrored.

    Args:
        wander: by how many pixels the points move with the box they are looked at in.
    """

    skeleton = SPOTS

    def __init__(self, wander: float = 0.0, score: float = 0.9, presence: float = 0.8) -> None:
        self.wander, self.score, self.presence = wander, score, presence
        self.boxes: list[np.ndarray] = []

    def predict_batch(self, pictures, boxes=None, *, flip=False, batch_size=8):
        found = []
        for i, picture in enumerate(pictures):
            height, width = picture.shape[:2]
            box = picture_box(width, height) if boxes is None or boxes[i] is None else np.asarray(boxes[i])[0]
            self.boxes.append(box)
            mirrored = picture[0, 0, 0] == 0
            xy = PLACES * (-1, 1) + (width - 1, 0) if mirrored else PLACES.copy()
            xy = xy + self.wander * (len(self.boxes) % 2)
            score = np.full((1, 3), self.score)
            found.append(Poses(SPOTS, xy[None], score, [self.presence], box[None], width=width, height=height))
        return found


def picture() -> np.ndarray:
    """Its first column is bright, so that a mirrored one is told by the dark."""
    pixels = np.zeros((120, 200, 3), np.uint8)
    pixels[:, 0] = 255
    return pixels


def ask(model) -> Doubt:
    ((key, doubt),) = doubts(model, [("a", picture())])
    assert key == "a"
    return doubt


def test_a_steady_model():
    model = Seer()
    doubt = ask(model)
    assert doubt.moved == pytest.approx(0, abs=1e-9)
    assert (doubt.score, doubt.presence) == (pytest.approx(0.9), pytest.approx(0.8))
    assert doubt.degree == pytest.approx((0.1 + 0.2) / 3)
    np.testing.assert_allclose(doubt.poses.xy[0], PLACES)
    # The whole picture, the box around what was found there, its mirror image, and two others.
    assert len(model.boxes) == 5
    np.testing.assert_allclose(model.boxes[1], [50, 35, 150, 85])
    np.testing.assert_allclose(model.boxes[2], model.boxes[0][[2, 1, 0, 3]] * [-1, 1, -1, 1] + [199, 0, 199, 0])


def test_points_that_move():
    doubt = ask(Seer(wander=12.0))
    # The first view is moved by (12, 12) and taken; then the mirrored one by (-12, 12), one by nothing, one like the first.
    assert doubt.moved == pytest.approx((24 + np.hypot(12, 12)) / 3 / 200)
    assert doubt.degree > ask(Seer()).degree
    assert ask(Seer(wander=500.0)).degree == pytest.approx((0.1 + 0.2 + 1) / 3)
    assert 0 < FAR < 1


def test_low_scores_and_presence_count():
    assert ask(Seer(score=0.1)).degree > ask(Seer()).degree < ask(Seer(presence=0.1)).degree
    assert "score 0.10, presence 0.80" in ask(Seer(score=0.1)).words


def test_many_pictures_keep_their_keys():
    found = list(doubts(Seer(), ((i, picture()) for i in range(19))))
    assert [key for key, _ in found] == list(range(19))
    assert list(doubts(Seer(), [])) == []
