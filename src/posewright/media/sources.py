"""What a command takes for pictures: files, folders, patterns, videos, cameras, streams; read one frame at a time."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.media.decoding import decoded, frame_picture
from posewright.media.intake import ADDRESS, PIPED_RATE, Capture, Intake
from posewright.media.pictures import ENDINGS, read_picture

VIDEO_ENDINGS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts")
"""What a video file's name ends with, in lower case."""
_LATE = 0.25
"""Seconds behind its time from which a paced source goes on from now."""


@dataclass(frozen=True)
class Frame:
    """One picture to work on.

    Attributes:
        image: ``uint8 [H, W, 3]`` RGB, the right way up.
        path: the picture's or the video's file; the name of what is no file.
        frame: number of the frame in a video, counted from 0; None for a picture. Frames that come too late from a live
            source are counted, too.
        time: seconds from the video's first frame; None for a picture.
    """

    image: NDArray[np.uint8]
    path: Path
    frame: int | None = None
    time: float | None = None


_USUAL = Capture()


@dataclass(frozen=True)
class Source:
    """One thing a person named: a picture, a folder of pictures, a video, or something that is no file.

    Attributes:
        name: for the files made from it; no two sources of one call share it.
        kind: "picture", "folder", "video", "camera", "stream" or "pipe".
        path: the file or folder; of the others the name.
        pictures: the picture files, in order; empty for anything else.
        address: of a stream; the number of a camera.
        capture: what is asked of what is no file.
        paced: give the frames of a video file, or of a pipe, no faster than their times say.
        drops: do not wait for whoever takes them, as a camera does not.
    """

    name: str
    kind: str
    path: Path
    pictures: tuple[Path, ...] = ()
    address: str = ""
    capture: Capture = _USUAL
    paced: bool = False
    drops: bool = False

    @property
    def count(self) -> int:
        """How many frames it has; for a video as many as its header says, 0 where nobody says."""
        return video_info(self.path).frames if self.kind == "video" else len(self.pictures)

    @property
    def moving(self) -> bool:
        """Whether its frames follow each other in time."""
        return self.kind not in ("picture", "folder")

    @property
    def endless(self) -> bool:
        """Whether it goes on until somebody ends it."""
        return self.kind == "camera" or (self.kind == "stream" and not _is_video(urlsplit(self.address).path))

    @property
    def open_ended(self) -> bool:
        """Whether its end is wherever reading it ends: what was read until then is all there is."""
        return self.endless or self.kind == "pipe"

    @property
    def live(self) -> bool:
        """Whether it does not wait: what is not taken in time is gone."""
        return self.endless or self.drops

    @property
    def rate(self) -> float:
        """Frames a second on average, as far as that is known beforehand."""
        return video_info(self.path).rate if self.kind == "video" else self.capture.rate or PIPED_RATE

    def frames(
        self, bad: Callable[[PosewrightError], None] | None = None, intake: Intake | None = None
    ) -> Iterator[Frame]:
        """Read it, one frame at a time.

        Args:
            bad: is handed the error of each file that cannot be read, which is then left out; raised where None.
            intake: counts damaged frames of a video, which are then left out; they are an error where None.
        """
        intake = intake or (Intake() if self.kind != "video" else None)
        if self.moving:
            frames = _skipping(self._moving_frames(intake), bad)
            yield from _paced(frames, intake or Intake(), self.drops) if self.paced else frames
        for path in self.pictures:
            try:
                image = read_picture(path)
            except PosewrightError as error:
                if bad is None:
                    raise
                bad(error)
                continue
            yield Frame(image, path)

    def _moving_frames(self, intake: Intake | None) -> Iterator[Frame]:
        if self.kind == "video" or intake is None:
            yield from video_frames(self.path, intake)
        elif self.kind == "camera":
            from posewright.media.camera import camera_frames

            yield from camera_frames(int(self.address), self.path, self.capture, intake)
        elif self.kind == "stream":
            from posewright.media.stream import stream_frames

            yield from stream_frames(self.address, self.path, self.capture, intake, self.endless)
        else:
            from posewright.media.piped import piped_frames

            yield from piped_frames(self.path, self.capture, intake)


def folder_pictures(folder: str | Path, option: str) -> list[Path]:
    """The pictures of a folder and its subfolders, in the order of their paths.

    Args:
        option: what a person gave the folder by, for the message.

    Raises:
        PosewrightError: where there is no such folder or no picture in it.
    """
    if not Path(folder).is_dir():
        what = "is no folder" if Path(folder).exists() else "does not exist"
        raise PosewrightError(what, file=folder, fix=f"Give {option} a folder of pictures")
    return list(find_sources([folder])[0].pictures)


def find_sources(
    specs: Sequence[str | Path], exclude: Path | None = None, capture: Capture | None = None
) -> list[Source]:
    """What the arguments of a command stand for.

    Args:
        specs: picture and video files, folders (with their subfolders, sorted by path), and patterns such as
            ``"shots/*.png"``, of which each match counts as if it had been named.
        exclude: a folder whose pictures are left out: where results are written to.
        capture: take a number for a camera, an address for a stream and ``-`` for what is piped in, and ask this of
            them; they count as names of files where None. A file or folder of that name comes first.

    Raises:
        PosewrightError: where something does not exist, a pattern matches nothing, or a folder holds no picture.
    """
    if capture is not None and list(specs).count("-") > 1:
        raise PosewrightError("what is piped in can be read once", fix="Name - once")
    taken: set[str] = set()
    sources = []
    for path in (path for spec in specs for path in ([spec] if _no_file(spec, capture) else _expanded(spec))):
        if isinstance(path, str):
            assert capture is not None
            sources.append(_live_source(path, capture, taken))
            continue
        name = _free_name(path.resolve().stem if path.is_file() else path.resolve().name, taken)
        if path.is_dir():
            sources.append(Source(name, "folder", path, tuple(_pictures_in(path, exclude))))
        elif _is_video(path.name):
            sources.append(Source(name, "video", path))
        else:
            sources.append(Source(name, "picture", path, (path,)))
    return sources


def _no_file(spec: str | Path, capture: Capture | None) -> bool:
    if capture is None or not isinstance(spec, str):
        return False
    number = re.fullmatch(r"[0-9]{1,4}", spec) is not None and not Path(spec).exists()
    if re.match(r"\w+://", spec) and not ADDRESS.fullmatch(spec):
        raise PosewrightError(f"'{spec}' is no address of a stream", fix="They begin with rtsp://, http:// or the like")
    return spec == "-" or number or ADDRESS.fullmatch(spec) is not None


def _live_source(spec: str, capture: Capture, taken: set[str]) -> Source:
    if spec == "-":
        name = _free_name("stdin", taken)
        return Source(name, "pipe", Path(name), capture=capture)
    if spec.isdigit():
        name = _free_name(f"camera{int(spec)}", taken)
        return Source(name, "camera", Path(name), address=spec, capture=capture)
    parts = urlsplit(spec)
    # Of the address only what holds no password and is fit to be a file's name.
    words = f"{parts.hostname or ''} {PurePosixPath(parts.path).stem}"
    plain = "-".join("".join(c if c.isalnum() or c in "._" else " " for c in words).split()).strip(".")
    name = _free_name(plain[:80] or "stream", taken)
    return Source(name, "stream", Path(name), address=spec, capture=capture)


def _is_video(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in VIDEO_ENDINGS


def _expanded(spec: str | Path) -> list[Path]:
    path, text = Path(spec), str(spec)
    if path.exists():
        return [path]
    if glob.has_magic(text):
        found = [Path(p) for p in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207  takes absolute patterns
        files = [p for p in found if p.is_file()] or found
        if not files:
            raise PosewrightError(f"no file matches '{text}'")
        return files
    raise PosewrightError("does not exist", file=path)


def _free_name(wanted: str, taken: set[str]) -> str:
    """A name no other source has: a, a-2, a-3. Compared without case, as some file systems do."""
    wanted = wanted or "pictures"
    name, count = wanted, 1
    while name.lower() in taken:
        count += 1
        name = f"{wanted}-{count}"
    taken.add(name.lower())
    return name


def _pictures_in(folder: Path, exclude: Path | None) -> list[Path]:
    """The picture files of a folder and its subfolders, without hidden ones."""
    banned = exclude.resolve() if exclude is not None else None
    pictures, videos = [], 0
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or not path.is_file():
            continue
        if banned is not None and banned != folder.resolve() and banned in path.resolve().parents:
            continue
        if path.suffix.lower() in ENDINGS:
            pictures.append(path)
        videos += _is_video(path.name)
    if not pictures:
        what = f"holds no pictures, but {videos} videos" if videos else "holds no pictures"
        raise PosewrightError(what, file=folder, fix="Name the videos themselves" if videos else None)
    return pictures


# -- videos ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header says.

    Attributes:
        frames: number of frames; 0 where it does not say.
        rate: frames a second on average.
    """

    frames: int
    rate: float


def video_info(path: str | Path) -> VideoInfo:
    """Read a video's header.

    Raises:
        PosewrightError: where it is missing or no video.
    """
    with open_video(path) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        return VideoInfo(int(stream.frames or 0), rate)


def video_frames(path: str | Path, intake: Intake | None = None) -> Iterator[Frame]:
    """Decode a video, one frame at a time, turned as its file says, with each frame's own time.

    Args:
        intake: counts damaged frames, which are then left out; the first one is an error where None.

    Raises:
        PosewrightError: where it is missing, no video, damaged, or ends before its header says it does.
    """
    import av

    path = Path(path)
    count, start = 0, None
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            for frame in decoded(container, stream, intake):
                seconds = frame.time if frame.time is not None else count / float(stream.average_rate or 25)
                start = seconds if start is None else start
                yield Frame(frame_picture(frame), path, count, max(0.0, seconds - start))
                count += 1
        except av.error.FFmpegError as error:
            raise PosewrightError(f"is damaged at frame {count}: {error.strerror}", file=path) from None
        # Some frames at either end may lie outside the edit list and are rightly left out.
        missing = stream.frames - count - (intake.damaged if intake else 0)
        if missing > max(5, stream.frames // 50):
            raise PosewrightError(f"is cut short: it ends after {count} of {stream.frames} frames", file=path)
        if count == 0:
            raise PosewrightError("holds no frame", file=path)


def open_video(path: str | Path) -> Any:
    """The open ``av`` container of a file with a video stream, to be closed by the caller.

    Raises:
        PosewrightError: where it is missing or no video.
    """
    import av

    path = Path(path)
    if not path.is_file():
        raise PosewrightError("is no file" if path.exists() else "does not exist", file=path)
    if path.stat().st_size == 0:
        raise PosewrightError("is empty", file=path)
    try:
        container = av.open(str(path))
    except av.error.FFmpegError as error:
        what = f"is not a video that can be read, or was cut short ({error.strerror})"
        raise PosewrightError(what, file=path) from None
    if not container.streams.video:
        container.close()
        raise PosewrightError("holds no video stream", file=path)
    return container


def _paced(frames: Iterator[Frame], intake: Intake, drops: bool) -> Iterator[Frame]:
    """Each frame not before its time has come; where none is to be dropped, who was kept waiting need not catch up."""
    begin = None
    for frame in frames:
        now, time = monotonic(), frame.time or 0.0
        if begin is None or (not drops and now - begin - time > _LATE):
            begin = now - time
        if intake.stopped.wait(max(0.0, begin + time - now)):
            return
        yield frame


def _skipping(frames: Iterator[Frame], bad: Callable[[PosewrightError], None] | None) -> Iterator[Frame]:
    """The frames up to the first error, which goes to ``bad``."""
    try:
        yield from frames
    except PosewrightError as error:
        if bad is None:
            raise
        bad(error)
