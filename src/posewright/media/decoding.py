"""Decoding with PyAV: frames the right way up, damaged ones left out where that is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.media.intake import Intake

_ENOUGH = 100
"""Errors one after the other, with no frame between them, from which a file counts as beyond help."""


def frame_picture(frame: Any) -> NDArray[np.uint8]:
    """A decoded ``av.VideoFrame`` as ``uint8 [H, W, 3]`` RGB, turned as its file says."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def decoded(container: Any, stream: Any, intake: Intake | None = None) -> Iterator[Any]:
    """The ``av.VideoFrame`` of a stream of a container.

    Args:
        intake: counts frames that are damaged, which are then left out; where None the first one raises
            ``av.error.FFmpegError``.
    """
    if intake is None:
        yield from container.decode(stream)
        return
    import av

    packets, errors = container.demux(stream), 0
    while errors <= _ENOUGH:
        try:
            packet = next(packets, None)
        except av.error.EOFError:
            return
        except av.error.InvalidDataError:
            # The container goes on behind what it could not read; the generator does not.
            packets, errors, intake.damaged = container.demux(stream), errors + 1, intake.damaged + 1
            continue
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            errors, intake.damaged = errors + 1, intake.damaged + 1
            continue
        for frame in frames:
            if frame.is_corrupt:
                intake.damaged += 1
                continue
            errors = 0
            yield frame
