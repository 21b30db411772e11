"""Writing the hourglass system's ``annotations.json``; ``hourglass_json.py`` tells its origins, visibility and box."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.coco_write import DECIMALS
from posewright.annotations.losses import TEXT_FILES, lost, lost_of_skeleton
from posewright.annotations.pictures import label_file, picture_hint
from posewright.annotations.tables import Annotations
from posewright.files import whole_file
from posewright.skeletons import BUILTIN

SCALE = 200.0
"""Pixels of the box's side for each unit of ``scale_provided``."""
DOWN = 15.0
"""Pixels for each unit of ``scale_provided`` by which the system moves ``objpos`` down before it crops."""
HEAD = 0.6
"""MPII's head size is this share of the head box's diagonal."""
KNOWN_SETS = {"COCO": "coco-17", "MPI": "mpii-16"}
"""Values of ``dataset`` that say origin, visibility and joints, and the shipped skeletons that belong to them."""


def known_set(dataset: str) -> str:
    """ "COCO" or "MPI" where a record's ``dataset`` means one of them, else ""."""
    name = dataset.strip().upper()
    return {"MPII": "MPI"}.get(name, name) if name in ("COCO", "MPI", "MPII") else ""


def scaled_boxes(objpos: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """The squares ``[N, 4]`` that ``objpos`` ``[N, 2]`` and ``scale_provided`` ``[N]`` stand for, in the frame of
    ``objpos``: a margin of 1.25 makes the system's crops of them."""
    with np.errstate(over="ignore", invalid="ignore"):  # a box of such a size is refused by the table of objects
        centre = objpos + np.stack([np.zeros_like(scale), DOWN * scale], 1)
        half = (SCALE / 2 * scale)[:, None]
        return np.concatenate([centre - half, centre + half], 1)


def losses(annotations: Annotations) -> list[str]:
    """What the format has no place for."""
    return lost(annotations, "empty", "outlines", "terms") + lost_of_skeleton(annotations.skeleton, *TEXT_FILES)


def write(annotations: Annotations, target: Path) -> list[Path]:
    """Write ``annotations.json`` and, beside it, the classes, match-point and skeleton text files.

    Args:
        annotations: the labels; the pictures stay where they are, while the system itself looks for them in
            ``images/`` beside the file.
        target: a ``.json`` file, or the data set's folder.

    Returns:
        The four files, the labels first.

    Raises:
        PosewrightError: where they cannot be written.
    """
    a = annotations
    path = label_file(target)
    prefix = path.stem if path == target else a.skeleton.name
    name = next((n for n, s in KNOWN_SETS.items() if BUILTIN[s].same_keypoints(a.skeleton)), "")
    hint = picture_hint(a.root, path)
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        between = "[\n"
        for i, record in enumerate(_records(a, name)):
            if i == 0 and hint != "images":
                record["posewright"]["images"] = hint
            file.write(between + json.dumps(record, allow_nan=False, ensure_ascii=False))
            between = ",\n"
        file.write("\n]\n" if len(a) else "[]\n")
        file.flush()
        texts = a.skeleton.to_files(path.parent, prefix)
    return [path, *texts]


def _records(a: Annotations, known: str) -> Iterator[dict[str, Any]]:
    """One record a person, with 1-based coordinates in the known sets."""
    shift = 1 if known else 0
    boxes = a.boxes.round(DECIMALS)
    extent = boxes[:, 2:] - boxes[:, :2]
    scale = extent.max(1) / SCALE
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + shift
    centre[:, 1] -= DOWN * scale
    joints = _joints(a, known, shift).round(DECIMALS).tolist()
    centres, area, box_area = centre.round(DECIMALS).tolist(), a.area.round(DECIMALS), extent.prod(1).round(DECIMALS)
    for i, place in enumerate(a.image.tolist()):
        im = a.images[place]
        own: dict[str, Any] = {"box": boxes[i].tolist()}
        if not known:
            own["visibility"] = "coco"
        if im.split not in ("train", "val"):
            own["split"] = im.split
        for key, value in (("group", im.group), ("image_id", im.id), ("frame", im.frame)):
            if value is not None:
                own[key] = value
        if area[i] != box_area[i]:
            own["area"] = float(area[i])
        if a.weight[i] != 1:
            own["weight"] = round(float(a.weight[i]), 6)
        if a.track[i] >= 0:
            own["track"] = int(a.track[i])
        if a.iscrowd[i]:
            own["iscrowd"] = 1
        record: dict[str, Any] = {
            "dataset": known or a.skeleton.name,
            "isValidation": float(im.split in ("val", "test")),
            "img_paths": im.path,
            "objpos": centres[i],
            "scale_provided": round(float(scale[i]), 8),
            "joint_self": joints[i],
            "headboxes": _head_box(a, i, shift),
            "posewright": own,
        }
        if im.width and im.height:
            record |= {"img_width": im.width, "img_height": im.height}
        yield record


def _joints(a: Annotations, known: str, shift: int) -> NDArray[np.float64]:
    """``[N, K, 3]`` as stored; [0, 0, 0] where not labelled."""
    joints = a.keypoints.copy()
    labelled, hidden = a.labelled, a.keypoints[..., 2] == 1
    joints[..., :2] += shift
    if known == "MPI":
        joints[..., 2] = a.keypoints[..., 2] == 2
        # A hidden joint that falls on (0, 0) would read as missing.
        joints[hidden & (joints.round(DECIMALS) == 0).all(2), 0] = 10.0**-DECIMALS
    joints[~labelled] = 0
    return joints


def _head_box(a: Annotations, i: int, shift: int) -> list[list[float]]:
    """A square of the right diagonal about the head's keypoints, or the box's centre: only its size was kept."""
    if np.isnan(a.head_size[i]):
        return [[0.0, 0.0], [0.0, 0.0]]
    centre = (a.boxes[i, :2] + a.boxes[i, 2:]) / 2
    normaliser = a.skeleton.normaliser
    if normaliser.kind == "head" and normaliser.keypoints:
        ends = a.keypoints[i, [a.skeleton.index(name) for name in normaliser.keypoints]]
        if (ends[:, 2] > 0).all():
            centre = ends[:, :2].mean(0)
    half = a.head_size[i] / HEAD / np.sqrt(8)
    return [(centre - half + shift).round(DECIMALS).tolist(), (centre + half + shift).round(DECIMALS).tolist()]
