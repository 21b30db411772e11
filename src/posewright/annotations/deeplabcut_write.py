"""Writing a DeepLabCut project: ``config.yaml`` and, for each group of pictures, ``labeled-data/<group>/`` with the pictures
and ``CollectedData_<scorer>.csv``.

DeepLabCut trains from HDF5 tables, which it makes itself: ``deeplabcut.convertcsv2h5("config.yaml", userfeedback=False)``.
A set with one object a picture becomes a single-animal project, any other one with several individuals.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from posewright.annotations.losses import ASPECTS, lost, lost_of_skeleton
from posewright.annotations.tables import Annotations
from posewright.annotations.video_frames import refuse_frames
from posewright.errors import PosewrightError
from posewright.files import whole_folder, write_text

SCORER = "posewright"


def losses(annotations: Annotations) -> list[str]:
    """What a project has no place for."""
    unlabelled = int((~annotations.labelled.any(1)).sum())
    lines = ["boxes and sizes", *lost(annotations, *(aspect for aspect in ASPECTS if aspect != "groups"))]
    groups = {im.group for im in annotations.images if im.group}
    if len({_folder(group) for group in groups}) < len(groups):
        lines.append("groups of pictures that differ in their first folders only: they become one")
    lines += [f"{unlabelled} objects without any labelled keypoint"] if unlabelled else []
    return lines + lost_of_skeleton(annotations.skeleton, "links", shipped=False)


def write(annotations: Annotations, target: Path) -> list[Path]:
    """Write a project folder, with copies of the pictures, which DeepLabCut needs inside it.

    Raises:
        PosewrightError: where the target is there already, a picture is missing, or nothing is labelled.
    """
    if target.suffix and not target.is_dir():
        raise PosewrightError("a DeepLabCut project is a folder", file=target, fix="Give a name without an ending")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PosewrightError("is there already and not empty", file=target, fix="Name a new folder")
    labelled = annotations.objects(np.flatnonzero(annotations.labelled.any(1))).require_labels()
    used = sorted(set(labelled.image.tolist()))
    labelled = labelled.subset(used).require_pictures()
    places = _places(labelled)
    most = int(np.bincount(labelled.image).max())
    individuals = [f"individual{i + 1}" for i in range(most)] if most > 1 else []
    with whole_folder(target) as folder:
        for i, (group, name) in enumerate(places):
            picture = folder / "labeled-data" / group / name
            picture.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(labelled.image_path(i), picture)
        for group in dict.fromkeys(group for group, _ in places):
            rows = {i: name for i, (of, name) in enumerate(places) if of == group}
            text = _table(labelled, group, rows, individuals)
            write_text(folder / "labeled-data" / group / f"CollectedData_{SCORER}.csv", text)
        write_text(folder / "config.yaml", _config(labelled, target, individuals))
    return [target]


def _places(annotations: Annotations) -> list[tuple[str, str]]:
    """Group and file name of each picture in the project, no two alike."""
    taken: dict[tuple[str, str], int] = {}
    places = []
    refuse_frames(annotations, "DeepLabCut")
    for i, im in enumerate(annotations.images):
        path = PurePosixPath(im.path)
        group = _folder(im.group or path.parent.as_posix())
        if (group, path.name.lower()) in taken:
            path = path.with_name(f"{path.stem}_{i}{path.suffix}")
        taken[group, path.name.lower()] = i
        places.append((group, path.name))
    return places


def _folder(group: str) -> str:
    """The folder below ``labeled-data`` that a group's pictures lie in."""
    return re.sub(r"[^\w.-]", "_", PurePosixPath(group).name).strip(".") or "pictures"


def _table(annotations: Annotations, group: str, rows: dict[int, str], individuals: list[str]) -> str:
    """The CSV of one group, with the picture's path in three cells as DeepLabCut writes it since 2021."""
    parts = annotations.skeleton.keypoints
    columns = [(who, part, c) for who in individuals or [""] for part in parts for c in "xy"]
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(["scorer", "", "", *[SCORER] * len(columns)])
    if individuals:
        lines.writerow(["individuals", "", "", *[who for who, _, _ in columns]])
    lines.writerow(["bodyparts", "", "", *[part for _, part, _ in columns]])
    lines.writerow(["coords", "", "", *[c for _, _, c in columns]])
    for i, name in rows.items():
        cells: list[Any] = []
        for points in annotations.keypoints[annotations.image == i]:
            cells += [repr(float(c)) if v else "" for x, y, v in points for c in (x, y)]
        cells += [""] * (len(columns) - len(cells))
        lines.writerow(["labeled-data", group, name, *cells])
    return out.getvalue()


def _config(annotations: Annotations, target: Path, individuals: list[str]) -> str:
    """The settings that DeepLabCut asks for; JSON texts and lists are YAML, too."""
    skeleton = annotations.skeleton
    parts, links = list(skeleton.keypoints), [[skeleton.keypoints[i] for i in link] for link in skeleton.links]
    settings: dict[str, Any] = {
        "Task": skeleton.name,
        "scorer": SCORER,
        "date": "",
        "multianimalproject": bool(individuals),
        "identity": False,
        "project_path": str(target.absolute()),
        "engine": "pytorch",
        "video_sets": {},
        "bodyparts": "MULTI!" if individuals else parts,
        "start": 0,
        "stop": 1,
        "numframes2pick": 20,
        "skeleton": links,
        "skeleton_color": "black",
        "pcutoff": 0.6,
        "dotsize": 12,
        "alphavalue": 0.7,
        "colormap": "rainbow",
        "TrainingFraction": [0.95],
        "iteration": 0,
        "default_net_type": "resnet_50",
        "default_augmenter": "default",
        "snapshotindex": -1,
        "batch_size": 8,
        "cropping": False,
        "x1": 0,
        "x2": 640,
        "y1": 277,
        "y2": 624,
        "corner2move2": [50, 50],
        "move2corner": True,
    }
    if individuals:
        settings |= {"individuals": individuals, "uniquebodyparts": [], "multianimalbodyparts": parts}
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in settings.items())
