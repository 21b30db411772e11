"""One picture of several hands, from a seed and an index: scenes to find objects in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.geometry import overlaps
from posewright.synthetic.anatomy import Array
from posewright.synthetic.camera import Camera
from posewright.synthetic.hand import (
    EMPTY_SHARE,
    check_seed,
    check_share,
    check_size,
    draw_no_hand,
    hand_box,
    random_scene,
)
from posewright.synthetic.scene import HIDDEN, Scene, depth_of, draw_scene
from posewright.synthetic.scenery import background
from posewright.synthetic.shading import Picture
from posewright.synthetic.surface import DepthBuffer

SPANS = (0.15, 0.55)
"""Smallest and largest share of the picture's shorter side that a hand's keypoints span."""
MOST_HANDS = 12
TRIES = 6
"""Places that are tried for a hand before the picture does without it."""
MOST_OVERLAP, MOST_COVERED = 0.2, 0.3
"""Largest overlap (intersection over union) of two hands' boxes, and largest share of a hand's keypoints that the hands in
front of it, with their arms, may cover."""
DECOYS = 0.3
"""Share of the pictures with hands that also show what a careless eye takes for one."""


@dataclass
class Several:
    """One picture with its truth.

    Attributes:
        image: ``uint8 [H, W, 3]`` RGB.
        keypoints: ``[N, 21, 3]`` (x, y, v) of the skeleton hand-21 in pixels of the picture, (0, 0) at the first pixel's
            centre; v = 1 hidden by a thing, the hand itself or another one in front of it, 2 visible.
        boxes: ``[N, 4]`` (x0, y0, x1, y1) in the same frame.
    """

    image: Picture
    keypoints: Array
    boxes: Array


def render_hands(
    seed: int,
    index: int,
    size: tuple[int, int] = (320, 240),
    *,
    hands: tuple[int, int] = (1, 5),
    empty_share: float = EMPTY_SHARE,
    difficulty: float = 1.0,
) -> Several:
    """Draw picture ``index`` of the set of scenes ``seed``; the same arguments always give the same picture.

    Hands are drawn from the smallest to the largest, as if that were their distance. One that would cover too much of
    another is moved, and left out where no place is found for it, so that a picture may show fewer than were drawn by lot.

    Args:
        seed: which set, 0 or more.
        index: which picture of it, 0 or more.
        size: (width, height) in pixels.
        hands: fewest and most hands of a picture with hands.
        empty_share: 0..1, the chance of a picture without any hand.
        difficulty: 0 for upright hands with clear gestures before quiet backgrounds; 1 for all.

    Raises:
        PosewrightError: where an argument makes no sense.
    """
    width, height = check_size(size)
    check_seed(seed)
    check_share("empty_share", empty_share)
    check_share("difficulty", difficulty)
    check_hands(hands)
    if index < 0:
        raise PosewrightError(f"index {index} is below 0")
    rng = np.random.default_rng([seed, index, 1])  # not the pictures of one hand, which render_hand draws
    empty = bool(rng.random() < empty_share)
    picture = background(rng, width, height, 0.35 + 0.65 * difficulty)
    camera = Camera.random(rng, size, difficulty)
    count = 0 if empty else int(rng.integers(hands[0], hands[1] + 1))
    if empty or rng.random() < DECOYS * difficulty:
        draw_no_hand(picture, rng)
    low, high = SPANS
    spans = np.sort(np.exp(rng.uniform(np.log(low), np.log(high), count)))
    keypoints: list[Array] = []
    for span in spans.tolist():
        for _ in range(TRIES):
            scene = random_scene(rng, (width, height), difficulty, (span, span))
            cover = _cover(scene, keypoints, (width, height))
            if cover is not None:
                for points, covered in zip(keypoints, cover, strict=True):
                    points[covered, 2] = HIDDEN
                keypoints.append(draw_scene(picture, scene))
                break
    boxes = [hand_box(points, width, height) for points in keypoints]
    return Several(
        camera.take(rng, picture), np.array(keypoints).reshape(-1, 21, 3), np.array(boxes, float).reshape(-1, 4)
    )


def _cover(scene: Scene, others: list[Array], size: tuple[int, int]) -> list[NDArray[np.bool_]] | None:
    """Which keypoints of each hand a scene would cover; None where it must not be drawn there."""
    if not others:
        return []
    box = hand_box(scene.view.project(scene.hand.keypoints) * (1, 1, 0) + (0, 0, 2), *size)
    if overlaps(box[None], np.stack([hand_box(points, *size) for points in others])).max() > MOST_OVERLAP:
        return None
    buffer = depth_of(scene, *size)
    covered = [_covered(points, buffer) for points in others]
    return covered if max(float(c.mean()) for c in covered) <= MOST_COVERED else None


def _covered(points: Array, buffer: DepthBuffer) -> NDArray[np.bool_]:
    columns = np.clip(np.rint(points[:, 0]), 0, buffer.width - 1).astype(int)
    rows = np.clip(np.rint(points[:, 1]), 0, buffer.height - 1).astype(int)
    return np.asarray(buffer.material[rows, columns] > 0)


def check_hands(hands: tuple[int, int]) -> None:
    """Raise PosewrightError where the fewest and most hands of a picture make no sense."""
    if not 1 <= hands[0] <= hands[1] <= MOST_HANDS:
        raise PosewrightError(
            f"hands {hands[0]} to {hands[1]}: give the fewest and the most of a picture, 1 to {MOST_HANDS}"
        )
