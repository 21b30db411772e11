"""Frames of videos, and pictures inside the shards of a packed set, written as files of their own: for label formats and tools
that know nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from posewright.annotations.pictures import join_roots
from posewright.annotations.tables import Annotations, Image
from posewright.errors import PosewrightError


def is_file(im: Image) -> bool:
    """Whether a picture is a file of its own, and neither a frame of a video nor inside a shard."""
    return im.frame is None and im.part is None


def all_files(annotations: Annotations) -> bool:
    """Whether all pictures of the set are files of their own."""
    return all(map(is_file, annotations.images))


def frames_as_pictures(
    annotations: Annotations, folder: Path, progress: Callable[[int], None] | None = None
) -> Annotations:
    """The set with every frame of a video as a picture of its own, ``<video>/<number>.png`` in ``folder``, and every picture of
    a shard under its own name there.

    PNG keeps what the video's decoder gives exactly; what lies in a shard is copied byte for byte. Frames of one video stay one
    group, and so do parts of one picture. That a packed picture was part of a larger one is forgotten.

    Args:
        annotations: the set; its other pictures stay where they are.
        folder: new or empty; written as a whole.
        progress: called with 1 for each picture written.

    Raises:
        PosewrightError: where ``folder`` is not new, a video cannot be read or has not as many frames, or a shard is damaged.
    """
    from posewright.annotations.tree import fresh_folder
    from posewright.media.pictures import picture_bytes, write_picture
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
        for im in annotations.images:
            if im.part is not None:
                (made / names[im.path, None]).write_bytes(picture_bytes(annotations.root / im.path))
                if progress is not None:
                    progress(1)
    written = [not is_file(im) for im in annotations.images]
    mine = [names[im.path, im.frame] for im in annotations.images if not is_file(im)]
    others = [im.path for im in annotations.images if is_file(im)]
    parts = [(folder, mine)] + ([(annotations.root, others)] if others else [])
    root, joined = join_roots(parts)
    new, old = iter(joined[0]), iter(joined[1] if others else ())
    images = [
        replace(im, path=next(new), frame=None, part=None, group=im.group or im.path)
        if inside
        else replace(im, path=next(old))
        for im, inside in zip(annotations.images, written)
    ]
    return replace(annotations, images=images, root=root)


def refuse_frames(annotations: Annotations, what: str) -> None:
    """Raise where a picture is a frame of a video or inside a shard; ``what`` is the format that knows picture files only."""
    inside = next((im for im in annotations.images if not is_file(im)), None)
    if inside is not None:
        record = f"'{inside.path}'" if inside.frame is None else f"frame {inside.frame} of '{inside.path}'"
        fix = "posewright convert writes them as pictures first; in Python, frames_as_pictures does"
        raise PosewrightError(f"{what} knows pictures only", record=record, fix=fix)


def _names(annotations: Annotations) -> dict[tuple[str, int | None], str]:
    """Where each frame, and each picture of a shard, goes in the folder; videos of the same name get folders of their own."""
    taken: dict[str, str] = {}
    stems: dict[str, str] = {}
    for video in annotations.frames_of_videos:
        stem = PurePosixPath(video).stem.strip(".") or "video"
        name, count = stem, 1
        while name.lower() in taken:
            count += 1
            name = f"{stem}-{count}"
        taken[name.lower()] = stems[video] = name
    frames: dict[tuple[str, int | None], str] = {
        (im.path, im.frame): f"{stems[im.path]}/{im.frame:06d}.png" for im in annotations.images if im.frame is not None
    }
    members: dict[tuple[str, int | None], str] = {
        (im.path, None): PurePosixPath(im.path).name for im in annotations.images if im.part is not None
    }
    return {**frames, **members}
