"""Where predictions go: JSON lines, CSV, COCO results, pictures with poses on them, H.264 video.

Each sink is a context manager that hands out a function of a frame and its poses. What it writes takes its place when
the block ends well and leaves no trace otherwise: whole or not at all. Sinks of what may take long take ``keep``, which says
for what ended the block whether that which was written until then stays, as ``NAME.partial.ENDING``. Such files hold whole
records and can be opened at any time.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.files import partial_file, whole_file, whole_folder
from posewright.media.fragments import cut_to_whole_fragments
from posewright.media.pictures import write_picture
from posewright.media.sources import Frame
from posewright.poses import Poses
from posewright.skeleton import Skeleton

Write = Callable[[Frame, Poses], None]
Draw = Callable[[Frame, Poses], NDArray[np.uint8]]
"""A frame and its poses to the picture, ``uint8 [H, W, 3]`` RGB, that shows them."""

_H264 = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")
"""Encoders by preference; which there are depends on the build of PyAV."""


Keep = Callable[[BaseException], bool]

_MP4 = {"movflags": "+faststart"}
_MP4_AT_ANY_TIME = {"movflags": "+hybrid_fragmented", "frag_duration": "1000000", "flush_packets": "1"}
"""A second at a time, each readable by itself; an ordinary file at the end."""


def _place(path: Path, keep: Keep | None) -> AbstractContextManager[Path]:
    return whole_file(path) if keep is None else partial_file(path, keep)


class _Records:
    """Appends to a file that holds whole records only, whatever happens, followed by ``end``."""

    def __init__(self, path: Path, begin: bytes = b"", end: bytes = b"") -> None:
        # Without a buffer nothing waits in memory for a disk that turns out to be full.
        self._file, self._end, self._whole, self._path = path.open("wb", buffering=0), end, 0, path
        self.count = -1
        self.add(begin)

    def add(self, data: bytes) -> None:
        try:
            self._file.seek(self._whole)
            self._put(data + self._end)
        except OSError as error:
            error.filename = str(self._path)  # so that it is known which of several files it was
            with suppress(OSError):
                self._file.truncate(self._whole)
                self._file.seek(self._whole)
                self._put(self._end)
            raise
        self._whole += len(data)
        self.count += 1

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]

    def __enter__(self) -> _Records:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@contextmanager
def lines(path: Path, keep: Keep | None = None) -> Iterator[Callable[[str], None]]:
    """A file of lines, of which there are only whole ones at any time."""
    with _place(path, keep) as temporary, _Records(temporary) as records:
        yield lambda line: records.add(f"{line}\n".encode())


@contextmanager
def json_lines(path: Path, keep: Keep | None = None) -> Iterator[Write]:
    """One JSON record a line and frame, as :meth:`Poses.to_record` has it."""
    with lines(path, keep) as add:
        yield lambda _frame, poses: add(poses.to_json())


@contextmanager
def csv_rows(path: Path, skeleton: Skeleton, keep: Keep | None = None) -> Iterator[Write]:
    """One row a pose, below a row of column names."""

    def text(rows: list[list[Any]]) -> bytes:
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerows(rows)
        return written.getvalue().encode()

    header = text([Poses.empty(skeleton).csv_header()])
    with _place(path, keep) as temporary, _Records(temporary, header) as records:
        yield lambda _frame, poses: records.add(text(poses.to_csv_rows()))


@contextmanager
def coco_results(path: Path, image_id: Callable[[Frame], int | str], keep: Keep | None = None) -> Iterator[Write]:
    """A COCO results file: one entry a pose, referring to its picture by what ``image_id`` says."""
    with _place(path, keep) as temporary, _Records(temporary, b"[", b"\n]\n") as records:

        def write(frame: Frame, poses: Poses) -> None:
            for result in poses.to_coco_results(image_id(frame)):
                line = json.dumps(result, allow_nan=False)
                records.add(f"{',' if records.count else ''}\n{line}".encode())

        yield write


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
def drawn_video(path: Path, rate: float, draw: Draw, keep: Keep | None = None) -> Iterator[Write]:
    """An H.264 video with the poses on it, each frame at its own time; ``rate`` is frames a second on average."""
    with h264_video(path, rate, keep) as add:
        yield lambda frame, poses: add(draw(frame, poses), frame.time)


@contextmanager
def h264_video(
    path: Path, rate: float, keep: Keep | None = None
) -> Iterator[Callable[[NDArray[np.uint8], float | None], None]]:
    """Write an H.264 video that plays everywhere; hands out a function of a picture and its time in seconds.

    All pictures get the size of the first, later ones of other sizes fitted into it; odd sides are made even by repeating the
    last row or column. A time of None is one frame's duration after the last.

    Args:
        path: ends with ``.mp4``.
        rate: frames a second on average.
        keep: see the module; the file can then be read at any time but for the last second or two.
    """
    import av

    encoder = next((name for name in _H264 if name in av.codecs_available), None)
    if encoder is None:
        raise PosewrightError("this build of PyAV has no H.264 encoder", fix="pip install av, or write no video")
    with _place(path, keep) as temporary:
        video = None
        try:
            video = _Video(temporary, rate, encoder, _MP4 if keep is None else _MP4_AT_ANY_TIME)
            yield video.add
            video.finish()
        except BaseException as error:
            if video is not None:
                kept = keep is not None and keep(error)
                with suppress(av.error.FFmpegError, OSError):
                    video.finish() if kept else video.close()
                if kept:
                    with suppress(OSError):
                        cut_to_whole_fragments(temporary)
            if isinstance(error, av.error.FFmpegError):
                raise OSError(error.errno, error.strerror, str(path)) from None
            raise


class _Video:
    """An H.264 file on its way; times in ticks of a 90,000th of a second."""

    def __init__(self, path: Path, rate: float, encoder: str, options: dict[str, str]) -> None:
        import av

        self._frame_type: Any = av.VideoFrame
        container: Any = av.open(str(path), "w", format="mp4", options=options)
        stream: Any = container.add_stream(encoder, rate=Fraction(rate).limit_denominator(1001))
        self._container, self._stream = container, stream
        self._stream.pix_fmt = "yuv420p"
        self._base = self._stream.codec_context.time_base = Fraction(1, 90_000)
        if encoder == "libx264":
            late = {"bf": "0", "g": "120", "rc-lookahead": "20"} if "frag_duration" in options else {}
            self._stream.options = {"crf": "20", "preset": "veryfast", **late}
        self._step = 90_000 / rate
        self._last = -self._step
        self._size: tuple[int, int] | None = None

    def add(self, picture: NDArray[np.uint8], time: float | None) -> None:
        # Two frames must not share a time, whatever a damaged file says.
        self._last = max(self._last + 1, self._last + self._step if time is None else round(time * 90_000))
        if self._size is None:
            self._size = picture.shape[0], picture.shape[1]
        if picture.shape[:2] != self._size:
            picture = fitted(picture, self._size[1], self._size[0])
        if self._size[0] % 2 or self._size[1] % 2:
            picture = np.pad(picture, ((0, self._size[0] % 2), (0, self._size[1] % 2), (0, 0)), "edge")
        if self._stream.codec_context.is_open is False:
            self._stream.height, self._stream.width = picture.shape[:2]
        frame = self._frame_type.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base = round(self._last), self._base
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds, and the end of the file."""
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self.close()

    def close(self) -> None:
        self._container.close()


def fitted(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A picture as large as it fits into ``width`` x ``height`` pixels, black around it."""
    from posewright.geometry import CropRule
    from posewright.warp import warp

    rule = CropRule((width, height), border=0)
    return warp(picture, rule.letterbox(picture.shape[1], picture.shape[0]), rule)


def _keeps_format(path: Path) -> bool:
    return path.suffix.lower() in (".jpg", ".jpeg", ".png")
