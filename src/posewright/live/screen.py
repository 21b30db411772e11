"""The live picture: the latest one drawn, for whoever watches. Nobody who is slow holds the frames up."""

from __future__ import annotations

import threading
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from posewright.media.pictures import encode_picture

RATE = 30.0
"""Pictures a second that are shown at most."""


class Screen:
    """Holds one picture, and wakes those who wait for the next.

    Attributes:
        watchers: how many are watching.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._picture: NDArray[np.uint8] | None = None
        self._number = 0
        self._jpeg: tuple[int, bytes] = (0, b"")
        self._shown = 0.0
        self._closed = False
        self.watchers = 0

    def due(self) -> bool:
        """Whether somebody would see a picture that is shown now."""
        return self.watchers > 0 and monotonic() - self._shown >= 1 / RATE

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show ``uint8 [H, W, 3]`` RGB, which must not change any more."""
        with self._changed:
            self._picture, self._shown = picture, monotonic()
            self._number += 1
            self._changed.notify_all()

    def enter(self) -> None:
        """Somebody begins to watch."""
        with self._changed:
            self.watchers += 1
            self._changed.notify_all()

    def leave(self) -> None:
        """Somebody watches no more."""
        with self._changed:
            self.watchers -= 1

    def wait_for_watcher(self, seconds: float) -> bool:
        """Wait a while at most until somebody watches; whether somebody does."""
        with self._changed:
            return self._changed.wait_for(lambda: self.watchers > 0, seconds)

    def next(self, after: int, seconds: float) -> tuple[int, bytes] | None:
        """The number and the JPEG of the latest picture behind number ``after``; None where none came, or none will."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > after or self._closed, seconds)
            if self._number <= after or self._picture is None:
                return None
            number, picture = self._number, self._picture
        if self._jpeg[0] != number:
            self._jpeg = (number, encode_picture(picture, quality=85) or b"")
        return self._jpeg

    @property
    def closed(self) -> bool:
        """Whether no more pictures come."""
        return self._closed

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
