"""What all filters of keypoints have in common: what goes in, what comes out, and their names.

A filter follows the K keypoints of one object. It works in pixels of the picture, whatever crop a model was shown, and in
seconds as the frames' times tell them, whatever the frame rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError, did_you_mean
from posewright.geometry import covariance_matrices
from posewright.poses import Poses
from posewright.tracking.box import size_of

Array = NDArray[np.float64]

SEEN = 0.05
"""Keypoints with a lower score tell a filter nothing."""
SPREAD = 0.02
"""Standard deviation of a keypoint of score 1, in sizes of the object, where a model tells no covariance."""
FLOOR = 0.002
"""Smallest standard deviation that is believed, in sizes of the object."""


@dataclass(frozen=True)
class Measured:
    """What a model saw of one object on one frame; see :func:`measured`.

    Attributes:
        time: seconds.
        xy: ``[K, 2]`` in pixels of the picture; NaN where a keypoint was not seen.
        noise: ``[K, 2, 2]``, covariance of the error of each in px^2.
        size: of the object in pixels, the root of its box's area; what speeds are judged by.
    """

    time: float
    xy: Array
    noise: Array
    size: float

    @property
    def seen(self) -> NDArray[np.bool_]:
        """``[K]``."""
        return np.asarray(np.isfinite(self.xy).all(1))


@dataclass(frozen=True)
class Estimate:
    """Where a filter has the keypoints.

    Attributes:
        time: seconds.
        xy: ``[K, 2]`` in pixels of the picture; NaN for keypoints that were never seen.
        velocity: ``[K, 2]`` in pixels a second; NaN likewise, 0 of filters that know none.
        covariance: ``[K, 2, 2]`` of ``xy`` in px^2; NaN of filters that know none.
        agreed: ``[K]``, whether what was measured was believed; False where nothing was.
    """

    time: float
    xy: Array
    velocity: Array
    covariance: Array
    agreed: NDArray[np.bool_]

    @classmethod
    def nothing(cls, time: float) -> Estimate:
        """Of a filter that has seen nothing yet: no keypoints."""
        none = np.zeros((0, 2))
        return cls(time, none, none, np.zeros((0, 2, 2)), np.zeros(0, bool))


class Filter(Protocol):
    """Follows the keypoints of one object.

    Times must not go back; a frame that shows the object nowhere is passed over, or handed in with NaN for all.

    Attributes:
        guides: whether a tracker's box goes by what the filter says; else by what is measured.
    """

    guides: bool

    def update(self, measured: Measured) -> Estimate:
        """Take in one frame; the best that is known at its time."""
        ...

    def predict(self, time: float) -> Estimate:
        """Where the keypoints will be; changes nothing. No keypoints before the first frame."""
        ...


def measured(poses: Poses, index: int = 0, time: float | None = None, covariance: bool = True) -> Measured:
    """One pose as a filter takes it.

    The noise is the model's covariance where it tells one; else it grows as the score falls, from ``SPREAD`` sizes of the
    object at a score of 1. Keypoints with a score below ``SEEN`` are not seen.

    Args:
        poses: of one frame.
        index: of the pose.
        time: seconds; that of ``poses`` unless given.
        covariance: False leaves the model's covariance out.
    """
    size = size_of(poses.boxes[index])
    score = np.clip(poses.score[index], 0.0, 1.0)
    if covariance and poses.covariance is not None:
        noise = covariance_matrices(poses.covariance[index])
    else:
        noise = ((SPREAD * size) ** 2 / np.maximum(score, SEEN) ** 2)[:, None, None] * np.eye(2)
    noise = noise + (FLOOR * size) ** 2 * np.eye(2)
    seen = (score >= SEEN) & np.isfinite(noise).all((1, 2)) & np.isfinite(poses.xy[index]).all(1)
    when = poses.time if time is None else time
    return Measured(float(when or 0.0), np.where(seen[:, None], poses.xy[index], np.nan), noise, size)


class Unfiltered:
    """``none``: what was measured, as it was; a keypoint that was not seen stays where it was last."""

    guides = True

    def __init__(self) -> None:
        self._last: Array | None = None

    def update(self, measured: Measured) -> Estimate:
        seen = measured.seen
        last = np.full_like(measured.xy, np.nan) if self._last is None else self._last
        self._last = np.where(seen[:, None], measured.xy, last)
        covariance = np.where(seen[:, None, None], measured.noise, np.nan)
        return Estimate(measured.time, self._last, np.zeros_like(self._last), covariance, seen)

    def predict(self, time: float) -> Estimate:
        if self._last is None:
            return Estimate.nothing(time)
        xy = self._last
        return Estimate(time, xy, np.zeros_like(xy), np.full((len(xy), 2, 2), np.nan), np.zeros(len(xy), bool))


def _kalman(order: int) -> Callable[[], Filter]:
    def make() -> Filter:
        from posewright.tracking.kalman import Kalman

        return Kalman(order)

    return make


def _one_euro() -> Filter:
    from posewright.tracking.one_euro import OneEuro

    return OneEuro()


def _cpm() -> Filter:
    from posewright.tracking.cpm_filter import CpmFilter

    return CpmFilter()


FILTERS: dict[str, Callable[[], Filter]] = {
    "none": Unfiltered,
    "kalman": _kalman(1),
    "kalman-ca": _kalman(2),
    "one-euro": _one_euro,
    "rts": _kalman(1),
    "cpm": _cpm,
}
"""By what ``--filter`` takes. ``rts`` follows like ``kalman``; what it writes is smoothed some frames later
(:mod:`posewright.tracking.smoothing`)."""


def make_filter(name: str) -> Filter:
    """A fresh filter by name.

    Raises:
        PosewrightError: where there is none of that name.
    """
    if name not in FILTERS:
        raise PosewrightError(f"unknown filter '{name}'", fix=did_you_mean(name, FILTERS))
    return FILTERS[name]()
