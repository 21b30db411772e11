"""Writing COCO keypoints JSON; ``coco.py`` tells the origins and the fields beyond the official ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.pictures import label_file, picture_hint
from posewright.annotations.tables import Annotations
from posewright.files import whole_file

CORNER = 0.5
"""From COCO's corner origin to the centre of the first pixel."""
DECIMALS = 4
"""Of written coordinates; reading and writing again changes nothing more."""


def write(
    annotations: Annotations,
    target: Path,
    notes: Mapping[str, Any] | None = None,
    ids: Sequence[int | str] | None = None,
) -> list[Path]:
    """Write COCO keypoints JSON, one record a line.

    Args:
        annotations: the labels; the pictures stay where they are, and the file notes their folder.
        target: a ``.json`` file, or a folder, which gets ``annotations.json``.
        notes: more entries for ``info.posewright``, which readers of labels pass over.
        ids: ``[N]``, of the annotations, each once; from 1 on unless given.

    Returns:
        The file written.

    Raises:
        PosewrightError: where it cannot be written; nothing is left behind then.
    """
    path = label_file(target)
    own = {"images": picture_hint(annotations.root, path)} | ({"terms": annotations.terms} if annotations.terms else {})
    info = {
        "description": f"{annotations.skeleton.name} keypoints, written by posewright",
        "posewright": {**own, **(notes or {})},
    }
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{\n"info": {_line(info)},\n"categories": [{_line(annotations.skeleton.to_coco())}]')
        for name, records in (("images", _images(annotations)), ("annotations", _objects(annotations, ids))):
            file.write(f',\n"{name}": [\n')
            _write_lines(file.write, records)
            file.write("]")
        file.write("\n}\n")
    return [path]


def _line(record: dict[str, Any]) -> str:
    text = json.dumps(record, allow_nan=False, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold as an escape only
        return json.dumps(record, allow_nan=False)
    return text


def _write_lines(put: Callable[[str], Any], records: Iterable[dict[str, Any]]) -> None:
    between = ""
    for record in records:
        put(between + _line(record))
        between = ",\n"
    put("\n")


def _images(annotations: Annotations) -> Iterator[dict[str, Any]]:
    for number, im in zip(annotations.image_ids, annotations.images):
        record: dict[str, Any] = {"id": number, "file_name": im.path, "width": im.width, "height": im.height}
        part = None if im.part is None else {k: v for k, v in asdict(im.part).items() if v is not None}
        extra = {"frame": im.frame, "split": im.split, "group": im.group, "part": part}
        yield record | {name: value for name, value in extra.items() if value is not None}


def _objects(annotations: Annotations, own: Sequence[int | str] | None) -> Iterator[dict[str, Any]]:
    a = annotations
    ids = a.image_ids
    keypoints = coco_keypoints(a.keypoints)
    size = np.maximum((a.boxes[:, 2:] - a.boxes[:, :2]).round(DECIMALS), 10.0**-DECIMALS)
    bbox = np.concatenate([(a.boxes[:, :2] + CORNER).round(DECIMALS), size], 1).tolist()
    labelled, area = a.labelled.sum(1).tolist(), a.area.round(DECIMALS).tolist()
    for i, image in enumerate(a.image.tolist()):
        record = {
            "id": i + 1 if own is None else own[i],
            "image_id": ids[image],
            "category_id": 1,
            "iscrowd": int(a.iscrowd[i]),
            "num_keypoints": labelled[i],
            "keypoints": keypoints[i],
            "bbox": bbox[i],
            "area": area[i],
        }
        if a.polygons[i]:
            record["segmentation"] = _segmentation(a.polygons[i])
        if a.track[i] >= 0:
            record["track_id"] = int(a.track[i])
        if not np.isnan(a.head_size[i]):
            record["head_size"] = max(round(float(a.head_size[i]), DECIMALS), 10.0**-DECIMALS)
        if a.weight[i] != 1:
            record["weight"] = round(float(a.weight[i]), 6)
        yield record


def coco_keypoints(keypoints: NDArray[np.float64]) -> list[list[float]]:
    """Keypoints ``[N, K, 3]`` as COCO's flat lists x1, y1, v1, ...: whole numbers where all are, v always."""
    flat = keypoints.round(DECIMALS).reshape(len(keypoints), 3 * keypoints.shape[1])
    if (flat == np.trunc(flat)).all():
        return flat.astype(int).tolist()
    mixed = flat.astype(object)
    mixed[:, 2::3] = flat[:, 2::3].astype(int).astype(object)
    return mixed.tolist()


def _segmentation(polygons: Any) -> Any:
    if isinstance(polygons, dict):
        return polygons
    return [(np.asarray(p) + CORNER).round(DECIMALS).ravel().tolist() for p in polygons]
