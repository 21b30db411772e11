"""The One Euro filter: a low pass whose cut-off rises with speed (Casiez, Roussel, Vogel, CHI 2012)."""

from __future__ import annotations

import numpy as np

from posewright.tracking.filters import Array, Estimate, Measured

CUTOFF = 1.0
"""Hz, of a keypoint at rest."""
BETA = 4.0
"""Hz by which the cut-off rises for each size of the object a second."""
CUTOFF_OF_SPEED = 1.0
"""Hz, of the speed itself."""
FORGET = 0.5
"""Seconds after which a keypoint that was not seen begins anew."""


class OneEuro:
    """``one-euro``. Speeds are in sizes of the object, so that the same settings fit near and far ones.

    Args:
        cutoff, beta, cutoff_of_speed: the paper's; in Hz, Hz per size and second, Hz.
    """

    guides = True

    def __init__(self, cutoff: float = CUTOFF, beta: float = BETA, cutoff_of_speed: float = CUTOFF_OF_SPEED) -> None:
        self.cutoff, self.beta, self.cutoff_of_speed = cutoff, beta, cutoff_of_speed
        self._xy: Array | None = None
        self._raw = self._speed = np.zeros((0, 2))
        self._time = np.zeros(0)
        self._now = 0.0

    def update(self, measured: Measured) -> Estimate:
        seen, time = measured.seen, measured.time
        if self._xy is None:
            self._xy, self._raw = measured.xy.copy(), measured.xy.copy()
            self._speed, self._time = np.zeros_like(self._xy), np.full(len(self._xy), time)
        dt = np.maximum(time - self._time, 1e-6)[:, None]
        fresh = seen & (~np.isfinite(self._xy[:, 0]) | (dt[:, 0] > FORGET))
        follow = seen & ~fresh
        slope = (measured.xy - self._raw) / dt
        speed = self._speed + _share(self.cutoff_of_speed, dt) * (slope - self._speed)
        cutoff = self.cutoff + self.beta * np.abs(speed) / measured.size
        xy = self._xy + _share(cutoff, dt) * (measured.xy - self._xy)
        self._xy = np.where(follow[:, None], xy, np.where(fresh[:, None], measured.xy, self._xy))
        self._speed = np.where(follow[:, None], speed, np.where(fresh[:, None], 0.0, self._speed))
        self._raw = np.where(seen[:, None], measured.xy, self._raw)
        self._time = np.where(seen, time, self._time)
        self._now = time
        return self._estimate(time, self._xy, seen)

    def predict(self, time: float) -> Estimate:
        if self._xy is None:
            return Estimate.nothing(time)
        xy = self._xy + self._speed * max(time - self._now, 0.0)
        return self._estimate(time, xy, np.zeros(len(xy), bool))

    def _estimate(self, time: float, xy: Array, agreed: np.ndarray) -> Estimate:
        return Estimate(time, xy.copy(), self._speed.copy(), np.full((len(xy), 2, 2), np.nan), agreed)


def _share(cutoff: float | Array, dt: Array) -> Array:
    """How much of the new value a first-order low pass takes."""
    return 1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff) * dt))
