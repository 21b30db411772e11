"""``rts``: a Kalman filter's frames some time later, with what was learned since. For files, where waiting costs nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from posewright.tracking.filters import Estimate, Measured
from posewright.tracking.kalman import Kalman, Step, smoothed

T = TypeVar("T")
LAG = 0.5
"""Seconds of the future that a frame waits for."""


class FixedLag(Generic[T]):
    """Frames of one object, handed out ``lag`` seconds late, each smoothed over what came after it.

    Args:
        kalman: follows the object meanwhile; what it says at once is what a tracker needs.
        lag: seconds.
    """

    def __init__(self, kalman: Kalman | None = None, lag: float = LAG) -> None:
        self.kalman, self.lag = kalman or Kalman(1), lag
        self._waiting: deque[tuple[T, Step]] = deque()

    def push(self, item: T, measured: Measured) -> tuple[Estimate, Iterator[tuple[T, Estimate]]]:
        """Take in a frame.

        Args:
            item: whatever belongs to the frame; it comes back with it.

        Returns:
            What the filter says at once, and the frames that have waited long enough.
        """
        now = self.kalman.update(measured)
        return now, self.take(item)

    def take(self, item: T) -> Iterator[tuple[T, Estimate]]:
        """Like :meth:`push` for a frame that the filter has taken in already."""
        assert self.kalman.last is not None
        self._waiting.append((item, self.kalman.last))
        return self._due(self.kalman.last.time - self.lag)

    def flush(self) -> Iterator[tuple[T, Estimate]]:
        """The frames that still wait: the object is gone, or the file at its end."""
        found = smoothed([step for _, step in self._waiting])
        items = [item for item, _ in self._waiting]
        self._waiting.clear()
        yield from zip(items, found)

    def _due(self, until: float) -> Iterator[tuple[T, Estimate]]:
        due = sum(step.time <= until for _, step in self._waiting)
        if not due:
            return
        found = smoothed([step for _, step in self._waiting])
        for estimate in found[:due]:
            yield self._waiting.popleft()[0], estimate
