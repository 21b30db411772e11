"""Which moment of one motion belongs to which moment of another, though their pace differs.

Dynamic time warping (Sakoe and Chiba, IEEE Trans. ASSP 26(1), 1978) with steps that go on by one frame of the second
motion and by none to ``FASTEST`` of the first, so that a row of the table needs only the row before: the same table serves a
file, whose best path is traced back from its end, and a camera, where the best end of a path so far is the answer now. The
second motion may begin and end anywhere in the first.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

FASTEST = 3
"""Frames of the reference that one frame may go on by."""
STILL = 0.02
"""Cost of a frame on which the reference does not go on, or goes on by more than one: without it, rest fits everything."""


class Warp:
    """Takes the costs of one frame after the other and keeps the best way to each frame of the reference."""

    def __init__(self) -> None:
        self._total: Array | None = None
        self._steps: list[NDArray[np.int8]] = []

    def __len__(self) -> int:
        return len(self._steps)

    def push(self, cost: ArrayLike) -> int:
        """Take in a frame.

        Args:
            cost: ``[R]``, 0 or more: how little the frame is like each frame of the reference.

        Returns:
            The frame of the reference that it belongs to, as far as can be said now.
        """
        cost = np.asarray(cost, float)
        if self._total is None:
            self._total = cost.copy()
            self._steps.append(np.zeros(len(cost), np.int8))
            return int(self._total.argmin())
        ways = np.full((FASTEST + 1, len(cost)), np.inf)
        for step in range(min(FASTEST, len(cost) - 1) + 1):
            extra = 0.0 if step == 1 else STILL
            ways[step, step:] = self._total[: len(cost) - step] + extra
        step = ways.argmin(0)
        self._total = cost + ways[step, np.arange(len(cost))]
        self._steps.append(step.astype(np.int8))
        return int(self._total.argmin())

    def path(self) -> NDArray[np.int64]:
        """For each frame so far the frame of the reference that it belongs to, in the light of all of them."""
        if self._total is None:
            return np.zeros(0, np.int64)
        at = np.empty(len(self._steps), np.int64)
        at[-1] = self._total.argmin()
        for i in range(len(at) - 1, 0, -1):
            at[i - 1] = at[i] - self._steps[i][at[i]]
        return at


def warp(costs: Iterable[ArrayLike]) -> NDArray[np.int64]:
    """For each frame, a row of costs, the frame of the reference that it belongs to."""
    table = Warp()
    for row in costs:
        table.push(row)
    return table.path()


def resampled(xy: ArrayLike, times: ArrayLike, rate: float, longest_gap: float = 0.5) -> tuple[Array, Array]:
    """A motion at a steady rate, with straight lines between its frames.

    Args:
        xy: ``[F, K, 2]``; NaN where a keypoint is not known.
        times: ``[F]`` in seconds, ascending.
        rate: frames a second.
        longest_gap: seconds over which a line is drawn; NaN in longer gaps.

    Returns:
        ``[T, K, 2]`` and ``[T]`` seconds.
    """
    xy, times = np.asarray(xy, float), np.asarray(times, float)
    if not len(times):
        return xy, times
    steady = times[0] + np.arange(int(np.floor((times[-1] - times[0]) * rate + 1e-6)) + 1) / rate
    after = np.clip(np.searchsorted(times, steady, side="left"), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    exact = np.isclose(times[after], steady)
    before = np.where(exact, after, before)
    gap = times[after] - times[before]
    share = np.where(gap > 0, (steady - times[before]) / np.where(gap > 0, gap, 1), 0.0)
    found = xy[before] * (1 - share)[:, None, None] + xy[after] * share[:, None, None]
    found[exact] = xy[after[exact]]
    found[gap > longest_gap] = np.nan
    return found, steady
