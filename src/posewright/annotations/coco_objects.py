"""COCO annotations as columns of the table of objects; ``coco.py`` tells the origins."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.coco_write import CORNER
from posewright.annotations.json_file import Misfits, is_number
from posewright.annotations.keypoints import boxes_from_keypoints

Layout = tuple[int, tuple[int, ...] | None]
"""How many keypoints an annotation has in the file, and which of them to take in which order; None for all."""


def mixed_columns(entries: list[dict[str, Any]], layouts: list[Layout]) -> tuple[dict[str, Any], Misfits]:
    """:func:`object_columns` for annotations of several categories, each laid out in its own way, in the given order."""
    kinds = list(dict.fromkeys(layouts))
    if len(kinds) == 1:
        return object_columns(entries, *kinds[0])
    groups = [[i for i, layout in enumerate(layouts) if layout == kind] for kind in kinds]
    parts = [object_columns([entries[i] for i in rows], *kind) for rows, kind in zip(groups, kinds)]
    order = np.argsort(np.concatenate(groups))
    columns: dict[str, Any] = {}
    for name, first in parts[0][0].items():
        values = [part[name] for part, _ in parts]
        if isinstance(first, np.ndarray):
            columns[name] = np.concatenate(values)[order]
        else:
            flat = list(chain.from_iterable(values))
            columns[name] = [flat[i] for i in order.tolist()]
    return columns, Misfits({rows[i]: why for rows, (_, wrong) in zip(groups, parts) for i, why in wrong.items()})


def object_columns(
    entries: list[dict[str, Any]], stored: int, order: tuple[int, ...] | None = None
) -> tuple[dict[str, Any], Misfits]:
    """COCO annotations as columns of the table of objects, in posewright's frame.

    Args:
        entries: N annotations.
        stored: how many keypoints each has in the file.
        order: which of them to take, in which order; None for all.

    Returns:
        The columns by name, and what is wrong with the rows that do not fit.
    """
    n, nothing = len(entries), [0] * (3 * stored)
    problems = Misfits()
    flat = problems.numbers("keypoints", [e.get("keypoints") or nothing for e in entries], (3 * stored,))
    keypoints = flat.reshape(n, stored, 3)
    keypoints = keypoints if order is None else keypoints[:, list(order)]
    keypoints[keypoints[..., 2] == 0] = 0

    unknown = [np.nan] * 4
    corner = problems.numbers("bbox", [unknown if e.get("bbox") is None else e["bbox"] for e in entries], (4,))
    boxes = np.concatenate([corner[:, :2], corner[:, :2] + corner[:, 2:]], 1) - CORNER
    boxless = np.array([e.get("bbox") is None for e in entries], bool) | _no_boxes(corner, keypoints)
    boxes[boxless] = boxes_from_keypoints(keypoints[boxless])
    problems.mark(boxless & ~(keypoints[..., 2] != 0).any(1), "has neither a box nor a labelled keypoint")

    scalars = problems.numbers(", ".join(_SCALARS), [_scalars(e) for e in entries], (len(_SCALARS),))
    area, iscrowd, track, head_size, weight = scalars.T
    problems.mark(np.abs(np.nan_to_num(track)) > LAST_ID, "track_id is no number that counts objects")
    polygons, wrong = _polygons([e.get("segmentation") or [] for e in entries])
    problems.mark(list(wrong), wrong.__getitem__)
    unstated = np.array([e.get("area") is None for e in entries], bool)
    with np.errstate(over="ignore", invalid="ignore"):  # the table of objects refuses boxes of such a size
        covered = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    columns = {
        "keypoints": keypoints,
        "boxes": boxes,
        "iscrowd": np.nan_to_num(iscrowd) != 0,
        "area": np.where(unstated | boxless & (area == 0), covered, area),
        "weight": weight,
        "track": np.clip(np.nan_to_num(track, nan=-1), -1, LAST_ID).astype(np.int64),
        "head_size": head_size,
        "polygons": polygons,
    }
    return columns, problems


LAST_ID = 2**53
"""Whole numbers up to here are exact as floating-point ones."""
_SCALARS = {"area": np.nan, "iscrowd": 0, "track_id": -1, "head_size": np.nan, "weight": 1}
"""Fields of one number, and what stands for a missing one."""


def _no_boxes(corner: NDArray[np.float64], keypoints: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which boxes ``[N, 4]`` (x, y, width, height) without an area say no more than that nobody drew one.

    COCO-Annotator writes [0, 0, 0, 0] where only keypoints were clicked; Label Studio what the keypoints span, which is
    nothing for one keypoint or several in a row.
    """
    labelled = keypoints[..., 2] > 0
    with np.errstate(invalid="ignore"):
        low = np.where(labelled[..., None], keypoints[..., :2], np.inf).min(1, initial=np.inf)
        high = np.where(labelled[..., None], keypoints[..., :2], -np.inf).max(1, initial=-np.inf)
        spanned = (np.abs(np.concatenate([low, high - low], 1) - corner) < 1e-6).all(1)
        flat = (corner[:, 2:] == 0).any(1) & labelled.any(1)
    return flat & (spanned | (corner == 0).all(1))


def _scalars(entry: dict[str, Any]) -> list[Any]:
    values = [entry.get(name) for name in _SCALARS]
    if values[2] is None and isinstance(entry.get("attributes"), dict):  # where CVAT keeps it
        track = entry["attributes"].get("track_id")
        values[2] = track if is_number(track) else None
    if isinstance(values[1], bool):
        values[1] = int(values[1])
    return [missing if v is None else v for v, missing in zip(values, _SCALARS.values())]


def _polygons(rows: list[Any]) -> tuple[list[Any], dict[int, str]]:
    """Each row's polygons as arrays ``[P, 2]``; run-length masks stay as they are."""
    out: list[Any] = []
    problems: dict[int, str] = {}
    flat: list[Any] = []
    for i, row in enumerate(rows):
        row = [polygon for polygon in row if polygon != []] if isinstance(row, list) else row
        fits = isinstance(row, list) and all(isinstance(p, list) and p and len(p) % 2 == 0 for p in row)
        if not fits and not isinstance(row, dict):
            problems[i] = "segmentation is neither a list of polygons (x1, y1, x2, y2, ...) nor a run-length mask"
        out.append(row if fits or isinstance(row, dict) else [])
        flat += out[-1] if fits else []
    numbers = np.array(list(chain.from_iterable(flat)))
    if len(numbers) and numbers.dtype.kind not in "iuf":
        for i, row in enumerate(out):
            if isinstance(row, list) and not all(
                is_number(v) and (isinstance(v, float) or abs(v) < LAST_ID) for p in row for v in p
            ):
                problems[i], out[i] = "segmentation holds what is not a number", []
        return _polygons(out)[0], problems
    pieces = iter(np.split(numbers - CORNER, np.cumsum([len(p) for p in flat])[:-1]))
    return [row if isinstance(row, dict) else [next(pieces).reshape(-1, 2) for _ in row] for row in out], problems
