"""Writing 300-W faces: a copy of the picture and one ``.pts`` file for each face; ``pts300w.py`` tells origin and layout."""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePosixPath

import numpy as np

from posewright.annotations.losses import ASPECTS, lost
from posewright.annotations.pictures import split_of
from posewright.annotations.tables import Annotations, Image
from posewright.annotations.tree import check_fresh, fresh_folder
from posewright.annotations.video_frames import refuse_frames
from posewright.errors import PosewrightError
from posewright.skeletons import BUILTIN

DECIMALS = 4
_PHOTO = re.compile(r"(\d{4,})_\d+")


def photo_of(inner: PurePosixPath) -> str | None:
    """The photo that a face was cut from, where its file is named ``<photo>_<number>`` as Helen's and AFW's are."""
    match = _PHOTO.fullmatch(inner.stem)
    return inner.with_name(match.group(1)).as_posix() if match else None


def losses(a: Annotations) -> list[str]:
    """What the format has no place for."""
    lines = ["boxes and sizes"]
    faces = np.flatnonzero(a.labelled.all(1))
    if len(faces) < len(a):
        lines.append(f"{len(a) - len(faces)} objects that lack a keypoint")
    used = set(a.image[faces].tolist())
    part = a.subset(sorted(used))
    if len(used) < len(a.images):
        lines.append(f"{len(a.images) - len(used)} pictures without an object that has all keypoints")
    lines += lost(part, *(aspect for aspect in ASPECTS if aspect not in ("empty", "splits", "groups")))
    if any(im.group and im.group != photo_of(PurePosixPath(im.path)) for im in part.images):
        lines.append("the groups of pictures that are not named <photo>_<number>")
    if a.skeleton != BUILTIN["face-68"]:
        lines.append("what the keypoints are: reading needs --skeleton")
    return lines


def write(annotations: Annotations, target: Path) -> list[Path]:
    """Write ``<picture>.pts`` beside a copy of the picture, below ``trainset/`` or ``testset/`` where it has a split.

    Where a picture shows several faces there is a copy for each, ``<picture>_<number>``, as in Helen and AFW. Objects that
    lack a keypoint are left out: the format cannot say so.

    Args:
        annotations: the labels.
        target: a folder, new or empty.

    Returns:
        The folder, which is written as a whole.

    Raises:
        PosewrightError: where the folder is not new, a picture is missing or a video's frame, no object has all keypoints,
            or a file cannot be written.
    """
    check_fresh(target)
    refuse_frames(annotations, "300-W")
    faces = annotations.objects(np.flatnonzero(annotations.labelled.all(1)))
    if not len(faces):
        what = "has no object with all keypoints, and .pts files know no others"
        raise PosewrightError(what, file=annotations.source or None, fix="Write another format")
    faces = faces.subset(np.unique(faces.image)).require_pictures()
    with fresh_folder(target) as folder:
        for i, place in enumerate(_places(faces)):
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(faces.image_path(int(faces.image[i])), path)
            rows = "".join(f"{x:.{DECIMALS}f} {y:.{DECIMALS}f}\n" for x, y in faces.keypoints[i, :, :2] + 1)
            text = f"version: 1\nn_points: {len(faces.skeleton)}\n{{\n{rows}}}\n"
            path.with_suffix(".pts").write_text(text, encoding="utf-8")
    return [target]


def _places(faces: Annotations) -> list[PurePosixPath]:
    """Where the picture of each object goes; no two of one folder have the same stem."""
    several = np.bincount(faces.image)
    count = np.zeros(len(faces.images), int)
    taken: set[str] = set()
    places = []
    for i in faces.image.tolist():
        count[i] += 1
        place = _folder(faces.images[i])
        if several[i] > 1:
            place = place.with_name(f"{place.stem}_{count[i]}{place.suffix}")
        stem, number = place.stem, 1
        while place.with_suffix("").as_posix().lower() in taken:
            number += 1
            place = place.with_name(f"{stem}-{number}{place.suffix}")
        taken.add(place.with_suffix("").as_posix().lower())
        places.append(place)
    return places


def _folder(im: Image) -> PurePosixPath:
    """The picture's path, in a folder that says its split."""
    path = PurePosixPath(im.path)
    said = {split_of(part) for part in path.parts[:-1]} - {None}
    if said == ({im.split} if im.split else set()):
        return path
    kept = [part for part in path.parts[:-1] if split_of(part) is None]
    return PurePosixPath(*([f"{im.split}set"] if im.split else []), *kept, path.name)
