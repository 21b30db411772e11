"""COCO keypoints JSON, read and written.

Origin: a COCO keypoint is a pixel index, 0 at the centre of the first pixel, which is posewright's own frame; a COCO box and
a COCO polygon are measured from that pixel's corner, and half a pixel is taken off them. Visibility is COCO's own.

Beyond the official fields the writer adds, and the reader takes: for an image ``split``, ``group`` and ``frame``; for an
annotation ``track_id``, ``head_size`` and ``weight``; for the file ``info.posewright.images``, the pictures' folder relative
to the file; for a category ``posewright``, what COCO has no field for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from posewright.annotations.coco_write import CORNER, write
from posewright.annotations.json_file import head, is_number, load_json, number_rows
from posewright.annotations.pictures import (
    USUAL_FOLDERS,
    choose_root,
    fill_sizes,
    from_hint,
    relative_path,
    split_of,
    without_images,
)
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image, boxes_from_keypoints
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton


# -- which files ---------------------------------------------------------------------------------------------------------

_KEYS = re.compile(rb'"(images|annotations|categories|licenses|info)"\s*:')


def _is_coco(path: Path) -> bool:
    start = head(path)
    return start.startswith(b"{") and _KEYS.search(start) is not None


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


# -- reading -------------------------------------------------------------------------------------------------------------


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read a COCO file, or all of a folder's as one set.

    A category with keypoints is taken; several only where they agree about the keypoints. Annotations of other categories
    are no records of this set. An annotation without keypoints but with a box stays, as one whose keypoints nobody labelled.

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
    entries, image = _entries(annotations, place, choice.ids, {c["id"] for c in categories}, path, options)
    columns, problems = object_columns(entries, choice.stored, choice.order)

    def report(i: int, problem: str) -> None:
        record = f"annotation {entries[i].get('id', i)} on image '{table[image[i]].path}'"
        options.bad(PosewrightError(problem, file=path, record=record))

    keep = np.ones(len(entries), bool)
    for i, problem in sorted(problems.items()):
        report(i, problem)
        keep[i] = False
    if problems:
        columns = {name: [c for c, kept in zip(column, keep) if kept] for name, column in columns.items()}
        entries = [e for e, kept in zip(entries, keep) if kept]
        image = [i for i, kept in zip(image, keep) if kept]
    result = Annotations(
        choice.skeleton, table, np.array(image, np.int64), root=root, source=str(path), report=report, **columns
    )
    return without_images(result, unreadable)


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
        used = [a.get("category_id") for a in annotations if isinstance(a, dict) and a.get("keypoints")]
        return _Choice(wanted, len(wanted), None, {c["id"] for c in categories if c["id"] in used})
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
    """The table of images, and each image's place in it by its id (-1 for one that was left out)."""
    split, table, place = _split_of_file(path), [], {}
    seen: dict[tuple[str, Any], Any] = {}
    for row, entry in enumerate(entries):
        try:
            image = _image(entry, row, split, path)
            record = f"image {image.id!r} ('{image.path}')"
            if image.id in place:
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
    folder = Path(os.path.abspath(path)).parent
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
) -> tuple[list[dict[str, Any]], list[int]]:
    """The annotations that belong to the set, and the place of each one's image."""
    entries: list[dict[str, Any]] = []
    image: list[int] = []
    seen: set[Any] = set()
    for number, entry in enumerate(annotations):
        try:
            problem = _reference_problem(entry, place, wanted, known, seen)
        except TypeError:  # a list or an object where an id belongs
            problem = "an id of it is neither a number nor a string"
        if problem:
            own = entry.get("id", f"entry {number}") if isinstance(entry, dict) else f"entry {number}"
            options.bad(PosewrightError(problem, file=path, record=f"annotation {own}"))
        elif problem is None:
            seen.add(entry.get("id"))
            entries.append(entry)
            image.append(place[entry["image_id"]])
    return entries, image


def _reference_problem(
    entry: Any, place: dict[Any, int], wanted: set[Any], known: set[Any], seen: set[Any]
) -> str | None:
    """What is wrong with an annotation's ids; "" where it is right but does not belong to the set; None where it does."""
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


def object_columns(
    entries: list[dict[str, Any]], stored: int, order: list[int] | None = None
) -> tuple[dict[str, Any], dict[int, str]]:
    """COCO annotations as columns of the table of objects, in posewright's frame.

    Args:
        entries: N annotations.
        stored: how many keypoints each has in the file.
        order: which of them to take, in which order; None for all.

    Returns:
        Keypoints, boxes, iscrowd, area, weight, track, head size and polygons, and what is wrong with rows that do not fit.
    """
    n, nothing = len(entries), [0] * (3 * stored)
    flat, problems = number_rows([e.get("keypoints") or nothing for e in entries], (3 * stored,))
    problems = {i: f"keypoints: {what}" for i, what in problems.items()}
    keypoints = flat.reshape(n, stored, 3)
    keypoints = keypoints if order is None else keypoints[:, order]
    keypoints[keypoints[..., 2] == 0] = 0

    unknown = [np.nan] * 4
    corner, wrong = number_rows([unknown if e.get("bbox") is None else e["bbox"] for e in entries], (4,))
    problems |= {i: f"bbox: {what}" for i, what in wrong.items() if i not in problems}
    boxes = np.concatenate([corner[:, :2], corner[:, :2] + corner[:, 2:]], 1) - CORNER
    boxless = np.array([e.get("bbox") is None for e in entries], bool)
    boxes[boxless] = boxes_from_keypoints(keypoints[boxless])
    for i in np.flatnonzero(boxless & ~(keypoints[..., 2] != 0).any(1)):
        problems.setdefault(int(i), "has neither a box nor a labelled keypoint")

    scalars, wrong = number_rows([_scalars(e) for e in entries], (len(_SCALARS),))
    problems |= {i: f"{', '.join(_SCALARS)}: {what}" for i, what in wrong.items() if i not in problems}
    area, iscrowd, track, head_size, weight = scalars.T
    polygons, wrong = _polygons([e.get("segmentation") or [] for e in entries])
    problems |= {i: what for i, what in wrong.items() if i not in problems}
    columns = {
        "keypoints": keypoints,
        "boxes": boxes,
        "iscrowd": np.nan_to_num(iscrowd) != 0,
        "area": np.where([e.get("area") is None for e in entries], (boxes[:, 2:] - boxes[:, :2]).prod(1), area),
        "weight": weight,
        "track": np.nan_to_num(track, nan=-1).astype(np.int64),
        "head_size": head_size,
        "polygons": polygons,
    }
    return columns, problems


_SCALARS = {"area": np.nan, "iscrowd": 0, "track_id": -1, "head_size": np.nan, "weight": 1}
"""Fields of one number, and what stands for a missing one."""


def _scalars(entry: dict[str, Any]) -> list[Any]:
    values = [entry.get(name) for name in _SCALARS]
    if isinstance(values[1], bool):
        values[1] = int(values[1])
    return [missing if v is None else v for v, missing in zip(values, _SCALARS.values())]


def _polygons(rows: list[Any]) -> tuple[list[Any], dict[int, str]]:
    """Each row's polygons as arrays ``[P, 2]``; run-length masks stay as they are."""
    out: list[Any] = []
    problems: dict[int, str] = {}
    flat: list[Any] = []
    for i, row in enumerate(rows):
        fits = isinstance(row, list) and all(isinstance(p, list) and p and len(p) % 2 == 0 for p in row)
        if not fits and not isinstance(row, dict):
            problems[i] = "segmentation is neither a list of polygons (x1, y1, x2, y2, ...) nor a run-length mask"
        out.append(row if fits or isinstance(row, dict) else [])
        flat += out[-1] if fits else []
    numbers = np.array(list(chain.from_iterable(flat)))
    if len(numbers) and numbers.dtype.kind not in "iuf":
        for i, row in enumerate(out):
            if isinstance(row, list) and not all(is_number(v) for p in row for v in p):
                problems[i], out[i] = "segmentation holds what is not a number", []
        return _polygons(out)[0], problems
    pieces = iter(np.split(numbers - CORNER, np.cumsum([len(p) for p in flat])[:-1]))
    return [row if isinstance(row, dict) else [next(pieces).reshape(-1, 2) for _ in row] for row in out], problems


def _joined(parts: list[Annotations], source: Path) -> Annotations:
    """Several files' sets as one; image paths become relative to the folder that holds all their pictures."""
    first = parts[0]
    owner: dict[tuple[str, int | None], str] = {}
    root = Path(os.path.commonpath([os.path.abspath(part.root) for part in parts]))
    images: list[Image] = []
    offset: list[int] = []
    for part in parts:
        if not part.skeleton.same_keypoints(first.skeleton):
            what = f"{first.source} and {part.source} have different keypoints"
            raise PosewrightError(what, file=source, fix="Give one of the files, or --skeleton")
        offset.append(len(images))
        prefix = Path(os.path.relpath(os.path.abspath(part.root), root)).as_posix()
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
