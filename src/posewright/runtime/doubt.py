"""How unsure a model is of a picture: low scores, low presence, and points that move when the picture is seen otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from posewright.geometry import keypoints_box, picture_box
from posewright.poses import Poses
from posewright.runtime.predictor import Predictor

Key = TypeVar("Key")
Picture = NDArray[np.uint8]

SURE = 0.3
"""Keypoints from this score on say where the object is."""
MARGIN = 1.25
"""Of the box around them, when the model looks a second time, closer."""
JITTER = ((0.92, 0.03, -0.03), (1.08, -0.03, 0.03))
"""Other boxes to look at: the factor of the size, and shifts as shares of it."""
FAR = 0.15
"""Points that move by this share of the box's longer side or more are as unsure as can be."""
BATCH = 8


@dataclass(frozen=True)
class Doubt:
    """What a model found on a picture, and how sure of it it is.

    Attributes:
        poses: one pose, in pixels of the picture.
        score: mean score of its keypoints.
        presence: how sure the model is that the object is there.
        moved: mean distance that points move by under a mirror and other boxes, over the box's longer side.
    """

    poses: Poses
    score: float
    presence: float
    moved: float

    @property
    def degree(self) -> float:
        """0 where the model is sure to 1 where it is not: the mean of what lacks in score and presence, and of the movement."""
        lacking = (1 - min(1.0, self.score), 1 - min(1.0, self.presence), min(1.0, self.moved / FAR))
        return float(np.mean(lacking))

    @property
    def words(self) -> str:
        return f"score {self.score:.2f}, presence {self.presence:.2f}, points move by {self.moved:.1%} of the box"


def doubts(model: Predictor, pictures: Iterable[tuple[Key, Picture]]) -> Iterator[tuple[Key, Doubt]]:
    """Look at each picture: as a whole, then closer at what was found, mirrored, and in two other boxes.

    Args:
        model: a keypoint model.
        pictures: ``uint8 [H, W, 3]`` RGB, each with a key of any kind, which comes back with the result.
    """
    waiting: list[tuple[Key, Picture]] = []
    for item in pictures:
        waiting.append(item)
        if len(waiting) == BATCH:
            yield from _batch(model, waiting)
            waiting = []
    if waiting:
        yield from _batch(model, waiting)


def _batch(model: Predictor, items: list[tuple[Key, Picture]]) -> Iterator[tuple[Key, Doubt]]:
    pictures = [picture for _, picture in items]
    whole = model.predict_batch(pictures, batch_size=BATCH)
    closer = [_box(poses) for poses in whole]
    again = model.predict_batch(pictures, [box[None] for box in closer], batch_size=BATCH)
    best = [b if b.score.mean() > a.score.mean() else a for a, b in zip(whole, again)]
    boxes = [box if b is pose else pose.boxes[0] for box, b, pose in zip(closer, again, best)]
    views = [_mirrored(model, pictures, boxes)]
    for how in JITTER:
        views.append(model.predict_batch(pictures, [_moved_box(box, *how)[None] for box in boxes], batch_size=BATCH))
    for n, (key, _) in enumerate(items):
        others = np.array([view[n].xy[0] for view in views])
        side = float((boxes[n][2:] - boxes[n][:2]).max())
        moved = float(np.linalg.norm(others - best[n].xy[0], axis=2).mean()) / side
        yield key, Doubt(best[n], float(best[n].score[0].mean()), float(best[n].presence[0]), moved)


def _box(poses: Poses) -> NDArray[np.float64]:
    """The box around the sure keypoints of a pose, or the whole picture's."""
    sure = poses.score[0] >= SURE
    box: Any = keypoints_box(np.column_stack([poses.xy[0], 2.0 * sure]), MARGIN) if sure.sum() > 1 else None
    return picture_box(poses.width, poses.height) if box is None else np.asarray(box, float)


def _mirrored(model: Predictor, pictures: list[Picture], boxes: list[NDArray[np.float64]]) -> list[Poses]:
    """The poses of the mirrored pictures, mirrored back."""
    order = model.skeleton.flip_order()
    flipped = [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures]
    last = [picture.shape[1] - 1 for picture in pictures]
    turned = [np.array([[w - box[2], box[1], w - box[0], box[3]]]) for box, w in zip(boxes, last)]
    found = model.predict_batch(flipped, turned, batch_size=BATCH)
    for poses, w in zip(found, last):
        poses.xy = poses.xy[:, order] * (-1, 1) + (w, 0)
    return found


def _moved_box(box: NDArray[np.float64], factor: float, right: float, down: float) -> NDArray[np.float64]:
    centre, extent = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    centre = centre + np.array([right, down]) * extent
    return np.concatenate([centre - factor * extent / 2, centre + factor * extent / 2])
