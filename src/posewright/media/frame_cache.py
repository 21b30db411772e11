"""Frames of videos that were decoded before, as PNG files in the user's cache folder.

Labelled frames are asked for again and again, in any order, by several threads, by loader processes and by the next command:
a folder serves them all, and the system's file cache keeps in memory what is in use. It holds at most ``POSEWRIGHT_CACHE_GB``
(4 unless set, 0 for no cache) in ``POSEWRIGHT_CACHE`` (the system's folder for caches unless set). What was used longest ago
is removed first; what this process has used is not, so that passes over a set larger than the limit do not chase each other.
It may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.cache import cache_folder
from posewright.errors import PosewrightError
from posewright.media.pictures import read_picture, write_picture

SIZE = "POSEWRIGHT_CACHE_GB"
_USUAL_GB = 4.0
_FULL = 0.9
"""Old frames are removed until this share of the limit is left."""

Picture = NDArray[np.uint8]


class FrameCache:
    """Frames by video and number.

    Args:
        folder: to keep them in; made when the first is kept.
        limit: bytes that it may hold in all; nothing is kept where it is 0.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._lock = threading.Lock()
        self._begun = time.time() - 1  # the clock of a file system is a little behind
        self._held: int | None = None
        self._closed = limit <= 0

    @property
    def closed(self) -> bool:
        """Whether no more frames are taken: it is full of what this process uses, or cannot be written."""
        return self._closed

    def get(self, video: str, number: int) -> Picture | None:
        """A frame kept before, or None. ``video`` is what :func:`video_key` says."""
        path = self._path(video, number)
        try:
            if path.stat().st_mtime < self._begun:
                os.utime(path)
            return read_picture(path)
        except OSError:
            return None
        except PosewrightError:  # cut short by a machine that went down, or removed meanwhile
            with suppress(OSError):
                path.unlink()
            return None

    def put(self, video: str, number: int, picture: Picture) -> bool:
        """Keep a frame; False where there is no room for more."""
        if self._closed:
            return False
        path = self._path(video, number)
        try:
            if path.exists():
                return True
            write_picture(path, picture)
            size = path.stat().st_size
        except (OSError, PosewrightError):
            self._closed = True
            return False
        with self._lock:
            self._held = self._count() if self._held is None else self._held + size
            if self._held > self.limit:
                self._make_room()
        return not self._closed

    def _path(self, video: str, number: int) -> Path:
        return self.folder / video / f"{number:08d}.png"

    def _count(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[float, int, Path]]:
        """Time of last use, size and path of every frame kept."""
        found = []
        for path in self.folder.glob("*/*.png"):
            with suppress(OSError):  # another process may have removed it
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found

    def _make_room(self) -> None:
        files = sorted(self._files())
        held = sum(size for _, size, _ in files)
        for used, size, path in files:
            if held <= _FULL * self.limit or used >= self._begun:
                break
            with suppress(OSError):
                path.unlink()
                held -= size
                path.parent.rmdir()  # refuses while there are other frames in it
        self._held = held
        self._closed = held > self.limit


def video_key(path: Path) -> str:
    """A name for a video's content: its place, size and time of change."""
    status = path.stat()
    text = f"{path.resolve()}\n{status.st_size}\n{status.st_mtime_ns}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


_cache: FrameCache | None = None
_cache_lock = threading.Lock()


def frame_cache() -> FrameCache:
    """This process's cache, in the folder that all processes share."""
    global _cache
    with _cache_lock:
        folder, limit = cache_folder("frames"), _limit()
        if _cache is None or (_cache.folder, _cache.limit) != (folder, limit):
            _cache = FrameCache(folder, limit)
        return _cache


def _limit() -> int:
    text = os.environ.get(SIZE, "")
    try:
        limit = float(text) if text else _USUAL_GB
        return max(0, int(limit * 1e9))
    except (ValueError, OverflowError):
        raise PosewrightError(
            f"{SIZE} is '{text}', not a number of gigabytes", fix="Set it to 4, or 0 for no cache"
        ) from None
