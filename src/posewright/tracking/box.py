"""Boxes of tracked objects: overlap, widening, and one that moves smoothly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posewright.geometry import keypoints_box, overlaps
from posewright.poses import Poses

Array = NDArray[np.float64]

LOOK = 0.1
"""Keypoints with a lower score do not say where the object is."""
POSITION, SIZE, SPEED = 0.04, 0.25, 0.08
"""Seconds in which a box takes over two thirds of a change of its place, its size and its speed."""
SLACK = 0.5
"""By how much of what it moves until the next frame a box is widened."""


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    return float(overlaps(a[None], b[None])[0, 0])


def widened(box: Array, margin: float) -> Array:
    """A box with its sides multiplied by ``margin`` about its centre."""
    centre, half = middle(box), (box[2:] - box[:2]) * margin / 2
    return np.concatenate([centre - half, centre + half])


def middle(box: Array) -> Array:
    """(x, y)."""
    return (box[:2] + box[2:]) / 2


def size_of(box: Array) -> float:
    """Root of its area in pixels, one at least."""
    return max(float(np.sqrt(np.maximum(box[2:] - box[:2], 0).prod())), 1.0)


def found_box(poses: Poses, index: int = 0, margin: float = 1.0) -> Array | None:
    """The box around the keypoints of one pose that have a score, or None where hardly any has."""
    known = poses.score[index] >= LOOK
    if known.sum() < min(3, len(known)):
        return None
    return keypoints_box(np.column_stack([poses.xy[index], known]), margin)


class MovingBox:
    """Where an object is and how large, smoothed in place and in the logarithm of its size.

    Args:
        box: (x0, y0, x1, y1) in pixels of the picture.
        time: seconds.
    """

    def __init__(self, box: Array, time: float) -> None:
        self.centre, self.log, self.speed = middle(box), _log_size(box), np.zeros(2)
        self.time = time

    @property
    def size(self) -> float:
        """Root of its area in pixels."""
        return float(np.exp(self.log.mean()))

    def update(self, box: Array, time: float) -> None:
        """Take in where the object is now."""
        dt = max(time - self.time, 1e-6)
        ahead = self.centre + self.speed * dt
        centre = ahead + _share(dt, POSITION) * (middle(box) - ahead)
        self.speed = self.speed + _share(dt, SPEED) * ((centre - self.centre) / dt - self.speed)
        self.centre, self.log = centre, self.log + _share(dt, SIZE) * (_log_size(box) - self.log)
        self.time = time

    def slow(self, time: float) -> None:
        """Take in a frame that did not show it."""
        dt = max(time - self.time, 0.0)
        self.centre, self.time = self.centre + self.speed * dt, time
        self.speed = self.speed * (1 - _share(dt, SPEED))

    def ahead(self, time: float) -> Array:
        """(x0, y0, x1, y1) where it will be, widened for what it may do until then."""
        moved = self.speed * max(time - self.time, 0.0)
        half = (np.exp(self.log) + SLACK * np.abs(moved)) / 2
        return np.concatenate([self.centre + moved - half, self.centre + moved + half])


def _log_size(box: Array) -> Array:
    return np.log(np.maximum(box[2:] - box[:2], 1.0))


def _share(dt: float, seconds: float) -> float:
    return float(1 - np.exp(-dt / seconds))
