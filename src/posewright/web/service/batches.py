"""Joining the crops of several requests: one thread a net, which takes as many as fit into one run."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

Crop = NDArray[np.uint8]
Found = dict[str, NDArray[Any]]


@dataclass
class _Job:
    """The crops of one picture, on their way through the net."""

    crops: list[Crop]
    flip: bool
    since: float
    taken: int = 0
    found: dict[int, Found] = field(default_factory=dict)
    future: Future[Found] = field(default_factory=Future)


class Batcher:
    """Runs a net on whatever waits for it.

    The net takes what is there as soon as it is free. Only where a batch is not full and other requests are known to be on
    their way does it wait for them, at most for the delay, counted from the arrival of the crop that waits longest. Requests
    take turns, crop by crop, so that one with many boxes does not hold up the others; those whose caller has gone are
    dropped. Where a batch fails, each request in it is tried by itself.

    Args:
        run: the net, on crops ``uint8 [H, W, 3]``, with the mirrored ones or not; returns arrays ``[B, ...]`` by name.
        batch: crops in one run.
        delay: seconds.
        note: told the number of crops and the seconds of each run.
    """

    def __init__(
        self,
        run: Callable[[list[Crop], bool], Found],
        batch: int,
        delay: float,
        note: Callable[[int, float], None] = lambda crops, seconds: None,
    ) -> None:
        self._run, self._batch, self._delay, self._note = run, batch, delay, note
        self._waiting: list[_Job] = []
        self._expected = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="net", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Crops that no run has taken yet."""
        with self._changed:
            return sum(len(job.crops) - job.taken for job in self._waiting if not job.future.done())

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Within the block, crops may come soon: a batch that is not full waits for them, within the delay."""
        with self._changed:
            self._expected += 1
        try:
            yield
        finally:
            with self._changed:
                self._expected -= 1
                self._changed.notify_all()

    def submit(self, crops: list[Crop], flip: bool = False) -> Future[Found]:
        """Have the net run on crops of one picture; cancel the future where nobody wants them any more.

        Returns:
            What was found, ``[B, ...]`` by name, in the order of the crops; nothing of no crops.
        """
        job = _Job(crops, flip, monotonic())
        if not crops:
            job.future.set_result({})
            return job.future
        with self._changed:
            if self._closing:
                raise RuntimeError("the batcher is closed")
            self._waiting.append(job)
            self._changed.notify_all()
        return job.future

    def close(self) -> None:
        """Run what waits, then end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closing:
                        return
                    self._changed.wait()
                self._wait_for_company()
                parts = self._take()
            if parts:
                self._finish(parts)

    def _wait_for_company(self) -> None:
        first = self._waiting[0]
        until = first.since + self._delay
        while self._expected and not self._closing:
            ready = sum(len(job.crops) - job.taken for job in self._waiting if job.flip == first.flip)
            left = until - monotonic()
            if ready >= self._batch or left <= 0:
                return
            self._changed.wait(left)

    def _take(self) -> list[tuple[_Job, int]]:
        """The next batch: (job, number of its crop), with or without the mirrored ones as the oldest job wants it."""
        waiting = [job for job in self._waiting if not job.future.done()]
        if not waiting:  # all of them cancelled
            self._waiting = []
            return []
        mine = deque(job for job in waiting if job.flip == waiting[0].flip)
        others = [job for job in waiting if job.flip != waiting[0].flip]
        parts: list[tuple[_Job, int]] = []
        while mine and len(parts) < self._batch:
            job = mine.popleft()
            parts.append((job, job.taken))
            job.taken += 1
            if job.taken < len(job.crops):
                mine.append(job)
        self._waiting = [*others, *mine]
        return parts

    def _finish(self, parts: list[tuple[_Job, int]]) -> None:
        jobs = list(dict.fromkeys(id(job) for job, _ in parts))
        try:
            begun = perf_counter()
            found = self._run([job.crops[i] for job, i in parts], parts[0][0].flip)
            self._note(len(parts), perf_counter() - begun)
        except Exception as error:
            if len(jobs) == 1:
                with suppress(InvalidStateError):
                    parts[0][0].future.set_exception(error)
                return
            for which in jobs:
                self._finish([(job, i) for job, i in parts if id(job) == which])
            return
        for row, (job, i) in enumerate(parts):
            job.found[i] = {name: array[row] for name, array in found.items()}
            if len(job.found) == len(job.crops):
                rows = [job.found[k] for k in range(len(job.crops))]
                with suppress(InvalidStateError):  # cancelled meanwhile
                    job.future.set_result({name: np.stack([one[name] for one in rows]) for name in found})
