"""The plain JSON rule: a list with one record for each object; read only. For labels of no particular tool::

    [{"path": "cam1/0001.png", "keypoints": {"nose": [201, 189], "tail": [105.5, 94, 1]}, "box": [90, 80, 220, 200],
      "set": "train", "group": "cam1"}, ...]

- ``path``: the picture, from the file's folder or from ``--images``; several records of one path are several objects.
- ``keypoints``: by name ``[x, y]``, or ``[x, y, v]`` with v as in COCO: 0 not labelled, 1 labelled but hidden, 2 visible,
  which it is without a v. One that is left out or null is not labelled. Names that are all numbers, "0", "1", ..., are
  sorted by number, others stand in the order in which they first come.
- ``box``: ``[x0, y0, x1, y1]``; from the keypoints, with ``BOX_MARGIN``, where it is left out.
- ``set``: train, val (or valid, validation) or test. ``group``: what never falls into different splits.
- Other entries are passed over.

Origin: (0, 0) is the first pixel's centre; a box reaches from pixel centre to pixel centre.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posewright.annotations.foreign_paths import local_paths
from posewright.annotations.json_file import head, load_json, number_rows
from posewright.annotations.keypoints import boxes_from_keypoints
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
from posewright.annotations.tables import Annotations, Image
from posewright.errors import PosewrightError
from posewright.sides import swaps_from_names
from posewright.skeleton import Skeleton


def detect(source: Path) -> bool:
    """Whether ``source`` is a JSON list whose first record has a path and keypoints by name, or a folder with just one."""
    return _label_file(source) is not None


def _label_file(source: Path) -> Path | None:
    try:
        files = sorted(source.glob("*.json")) if source.is_dir() else [source]
    except OSError:
        return None
    found = [path for path in files if path.suffix.lower() == ".json" and _looks_right(head(path))]
    return found[0] if len(found) == 1 else None


def _looks_right(start: bytes) -> bool:
    return bool(
        re.match(rb"\[\s*\{", start)
        and re.search(rb'"path"\s*:\s*"', start)
        and re.search(rb'"keypoints"\s*:\s*\{', start)
    )


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read such a list.

    Raises:
        PosewrightError: naming the record that cannot be used.
    """
    file = _label_file(source) or source
    if file.is_dir():
        raise PosewrightError("holds no such list, or several", file=source, fix="Give the .json file")
    content = load_json(file)
    if not isinstance(content, list) or not content:
        raise PosewrightError("is no list of records, or an empty one", file=file)
    candidates = [file.parent / folder for folder in USUAL_FOLDERS]
    paths = _paths(content, [options.images] if options.images else candidates)
    records, places, labels = [], [], []
    for i, (record, said) in enumerate(zip(content, paths)):
        try:
            places.append(_path(record, said, i, file))
            records.append(record)
            labels.append(f"record {i} ('{places[-1]}')")
        except PosewrightError as error:
            options.bad(error)
    skeleton = options.skeleton or _skeleton(records, file)
    images: dict[str, Image] = {}
    kept: list[tuple[str, Any, str]] = []
    for record, place, label in zip(records, places, labels):
        try:
            points, box = _object(record, skeleton, file, label)
            image = _image(record, place, images.get(place), file, label)
        except PosewrightError as error:
            options.bad(error)
            continue
        images[place] = image
        if points is not None:
            kept.append((place, (points, box), label))
    index = {place: i for i, place in enumerate(images)}
    keypoints = np.array([points for _, (points, _), _ in kept]).reshape(-1, len(skeleton), 3)
    boxes = boxes_from_keypoints(keypoints)
    for i, (_, (_, box), _) in enumerate(kept):
        if box is not None:
            boxes[i] = box
    root, _ = choose_root(list(images), options.images, candidates, file)
    sized, unreadable = fill_sizes(list(images.values()), root, options.bad)

    def report(i: int, problem: str) -> None:
        options.bad(PosewrightError(problem, file=file, record=kept[i][2]))

    owner = np.array([index[place] for place, _, _ in kept], int)
    result = Annotations(skeleton, sized, owner, keypoints, boxes, root, source=str(source), report=report)
    return without_images(result, sorted({*unreadable, *emptied_images(result, owner.tolist())}))


def _paths(records: list[Any], folders: list[Path]) -> list[str]:
    """The paths of all records, "" where one has none; those of another place as the picture is called here."""
    said = [record.get("path") if isinstance(record, dict) else None for record in records]
    return local_paths([path if isinstance(path, str) else "" for path in said], folders)


def _path(record: Any, said: str, i: int, file: Path) -> str:
    """The picture of a record whose form is right."""
    if not isinstance(record, dict) or not isinstance(record.get("path"), str):
        raise PosewrightError("has no path", file=file, record=f"record {i}")
    if not isinstance(record.get("keypoints"), dict):
        raise PosewrightError("has no keypoints by name", file=file, record=f"record {i} ('{record['path']}')")
    return relative_path(said, file=file, record=f"record {i}")


def _skeleton(records: list[Any], file: Path) -> Skeleton:
    names = list(dict.fromkeys(name for record in records for name in record["keypoints"]))
    if all(re.fullmatch(r"[0-9]{1,6}", name) for name in names):
        names = sorted(names, key=int)
    try:
        return Skeleton(file.stem, tuple(names), swaps_from_names(names))
    except PosewrightError as error:
        raise PosewrightError(error.what, file=file) from None


def _object(record: Any, skeleton: Skeleton, file: Path, label: str) -> tuple[Any, Any]:
    """Keypoints ``[K, 3]`` and box or None; no keypoints where none is labelled and there is no box."""
    points = np.zeros((len(skeleton), 3))
    for name, value in record["keypoints"].items():
        if value is None:
            continue
        try:
            place = skeleton.index(name)
        except PosewrightError as error:
            raise PosewrightError(error.what, file=file, record=label, fix=error.fix) from None
        size = len(value) if isinstance(value, list) else 0
        table, wrong = number_rows([value], (3 if size == 3 else 2,))
        if wrong:
            raise PosewrightError(f"keypoint '{name}' {wrong[0]}", file=file, record=label)
        points[place] = table[0] if size == 3 else (*table[0], 2)
    box = None
    if record.get("box") is not None:
        table, wrong = number_rows([record["box"]], (4,))
        if wrong:
            raise PosewrightError(f"box {wrong[0]}", file=file, record=label)
        box = table[0]
    return (None, None) if box is None and not points[:, 2].any() else (points, box)


def _image(record: Any, place: str, before: Image | None, file: Path, label: str) -> Image:
    said, group = record.get("set"), record.get("group")
    if said is not None and (not isinstance(said, str) or split_of(said) is None):
        raise PosewrightError(f"set {said!r} is not one of train, val, test", file=file, record=label)
    split = split_of(said) if said is not None else None
    name = str(group) if group is not None else None
    if before is None:
        return Image(place, split=split, group=name)
    if split is not None and before.split not in (None, split):
        raise PosewrightError(f"is in '{split}' here and in '{before.split}' before", file=file, record=label)
    return replace(before, split=before.split or split, group=before.group or name)


register(Format("json", "plain JSON: a list of {path, keypoints by name, box, set, group}", detect, read))
