"""Writing the plain CSV; ``plain_csv.py`` tells the rule."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from posewright.annotations.coco_write import DECIMALS
from posewright.annotations.losses import lost, lost_of_skeleton
from posewright.annotations.pictures import USUAL_FOLDERS, picture_hint
from posewright.annotations.plain_csv_table import BOX
from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.files import whole_file


def losses(annotations: Annotations) -> list[str]:
    """What the format has no place for."""
    return lost(annotations, "outlines", "terms") + lost_of_skeleton(annotations.skeleton)


def write(annotations: Annotations, target: Path) -> list[Path]:
    """Write one line an object, with the columns that are needed; a picture without an object has a line of its own.

    Args:
        annotations: the labels; the pictures stay where they are, and the file notes their folder where they do not lie
            beside it.
        target: a ``.csv`` or ``.tsv`` file, or a folder, which gets ``labels.csv``.

    Returns:
        The file written.

    Raises:
        PosewrightError: where it cannot be written, or a keypoint's columns would be taken for a box's.
    """
    a = annotations
    path = target if target.suffix.lower() in (".csv", ".tsv") else target / "labels.csv"
    clash = next((name for name in a.skeleton.keypoints if name.lower() in ("box", "bbox")), None)
    if clash:
        raise PosewrightError(f"keypoint '{clash}' would be taken for a box", file=path, fix="Write another format")
    hint = picture_hint(a.root, path)
    extra = _scalars(a)
    frames, sizes = any(im.frame is not None for im in a.images), any(im.width for im in a.images)
    hidden = bool((a.keypoints[..., 2] == 1).any())
    about = {
        "path": True,
        "frame": frames,
        "set": bool(a.splits),
        "group": any(im.group for im in a.images),
        "width": sizes,
        "height": sizes,
        "pictures": hint not in (".", *USUAL_FOLDERS),
    }
    header = [name for name, used in about.items() if used]
    header += [f"{name}_{c}" for name in a.skeleton.keypoints for c in ("xyv" if hidden else "xy")]
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, "excel-tab" if path.suffix.lower() == ".tsv" else "excel", lineterminator="\n")
        rows.writerow([*header, *BOX, *extra])
        for image, i in _order(a):
            im = a.images[image]
            said = (im.path, im.frame, im.split, im.group, im.width or None, im.height or None, hint)
            row: list[Any] = [value for value, used in zip(said, about.values()) if used]
            if about["pictures"]:
                hint = ""  # once is enough
            if i is not None:
                points = a.keypoints[i].tolist()
                row += [cell for x, y, v in points for cell in _cells(x, y, v, hidden)]
                row += [_number(value) for value in (*a.boxes[i].tolist(), *(column[i] for column in extra.values()))]
            else:
                row += [None] * (len(header) - len(row) + len(BOX) + len(extra))
            rows.writerow(row)
    return [path]


def _scalars(a: Annotations) -> dict[str, list[float]]:
    """The columns of the table of objects that say something; NaN is written as an empty cell."""
    covered = (a.boxes[:, 2:] - a.boxes[:, :2]).prod(1)
    used = {
        "track": (np.where(a.track >= 0, a.track, np.nan), (a.track >= 0).any()),
        "weight": (a.weight, (a.weight != 1).any()),
        "area": (a.area, (np.abs(a.area - covered) > 1e-6 * (1 + covered)).any()),
        "iscrowd": (a.iscrowd.astype(float), a.iscrowd.any()),
        "head_size": (a.head_size, not np.isnan(a.head_size).all()),
    }
    return {name: column.tolist() for name, (column, says) in used.items() if says}


def _order(a: Annotations) -> list[tuple[int, int | None]]:
    """(image, object) of each line, None for a picture without any: in the order of the pictures, and in that of the
    objects too wherever both can be had."""
    first: dict[int, int] = {}
    for row, image in enumerate(a.image.tolist()):
        first.setdefault(image, row)
    owners = a.image.tolist()
    if list(first) != sorted(first):
        lines = sorted((image, row) for row, image in enumerate(owners))
    else:
        lines = [(image, row) for row, image in enumerate(owners)]
    out: list[tuple[int, int | None]] = []
    empty = [i for i in range(len(a.images)) if i not in first]
    for image, row in lines:
        while empty and empty[0] < image:
            out.append((empty.pop(0), None))
        out.append((image, row))
    return [*out, *((i, None) for i in empty)]


def _cells(x: float, y: float, v: float, hidden: bool) -> list[Any]:
    cells: list[Any] = [_number(x), _number(y)] if v else [None, None]
    return [*cells, int(v) if v else None] if hidden else cells


def _number(value: float) -> int | float | None:
    """Rounded, whole where it is, None for NaN."""
    if np.isnan(value):
        return None
    rounded = round(value, DECIMALS)
    return int(rounded) if rounded == int(rounded) else rounded
