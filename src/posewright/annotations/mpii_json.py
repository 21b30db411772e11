"""The JSON that MPII is mostly trained from (``annot/train.json``, ``valid.json``, ``test.json``; used by HRNet, Simple
Baselines, MMPose); read only.

A list of people: ``image``, ``center``, ``scale``, ``joints`` [[x, y], ...], ``joints_vis`` [1, 0, ...]; a test file has
no joints.

Origin: 1-based: the coordinates are those of MPII's MATLAB file, and the training codes take 1 off. So does this reader.

Visibility: ``joints_vis`` 1 is labelled, and counts as visible; 0 is not labelled, as the training codes have it, and has
the place (-1, -1) or (0, 0). A 0 that has a place in the picture all the same is read as labelled but hidden.

Box: as in the .mat file, from ``center`` and ``scale``; from the joints where the centre is (-1, -1).

Split: from the file's name (train, valid, test); a picture with people in several files has the strictest of theirs, so
that no picture is both trained on and measured with. ``trainval.json`` is the union of two others: where these lie
beside it, it is not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from posewright.annotations.json_file import Misfits, head, load_json
from posewright.annotations.mpii_mat import mpii_skeleton, person_boxes
from posewright.annotations.pictures import (
    USUAL_FOLDERS,
    choose_root,
    emptied_images,
    fill_sizes,
    relative_path,
    split_of,
    without_images,
)
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import SPLITS, Annotations, Image
from posewright.errors import PosewrightError


def _is_people(path: Path) -> bool:
    start = head(path)
    if not start.startswith(b"[") or b'"image"' not in start or b'"joint_self"' in start:
        return False
    return b'"joints_vis"' in start or (b'"center"' in start and b'"scale"' in start)


def _label_files(source: Path) -> list[Path]:
    """The file itself, or those of a folder or of ``annot/`` in it."""
    if source.is_file():
        return [source] if source.suffix.lower() == ".json" and _is_people(source) else []
    for folder in (source, source / "annot", source / "annotations"):
        found = [path for path in sorted(folder.glob("*.json")) if _is_people(path)]
        parts = [path for path in found if "trainval" not in path.stem.lower()]
        if found:
            return parts or found
    return []


def detect(source: Path) -> bool:
    """Whether ``source`` is such a file, or a folder with some in it or in ``annot/``."""
    return bool(_label_files(source))


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read a file, or all of a folder's as one set; records of one picture are put together.

    Raises:
        PosewrightError: naming the file and the record that cannot be used.
    """
    files = _label_files(source) or [source]
    records: list[dict[str, Any]] = []
    names: list[tuple[Path, str]] = []
    image: list[int] = []
    place: dict[str, int] = {}
    images: list[dict[str, Any]] = []
    for path in files:
        split = split_of(path.stem)
        content = load_json(path)
        if not isinstance(content, list):
            raise PosewrightError("is JSON, but not a list of records with image, center and scale", file=path)
        for number, record in enumerate(content):
            try:
                picture = _picture(record, number, path)
            except PosewrightError as error:
                options.bad(error)
                continue
            at = place.setdefault(picture, len(images))
            if at == len(images):
                images.append({"path": picture, "split": split})
            elif SPLITS.index(split) > SPLITS.index(images[at]["split"]):
                images[at]["split"] = split
            records.append(record)
            image.append(at)
            names.append((path, f"record {number} ('{record['image']}')"))
    lengths = [len(r["joints"]) for r in records if isinstance(r.get("joints"), list)]
    count = max(set(lengths), key=lengths.count) if lengths else len(options.skeleton or mpii_skeleton(None, files[0]))
    skeleton = mpii_skeleton(options.skeleton, files[0], count)
    columns, problems = _columns(records, count)
    columns |= {"image": np.array(image, np.int64), "name": names}

    def report(i: int, problem: str) -> None:
        path, record = columns["name"][i]
        options.bad(PosewrightError(problem, file=path, record=record))

    problems.leave_out(report, columns)
    table = [Image(**im) for im in images]
    folder = files[0].parent
    folders = [folder.parent / "images", *(folder / name for name in ("images", *USUAL_FOLDERS)), folder.parent]
    root, found = choose_root([im.path for im in table], options.images, folders, files[0])
    table, unreadable = fill_sizes(table, root, options.bad) if found else (table, [])
    own = {name: column for name, column in columns.items() if name != "name"}
    result = Annotations(skeleton, table, root=root, source=str(source), report=report, **own)
    return without_images(result, unreadable + emptied_images(result, range(len(table))))


def _picture(record: Any, number: int, path: Path) -> str:
    if not isinstance(record, dict):
        raise PosewrightError("is no object", file=path, record=f"record {number}")
    if not isinstance(record.get("image"), str):
        raise PosewrightError("has no image", file=path, record=f"record {number}")
    return relative_path(record["image"], file=path, record=f"record {number} ('{record['image']}')")


def _columns(records: list[dict[str, Any]], count: int) -> tuple[dict[str, Any], Misfits]:
    """Keypoints and boxes, and what is wrong with records that do not fit."""
    problems = Misfits()
    without = [r.get("joints") is None and r.get("joints_vis") is None for r in records]
    joints = problems.numbers(
        "joints", [[[-1, -1]] * count if w else r.get("joints") for r, w in zip(records, without)], (count, 2)
    )
    seen = problems.numbers(
        "joints_vis", [[0] * count if w else r.get("joints_vis") for r, w in zip(records, without)], (count,)
    )
    centre = problems.numbers("center", [r.get("center", [-1, -1]) for r in records], (2,))
    scale = problems.numbers("scale", [[r.get("scale", -1)] for r in records], (1,))
    problems.mark(~np.isin(seen, (0, 1)).all(1), "joints_vis holds something else than 0 and 1")
    placed = (joints > 0).all(2) & (seen == 0)
    v = np.where(seen == 1, 2.0, np.where(placed, 1.0, 0.0))
    keypoints = np.concatenate([np.where(v[..., None] > 0, joints - 1, 0), v[..., None]], 2)
    unplaced = (centre == -1).all(1) | (scale[:, 0] == -1)
    problems.mark(~unplaced & (scale[:, 0] <= 0), lambda i: f"scale is {scale[i, 0]:g}: a box of no area")
    problems.mark(unplaced & ~(v > 0).any(1), "has neither center with scale nor a labelled joint")
    spot = np.where(unplaced[:, None], np.nan, np.concatenate([centre, scale], 1))
    return {"keypoints": keypoints, "boxes": person_boxes(spot, keypoints)}, problems


register(
    Format(
        "mpii-json",
        "MPII as JSON, the layout of HRNet's annot/train.json: image, center, scale, joints, joints_vis",
        detect,
        read,
    )
)
