"""Animal-Pose as published in one file, ``keypoints.json`` beside ``images/``; read only. (``animal_pose_xml.py`` reads
its older XML files.)

COCO in outline, with differences: ``images`` maps an id to a file name, ``keypoints`` is [[x, y, v], ...], ``bbox`` is
[xmin, ymin, xmax, ymax], and links count from 0.

Origin: not stated anywhere; taken as it stands, as pixel indices from 0, which is what the published converters do.

Visibility: 1 is visible and 0 not labelled; a 2 anywhere in the file means COCO's three values.

A picture that no annotation refers to is left out: pictures of this set show animals, labelled or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from posewright.annotations.json_file import Misfits, load_json, maps_ids_to_pictures
from posewright.annotations.keypoints import boxes_from_keypoints
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
from posewright.sides import swaps_from_names
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN


def _label_file(source: Path) -> Path | None:
    if source.is_file():
        return source if source.suffix.lower() == ".json" and maps_ids_to_pictures(source) else None
    found = [path for path in sorted(source.glob("*.json")) if maps_ids_to_pictures(path)]
    return found[0] if len(found) == 1 else None


def detect(source: Path) -> bool:
    """Whether ``source`` is such a file, or a folder with one."""
    return _label_file(source) is not None


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read the file; animals of all categories are objects of one skeleton.

    Raises:
        PosewrightError: naming the file and the annotation that cannot be used.
    """
    path = _label_file(source) or source
    content = load_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("images"), dict):
        raise PosewrightError("is JSON, but does not map ids to pictures in 'images'", file=path)
    listed = content.get("annotations")
    if not isinstance(listed, list):
        raise PosewrightError("has no list 'annotations'", file=path)
    skeleton = _skeleton(content.get("categories"), options.skeleton, path)
    rows: list[dict[str, Any]] = []
    names: list[str] = []
    image: list[int] = []
    place: dict[str, int] = {}
    images: list[Image] = []
    for number, entry in enumerate(listed):
        record = f"annotation {number}"
        try:
            if not isinstance(entry, dict):
                raise PosewrightError("is no object", file=path, record=record)
            key = str(entry.get("image_id"))
            name = content["images"].get(key)
            if not isinstance(name, str):
                raise PosewrightError(f"refers to image {key}, which the file does not list", file=path, record=record)
            picture = relative_path(name, file=path, record=record)
        except PosewrightError as error:
            options.bad(error)
            continue
        if place.setdefault(picture, len(images)) == len(images):
            images.append(Image(picture, id=int(key) if key.isdecimal() and len(key) < 16 else key))
        rows.append(entry)
        names.append(f"{record} on image '{picture}'")
        image.append(place[picture])
    unused = len(content["images"]) - len({str(row["image_id"]) for row in rows})
    if unused:
        options.skipped.append(f"{path}: {unused} pictures have no annotation: nobody labelled them")
    columns, problems = _columns(rows, len(skeleton))
    columns |= {"image": np.array(image, np.int64), "name": names}

    def report(i: int, problem: str) -> None:
        options.bad(PosewrightError(problem, file=path, record=columns["name"][i]))

    problems.leave_out(report, columns)
    folders = [path.parent / "images", *(path.parent / name for name in USUAL_FOLDERS), path.parent.parent / "images"]
    root, found = choose_root([im.path for im in images], options.images, folders, path)
    images, unreadable = fill_sizes(images, root, options.bad) if found else (images, [])
    own = {name: column for name, column in columns.items() if name != "name"}
    result = Annotations(skeleton, images, root=root, source=str(path), report=report, **own)
    return without_images(result, unreadable + emptied_images(result, range(len(images))))


def _skeleton(categories: Any, wanted: Skeleton | None, path: Path) -> Skeleton:
    """The skeleton given, or that of the categories, which all have to name the same keypoints."""
    if wanted is not None:
        return wanted
    found = [c for c in categories if isinstance(c, dict)] if isinstance(categories, list) else []
    lists = [c["keypoints"] for c in found if "keypoints" in c]
    if not lists:
        raise PosewrightError("has no category with keypoints", file=path, fix="Give --skeleton animal-20")
    if any(names != lists[0] for names in lists):
        raise PosewrightError("its categories name different keypoints", file=path, fix="Give --skeleton NAME or FILES")
    names = lists[0]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise PosewrightError("its categories have no list of keypoint names", file=path)
    shipped = BUILTIN["animal-20"]
    if tuple(names) == shipped.keypoints:
        return shipped
    links: list[Any] = next((c["skeleton"] for c in found if isinstance(c.get("skeleton"), list)), [])
    try:
        pairs = tuple((int(a), int(b)) for a, b in links)
        return Skeleton("animal", tuple(names), swaps_from_names(names), (), pairs)
    except PosewrightError as error:
        raise PosewrightError(error.what, file=path) from None
    except (TypeError, ValueError, OverflowError):
        raise PosewrightError("its categories have links that are no pairs of numbers", file=path) from None


def _columns(rows: list[dict[str, Any]], count: int) -> tuple[dict[str, Any], Misfits]:
    """Keypoints and boxes, and what is wrong with annotations that do not fit."""
    problems = Misfits()
    keypoints = problems.numbers("keypoints", [row.get("keypoints") for row in rows], (count, 3))
    boxless = np.array([row.get("bbox") is None for row in rows], bool)
    boxes = problems.numbers("bbox", [row.get("bbox") or [np.nan] * 4 for row in rows], (4,))
    if not (keypoints[..., 2] == 2).any():
        keypoints[..., 2] = np.where(keypoints[..., 2] == 1, 2, keypoints[..., 2])
    boxes[boxless] = boxes_from_keypoints(keypoints)[boxless]
    problems.mark(boxless & ~(keypoints[..., 2] > 0).any(1), "has neither a box nor a labelled keypoint")
    return {"keypoints": keypoints, "boxes": boxes}, problems


register(Format("animal-pose", "Animal-Pose's keypoints.json beside images/: COCO in outline", detect, read))
