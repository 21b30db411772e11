"""MPII Human Pose as published: ``mpii_human_pose_v1_u12_1.mat`` beside ``images/``; read only.

Origin: 1-based, as everything in MATLAB; 1 is taken off.

Visibility: ``is_visible`` 1 is visible, 0 hidden. Head top and upper neck come from the head's rectangle and have an
empty ``is_visible``: they are labelled, and count as visible. A joint that is not listed is not labelled.

Box: the square of 200 x ``scale`` pixels about ``objpos`` moved down by 15 x ``scale``, as for the hourglass system's
file (``hourglass_json.py``); from the joints where a person has neither. Head size: 0.6 of the diagonal of x1, y1, x2,
y2, as PCKh has it.

Split: by picture, from ``img_train``: "train", or "test", whose joints are withheld, so that its people have boxes only.
Frames of one video are one group. A picture without ``annorect`` was not labelled, which does not mean that it shows
nobody: it is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.hourglass_write import HEAD, scaled_boxes
from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.annotations.mat_file import load_mat, mat_variables, number, scalar, struct_field, struct_list
from posewright.annotations.pictures import (
    USUAL_FOLDERS,
    choose_root,
    emptied_images,
    fill_sizes,
    relative_path,
    without_images,
)
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

Array = NDArray[np.float64]

JOINTS = 16
VARIABLE = "RELEASE"


def _mat_file(source: Path) -> Path | None:
    if source.is_file():
        return source if source.suffix.lower() == ".mat" and VARIABLE in mat_variables(source) else None
    found = [path for path in sorted(source.glob("mpii*.mat")) if VARIABLE in mat_variables(path)]
    return found[0] if len(found) == 1 else None


def detect(source: Path) -> bool:
    """Whether ``source`` is a ``.mat`` file with the struct RELEASE, or a folder with one named ``mpii*.mat``."""
    return _mat_file(source) is not None


@dataclass
class _People:
    """The table of objects as it grows."""

    image: list[int] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    keypoints: list[Array] = field(default_factory=list)
    place: list[tuple[float, ...]] = field(default_factory=list)
    """objpos and scale, NaN where unknown."""
    head: list[float] = field(default_factory=list)


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read the file; a picture may have several people.

    Raises:
        PosewrightError: naming the picture (counted from 1, as in MATLAB) and the person that cannot be used.
    """
    path = _mat_file(source) or source
    skeleton = mpii_skeleton(options.skeleton, path)
    release = load_mat(path, VARIABLE)
    entries = struct_list(struct_field(release, "annolist"))
    if not entries:
        raise PosewrightError(f"holds no list '{VARIABLE}.annolist'", file=path, fix="MPII's file has one")
    splits = _splits(release, len(entries), path)
    videos = struct_field(release, "video_list")
    images: list[Image] = []
    people, seen, unlabelled = _People(), set(), 0
    for i, entry in enumerate(entries):
        rects = struct_list(struct_field(entry, "annorect"))
        if not rects:
            unlabelled += 1
            continue
        try:
            name = _picture(entry, i, path)
            if name in seen:
                raise PosewrightError("is listed twice", file=path, record=f"picture {i + 1} ('{name}')")
        except PosewrightError as error:
            options.bad(error)
            continue
        seen.add(name)
        for p, rect in enumerate(rects):
            _add_person(people, rect, len(images), f"picture {i + 1} ('{name}'), person {p + 1}", path, options)
        images.append(Image(name, split=splits[i], group=_video(entry, videos), id=i + 1))
    if unlabelled:
        options.skipped.append(f"{path}: {unlabelled} pictures have no annorect: nobody labelled them")
    keypoints = np.array(people.keypoints).reshape(-1, JOINTS, 3)
    boxes = person_boxes(np.array(people.place).reshape(-1, 3), keypoints)
    folders = [path.parent / "images", *(path.parent / name for name in USUAL_FOLDERS), path.parent.parent / "images"]
    root, found = choose_root([im.path for im in images], options.images, folders, path)
    images, unreadable = fill_sizes(images, root, options.bad) if found else (images, [])

    def report(i: int, problem: str) -> None:
        options.bad(PosewrightError(problem, file=path, record=people.name[i]))

    image, head = np.array(people.image, np.int64), np.array(people.head, float)
    result = Annotations(
        skeleton, images, image, keypoints, boxes, root, head_size=head, source=str(path), report=report
    )
    return without_images(result, unreadable + emptied_images(result, range(len(images))))


def mpii_skeleton(wanted: Skeleton | None, path: Path, count: int = JOINTS) -> Skeleton:
    """MPII's sixteen joints, or the skeleton given where it has as many as the file.

    Raises:
        PosewrightError: where the number of joints differs.
    """
    chosen = wanted or BUILTIN["mpii-16"]
    if len(chosen) != count:
        fix = None if wanted else "Give --skeleton for another set of joints"
        raise PosewrightError(
            f"has {count} joints a person, but skeleton '{chosen.name}' has {len(chosen)}", file=path, fix=fix
        )
    return chosen


def person_boxes(place: Array, keypoints: Array) -> Array:
    """Boxes ``[N, 4]`` of ``place`` ``[N, 3]`` (objpos x, y, 1-based; scale), around the keypoints where those are NaN."""
    known = np.isfinite(place).all(1, keepdims=True)
    return np.where(known, scaled_boxes(place[:, :2] - 1, place[:, 2]), boxes_from_keypoints(keypoints))


def _splits(release: Any, count: int, path: Path) -> list[str | None]:
    flags = struct_field(release, "img_train")
    if flags is None:
        return [None] * count
    if flags.size != count or flags.dtype.kind not in "biuf":
        raise PosewrightError(
            f"'{VARIABLE}.img_train' does not have one number for each of {count} pictures", file=path
        )
    return ["train" if flag else "test" for flag in flags.ravel()]


def _picture(entry: Any, i: int, path: Path) -> str:
    name = scalar(struct_field(struct_field(entry, "image"), "name"))
    if not isinstance(name, str) or not name:
        raise PosewrightError("has no image name", file=path, record=f"picture {i + 1}")
    return relative_path(name, file=path, record=f"picture {i + 1}")


def _video(entry: Any, videos: Any) -> str | None:
    """The name, or else the number, of the video that a picture was taken from."""
    try:
        index = number(entry, "vididx")
    except PosewrightError:
        return None
    if index is None or not np.isfinite(index):
        return None
    name = scalar(videos.flat[int(index) - 1]) if videos is not None and 1 <= index <= videos.size else None
    return name if isinstance(name, str) and name else f"video {int(index)}"


def _add_person(people: _People, rect: Any, image: int, name: str, path: Path, options: ReadOptions) -> None:
    try:
        keypoints = _joints(rect)
        objpos = struct_field(rect, "objpos")
        place = tuple(
            np.nan if v is None else v for v in (number(objpos, "x"), number(objpos, "y"), number(rect, "scale"))
        )
        corners = [number(rect, side) for side in ("x1", "y1", "x2", "y2")]
        if place[2] <= 0:
            raise PosewrightError(f"scale is {place[2]:g}: a box of no area")
    except PosewrightError as error:
        options.bad(PosewrightError(error.what, file=path, record=name))
        return
    if not (keypoints[:, 2] > 0).any() and np.isnan(place).any():
        options.skipped.append(f"{path}: {name}: has neither a joint nor objpos with scale")
        return
    head = np.nan
    if None not in corners:
        x1, y1, x2, y2 = np.array(corners, float)
        head = HEAD * np.hypot(x2 - x1, y2 - y1)
    people.image.append(image)
    people.name.append(name)
    people.keypoints.append(keypoints)
    people.place.append(place)
    people.head.append(head if head > 0 else np.nan)


def _joints(rect: Any) -> Array:
    """``[16, 3]`` with COCO's visibility, 0-based; all zero for a person without ``annopoints``."""
    keypoints = np.zeros((JOINTS, 3))
    for point in struct_list(struct_field(struct_field(rect, "annopoints"), "point")):
        joint, x, y, visible = (number(point, name) for name in ("id", "x", "y", "is_visible"))
        if joint is None or joint not in range(JOINTS):
            raise PosewrightError(f"a joint's id is {joint}, not 0 to {JOINTS - 1}")
        if x is None or y is None:
            raise PosewrightError(f"joint {joint:.0f} has no place")
        if visible not in (None, 0, 1):
            raise PosewrightError(f"joint {joint:.0f} has is_visible {visible:g}, neither 0 nor 1")
        if keypoints[int(joint), 2]:
            raise PosewrightError(f"joint {joint:.0f} is listed twice")
        keypoints[int(joint)] = x - 1, y - 1, 1 if visible == 0 else 2
    return keypoints


register(Format("mpii", "MPII Human Pose: the .mat file with the struct RELEASE, beside images/", detect, read))
