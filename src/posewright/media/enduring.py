"""Frames of a source that may fall silent and come back: a camera that is unplugged, a stream that stalls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.media.intake import Capture, Intake
from posewright.media.sources import Frame

RETRY = 1.0
"""Seconds between two attempts to open it again."""

Shot = tuple[NDArray[np.uint8], float | None]
"""A picture and the source's own time for it in seconds, of whatever origin; None where it has none."""


class Silent(Exception):
    """The source gives nothing any more; why, in words."""


def enduring_frames(
    attempt: Callable[[], Iterator[Shot]], path: Path, capture: Capture, intake: Intake, fix: str | None = None
) -> Iterator[Frame]:
    """The frames of one attempt after the other, numbered and timed through.

    Times are the source's own where it has any, set forth by the clock on the wall where it was opened again; they never
    go back.

    Args:
        attempt: opens the source and yields what it gives; returns where it is at its end for good, raises
            :class:`Silent` where it is not.
        path: what the frames say they come from.
        fix: what to do where it never gives anything.

    Raises:
        PosewrightError: where it never gives anything.
    """
    count, last = 0, 0.0
    begin = heard = 0.0
    while not intake.stopped.is_set():
        why, offset = "", None
        try:
            for picture, own in attempt():
                begin = begin if count else monotonic()
                heard = monotonic()
                if own is None:
                    time = heard - begin
                else:
                    offset = heard - begin - own if offset is None else offset
                    time = own + offset
                last = max(time, last + 1e-4) if count else 0.0
                yield Frame(picture, path, count, last)
                count += 1
                if intake.stopped.is_set():
                    return
            return
        except Silent as silence:
            why = str(silence)
        if not count:
            raise PosewrightError(why, file=path, fix=fix)
        if not _waited(why, heard, path, capture, intake):
            return


def _waited(why: str, heard: float, path: Path, capture: Capture, intake: Intake) -> bool:
    """Wait until the next attempt; False where there shall be none."""
    silent = monotonic() - heard
    if silent >= capture.patience:
        intake.tell(f"{path}: nothing for {capture.patience:g} s, taken for its end")
        return False
    if intake.silent_since != heard:
        intake.silent_since = heard
        intake.interruptions += 1
        # One that comes and goes all the time is told of now and then.
        if monotonic() - intake.told >= capture.patience:
            intake.told = monotonic()
            intake.tell(f"{path}: {why}; trying again for {capture.patience:g} s")
    return not intake.stopped.wait(min(RETRY, capture.patience - silent))
