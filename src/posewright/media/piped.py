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
from posewright.media.picture_row import JPEG, PNG, split_pictures
from posewright.media.pictures import decode_picture
from posewright.media.sources import Frame

_LOOK = 0.2
"""Seconds between two looks whether reading shall end."""
_BLOCK = 1 << 16


def piped_frames(path: Path, capture: Capture, intake: Intake, descriptor: int = 0) -> Iterator[Frame]:
    """What comes through a pipe, until it is closed.

    Pictures tell no time: they are taken to come at ``capture.rate``. Damaged frames are left out and counted.

    Args:
        path: what the frames say they come from.
        descriptor: of the pipe.

    Raises:
        PosewrightError: where nothing comes, or nothing that can be read.
    """
    if os.isatty(descriptor):
        fix = "Pipe frames in, such as: ffmpeg -i clip.mp4 -f matroska - | posewright predict hand -"
        raise PosewrightError("is a terminal", file=path, fix=fix)
    pipe = _Pipe(descriptor, intake)
    head, any_frame = pipe.look(len(PNG)), False
    if not head and not intake.stopped.is_set():
        raise PosewrightError("nothing came through the pipe", file=path)
    pictures = head.startswith((JPEG, PNG))
    for frame in (_pictures if pictures else _video)(pipe, path, capture, intake):
        any_frame = True
        yield frame
    if not any_frame and not intake.stopped.is_set():
        raise PosewrightError("holds no frame that can be read", file=path)


def _pictures(pipe: _Pipe, path: Path, capture: Capture, intake: Intake) -> Iterator[Frame]:
    """Damaged pictures take their time, but no number."""
    count, rate = 0, capture.rate or PIPED_RATE
    for place, data in enumerate(split_pictures(pipe.read)):
        try:
            picture = decode_picture(data, path)
        except PosewrightError:
            intake.damaged += 1
            continue
        yield Frame(picture, path, count, place / rate)
        count += 1


def _video(pipe: _Pipe, path: Path, capture: Capture, intake: Intake) -> Iterator[Frame]:
    import av

    count, start, last = 0, None, 0.0
    try:
        with av.open(pipe) as container:
            if not container.streams.video:
                raise PosewrightError("holds no video stream", file=path)
            stream = container.streams.video[0]
            for frame in decoded(container, stream, intake):
                own = frame.time if frame.time is not None else count / float(stream.average_rate or PIPED_RATE)
                start = own if start is None else start
                last = max(own - start, last + 1e-4) if count else 0.0
                yield Frame(frame_picture(frame), path, count, last)
                count += 1
    except av.error.FFmpegError as error:
        if intake.stopped.is_set():
            return
        what = f"is damaged at frame {count}" if count else "is neither pictures nor a video that can be piped"
        fix = None if count else "Pipe JPEG or PNG pictures, or a video made for it: ffmpeg ... -f matroska -"
        raise PosewrightError(f"{what} ({error.strerror})", file=path, fix=fix) from None


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

    def read(self, count: int = _BLOCK) -> bytes:
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
