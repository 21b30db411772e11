"""Head rectangles from a second file, merged into labels that have none: ``--heads FILE``.

PCKh divides by the head size, which is 0.6 of the diagonal of a person's head rectangle (Andriluka et al., CVPR 2014). MPII's
JSON files leave the rectangles out; they are in its .mat file, and in the ``gt_valid.mat`` beside ``valid.json``. Read here:

- ``mpii_human_pose_v1_u12_1.mat``: x1, y1, x2, y2 of each person, 1-based.
- ``gt_valid.mat``: ``headboxes_src`` [2, 2, N], (x1, y1) and (x2, y2), 1-based, in the order of the people in
  ``valid.json``; it names no pictures, so their number must be that of the labels' objects.
- JSON: a list of records, or an object by picture. A record has ``path`` (or image, file_name, image_id, id) and ``head``
  [x0, y0, x1, y1]; an object's values are such boxes, or lists of them. Several records may be of one picture.
- CSV: a header with path (or the other names), x0, y0, x1, y1.

Boxes of JSON and CSV are in pixels of the picture, the first pixel's centre being (0, 0). A head goes to the person whose
labelled head keypoints (names with head, nose, eye, ear or neck) lie nearest to its centre, or without any the person whose
box's upper edge does, one to one, the nearest first, and within the person's box made larger by half.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.hourglass_write import HEAD
from posewright.annotations.json_file import is_number, load_json
from posewright.annotations.mat_file import load_mat, mat_variables, number, scalar, struct_field, struct_list
from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.files import read_text

Array = NDArray[np.float64]

PICTURE = ("path", "image", "file_name", "filename", "image_id", "id")
"""What a record may call its picture by, first come first taken."""
PARTS = ("head", "nose", "eye", "ear", "neck")
BEYOND = 0.5
"""A head's centre may lie outside its person's box by this share of its sides."""
SOURCE = "headboxes_src"


@dataclass
class Heads:
    """Head rectangles.

    Attributes:
        by_picture: boxes ``[M, 4]`` by what the file calls the picture; empty where the file names none.
        in_order: ``[N, 4]``, one for each object of the labels, where the file names no pictures; NaN where unknown.
        file: where they are from.
    """

    file: Path
    by_picture: dict[str, list[list[float]]] = field(default_factory=dict)
    in_order: Array | None = None


def read_heads(path: str | Path, bad: Callable[[PosewrightError], None] | None = None) -> Heads:
    """Read a file of head rectangles.

    Args:
        path: *.json, *.csv or *.mat, see the module.
        bad: called for each record that cannot be used, which is then left out; where None, the first is an error.

    Raises:
        PosewrightError: where the file is none of these, or a record cannot be used.
    """
    path = Path(path)
    heads = Heads(path)
    kind = path.suffix.lower()
    if not path.is_file():
        raise PosewrightError("does not exist" if not path.exists() else "is no file", file=path)
    if kind == ".mat":
        _read_mat(path, heads)
        return heads
    if kind not in (".json", ".csv"):
        raise PosewrightError("is no file of head boxes", file=path, fix="It ends with .json, .csv or .mat")
    for record, name, box in _json_rows(path) if kind == ".json" else _csv_rows(path):
        try:
            heads.by_picture.setdefault(_name(name), []).append(_box(box))
        except PosewrightError as error:
            found = PosewrightError(error.what, file=path, record=record)
            if bad is None:
                raise found from None
            bad(found)
    if not heads.by_picture:
        raise PosewrightError("holds no head box", file=path)
    return heads


def with_heads(labels: Annotations, heads: Heads) -> tuple[Annotations, str]:
    """Labels with the head sizes of a second file; an object that gets none keeps its own.

    Returns:
        The labels, and how many found which, as a sentence.

    Raises:
        PosewrightError: where no head belongs to any object, or a file without pictures' names has another number of heads.
    """
    if heads.in_order is not None:
        if len(heads.in_order) != len(labels):
            what = f"has {len(heads.in_order)} heads in the order of its labels, which here are {len(labels)} objects"
            raise PosewrightError(what, file=heads.file, fix="Take the label file that it was made with, whole")
        known = _diagonal(heads.in_order) > 0
        chosen, boxes, spare = np.flatnonzero(known), heads.in_order[known], 0
    else:
        chosen, boxes, spare = _match(labels, heads)
    if not len(chosen):
        called = ", ".join(list(heads.by_picture)[:3])
        what = "none of its heads belongs to an object of the labels" + (f"; it has {called}" if called else "")
        raise PosewrightError(what, file=heads.file, fix="Pictures are known by path, file name or id")
    sizes = labels.head_size.copy()
    sizes[chosen] = HEAD * _diagonal(boxes)
    own = int((sizes > 0).sum()) - len(chosen)
    said = f"Head size: {HEAD:g} x the diagonal of the head box, for {len(chosen)} of {len(labels)} objects from {heads.file}"
    said += f", for {own} from the labels" if own else ""
    said += f"; {spare} head boxes fit nobody" if spare else ""
    return replace(labels, head_size=sizes), f"{said}."


def merge_heads(
    labels: Annotations, path: str | Path, bad: Callable[[PosewrightError], None] | None = None
) -> tuple[Annotations, str]:
    """:func:`read_heads` and :func:`with_heads`, as ``--heads FILE`` does them."""
    return with_heads(labels, read_heads(path, bad))


def _match(labels: Annotations, heads: Heads) -> tuple[NDArray[np.int64], Array, int]:
    """Objects and the head boxes that go to them, and how many heads of known pictures are left."""
    names: dict[str, int | None] = {}
    for of in (
        lambda im: im.path,
        lambda im: str(im.id),
        lambda im: PurePosixPath(im.path).name,
        lambda im: _stem(im.path),
    ):
        level: dict[str, int | None] = {}
        for i, im in enumerate(labels.images):
            level[of(im)] = None if of(im) in level else i
        names = level | names
    anchors, reach = _head_places(labels)
    chosen: list[int] = []
    boxes: list[list[float]] = []
    spare = 0
    for name, found in heads.by_picture.items():
        image = names.get(name, names.get(PurePosixPath(name).name))
        if image is None:
            continue
        people = np.flatnonzero((labels.image == image) & ~np.asarray(labels.iscrowd))
        table = np.array(found)
        centre = (table[:, :2] + table[:, 2:]) / 2
        away = np.linalg.norm(centre[:, None] - anchors[people][None], axis=-1)
        inside = (centre[:, None] >= reach[people, :2]) & (centre[:, None] <= reach[people, 2:])
        away = np.where(inside.all(-1), away, np.inf)
        left = len(found)
        while away.size and np.isfinite(away).any():
            h, p = np.unravel_index(int(np.argmin(away)), away.shape)
            chosen.append(int(people[p]))
            boxes.append(found[int(h)])
            away[h], away[:, p], left = np.inf, np.inf, left - 1
        spare += left
    return np.array(chosen, np.int64), np.array(boxes, float).reshape(-1, 4), spare


def _head_places(labels: Annotations) -> tuple[Array, Array]:
    """Where each object's head should be ``[N, 2]``, and the box ``[N, 4]`` that its centre may lie in."""
    parts = [k for k, name in enumerate(labels.skeleton.keypoints) if any(p in name.lower() for p in PARTS)]
    low, high = labels.boxes[:, :2], labels.boxes[:, 2:]
    place = np.column_stack([(low[:, 0] + high[:, 0]) / 2, low[:, 1]])
    seen = labels.labelled[:, parts]
    count = seen.sum(1)
    mean = (labels.keypoints[:, parts, :2] * seen[..., None]).sum(1) / np.maximum(count, 1)[:, None]
    slack = BEYOND * (high - low)
    return np.where(count[:, None] > 0, mean, place), np.concatenate([low - slack, high + slack], 1)


def _diagonal(boxes: Array) -> Array:
    return np.hypot(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def _stem(path: str) -> str:
    stem = PurePosixPath(path).stem
    return str(int(stem)) if stem.isdecimal() and len(stem) < 30 else stem


# -- the files ---------------------------------------------------------------------------------------------------------


def _json_rows(path: Path) -> list[tuple[str, Any, Any]]:
    """(how a message names it, picture, box) of every record."""
    content = load_json(path)
    rows: list[tuple[str, Any, Any]] = []
    if isinstance(content, dict):
        for name, value in content.items():
            several = isinstance(value, list) and bool(value) and isinstance(value[0], list)
            rows += [(f"picture '{name}'", name, box) for box in (value if several else [value])]
    elif isinstance(content, list):
        for i, record in enumerate(content):
            known = isinstance(record, dict)
            name = next((record[p] for p in PICTURE if p in record), None) if known else None
            rows.append((f"record {i}", name, record.get("head") if known else None))
    else:
        raise PosewrightError("is neither a list of records nor an object by picture", file=path)
    return rows


def _csv_rows(path: Path) -> list[tuple[str, Any, Any]]:
    reader = csv.DictReader(read_text(path).splitlines())
    names = [name.strip().lower() for name in reader.fieldnames or []]
    reader.fieldnames = names
    called = next((p for p in PICTURE if p in names), None)
    missing = [c for c in ("x0", "y0", "x1", "y1") if c not in names]
    if called is None or missing:
        what = f"has no column '{missing[0]}'" if missing else "has no column for the picture"
        raise PosewrightError(what, file=path, fix="Its first line is path,x0,y0,x1,y1")
    try:
        return [
            (f"line {reader.line_num}", row[called], [_float(row[c]) for c in ("x0", "y0", "x1", "y1")])
            for row in reader
        ]
    except csv.Error as error:
        raise PosewrightError(f"is not CSV: {error}", file=path) from None


def _float(text: str | None) -> Any:
    try:
        return float(text or "")
    except ValueError:
        return text


def _name(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise PosewrightError("names no picture")
    return str(value).replace("\\", "/")


def _box(value: Any) -> list[float]:
    """The four numbers of a head box."""
    if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)):
        raise PosewrightError("'head' is not four numbers x0, y0, x1, y1")
    box = [float(v) for v in value]
    if not np.isfinite(box).all() or not (box[2] > box[0] and box[3] > box[1]) or max(map(abs, box)) > 1e8:
        raise PosewrightError(f"head box {value} has no area")
    return box


def _read_mat(path: Path, heads: Heads) -> None:
    """Fill in what one of MPII's MATLAB files holds."""
    there = mat_variables(path)
    if SOURCE in there:
        table = np.asarray(load_mat(path, SOURCE))
        if table.dtype.kind not in "iuf" or table.ndim != 3 or table.shape[:2] != (2, 2):
            raise PosewrightError(f"{SOURCE} has shape {list(table.shape)}, not [2, 2, N]", file=path)
        # Its first index is the corner, its second x or y.
        boxes = table.astype(float).transpose(2, 0, 1).reshape(-1, 4) - 1
        heads.in_order = np.where(np.isfinite(boxes).all(1)[:, None], boxes, np.nan)
        return
    if "RELEASE" not in there:
        raise PosewrightError(f"holds neither RELEASE nor {SOURCE}", file=path, fix="MPII's .mat files do")
    for picture in struct_list(struct_field(load_mat(path, "RELEASE"), "annolist")):
        name = scalar(struct_field(struct_field(picture, "image"), "name"))
        if not isinstance(name, str) or not name:
            continue
        for person in struct_list(struct_field(picture, "annorect")):
            try:
                corners = [number(person, c) for c in ("x1", "y1", "x2", "y2")]
            except PosewrightError:
                continue
            if None not in corners:
                x1, y1, x2, y2 = (float(c) - 1 for c in corners if c is not None)
                box = [min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]
                if np.isfinite(box).all() and box[2] > box[0] and box[3] > box[1]:
                    heads.by_picture.setdefault(name, []).append(box)
    if not heads.by_picture:
        raise PosewrightError("holds no head box", file=path)
