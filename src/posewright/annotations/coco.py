"""COCO keypoints JSON, read and written.

Origin: a COCO keypoint is a pixel index, 0 at the centre of the first pixel, which is posewright's own frame; COCO's
boxes and polygons are measured from that pixel's corner, and half a pixel is taken off them. Labelling tools that
export COCO (CVAT, Roboflow, COCO-Annotator, Label Studio) write keypoints as their canvas has them, measured from the
corner too: half a pixel off, which no file tells. Visibility is COCO's own.

Beyond the official fields the writer adds, and the reader takes: for an image ``split``, ``group``, ``frame`` and, of a packed
set, ``part``; for an annotation ``track_id``, ``head_size`` and ``weight``; for the file, under ``info.posewright``, ``images``,
the pictures' folder relative to the file, and ``terms``; for a category ``posewright``, what COCO has no field for.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posewright.annotations.coco_categories import choose
from posewright.annotations.coco_objects import mixed_columns
from posewright.annotations.coco_write import write
from posewright.annotations.foreign_paths import local_paths
from posewright.annotations.images import Part
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

# -- which files ------------------------------------------------------------------------------------------------------

_KEYS = re.compile(rb'"(images|annotations|categories|licenses|info)"\s*:')


def _is_coco(path: Path) -> bool:
    start = head(path)
    # Animal-Pose's file has COCO's keys, but maps ids to pictures.
    return start.startswith(b"{") and _KEYS.search(start) is not None and not maps_ids_to_pictures(path)


def _label_files(folder: Path) -> list[Path]:
    """The COCO files of a folder: in it, in ``annotations/``, or as ``<split>/_annotations.coco.json``; where there are
    none of these, any in folders that are called after splits.

    Where some are named after keypoints, as in the official archive, the others (captions, instances) are left aside.
    """
    listed = [*folder.glob("*.json"), *folder.glob("annotations/*.json"), *folder.glob("*/_annotations.coco.json")]
    found = sorted(path for path in listed if path.is_file() and _is_coco(path))
    if not found:
        below = sorted(path for path in folder.glob("*/*.json") if split_of(path.parent.name) and path.is_file())
        found = [path for path in below if _is_coco(path)]
    return [path for path in found if "keypoints" in path.name] or found


def detect(source: Path) -> bool:
    """Whether ``source`` is a COCO file or a folder that holds some."""
    return bool(_label_files(source)) if source.is_dir() else source.suffix.lower() == ".json" and _is_coco(source)


# -- reading ----------------------------------------------------------------------------------------------------------


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read a COCO file, or all of a folder's as one set.

    A category with keypoints is taken; several only where those that are used agree about the names, in whatever
    order, or where ``options.category`` or ``options.skeleton`` says which. Annotations of other categories are no
    records of this set. An annotation without keypoints but with a box stays, as an object whose keypoints nobody
    labelled.

    A picture's path that starts at a root, a drive, a server or above its folder is not followed, but looked for under
    its last folders and name in the pictures' folder.

    Raises:
        PosewrightError: naming the file and the record that cannot be used.
    """
    if source.is_file():
        return _read_file(source, options, _split_of_file(source))
    files = _label_files(source)
    if not files:
        raise PosewrightError("holds no COCO JSON, neither in itself nor in annotations/", file=source)
    below = [path.parent not in (source, source / "annotations") for path in files]
    splits = [split_of(path.parent.name) if deep else _split_of_file(path) for path, deep in zip(files, below)]
    parts = [_read_file(path, options, split) for path, split in zip(files, splits)]
    return parts[0] if len(parts) == 1 else _joined(parts, source)


def _read_file(path: Path, options: ReadOptions, split: str | None) -> Annotations:
    images, annotations, categories, info = _sections(load_json(path), path)
    choice = choose(categories, annotations, path, options)
    own = info["posewright"] if isinstance(info.get("posewright"), dict) else {}
    folders = _folders(path, own.get("images"))
    table, place = _images(images, path, options, [options.images] if options.images else folders, split)
    root, found = choose_root([im.path for im in table], options.images, folders, path)
    table, unreadable = fill_sizes(table, root, options.bad) if found else (table, [])
    wanted = set(choice.layouts)
    entries, image, touched = _entries(annotations, place, wanted, {c["id"] for c in categories}, path, options)
    fallback = next(iter(choice.layouts.values()), (len(choice.skeleton), None))  # where the file lists no categories
    layouts = [choice.layouts.get(entry.get("category_id"), fallback) for entry in entries]
    columns, problems = mixed_columns(entries, layouts or [fallback])
    rows: dict[str, Any] = {"entry": entries, "image": np.array(image, np.int64)}

    def report(i: int, problem: str) -> None:
        record = f"annotation {rows['entry'][i].get('id', i)} on image '{table[rows['image'][i]].path}'"
        options.bad(PosewrightError(problem, file=path, record=record))

    problems.leave_out(report, rows, columns)
    terms = own["terms"] if isinstance(own.get("terms"), str) else ""
    result = Annotations(
        choice.skeleton, table, rows["image"], root=root, source=str(path), terms=terms, report=report, **columns
    )
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
        number = category.get("id") if isinstance(category, dict) else None
        if number is None or not isinstance(number, Hashable):
            raise PosewrightError(f"holds a category without an id: {str(category)[:60]}", file=path)
    info = data.get("info")
    return lists[0], lists[1], lists[2], info if isinstance(info, dict) else {}


def _images(
    entries: list[Any], path: Path, options: ReadOptions, folders: list[Path], split: str | None
) -> tuple[list[Image], dict[Any, int]]:
    """The table of images, and each image's place in it by its id (-1 for one that was left out).

    Where two images share an id, nobody can say which one its annotations mean: both are left out.
    """
    names, groups = _names(entries, folders), _originals(entries)
    table: list[Image] = []
    place: dict[Any, int] = {}
    seen: dict[tuple[str, Any], Any] = {}
    ambiguous: set[Any] = set()
    for row, entry in enumerate(entries):
        try:
            image = _image(entry, row, split, path, names.get(row), groups.get(row))
            record = f"image {image.id!r} ('{image.path}')"
            if image.id in place:
                ambiguous.add(image.id)
                raise PosewrightError("its id is used twice", file=path, record=record)
            key = image.path, image.frame
            if key in seen:
                raise PosewrightError(f"is listed already, under id {seen[key]!r}", file=path, record=record)
        except PosewrightError as error:
            options.bad(error)
            number = entry.get("id") if isinstance(entry, dict) else None
            if number is not None and isinstance(number, Hashable):
                place.setdefault(number, -1)
            continue
        seen[key], place[image.id] = image.id, len(table)
        table.append(image)
    if ambiguous:
        table = [im for im in table if im.id not in ambiguous]
        place |= {im.id: i for i, im in enumerate(table)} | dict.fromkeys(ambiguous, -1)
    return table, place


def _names(entries: list[Any], folders: list[Path]) -> dict[int, str]:
    """The pictures' paths, those that mean another machine cut to what they are called here, by row.

    COCO-Annotator gives the bare name in ``file_name`` and the folder in ``path``, which is needed where pictures of
    several folders share a name.
    """
    texts = {i: e["file_name"] for i, e in enumerate(entries) if isinstance(e, dict) and _text(e, "file_name")}
    if len(set(texts.values())) < len(texts):
        count = Counter(texts.values())
        texts |= {i: entries[i]["path"] for i, t in texts.items() if count[t] > 1 and _text(entries[i], "path")}
    return dict(zip(texts, local_paths(list(texts.values()), folders)))


def _text(entry: dict[str, Any], name: str) -> bool:
    return isinstance(entry.get(name), str) and bool(entry[name])


def _originals(entries: list[Any]) -> dict[int, str]:
    """For Roboflow's variants of one picture, by row, the name of the picture that they were made of."""
    found: dict[int, str] = {}
    for i, entry in enumerate(entries):
        name = entry.get("file_name") if isinstance(entry, dict) else None
        made = _VARIANT.fullmatch(name) if isinstance(name, str) else None
        if made:
            extra = entry.get("extra")
            found[i] = str(extra["name"]) if isinstance(extra, dict) and _text(extra, "name") else made.group(1)
    count = Counter(found.values())
    return {i: name for i, name in found.items() if count[name] > 1}


_VARIANT = re.compile(r"(.+)\.rf\.[0-9A-Za-z]{16,}\.[A-Za-z]+")


def _image(entry: Any, row: int, split: str | None, path: Path, place: str | None, original: str | None) -> Image:
    record = f"image entry {row}"
    if not isinstance(entry, dict):
        raise PosewrightError("is no object", file=path, record=record)
    name, number = entry.get("file_name"), entry.get("id")
    if not isinstance(name, str):
        raise PosewrightError("has no file_name", file=path, record=record)
    record = f"image '{name}'"
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**53:  # from a table of pandas
        number = int(number)
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
    group = next((entry[k] for k in ("group", "video_id", "vid_id") if entry.get(k) is not None), original)
    return Image(
        relative_path(name if place is None else place, file=path, record=record),
        sizes[0],
        sizes[1],
        frame,
        own or split,
        None if group is None else str(group),
        number,
        _part(entry.get("part")),
    )


def _part(said: Any) -> Part | None:
    """Where a picture lies in a larger one; what other tools call a part is passed over."""
    if not isinstance(said, dict) or not _text(said, "path"):
        return None
    numbers = [said.get(key) for key in ("width", "height", "x0", "y0", "factor")]
    numbers += [said["frame"]] if said.get("frame") is not None else []
    number = said.get("id")
    if not all(isinstance(n, int) and abs(n) < 1e9 for n in numbers) or not isinstance(number, (int, str, type(None))):
        return None
    width, height, x0, y0, factor = (int(n or 0) for n in numbers[:5])
    if min(width, height) < 0 or factor < 1:
        return None
    return Part(said["path"], width, height, x0, y0, factor, said.get("frame"), number)


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
    # CVAT's annotations/person_keypoints_SUBSET.json goes with images/SUBSET, and FiftyOne's labels.json with data.
    subset = re.fullmatch(r"(?:person_keypoints|instances|keypoints)_(.+)", path.stem)
    names += [f"images/{subset.group(1)}", subset.group(1)] if subset else []
    names += ["data"]
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
            raise PosewrightError(what, file=source, fix="Give one of the files, --category or --skeleton")
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
    terms = "; ".join(dict.fromkeys(part.terms for part in parts if part.terms))
    return Annotations(first.skeleton, images, image, root=root, source=str(source), terms=terms, **columns)


register(
    Format(
        "coco",
        "COCO keypoints JSON: a file, or a folder with annotations/*.json and the pictures",
        detect,
        read,
        write,
        asks_category=True,
        frames="named",
    )
)
