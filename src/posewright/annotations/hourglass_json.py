"""The hourglass system's ``annotations.json``: a JSON list of people, read and written.

Every record is one person: ``img_paths``, ``joint_self`` [[x, y, v], ...] in the order of a classes file, ``objpos``,
``scale_provided``, ``dataset``, ``isValidation``. ``joint_others`` repeats people who have records of their own and is
not read.

Origin: by ``dataset``. "COCO" is 1-based because the system's converter adds 1 to COCO's pixel indices; "MPI" is
1-based because it copies MPII's MATLAB coordinates. Both are undone. Any other set is taken as it stands, as pixel
indices from 0: that is what the system's converter for Animal-Pose writes.

Visibility: by ``dataset`` too. COCO's is COCO's own. MPII knows 1 = visible and 0 = hidden or missing: 0 with
coordinates is hidden, [0, 0, 0] not labelled. In any other set, a 2 anywhere means COCO's three values; otherwise
1 = visible and 0 = not labelled.

Box: the system crops 250 x scale pixels around ``objpos`` moved down by 15 x scale. The box is the square of
200 x scale about that moved centre, so that a margin of 1.25 gives the same crop.

Split: a picture with any person marked ``isValidation`` is for validation as a whole; the system's MPII converter draws
per person, which shows one picture to both sides.

What the format has no field for lies in a record's ``posewright`` entry, which the system does not look at.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.hourglass_write import HEAD, KNOWN_SETS, known_set, losses, scaled_boxes, write
from posewright.annotations.json_file import Misfits, head, is_number, load_json
from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.annotations.pictures import (
    USUAL_FOLDERS,
    choose_root,
    emptied_images,
    fill_sizes,
    from_hint,
    relative_path,
    without_images,
)
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import SPLITS, Annotations, Image
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN, load_skeleton

Array = NDArray[np.float64]


# -- which file, which joints -----------------------------------------------------------------------------------------


def _is_list_of_people(path: Path) -> bool:
    start = head(path)
    return start.startswith(b"[") and (b'"joint_self"' in start or b'"img_paths"' in start)


def _label_file(source: Path) -> Path | None:
    if source.is_file():
        return source if source.suffix.lower() == ".json" and _is_list_of_people(source) else None
    found = sorted(path for path in source.glob("*.json") if _is_list_of_people(path))
    return next((path for path in found if path.name == "annotations.json"), found[0] if len(found) == 1 else None)


def detect(source: Path) -> bool:
    """Whether ``source`` is such a file, or a folder with one."""
    return _label_file(source) is not None


def _skeleton(path: Path, count: int, dataset: str, wanted: Skeleton | None) -> Skeleton:
    """What the joints are: as told, by the classes file beside the labels, or by the name of a known set; no guess."""
    if wanted is not None:
        return wanted
    own = path.with_name(f"{path.stem}_classes.txt")
    beside = [own] if own.is_file() else sorted(path.parent.glob("*classes.txt"))
    fitting = [s for s in (load_skeleton(str(file)) for file in beside) if len(s) == count]
    if len(fitting) == 1:
        return fitting[0]
    known = BUILTIN.get(KNOWN_SETS.get(known_set(dataset), ""))
    if not beside and known is not None and len(known) == count:
        return known
    names = ", ".join(file.name for file in beside)
    why = f"{len(fitting)} of {names} fit" if beside else "no classes file lies beside it"
    what = f"says {count} joints a person, but not which: {why}"
    raise PosewrightError(what, file=path, fix="Give --skeleton NAME or FILES")


def _usual(rows: list[dict[str, Any]]) -> tuple[int, str]:
    """How many joints most records have, and the set they are from."""
    found = Counter((len(r["joint_self"]), r.get("dataset", "")) for r in rows if isinstance(r.get("joint_self"), list))
    return found.most_common(1)[0][0] if found else (0, "")


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass
class _Pictures:
    """The table of images as it grows with the records."""

    place: dict[tuple[str, int | None], int] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)

    def add(self, path: str, frame: int | None, size: tuple[int, int], split: str | None, own: dict[str, Any]) -> int:
        """The place of a record's picture; the strictest split of its people is the picture's."""
        at = self.place.setdefault((path, frame), len(self.images))
        if at == len(self.images):
            group, number = own.get("group"), own.get("image_id")
            self.images.append(
                {
                    "path": path,
                    "width": size[0],
                    "height": size[1],
                    "frame": frame,
                    "split": split,
                    "group": None if group is None else str(group),
                    "id": number if isinstance(number, (int, str)) else None,
                }
            )
        elif SPLITS.index(split) > SPLITS.index(self.images[at]["split"]):
            self.images[at]["split"] = split
        return at


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read the file, or the one in a folder; records of one picture are put together.

    Raises:
        PosewrightError: naming the file and the record that cannot be used, or where nothing says what the joints are.
    """
    path = _label_file(source) or (source / "annotations.json" if source.is_dir() else source)
    records = load_json(path)
    if not isinstance(records, list):
        raise PosewrightError("is JSON, but not a list of records with img_paths and joint_self", file=path)
    pictures, rows, image, names = _Pictures(), [], [], []
    for number, record in enumerate(records):
        try:
            at = _picture(record, number, pictures, path)
        except PosewrightError as error:
            options.bad(error)
            continue
        rows.append(record)
        image.append(at)
        names.append(f"record {number} ('{record['img_paths']}')")
    if not rows and options.skeleton is None:
        raise PosewrightError("holds no record to read", file=path)
    count, dataset = _usual(rows)
    skeleton = _skeleton(path, count, dataset, options.skeleton)
    columns, problems = _columns(rows, len(skeleton))
    columns |= {"image": np.array(image, np.int64), "name": names}

    def report(i: int, problem: str) -> None:
        options.bad(PosewrightError(problem, file=path, record=columns["name"][i]))

    problems.leave_out(report, columns)
    table = [Image(**im) for im in pictures.images]
    hint = rows[0].get("posewright", {}).get("images") if rows else None
    folders = [path.parent / "images", *(path.parent / name for name in USUAL_FOLDERS)]
    root, found = choose_root([im.path for im in table], options.images, [*from_hint(hint, path), *folders], path)
    table, unreadable = fill_sizes(table, root, options.bad) if found else (table, [])
    own = {name: column for name, column in columns.items() if name != "name"}
    result = Annotations(skeleton, table, root=root, source=str(path), report=report, **own)
    return without_images(result, unreadable + emptied_images(result, range(len(table))))


def _picture(record: Any, number: int, pictures: _Pictures, path: Path) -> int:
    """Check what a record says of its picture and enter it in the table."""
    name = f"record {number}"
    if not isinstance(record, dict):
        raise PosewrightError("is no object", file=path, record=name)
    if not isinstance(record.get("img_paths"), str):
        raise PosewrightError("has no img_paths", file=path, record=name)
    name = f"record {number} ('{record['img_paths']}')"
    picture = relative_path(record["img_paths"], file=path, record=name)
    if not isinstance(record.get("dataset", ""), str):
        raise PosewrightError("dataset is no name", file=path, record=name)
    if "posewright" in record and not isinstance(record["posewright"], dict):
        raise PosewrightError("its posewright entry is no object", file=path, record=name)
    size = []
    for side in ("img_width", "img_height"):
        value = record.get(side) or 0
        if not is_number(value) or not 0 <= value < 1e9:
            raise PosewrightError(f"{side} is {value!r}, not a number of pixels", file=path, record=name)
        size.append(int(value))
    own, validation = record.get("posewright", {}), record.get("isValidation")
    if not isinstance(validation, (int, float, type(None))):
        raise PosewrightError(f"isValidation is {validation!r}, neither 0 nor 1", file=path, record=name)
    split = None if validation is None else "val" if validation else "train"
    split = own["split"] if own.get("split", "") in SPLITS else split
    frame = own.get("frame") if isinstance(own.get("frame"), int) else None
    return pictures.add(picture, frame, (size[0], size[1]), split, own)


def _columns(rows: list[dict[str, Any]], count: int) -> tuple[dict[str, Any], Misfits]:
    """The columns of the table of objects, and what is wrong with rows that do not fit."""
    problems = Misfits()

    def value(record: dict[str, Any], name: str, missing: Any) -> Any:
        found = record.get(name)
        return missing if found is None else found

    nan = float("nan")
    own = [r.get("posewright", {}) for r in rows]
    names = [r.get("dataset", "") for r in rows]
    mpi = np.array([known_set(name) == "MPI" for name in names], bool)
    one_based = np.array([known_set(name) != "" for name in names], bool)
    joints = problems.numbers("joint_self", [value(r, "joint_self", None) for r in rows], (count, 3))
    three_values = _three_values(joints, names) | np.array([o.get("visibility") == "coco" for o in own], bool)
    keypoints = _keypoints(joints, three_values, mpi)
    keypoints[..., :2] -= one_based[:, None, None] * (keypoints[..., 2:] != 0)
    centre = problems.numbers("objpos", [value(r, "objpos", [nan, nan]) for r in rows], (2,))
    scale = problems.numbers("scale_provided", [[value(r, "scale_provided", nan)] for r in rows], (1,))[:, 0]
    heads = problems.numbers("headboxes", [_head_box(r) for r in rows], (4,))
    boxes = problems.numbers("box", [value(o, "box", [nan] * 4) for o in own], (4,))
    scalars = [[value(o, n, d) for n, d in (("area", nan), ("weight", 1), ("track", -1), ("iscrowd", 0))] for o in own]
    area, weight, track, iscrowd = problems.numbers("area, weight, track, iscrowd", scalars, (4,)).T

    unsaid = [r.get("objpos") is None or r.get("scale_provided") is None for r in rows]
    unplaced = np.array(unsaid, bool) | (centre[:, 0] == -1)
    problems.mark(~unplaced & (scale <= 0), lambda i: f"scale_provided is {scale[i]:g}: a box of no area")
    square = scaled_boxes(centre - one_based[:, None], scale)
    placed = np.where(unplaced[:, None], boxes_from_keypoints(keypoints), square)
    boxless = np.array([o.get("box") is None for o in own], bool)
    boxes[boxless] = placed[boxless]
    nothing = boxless & unplaced & ~(keypoints[..., 2] != 0).any(1)
    problems.mark(nothing, "has neither objpos with scale_provided nor a labelled joint")
    diagonal = np.hypot(heads[:, 2] - heads[:, 0], heads[:, 3] - heads[:, 1])
    columns = {
        "keypoints": keypoints,
        "boxes": boxes,
        "area": np.where(np.isnan(area), (boxes[:, 2:] - boxes[:, :2]).prod(1), area),
        "weight": weight,
        "track": np.nan_to_num(track, nan=-1).astype(np.int64),
        "iscrowd": np.nan_to_num(iscrowd) != 0,
        "head_size": np.where(diagonal > 0, HEAD * diagonal, np.nan),
    }
    return columns, problems


def _head_box(record: dict[str, Any]) -> Any:
    """x1, y1, x2, y2 of ``headboxes`` [[x1, y1], [x2, y2]], or of ``head_box`` as older converters call it."""
    box = record.get("headboxes", record.get("head_box"))
    if isinstance(box, list) and box and all(isinstance(corner, list) for corner in box):
        return [number for corner in box for number in corner]
    return [0.0] * 4 if box is None else box


def _three_values(joints: Array, names: list[str]) -> NDArray[np.bool_]:
    """``[N]``: which records' visibility has COCO's three values: by the set's name, else by a 2 anywhere in it."""
    twos = (joints[..., 2] == 2).any(1)
    with_two = {name for name, two in zip(names, twos) if two and not known_set(name)}
    return np.array([known_set(name) == "COCO" or name in with_two for name in names], bool)


def _keypoints(joints: Array, three_values: NDArray[np.bool_], mpi: NDArray[np.bool_]) -> Array:
    """Joints ``[N, K, 3]`` as stored -> the same with COCO's visibility, zero where not labelled."""
    stored, v = joints[..., 2], joints[..., 2].copy()
    placed = (joints[..., :2] != 0).any(2)
    two_values = ~three_values[:, None]
    v[two_values & (stored == 1)] = 2
    v[two_values & (stored == 0) & placed & mpi[:, None]] = 1
    xy = np.where(v[..., None] == 0, 0, joints[..., :2])
    return np.concatenate([xy, v[..., None]], 2)


register(
    Format(
        "hourglass-json",
        "the hourglass system's annotations.json: a list of people, with text files that name the joints",
        detect,
        read,
        write,
        losses,
        frames="named",
    )
)
