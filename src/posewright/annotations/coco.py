"""COCO keypoints JSON, read and written.

Origin: a COCO keypoint is a pixel index, 0 at the centre of the first pixel, which is posewright's own frame; COCO's
boxes and polygons are measured from that pixel's corner, and half a pixel is taken off them. Visibility is COCO's own.

Beyond the official fields the writer adds, and the reader takes: for an image ``split``, ``group`` and ``frame``; for
an annotation ``track_id``, ``head_size`` and ``weight``; for the file ``info.posewright.images``, the pictures' folder
relative to the file; for a category ``posewright``, what COCO has no field for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from posewright.annotations.coco_objects import object_columns
from posewright.annotations.coco_write import write
from posewright.annotations.json_file import head, is_number, load_json, maps_ids_to_pictures
from posewright.annotations.pictures import (
    USUAL_FOLDERS,
    choose_root,
    emptied_images,
    fill_sizes,
    from_hint,
    relative_path,
    split_of,
    without_images,
)
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton

# -- which files ------------------------------------------------------------------------------------------------------

_KEYS = re.compile(rb'"(images|annotations|categories|licenses|info)"\s*:')


def _is_coco(path: Path) -> bool:
    start = head(path)
    # Animal-Pose's file has COCO's keys, but maps ids to pictures.
    return start.startswith(b"{") and _KEYS.search(start) is not None and not maps_ids_to_pictures(path)


def _label_files(folder: Path) -> list[Path]:
    """The COCO files of a folder: in it, in ``annotations/``, or as ``<split>/_annotations.coco.json``.

    Where some are named after keypoints, as in the official archive, the others (captions, instances) are left aside.
    """
    listed = [*folder.glob("*.json"), *folder.glob("annotations/*.json"), *folder.glob("*/_annotations.coco.json")]
    found = sorted(path for path in listed if path.is_file() and _is_coco(path))
    return [path for path in found if "keypoints" in path.name] or found


def detect(source: Path) -> bool:
    """Whether ``source`` is a COCO file or a folder that holds some."""
    return bool(_label_files(source)) if source.is_dir() else source.suffix.lower() == ".json" and _is_coco(source)


# -- reading ----------------------------------------------------------------------------------------------------------


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read a COCO file, or all of a folder's as one set.

    A category with keypoints is taken; several only where they agree about the keypoints. Annotations of other
    categories are no records of this set. An annotation without keypoints but with a box stays, as an object whose
    keypoints nobody labelled.

    Raises:
        PosewrightError: naming the file and the record that cannot be used.
    """
    if source.is_file():
        return _read_file(source, options)
    files = _label_files(source)
    if not files:
        raise PosewrightError("holds no COCO JSON, neither in itself nor in annotations/", file=source)
    parts = [_read_file(path, options) for path in files]
    return parts[0] if len(parts) == 1 else _joined(parts, source)


def _read_file(path: Path, options: ReadOptions) -> Annotations:
    images, annotations, categories, info = _sections(load_json(path), path)
    choice = _choose(categories, annotations, path, options.skeleton)
    table, place = _images(images, path, options)
    own = info.get("posewright")
    hint = own.get("images") if isinstance(own, dict) else None
    root, found = choose_root([im.path for im in table], options.images, _folders(path, hint), path)
    table, unreadable = fill_sizes(table, root, options.bad) if found else (table, [])
    entries, image, touched = _entries(annotations, place, choice.ids, {c["id"] for c in categories}, path, options)
    columns, problems = object_columns(entries, choice.stored, choice.order)
    rows: dict[str, Any] = {"entry": entries, "image": np.array(image, np.int64)}

    def report(i: int, problem: str) -> None:
        record = f"annotation {rows['entry'][i].get('id', i)} on image '{table[rows['image'][i]].path}'"
        options.bad(PosewrightError(problem, file=path, record=record))

    problems.leave_out(report, rows, columns)
    result = Annotations(choice.skeleton, table, rows["image"], root=root, source=str(path), report=report, **columns)
    return without_images(result, unreadable + emptied_images(result, touched))


def _sections(data: Any, path: Path) -> tuple[list[Any], list[Any], list[dict[str, Any]], dict[str, Any]]:
    """Images, annotations, categories and info, of the types they must have."""
    if not isinstance(data, dict):
        raise PosewrightError("is JSON, but not a COCO file: it is no object with images and annotations", file=path)
    if "images" not in data:
        raise PosewrightError("has no list 'images'", file=path)
    lists = []
    for name in ("images", "annotations", "categories"):
        section = data.get(name, [])
        if not isinstance(section, list):
            raise PosewrightError(f"'{name}' is no list", file=path)
        lists.append(section)
    for category in lists[2]:
        if not isinstance(category, dict) or not isinstance(category.get("id"), Hashable):
            raise PosewrightError(f"holds a category without an id: {str(category)[:60]}", file=path)
    info = data.get("info")
    return lists[0], lists[1], lists[2], info if isinstance(info, dict) else {}


@dataclass(frozen=True)
class _Choice:
    """Whose annotations are read: of which categories, with how many keypoints stored, in which order taken."""

    skeleton: Skeleton
    stored: int
    order: list[int] | None
    ids: set[Any]


def _choose(categories: list[dict[str, Any]], annotations: list[Any], path: Path, wanted: Skeleton | None) -> _Choice:
    named = [(c["id"], str(c.get("name")), Skeleton.from_coco(c, file=path)) for c in categories if c.get("keypoints")]
    if not named:
        if wanted is None:
            fix = "Give --skeleton NAME or FILES if its annotations have keypoints all the same"
            raise PosewrightError("none of its categories names keypoints", file=path, fix=fix)
        used = {str(a.get("category_id")) for a in annotations if isinstance(a, dict) and a.get("keypoints")}
        return _Choice(wanted, len(wanted), None, {c["id"] for c in categories if str(c["id"]) in used})
    if wanted is not None:
        fitting = [row for row in named if set(wanted.keypoints) <= set(row[2].keypoints)]
        if not fitting:
            unknown = next(name for name in wanted.keypoints if name not in named[0][2].keypoints)
            what = f"has no keypoint '{unknown}', which skeleton '{wanted.name}' asks for"
            fix = "The file names its own keypoints: leave --skeleton out, or give a choice of them"
            raise PosewrightError(what, file=path, record=f"category '{named[0][1]}'", fix=fix)
        named = fitting
    stored = named[0][2]
    for _, name, skeleton in named:
        if not skeleton.same_keypoints(stored):
            what = f"categories '{named[0][1]}' and '{name}' have different keypoints"
            raise PosewrightError(what, file=path, fix="Say with --skeleton which ones to take")
    skeleton = wanted or stored
    order = None if skeleton.same_keypoints(stored) else [stored.index(name) for name in skeleton.keypoints]
    return _Choice(skeleton, len(stored), order, {row[0] for row in named})


def _images(entries: list[Any], path: Path, options: ReadOptions) -> tuple[list[Image], dict[Any, int]]:
    """The table of images, and each image's place in it by its id (-1 for one that was left out).

    Where two images share an id, nobody can say which one its annotations mean: both are left out.
    """
    split = _split_of_file(path)
    table: list[Image] = []
    place: dict[Any, int] = {}
    seen: dict[tuple[str, Any], Any] = {}
    ambiguous: set[Any] = set()
    for row, entry in enumerate(entries):
        try:
            image = _image(entry, row, split, path)
            record = f"image {image.id!r} ('{image.path}')"
            if image.id in place:
                ambiguous.add(image.id)
                raise PosewrightError("its id is used twice", file=path, record=record)
            key = image.path, image.frame
            if key in seen:
                raise PosewrightError(f"is listed already, under id {seen[key]!r}", file=path, record=record)
        except PosewrightError as error:
            options.bad(error)
            if isinstance(entry, dict) and isinstance(entry.get("id"), Hashable):
                place.setdefault(entry["id"], -1)
            continue
        seen[key], place[image.id] = image.id, len(table)
        table.append(image)
    if ambiguous:
        table = [im for im in table if im.id not in ambiguous]
        place |= {im.id: i for i, im in enumerate(table)} | dict.fromkeys(ambiguous, -1)
    return table, place


def _image(entry: Any, row: int, split: str | None, path: Path) -> Image:
    record = f"image entry {row}"
    if not isinstance(entry, dict):
        raise PosewrightError("is no object", file=path, record=record)
    name, number = entry.get("file_name"), entry.get("id")
    if not isinstance(name, str):
        raise PosewrightError("has no file_name", file=path, record=record)
    record = f"image '{name}'"
    if isinstance(number, bool) or not isinstance(number, (int, str)):
        raise PosewrightError("has no id", file=path, record=record)
    sizes = []
    for side in ("width", "height"):
        value = entry.get(side) or 0
        if not is_number(value) or not 0 <= value < 1e9 or value != int(value):
            raise PosewrightError(f"{side} is {value!r}, not a number of pixels", file=path, record=record)
        sizes.append(int(value))
    frame = entry.get("frame")
    if frame is not None and (isinstance(frame, bool) or not isinstance(frame, int) or frame < 0):
        raise PosewrightError(f"frame is {frame!r}, not a frame number", file=path, record=record)
    own = split_of(entry["split"]) if isinstance(entry.get("split"), str) else None
    group = next((entry[k] for k in ("group", "video_id", "vid_id") if entry.get(k) is not None), None)
    return Image(
        relative_path(name, file=path, record=record),
        sizes[0],
        sizes[1],
        frame,
        own or split,
        None if group is None else str(group),
        number,
    )


def _split_of_file(path: Path) -> str | None:
    """From the file's name; where tools name every file ``_annotations.coco.json``, from its folder's."""
    return split_of(path.parent.name if path.stem.startswith("_annotations") else path.stem)


def _folders(path: Path, hint: object) -> list[Path]:
    """Where the pictures may lie: as noted in the file, else in its folder and the usual ones in and beside that."""
    folder = path.absolute().parent
    bases = [folder]
    if folder.name.lower() in ("annotations", "annotation", "labels", "json"):
        bases.append(folder.parent)
    year = re.search(r"(train|val|test)\d*", path.stem)
    names = [*USUAL_FOLDERS, *([year.group(0), f"images/{year.group(0)}"] if year else [])]
    split = _split_of_file(path)
    names += [split, f"images/{split}"] if split else []
    return [*from_hint(hint, path), *(base / name for base in bases for name in names)]


def _entries(
    annotations: list[Any], place: dict[Any, int], wanted: set[Any], known: set[Any], path: Path, options: ReadOptions
) -> tuple[list[dict[str, Any]], list[int], set[int]]:
    """The annotations that belong to the set, the place of each one's image, and all images that any was meant for."""
    entries: list[dict[str, Any]] = []
    image: list[int] = []
    touched: set[int] = set()
    seen: set[Any] = set()
    for number, entry in enumerate(annotations):
        try:
            problem = _reference_problem(entry, place, wanted, known, seen)
        except TypeError:  # a list or an object where an id belongs
            problem = "an id of it is neither a number nor a string"
        if problem:
            own = entry.get("id", f"entry {number}") if isinstance(entry, dict) else f"entry {number}"
            options.bad(PosewrightError(problem, file=path, record=f"annotation {own}"))
            if isinstance(entry, dict) and isinstance(entry.get("image_id"), (int, str)):
                touched.add(place.get(entry["image_id"], -1))
        elif problem is None:
            seen.add(entry.get("id"))
            entries.append(entry)
            image.append(place[entry["image_id"]])
    return entries, image, (touched | set(image)) - {-1}


def _reference_problem(
    entry: Any, place: dict[Any, int], wanted: set[Any], known: set[Any], seen: set[Any]
) -> str | None:
    """What is wrong with an annotation's ids; "" where it is right but not of this set, None where it is of it."""
    if not isinstance(entry, dict):
        return "is no object"
    category, image, own = entry.get("category_id"), entry.get("image_id"), entry.get("id")
    if category not in wanted:
        if category in known:
            return ""
        if known:
            return f"refers to category {category!r}, which the file does not list"
    if image not in place:
        return f"refers to image {image!r}, which the file does not list"
    if place[image] < 0:  # left out, and listed as such
        return ""
    return "its id is used twice" if own is not None and own in seen else None


def _joined(parts: list[Annotations], source: Path) -> Annotations:
    """Several files' sets as one; image paths become relative to the folder that holds all their pictures."""
    first = parts[0]
    owner: dict[tuple[str, int | None], str] = {}
    root = Path(os.path.commonpath([part.root.absolute() for part in parts]))
    images: list[Image] = []
    offset: list[int] = []
    for part in parts:
        if not part.skeleton.same_keypoints(first.skeleton):
            what = f"{first.source} and {part.source} have different keypoints"
            raise PosewrightError(what, file=source, fix="Give one of the files, or --skeleton")
        offset.append(len(images))
        prefix = part.root.absolute().relative_to(root).as_posix()
        for im in part.images:
            path = im.path if prefix == "." else f"{prefix}/{im.path}"
            if (path, im.frame) in owner:
                what = f"picture '{path}' is listed by {owner[path, im.frame]} and by {part.source}"
                raise PosewrightError(what, file=source, fix="Give one of the files instead of the folder")
            owner[path, im.frame] = part.source
            images.append(replace(im, path=path))
    names = ("keypoints", "boxes", "iscrowd", "area", "weight", "track", "head_size")
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    columns["polygons"] = [p for part in parts for p in part.polygons]
    image = np.concatenate([part.image + start for part, start in zip(parts, offset)])
    return Annotations(first.skeleton, images, image, root=root, source=str(source), **columns)


register(
    Format(
        "coco",
        "COCO keypoints JSON: a file, or a folder with annotations/*.json and the pictures",
        detect,
        read,
        write,
    )
)
