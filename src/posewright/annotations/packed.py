"""Packed sets: crops in tar shards, as ``posewright pack`` writes them; read only.

Origin: the centre of a packed picture's first pixel is (0, 0); visibility as in COCO. Each object is one picture of its own,
cut out of a larger one with the room that training crops need (``Image.part`` says from where, and maps back), and other
objects that show on it are crowds without keypoints: never trained on as such, never background either.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.images import Image, Part
from posewright.annotations.json_file import is_number, number_rows
from posewright.annotations.keypoints import far_outside
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.media.shards import INDEX, Index, is_packed, load_index
from posewright.skeleton import Skeleton

LARGEST = 1 << 24
"""Pixels along a side that no picture has more of."""


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read a packed set: its folder, or the index file in it.

    Every shard must be there in full length; a picture's checksum is compared when it is read.

    Raises:
        PosewrightError: where index or shards are missing or damaged.
    """
    folder = source if source.is_dir() else source.parent
    path = folder / INDEX
    if options.images is not None:
        raise PosewrightError("holds its pictures itself", file=source, fix="Leave --images out")
    index = load_index(folder)
    lines = _labels(path, index)
    skeleton = _skeleton(index, path)
    index.check_sizes()
    rows = _Rows(len(skeleton))
    for (picture, _), line in zip(index.members, lines, strict=True):
        try:
            rows.add(f"{picture.shard.name}/{picture.name}", json.loads(line))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            what = f"labels that cannot be used: {type(error).__name__}: {error}"
            raise PosewrightError(what, file=path, record=picture.name) from None
    annotations = rows.table(skeleton, folder, str(source), str(index.header.get("terms") or ""))
    return _chosen(annotations, options.skeleton)


def _labels(path: Path, index: Index) -> list[bytes]:
    """The lines of labels, one a sample.

    Raises:
        PosewrightError: where they are not those that were written.
    """
    try:
        with path.open("rb") as file:
            file.readline()
            file.readline()
            rest = file.read()
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
    lines = rest.splitlines()
    if zlib.crc32(rest) != index.header["crc32"].get("labels") or len(lines) != len(index.members):
        what = "is cut short or damaged: the checksum of its labels is another"
        raise PosewrightError(what, file=path, fix="Copy the set again, or pack it anew")
    return lines


def _skeleton(index: Index, path: Path) -> Skeleton:
    try:
        return Skeleton.from_dict(index.header["skeleton"])
    except PosewrightError as error:
        raise PosewrightError(error.what, file=path, record="skeleton", fix=error.fix) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PosewrightError(f"cannot be used: {error}", file=path, record="skeleton") from None


class _Rows:
    """The tables while they grow: own objects in the order of the set they come from, then the neighbours."""

    def __init__(self, keypoints: int) -> None:
        self.k = keypoints
        self.images: list[Image] = []
        self.own: list[tuple[int, int, dict[str, Any]]] = []
        self.others: list[tuple[int, int, dict[str, Any]]] = []

    def add(self, path: str, labels: dict[str, Any]) -> None:
        width, height = (_side(side) for side in labels["size"])
        x0, y0, factor = (_side(v, 0) for v in labels["at"])
        whole = labels["whole"]
        whole_width, whole_height = (_side(side) for side in whole["size"])
        part = Part(
            _text(whole["path"]) or "",
            whole_width,
            whole_height,
            x0,
            y0,
            factor,
            None if whole.get("frame") is None else _side(whole["frame"], 0),
            whole.get("id"),
        )
        if factor < 1 or x0 >= part.width or y0 >= part.height:
            raise ValueError(f"a part at ({x0}, {y0}), reduced by {factor}, of {part.width} x {part.height} pixels")
        split, group = _text(labels.get("split")), _text(labels.get("group"))
        self.images.append(Image(path, width, height, None, split, group, None, part))
        row = len(self.images) - 1
        if labels.get("object") is not None:
            self.own.append((_side(labels["object"], 0), row, labels))
        for other in labels.get("others", ()):
            self.others.append((0, row, other))

    def table(self, skeleton: Skeleton, root: Path, source: str, terms: str) -> Annotations:
        objects = sorted(self.own, key=lambda own: own[:2]) + self.others
        keypoints = np.zeros((len(objects), self.k, 3))
        own, wrong = number_rows([labels.get("keypoints") for *_, labels in objects[: len(self.own)]], (self.k, 3))
        for i, why in wrong.items():
            record = self.images[objects[i][1]].path
            raise PosewrightError(f"keypoints: {why}", file=root / INDEX, record=record)
        keypoints[: len(own)] = own
        self._check_places(keypoints, objects, root / INDEX)
        crowd = np.arange(len(objects)) >= len(self.own)
        try:
            return Annotations(
                skeleton,
                self.images,
                np.array([row for _, row, _ in objects], np.int64),
                keypoints,
                np.array([o["box"] for *_, o in objects], float).reshape(-1, 4),
                root,
                iscrowd=crowd,
                area=np.array([o["area"] for *_, o in objects], float),
                weight=np.array([o.get("weight", 1.0) for *_, o in objects], float),
                track=np.array([o.get("track", -1) for *_, o in objects], np.int64),
                head_size=np.array([o.get("head_size", np.nan) for *_, o in objects], float),
                polygons=[_outline(o.get("outline", ())) for *_, o in objects],
                source=source,
                terms=terms,
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, PosewrightError):
                raise
            raise PosewrightError(f"labels that cannot be used: {error}", file=root / INDEX) from None

    def _check_places(
        self, keypoints: NDArray[np.float64], objects: list[tuple[int, int, dict[str, Any]]], path: Path
    ) -> None:
        """Visible keypoints must lie where they could on the whole picture: the tables do not check those of a part."""
        own = [self.images[row] for _, row, _ in objects[: len(self.own)]]
        whole = keypoints[: len(own)].copy()
        for i, im in enumerate(own):
            assert im.part is not None
            whole[i, :, :2] = im.part.to_whole(whole[i, :, :2])
        sizes = np.array([(im.part.width, im.part.height) for im in own if im.part], float).reshape(-1, 2)
        for far in np.flatnonzero(far_outside(whole, sizes).any(1)).tolist():
            what = "a visible keypoint lies far outside the picture"
            raise PosewrightError(what, file=path, record=own[far].path)


def _chosen(annotations: Annotations, wanted: Skeleton | None) -> Annotations:
    """The set with the keypoints that ``--skeleton`` asks for."""
    if wanted is None or wanted == annotations.skeleton:
        return annotations
    from dataclasses import replace

    own = annotations.skeleton
    unknown = next((name for name in wanted.keypoints if name not in own.keypoints), None)
    if unknown is not None:
        what = f"has no keypoint '{unknown}', which skeleton '{wanted.name}' asks for"
        raise PosewrightError(what, file=annotations.source, fix="Leave --skeleton out, or give a choice of its own")
    order = [own.index(name) for name in wanted.keypoints]
    return replace(annotations, skeleton=wanted, keypoints=annotations.keypoints[:, order])


def _side(value: Any, least: int = 1) -> int:
    if not is_number(value) or not least <= value <= LARGEST or value != int(value):
        raise ValueError(f"{value!r} is no number of pixels")
    return int(value)


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _outline(found: Any) -> Any:
    """A run-length mask as it stands, or polygons as arrays."""
    if isinstance(found, dict):
        return found
    return [np.array(polygon, float).reshape(-1, 2) for polygon in found]


PACKED = register(Format("packed", "crops in tar shards, as posewright pack writes them", is_packed, read))
