"""Where predictions go: JSON lines, CSV, COCO results, pictures with poses on them, H.264 video. Whole or not at all.

Each sink is a context manager that hands out a function of a frame and its poses. What it writes takes its place when
the block ends well and leaves no trace otherwise.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.files import whole_file, whole_folder, write_text
from posewright.media.pictures import write_picture
from posewright.media.sources import Frame
from posewright.poses import Poses
from posewright.skeleton import Skeleton

Write = Callable[[Frame, Poses], None]
Draw = Callable[[Frame, Poses], NDArray[np.uint8]]
"""A frame and its poses to the picture, ``uint8 [H, W, 3]`` RGB, that shows them."""

_H264 = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")
"""Encoders by preference; which there are depends on the build of PyAV."""


@contextmanager
def json_lines(path: Path) -> Iterator[Write]:
    """One JSON record a line and frame, as :meth:`Poses.to_record` has it."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:

        def write(_frame: Frame, poses: Poses) -> None:
            file.write(poses.to_json() + "\n")

        yield write


@contextmanager
def csv_rows(path: Path, skeleton: Skeleton) -> Iterator[Write]:
    """One row a pose, below a row of column names."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(Poses.empty(skeleton).csv_header())

        def write(_frame: Frame, poses: Poses) -> None:
            rows.writerows(poses.to_csv_rows())

        yield write


@contextmanager
def coco_results(path: Path, image_id: Callable[[Frame], int | str]) -> Iterator[Write]:
    """A COCO results file: one entry a pose, referring to its picture by what ``image_id`` says."""
    found: list[dict[str, Any]] = []

    def write(frame: Frame, poses: Poses) -> None:
        found.extend(poses.to_coco_results(image_id(frame)))

    yield write
    write_text(path, json.dumps(found, allow_nan=False))


@contextmanager
def drawn_picture(path: Path, draw: Draw) -> Iterator[Write]:
    """One picture file with the poses on it; JPEG where the ending is neither that nor PNG."""

    def write(frame: Frame, poses: Poses) -> None:
        write_picture(path if _keeps_format(path) else path.with_suffix(".jpg"), draw(frame, poses))

    yield write


@contextmanager
def drawn_folder(path: Path, origin: Path, draw: Draw) -> Iterator[Write]:
    """A folder of pictures with the poses on them, each where it lies below ``origin``.

    Where a picture is neither JPEG nor PNG, ``.jpg`` is added to its whole name: ``a.tif`` and ``a.jpg`` stay apart.
    """
    with whole_folder(path) as folder:

        def write(frame: Frame, poses: Poses) -> None:
            target = folder / frame.path.relative_to(origin)
            if not _keeps_format(target):
                target = target.with_name(target.name + ".jpg")
            write_picture(target, draw(frame, poses))

        yield write


@contextmanager
def drawn_video(path: Path, rate: float, draw: Draw) -> Iterator[Write]:
    """An H.264 video with the poses on it, each frame at its own time; ``rate`` is frames a second on average."""
    with h264_video(path, rate) as add:

        def write(frame: Frame, poses: Poses) -> None:
            add(draw(frame, poses), frame.time)

        yield write


@contextmanager
def h264_video(path: Path, rate: float) -> Iterator[Callable[[NDArray[np.uint8], float | None], None]]:
    """Write an H.264 video that plays everywhere; hands out a function of a picture and its time in seconds.

    All pictures have the size of the first; odd sides are made even by repeating the last row or column. A time of None
    is one frame's duration after the last.

    Args:
        path: ends with ``.mp4``.
        rate: frames a second on average.
    """
    import av

    encoder = next((name for name in _H264 if name in av.codecs_available), None)
    if encoder is None:
        raise PosewrightError("this build of PyAV has no H.264 encoder", fix="pip install av, or write no video")
    ticks = 90_000
    with whole_file(path) as temporary:
        try:
            with av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container:
                stream: Any = container.add_stream(encoder, rate=Fraction(rate).limit_denominator(1001))
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = Fraction(1, ticks)
                if encoder == "libx264":
                    stream.options = {"crf": "20", "preset": "veryfast"}
                last = -ticks / rate

                def add(picture: NDArray[np.uint8], time: float | None) -> None:
                    nonlocal last
                    # Two frames must not share a time, whatever a damaged file says.
                    last = max(last + 1, last + ticks / rate if time is None else round(time * ticks))
                    even = np.pad(picture, ((0, picture.shape[0] % 2), (0, picture.shape[1] % 2), (0, 0)), "edge")
                    if stream.codec_context.is_open is False:
                        stream.height, stream.width = even.shape[:2]
                    frame = av.VideoFrame.from_ndarray(even, format="rgb24")
                    frame.pts, frame.time_base = round(last), Fraction(1, ticks)
                    container.mux(stream.encode(frame))

                yield add
                container.mux(stream.encode(None))
        except av.error.FFmpegError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None


def _keeps_format(path: Path) -> bool:
    return path.suffix.lower() in (".jpg", ".jpeg", ".png")
