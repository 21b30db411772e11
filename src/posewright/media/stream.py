"""A stream by its address (RTSP, HTTP and what else FFmpeg knows), through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from posewright.errors import PosewrightError
from posewright.media.decoding import decoded, frame_picture
from posewright.media.enduring import Shot, Silent, enduring_frames
from posewright.media.intake import Capture, Intake
from posewright.media.sources import Frame

OPEN, READ = 10.0, 5.0
"""Seconds that opening it, and reading from it, may take."""


def stream_frames(address: str, path: Path, capture: Capture, intake: Intake, live: bool) -> Iterator[Frame]:
    """What a stream shows; where it stalls or ends, it is opened again, until the patience is over.

    Args:
        address: with its scheme; sound is ignored.
        path: what the frames say they come from: an address may hold a password.
        live: whether it goes on for ever; else its end is its end, and silence an error.

    Raises:
        PosewrightError: where it cannot be opened or shows nothing, or where a stream that is not live breaks off.
    """

    def attempt() -> Iterator[Shot]:
        import av

        # Over UDP, cameras' pictures come torn as soon as a packet is lost.
        options = {"rtsp_transport": "tcp"} if address.lower().startswith("rtsp") else {}
        read = min(READ, capture.patience)
        try:
            with av.open(address, options=options, timeout=(min(OPEN, capture.patience), read)) as container:
                if not container.streams.video:
                    raise PosewrightError("holds no video stream", file=path)
                for frame in decoded(container, container.streams.video[0], intake):
                    yield frame_picture(frame), frame.time
        except av.error.ExitError:
            raise Silent(f"nothing for {read:g} s") from None
        except (av.error.FFmpegError, OSError) as error:
            raise Silent(f"cannot be read: {error.strerror or error}") from None
        if live:
            raise Silent("has ended")

    if live:
        yield from enduring_frames(attempt, path, capture, intake, "Check the address, and that it is being sent")
        return
    try:
        yield from _numbered(attempt(), path)
    except Silent as silence:
        raise PosewrightError(str(silence), file=path) from None


def _numbered(shots: Iterator[Shot], path: Path) -> Iterator[Frame]:
    """Frames with their own times from the first one on."""
    start, last = None, 0.0
    for count, (picture, own) in enumerate(shots):
        seconds = own if own is not None else last + 1 / 25
        start = seconds if start is None else start
        last = seconds
        yield Frame(picture, path, count, max(0.0, seconds - start))
