"""Keeping what image decoders print off the screen.

libjpeg and libpng, as OpenCV builds them, write their complaints to file descriptor 2 and have no switch.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import tempfile
import threading

_DECODERS_SAY = tuple(b"Corrupt Premature Invalid Unsupported Inconsistent Warning, libpng".split())

_LARGE = 1 << 20
"""Bytes kept from the past before the file is emptied."""


class QuietDecoders:
    """A context in which decoders are not heard. Whatever else is written to stderr meanwhile is passed on as it ends.

    Threads may be inside at the same time; each that leaves passes on what has come. On Windows the descriptors of
    OpenCV's own C library are out of reach, and nothing is done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._real = self._sink = -1
        self._passed_on = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1 and os.name != "nt":
                self._divert()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._real < 0:
                return
            self._pass_on()
            if self._inside == 0:
                os.dup2(self._real, 2)
                self._pass_on()
                os.close(self._real)
                self._real = -1

    def _divert(self) -> None:
        """Point descriptor 2 to a file without a name, which stays open for as long as the process.

        A write that another thread began while the descriptor pointed there may land after it was pointed back; it is
        passed on at the next turn, or at the end.
        """
        try:
            self._real = os.dup(2)
        except OSError:  # there is no stderr
            return
        if self._sink < 0:
            if hasattr(os, "memfd_create"):
                self._sink = os.memfd_create("posewright")
            else:
                with tempfile.TemporaryFile() as file:
                    self._sink = os.dup(file.fileno())
            atexit.register(self._last_words)
        elif self._passed_on > _LARGE:
            os.ftruncate(self._sink, 0)
            os.lseek(self._sink, 0, os.SEEK_SET)
            self._passed_on = 0
        os.dup2(self._sink, 2)

    def _last_words(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._real = os.dup(2)
            self._pass_on()

    def _pass_on(self) -> None:
        size = os.fstat(self._sink).st_size
        if size > self._passed_on:
            lines = os.pread(self._sink, size - self._passed_on, self._passed_on).splitlines(keepends=True)
            self._passed_on = size
            others = b"".join(line for line in lines if not line.startswith(_DECODERS_SAY))
            if others:
                os.write(self._real, others)
