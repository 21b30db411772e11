"""The plain CSV rule: a table with one line over its columns; read and written. For labels from a spreadsheet or a script::

    path,nose_x,nose_y,tail_x,tail_y,tail_v,set,group
    cam1/0001.png,201,189,105.5,94,1,train,cam1
    cam1/0002.png,,,99,88,2,train,cam1

- One line an object. ``path`` (or ``image``, ``file``, ``filename``, ``file_name``): the picture, from the file's folder or
  from ``--images``; an absolute one of another place is looked for there under its last folders and name. Several lines of
  one path are several objects. Of a video, ``frame`` is the frame's number, from 0.
- ``NAME_x``, ``NAME_y`` and, if you like, ``NAME_v``: a keypoint, with v as in COCO: 0 not labelled, 1 labelled but hidden,
  2 visible, which it is without a v. Empty cells are not labelled.
- ``box_x0``, ``box_y0``, ``box_x1``, ``box_y1``: from the keypoints, with ``BOX_MARGIN``, where they are left out or empty.
  A line with neither keypoint nor box is a picture without an object.
- ``set``: train, val (or valid, validation) or test. ``group``: what never falls into different splits.
- ``width`` and ``height`` of the picture, ``track``, ``weight``, ``area``, ``iscrowd``, ``head_size``: as in ``Annotations``.
- ``pictures``: the pictures' folder as seen from the file's, on any one line; the writer notes it where it must.
- Other columns are passed over, and capitals make no difference but in keypoint names.

Or long, one line a keypoint, with ``object`` (any number or word) where a picture shows several::

    path,object,keypoint,x,y,v
    cam1/0001.png,1,nose,201,189,2

Columns are separated by commas, semicolons or tabs, whichever there are more of in the first line; with the latter two a
number may have a decimal comma. Origin: (0, 0) is the first pixel's centre; a box reaches from pixel centre to pixel centre.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.foreign_paths import local_paths
from posewright.annotations.json_file import Misfits
from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.annotations.loose_points import skeleton_for
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
from posewright.annotations.plain_csv_table import Array, Table, is_table, read_table
from posewright.annotations.plain_csv_write import losses, write
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.errors import PosewrightError, did_you_mean
from posewright.skeleton import ALIASES, Skeleton


def _label_file(source: Path) -> Path | None:
    try:
        files = sorted([*source.glob("*.csv"), *source.glob("*.tsv")]) if source.is_dir() else [source]
    except OSError:
        return None
    found = [path for path in files if is_table(path)]
    return found[0] if len(found) == 1 else None


def detect(source: Path) -> bool:
    """Whether ``source`` is a table whose first line has a path and keypoints, or a folder with just one."""
    return _label_file(source) is not None


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read such a table.

    Raises:
        PosewrightError: naming the line that cannot be used.
    """
    file = _label_file(source) or source
    if file.is_dir():
        raise PosewrightError("holds no such table, or several", file=source, fix="Give the .csv file")
    table = read_table(file, options.bad)
    skeleton, order = _skeleton(table.names, options.skeleton, file)
    keypoints = table.keypoints[:, order] if len(table.paths) else np.zeros((0, len(skeleton), 3))
    problems = _problems(keypoints, table, skeleton)
    keypoints = _with_visibility(keypoints)
    images: dict[tuple[str, int | None], Image] = {}
    kept: list[int] = []
    owner: list[tuple[str, int | None]] = []
    touched: list[tuple[str, int | None]] = []
    boxed: NDArray[np.bool_] = np.any(~np.isnan(table.boxes), axis=1)
    labelled: NDArray[np.bool_] = np.any(keypoints[..., 2] > 0, axis=1)
    candidates = [*from_hint(table.pictures, file), *(file.parent / folder for folder in USUAL_FOLDERS)]
    folders = [options.images] if options.images else candidates
    for i, said in enumerate(local_paths(table.paths, folders)):
        record = f"line {table.lines[i]}"
        try:
            place = relative_path(said, file=file, record=record)
            key = (place, _whole(table, "frame", i, file))
            images[key] = _image(table, i, key, images.get(key), file)
            touched.append(key)
            if i in problems:
                raise PosewrightError(problems[i], file=file, record=f"{record} ('{place}')")
        except PosewrightError as error:
            options.bad(error)
            continue
        if boxed[i] or labelled[i]:
            kept.append(i)
            owner.append(key)
        else:
            touched.pop()
    index = {key: n for n, key in enumerate(images)}
    boxes = table.boxes[kept]
    boxless = np.logical_not(boxed[kept])
    boxes[boxless] = boxes_from_keypoints(keypoints[kept][boxless])
    columns = _columns(table, kept, boxes)
    root, _ = choose_root([key[0] for key in images], options.images, candidates, file)
    sized, unreadable = fill_sizes(list(images.values()), root, options.bad)

    def report(i: int, problem: str) -> None:
        record = f"line {table.lines[kept[i]]} ('{table.paths[kept[i]]}')"
        options.bad(PosewrightError(problem, file=file, record=record))

    result = Annotations(
        skeleton,
        sized,
        np.array([index[key] for key in owner], np.int64),
        keypoints[kept],
        boxes,
        root,
        source=str(source),
        report=report,
        **columns,
    )
    return without_images(result, sorted({*unreadable, *emptied_images(result, [index[key] for key in touched])}))


def _skeleton(names: list[str], wanted: Skeleton | None, file: Path) -> tuple[Skeleton, list[int]]:
    """What the columns are, and which keypoint of the file each of the skeleton's is."""
    plain = [ALIASES.get(name, name) for name in names]
    if wanted is not None:
        missing = next((name for name in wanted.keypoints if name not in plain), None)
        if missing is not None:
            what = f"has no columns of keypoint '{missing}', which skeleton '{wanted.name}' asks for"
            raise PosewrightError(what, file=file, fix=did_you_mean(missing, names))
        return wanted, [plain.index(name) for name in wanted.keypoints]
    try:
        skeleton = skeleton_for(names, None, None, file.stem)
    except PosewrightError as error:
        raise PosewrightError(error.what, file=file, fix=error.fix) from None
    return skeleton, [plain.index(name) for name in skeleton.keypoints]


def _problems(keypoints: Array, table: Table, skeleton: Skeleton) -> dict[int, str]:
    """What is wrong with rows whose cells do not go together."""
    problems = Misfits()
    missing, v = np.isnan(keypoints[..., :2]), keypoints[..., 2]
    some, none = np.logical_xor(missing[..., 0], missing[..., 1]), np.logical_and(missing[..., 0], missing[..., 1])

    def first(which: NDArray[np.bool_], why: str) -> None:
        for i in np.flatnonzero(which.any(1)).tolist():
            problems.setdefault(i, f"keypoint '{skeleton.keypoints[int(np.argmax(which[i]))]}' {why}")

    first(some, "has only one of x and y")
    first(none & (v > 0), "has a v and no place")
    corners = ~np.isnan(table.boxes)
    problems.mark(corners.any(1) & ~corners.all(1), "its box has fewer than four numbers")
    track = table.scalars["track"]
    with np.errstate(invalid="ignore"):
        odd = ~np.isnan(track) & ~((np.abs(track) < 2**53) & (track == np.trunc(track)))
    problems.mark(odd, "track is no whole number")
    return problems


def _with_visibility(keypoints: Array) -> Array:
    """A place without a v is visible; empty cells are not labelled."""
    out = keypoints.copy()
    there, unsaid = ~np.isnan(out[..., :2]).any(2), np.isnan(out[..., 2])
    out[..., 2] = np.where(unsaid, np.where(there, 2, 0), out[..., 2])
    out[out[..., 2] == 0] = 0
    return out


def _columns(table: Table, kept: list[int], boxes: Array) -> dict[str, Any]:
    """The scalars of the table of objects, with what stands for an empty cell."""
    with np.errstate(over="ignore", invalid="ignore"):
        covered = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    missing = {"track": -1.0, "weight": 1.0, "area": covered, "iscrowd": 0.0, "head_size": np.nan}
    columns: dict[str, Any] = {}
    for name, value in missing.items():
        column = table.scalars[name][kept]
        columns[name] = np.where(np.isnan(column), value, column)
    columns["track"] = columns["track"].astype(np.int64)
    columns["iscrowd"] = columns["iscrowd"] != 0
    return columns


def _whole(table: Table, name: str, i: int, file: Path) -> int | None:
    """A cell that is a whole number of at least 0; None where it is empty."""
    value = float(table.scalars[name][i])
    if np.isnan(value):
        return None
    if not (0 <= value < 1e9 and value == int(value)):
        raise PosewrightError(f"{name} is {value:g}, not a whole number", file=file, record=f"line {table.lines[i]}")
    return int(value)


def _image(table: Table, i: int, key: tuple[str, int | None], before: Image | None, file: Path) -> Image:
    said, group = table.words["set"][i], table.words["group"][i]
    record = f"line {table.lines[i]}"
    split = split_of(said) if said else None
    if said and split is None:
        raise PosewrightError(f"set '{said}' is not one of train, val, test", file=file, record=record)
    if before is None:
        width, height = (_whole(table, side, i, file) or 0 for side in ("width", "height"))
        return Image(key[0], width, height, key[1], split, group or None)
    if split is not None and before.split not in (None, split):
        raise PosewrightError(f"is in '{split}' here and in '{before.split}' before", file=file, record=record)
    return replace(before, split=before.split or split, group=before.group or group or None)


register(
    Format(
        "csv",
        "plain CSV: one line an object with path, NAME_x, NAME_y[, NAME_v], or one line a keypoint",
        detect,
        read,
        write,
        losses,
        frames="named",
    )
)
