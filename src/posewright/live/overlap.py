"""Two threads beside the one that works: one reads ahead of it, one writes behind it; neither may pile up.

What is handed from thread to thread goes through a :class:`Handover`, which holds a few things and then lets the giver wait, or,
where the world does not wait, throws the oldest one away and counts it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

DEPTH = 4
"""Things that wait between two threads, at most."""
_TURN = 0.5
"""Seconds of the longest wait: some systems do not interrupt one for Ctrl-C."""
_FAREWELL = 5.0
"""Seconds in which a reader that is told to stop has to; one that hangs in a device is left behind."""


class Closed(Exception):
    """Nothing will come any more, or nobody will take it."""


class Handover(Generic[T]):
    """A queue of a few things from one thread to another.

    Args:
        depth: how many wait at most.
        drop: where it is full, throw the oldest away instead of letting the giver wait.

    Attributes:
        dropped: how many were thrown away.
        most: how many have waited at a time.
    """

    def __init__(self, depth: int = DEPTH, drop: bool = False) -> None:
        self.depth, self.drop = depth, drop
        self.dropped = self.most = 0
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = self._refused = False

    def put(self, item: T) -> None:
        """Give one thing.

        Raises:
            Closed: where nobody will take it.
        """
        with self._changed:
            while len(self._items) >= self.depth and not self.drop and not self._refused:
                self._changed.wait(_TURN)
            if self._refused:
                raise Closed
            if len(self._items) >= self.depth:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self.most = max(self.most, len(self._items))
            self._changed.notify_all()

    def get(self) -> T:
        """Take the oldest thing.

        Raises:
            Closed: where there is none and none will come.
        """
        with self._changed:
            while not self._items and not self._ended and not self._refused:
                self._changed.wait(_TURN)
            if not self._items:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def end(self) -> None:
        """Say that no more will be given; what waits can still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def refuse(self) -> None:
        """Say that no more will be taken; what waits is forgotten."""
        with self._changed:
            self._refused = True
            self._items.clear()
            self._changed.notify_all()


class ReadAhead(Generic[T]):
    """Takes things from an iterator in a thread of its own; a context manager, and an iterator within.

    What the iterator raises is raised where it would have come. Leaving the block early closes the iterator.

    Args:
        items: used by the other thread alone.
        depth, drop: see :class:`Handover`.
        stop: called when the block is left, to wake up an iterator that waits for the world.
    """

    def __init__(
        self,
        items: Iterator[T],
        depth: int = DEPTH,
        drop: bool = False,
        stop: Callable[[], None] | None = None,
    ) -> None:
        self._items, self._stop = items, stop
        self._handover: Handover[T] = Handover(depth, drop)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="read ahead", daemon=True)

    @property
    def dropped(self) -> int:
        """How many things came too late to be taken."""
        return self._handover.dropped

    @property
    def most(self) -> int:
        """How many have waited at a time."""
        return self._handover.most

    def _read(self) -> None:
        try:
            for item in self._items:
                self._handover.put(item)
        except Closed:
            pass
        except BaseException as error:
            self._error = error
        finally:
            if isinstance(self._items, Generator):
                with suppress(Exception):
                    self._items.close()
            self._handover.end()

    def __enter__(self) -> ReadAhead[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._handover.refuse()
        if self._stop is not None:
            self._stop()
        self._thread.join(_FAREWELL)

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                item = self._handover.get()
            except Closed:
                break
            yield item
        if self._error is not None:
            raise self._error


class WriteBehind(Generic[T]):
    """Hands things in order to a function in a thread of its own; a context manager.

    Leaving the block waits until all is written, also where an error or Ctrl-C ends it. What the function raises is raised by
    the next :meth:`put`, or at the end.

    Args:
        write: takes one thing.
        depth: how many wait at most.
    """

    def __init__(self, write: Callable[[T], object], depth: int = DEPTH) -> None:
        self._write = write
        self._handover: Handover[T] = Handover(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="write behind", daemon=True)

    @property
    def most(self) -> int:
        """How many have waited at a time."""
        return self._handover.most

    def put(self, item: T) -> None:
        """Give one thing to be written, waiting where too many wait already."""
        try:
            self._handover.put(item)
        except Closed:
            self._raise()
            raise

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        try:
            with suppress(Closed):
                while True:
                    self._write(self._handover.get())
        except BaseException as error:
            self._error = error
            self._handover.refuse()

    def __enter__(self) -> WriteBehind[T]:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._handover.end()
        while self._thread.is_alive():
            self._thread.join(_TURN)
        if error is None:
            self._raise()
