"""Frames piped in on standard input: JPEG or PNG pictures one after the other, or any video that can be read in one go."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError
from posewright.media.decoding import decoded, frame_picture
from posewright.media.intake import PIPED_RATE, Capture, Intake
from posewright.media.sources import Frame

_PICTURES = {b"\xff\xd8\xff": "mjpeg", b"\x89PNG\r\n\x1a\n": "png_pipe"}
"""First bytes of pictures, and what PyAV calls a row of such."""
_LOOK = 0.2
"""Seconds between two looks whether reading shall end."""


def piped_frames(path: Path, capture: Capture, intake: Intake, descriptor: int = 0) -> Iterator[Frame]:
    """What comes through a pipe, until it is closed.

    Pictures tell no time: they are taken to come at ``capture.rate``. Damaged frames are left out and counted.

    Args:
        path: what the frames say they come from.
        descriptor: of the pipe.

    Raises:
        PosewrightError: where nothing comes, or nothing that can be read.
    """
    import av

    if os.isatty(descriptor):
        fix = "Pipe frames in, such as: ffmpeg -i clip.mp4 -f matroska - | posewright predict hand -"
        raise PosewrightError("is a terminal", file=path, fix=fix)
    pipe = _Pipe(descriptor, intake)
    head = pipe.look(8)
    if not head:
        if intake.stopped.is_set():
            return
        raise PosewrightError("nothing came through the pipe", file=path)
    kind = next((kind for begin, kind in _PICTURES.items() if head.startswith(begin)), None)
    rate = capture.rate or PIPED_RATE
    # Without the second option it reads dozens of pictures to guess a rate.
    options = {"framerate": f"{rate:g}", "fpsprobesize": "0"} if kind else {}
    count, start, last = 0, None, 0.0
    try:
        with av.open(pipe, format=kind, options=options) as container:
            if not container.streams.video:
                raise PosewrightError("holds no video stream", file=path)
            stream = container.streams.video[0]
            for frame in decoded(container, stream, intake):
                if kind or frame.time is None:
                    seconds = count / (rate if kind else float(stream.average_rate or rate))
                else:
                    start = frame.time if start is None else start
                    seconds = frame.time - start
                last = max(seconds, last + 1e-4) if count else 0.0
                yield Frame(frame_picture(frame), path, count, last)
                count += 1
    except av.error.FFmpegError as error:
        if intake.stopped.is_set():
            return
        what = f"is damaged at frame {count}" if count else "is neither pictures nor a video that can be piped"
        fix = None if count else "Pipe JPEG or PNG pictures, or a video made for it: ffmpeg ... -f matroska -"
        raise PosewrightError(f"{what} ({error.strerror})", file=path, fix=fix) from None
    if not count and not intake.stopped.is_set():
        raise PosewrightError("holds no frame", file=path)


class _Pipe:
    """A file to read from, which is at its end as soon as reading shall end."""

    def __init__(self, descriptor: int, intake: Intake) -> None:
        self._descriptor, self._intake, self._head = descriptor, intake, b""

    def look(self, count: int) -> bytes:
        """The next bytes, which the next reading will give again; fewer at the end."""
        while len(self._head) < count:
            more = self._next(count)
            if not more:
                break
            self._head += more
        return self._head

    def read(self, count: int = 65536) -> bytes:
        if self._head:
            data, self._head = self._head[:count], self._head[count:]
            return data
        return self._next(count)

    def _next(self, count: int) -> bytes:
        # On Windows a pipe cannot be waited for.
        while sys.platform != "win32" and not self._intake.stopped.is_set():
            ready: Any = select.select([self._descriptor], [], [], _LOOK)[0]
            if ready:
                break
        return b"" if self._intake.stopped.is_set() else os.read(self._descriptor, count)
