"""How long each part of the work takes, and how many frames a second come of it all."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

PARTS = ("read", "crop", "net", "filter", "draw", "write")
"""In the order that a frame goes through them. "filter" is tracking, filtering, and whatever else a frame takes between
being read and being drawn."""
RECENT = 30
"""Frames that the present figures are taken over."""


class Times:
    """Adds up seconds by part, from any thread.

    Attributes:
        frames: frames done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = dict.fromkeys(PARTS, 0.0)
        self._started = perf_counter()
        self._ended: float | None = None
        self.frames = 0
        self._marks: deque[tuple[float, dict[str, float]]] = deque(maxlen=RECENT)

    def start(self) -> None:
        """Count the time from now on."""
        self._started = perf_counter()

    def add(self, part: str, seconds: float) -> None:
        with self._lock:
            self._total[part] += seconds

    @contextmanager
    def measured(self, part: str) -> Iterator[None]:
        """Add what the block takes."""
        start = perf_counter()
        try:
            yield
        finally:
            self.add(part, perf_counter() - start)

    def frame(self) -> None:
        """One frame is done."""
        with self._lock:
            self.frames += 1
            self._ended = perf_counter()
            self._marks.append((self._ended, dict(self._total)))

    @property
    def rate(self) -> float:
        """Frames a second from the beginning to the last frame."""
        return self.frames / max((self._ended or perf_counter()) - self._started, 1e-9)

    def by_part(self) -> dict[str, float]:
        """Milliseconds a frame, by part. Parts overlap: their sum may be more than a frame takes."""
        with self._lock:
            return {part: 1e3 * total / max(self.frames, 1) for part, total in self._total.items()}

    def now(self) -> tuple[float, dict[str, float]]:
        """Frames a second, and milliseconds a frame by part, over the latest frames."""
        with self._lock:
            if len(self._marks) < 2:
                return 0.0, dict.fromkeys(PARTS, 0.0)
            (begin, before), (end, after) = self._marks[0], self._marks[-1]
            many = len(self._marks) - 1
        return many / max(end - begin, 1e-9), {p: 1e3 * (after[p] - before[p]) / many for p in PARTS}


def read_timed(frames: Iterator, times: Times) -> Iterator:  # type: ignore[type-arg]
    """The same frames, with what each took to be read added to ``times``."""
    while True:
        with times.measured("read"):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame
