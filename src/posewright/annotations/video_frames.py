"""Frames of videos written as pictures, for label formats and tools that know pictures only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from posewright.annotations.pictures import join_roots
from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError


def has_frames(annotations: Annotations) -> bool:
    """Whether any picture of the set is a frame of a video."""
    return any(im.frame is not None for im in annotations.images)


def frames_as_pictures(
    annotations: Annotations, folder: Path, progress: Callable[[int], None] | None = None
) -> Annotations:
    """The set with every frame of a video as a picture of its own, ``<video>/<number>.png`` in ``folder``.

    PNG keeps what the video's decoder gives exactly. Frames of one video stay one group.

    Args:
        annotations: the set; its other pictures stay where they are.
        folder: new or empty; written as a whole.
        progress: called with 1 for each frame written.

    Raises:
        PosewrightError: where ``folder`` is not new, or a video cannot be read or has not as many frames.
    """
    from posewright.annotations.tree import fresh_folder
    from posewright.media.pictures import write_picture
    from posewright.media.seeking import VideoReader

    names = _names(annotations)
    with fresh_folder(folder) as made:
        for video, numbers in annotations.frames_of_videos.items():
            reader, left = VideoReader(annotations.root / video), set(numbers)

            def keep(number: int, picture: Any, video: str = video, left: set[int] = left) -> bool:
                path = made / names[video, number]
                path.parent.mkdir(parents=True, exist_ok=True)
                write_picture(path, picture)
                left.discard(number)
                if progress is not None:
                    progress(1)
                return True

            for number in numbers:
                if number in left:
                    reader.read(number, numbers, keep)
    framed = [im.frame is not None for im in annotations.images]
    mine = [names[im.path, im.frame] for im in annotations.images if im.frame is not None]
    others = [im.path for im in annotations.images if im.frame is None]
    parts = [(folder, mine)] + ([(annotations.root, others)] if others else [])
    root, joined = join_roots(parts)
    new, old = iter(joined[0]), iter(joined[1] if others else ())
    images = [
        replace(im, path=next(new), frame=None, group=im.group or im.path) if film else replace(im, path=next(old))
        for im, film in zip(annotations.images, framed)
    ]
    return replace(annotations, images=images, root=root)


def refuse_frames(annotations: Annotations, what: str) -> None:
    """Raise where a picture is a frame of a video; ``what`` is the format that knows pictures only."""
    video = next((im for im in annotations.images if im.frame is not None), None)
    if video is not None:
        fix = "posewright convert writes the frames as pictures first; in Python, frames_as_pictures does"
        raise PosewrightError(f"{what} knows pictures only", record=f"frame {video.frame} of '{video.path}'", fix=fix)


def _names(annotations: Annotations) -> dict[tuple[str, int | None], str]:
    """Where each frame goes in the folder; videos of the same name get folders of their own."""
    taken: dict[str, str] = {}
    stems: dict[str, str] = {}
    for video in annotations.frames_of_videos:
        stem = PurePosixPath(video).stem.strip(".") or "video"
        name, count = stem, 1
        while name.lower() in taken:
            count += 1
            name = f"{stem}-{count}"
        taken[name.lower()] = stems[video] = name
    return {
        (im.path, im.frame): f"{stems[im.path]}/{im.frame:06d}.png" for im in annotations.images if im.frame is not None
    }
