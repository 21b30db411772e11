"""The picture that labels are about, whether it is a file of its own or a frame of a video.

Everything that needs the pixels of ``Annotations.images[i]`` asks :func:`picture_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations
from posewright.media.header import picture_size


@dataclass(frozen=True)
class VideoFrame:
    """One frame of a video, not yet decoded.

    Attributes:
        path: the video.
        frame: number from 0, as :func:`posewright.media.sources.video_frames` counts.
        among: ascending numbers of the frames of this video that will be asked for; those that have to be decoded on the
            way to this one are then kept (:mod:`posewright.media.frame_cache`).
    """

    path: Path
    frame: int
    among: Sequence[int] = field(default=(), repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.path}, frame {self.frame}"

    def read(self) -> NDArray[np.uint8]:
        """Its pixels, ``uint8 [H, W, 3]`` RGB, the right way up.

        Raises:
            PosewrightError: where the video cannot be read or has no such frame.
        """
        from posewright.media.frame_cache import frame_cache, video_key
        from posewright.media.seeking import video_reader

        if not self.path.is_file():
            return video_reader(self.path).read(self.frame)  # which says what is wrong
        cache, video = frame_cache(), video_key(self.path)
        kept = cache.get(video, self.frame)
        if kept is not None:
            return kept
        reader = video_reader(self.path)
        if cache.closed or not self.among:
            return reader.read(self.frame)

        def keep(number: int, picture: NDArray[np.uint8]) -> bool:
            return cache.put(video, number, picture)

        return reader.read(self.frame, self.among, keep, lambda number: cache.get(video, number))


def picture_source(annotations: Annotations, i: int) -> Path | VideoFrame:
    """Where the pixels of picture ``i`` are; a model takes it as it is."""
    im, path = annotations.images[i], annotations.image_path(i)
    return path if im.frame is None else VideoFrame(path, im.frame, annotations.frames_of_videos[im.path])


def picture_of(annotations: Annotations, i: int) -> NDArray[np.uint8]:
    """The pixels of picture ``i``, ``uint8 [H, W, 3]`` RGB.

    Frames of a video that lie between the same two key frames are decoded together when the first of them is asked for,
    and kept in a folder (:mod:`posewright.media.frame_cache`) for the next time, other threads and other processes.

    Raises:
        PosewrightError: where the file is missing or broken, or the video has no such frame.
    """
    from posewright.media.pictures import read_picture

    source = picture_source(annotations, i)
    return read_picture(source) if isinstance(source, Path) else source.read()


def labelled_size(annotations: Annotations, i: int) -> tuple[int, int]:
    """The (width, height) of picture ``i`` as it is shown: what the labels say, else what its file says.

    Raises:
        PosewrightError: where the labels do not say and the file cannot be read.
    """
    im = annotations.images[i]
    if im.width and im.height:
        return im.width, im.height
    if im.frame is None:
        return picture_size(annotations.image_path(i))
    return video_size(annotations.image_path(i))


def video_size(path: str | Path) -> tuple[int, int]:
    """The (width, height) of a video's first frame as it is shown.

    Raises:
        PosewrightError: where it is missing, no video or damaged.
    """
    from posewright.media.sources import video_frames

    frames = video_frames(path)
    try:
        height, width = next(frames).image.shape[:2]
    finally:
        frames.close()  # type: ignore[attr-defined]
    return width, height
