"""COCO keypoint results of any tool, brought into the order of a labelled set's objects."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.json_file import is_number, load_json
from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.metrics.average_precision import Detections
from posewright.metrics.oks import assign

Array = NDArray[np.float64]

FARTHEST = 1e9
"""Pixels from the picture beyond which a coordinate is an error of the file, and its square no number any more."""


@dataclass
class Predicted:
    """Predictions in the order of a labelled set's objects.

    Attributes:
        xy: ``[N, K, 2]`` in source-picture pixels; NaN where nothing was predicted.
        score: ``[N, K]``; NaN likewise.
        presence: ``[N]``; NaN likewise. For results of other tools, their score.
        notes: what a reader of the figures should know, one sentence each.
        skipped: one line for each record or picture that was left out.
        covariance: ``[N, K, 3]`` (xx, xy, yy) in px^2; NaN likewise. None where the model tells none.
        visibility: ``[N, K]`` in 0..1; NaN likewise. None where the model tells none.
        detections: all that a results file holds for the set's pictures, matched to an object or not; None of a model, which
            is shown the labelled boxes.
    """

    xy: Array
    score: Array
    presence: Array
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    covariance: Array | None = None
    visibility: Array | None = None
    detections: Detections | None = None

    @classmethod
    def nothing(cls, objects: int, keypoints: int) -> Predicted:
        """No prediction for any object."""
        return cls(
            np.full((objects, keypoints, 2), np.nan), np.full((objects, keypoints), np.nan), np.full(objects, np.nan)
        )

    def all_detections(self, truth: Annotations) -> Detections:
        """What average precision is measured of: :attr:`detections`, else one for each object that has a prediction.

        Of the latter, the score is the mean of the keypoints', as in :meth:`posewright.poses.Poses.to_coco_results`.
        """
        if self.detections is not None:
            return self.detections
        found = np.isfinite(self.xy).any((1, 2))
        return Detections(truth.image[found], np.nan_to_num(self.xy[found]), np.nan_to_num(self.score[found]).mean(1))

    def objects(self, keep: NDArray[np.bool_]) -> Predicted:
        """Only some of the objects' predictions, by mask; without :attr:`detections`, which are of pictures."""
        return replace(
            self,
            xy=self.xy[keep],
            score=self.score[keep],
            presence=self.presence[keep],
            covariance=None if self.covariance is None else self.covariance[keep],
            visibility=None if self.visibility is None else self.visibility[keep],
            detections=None,
        )


@dataclass(frozen=True)
class _Row:
    image: int
    points: Array
    score: float


def read_results(path: str | Path, truth: Annotations, *, skip_bad: bool = False) -> Predicted:
    """Read a COCO keypoint results file and match its detections to the labelled objects.

    The file is a list of ``{"image_id", "category_id", "keypoints": [x, y, score, ...], "score"}``. x and y are pixel
    indices (the first pixel's centre is 0), as in COCO's keypoints. A keypoint written as 0, 0, 0 was not predicted.
    ``image_id`` is a picture's id in the labels, as a number or a text, or its path or file name, with or without its
    ending. Detections of one picture are matched one to one as :func:`posewright.metrics.oks.assign` says; objects that
    get none stay NaN.

    Raises:
        PosewrightError: with the file and record, where the file is no such list, a row's keypoints have the wrong
            length or are not finite numbers, an ``id`` is used twice, or no row is for any of the labelled pictures.
    """
    path = Path(path)
    rows = _load(path)
    places = _places(truth)
    found: dict[int, list[_Row]] = {}
    result = Predicted.nothing(len(truth), len(truth.skeleton))
    ids: set[Any] = set()
    elsewhere = 0
    for number, row in enumerate(rows):
        try:
            parsed = _parse(row, number, path, truth, places, ids)
        except PosewrightError as error:
            if not skip_bad:
                raise
            result.skipped.append(str(error))
            continue
        if parsed is None:
            elsewhere += 1
        else:
            found.setdefault(parsed.image, []).append(parsed)
    if rows and not found:
        known = ", ".join(str(image_id(truth, i)) for i in range(min(3, len(truth.images))))
        raise PosewrightError(
            "none of its image_ids is a picture of the labels", file=path, fix=f"The labels' are like {known}"
        )
    result.detections = _detections(found, len(truth.skeleton))
    used = 0
    for image, detections in found.items():
        objects = np.flatnonzero((truth.image == image) & ~np.asarray(truth.iscrowd))
        points = np.array([d.points for d in detections])
        if not len(objects):
            continue
        chosen = assign(
            points[..., :2], truth.keypoints[objects], truth.boxes[objects], truth.area[objects], truth.skeleton.sigmas
        )
        for obj, d in zip(objects[chosen >= 0], chosen[chosen >= 0], strict=True):
            result.xy[obj], result.score[obj] = points[d, :, :2], points[d, :, 2]
            result.presence[obj] = detections[d].score
            used += 1
    result.notes = list(_notes(truth, used, sum(map(len, found.values())) - used, elsewhere))
    return result


def _detections(found: dict[int, list[_Row]], k: int) -> Detections:
    """All rows of the set's pictures, those of one picture in the file's order."""
    rows = [row for rows in found.values() for row in rows]
    points = np.array([row.points for row in rows]).reshape(-1, k, 3)
    image = np.array([row.image for row in rows], np.int64)
    return Detections(image, np.nan_to_num(points[..., :2]), np.array([row.score for row in rows], float))


def _notes(truth: Annotations, used: int, spare: int, elsewhere: int) -> Iterable[str]:
    crowded = len(truth) and np.bincount(truth.image).max() > 1
    by = "highest OKS" if truth.skeleton.sigmas else "smallest mean distance over the box's longer side"
    if crowded or spare:
        yield f"Detections are matched to their picture's objects one to one, by {by}: {used} matched, {spare} spare."
    if elsewhere:
        yield f"{elsewhere} results are for pictures outside the evaluated set and were not used."


def _load(path: Path) -> list[Any]:
    rows = load_json(path)
    if isinstance(rows, dict):
        what = "is a COCO data set with labels" if "annotations" in rows else "is a JSON object"
        raise PosewrightError(f"{what}, not COCO results", file=path, fix="Results are a list of records")
    if not isinstance(rows, list):
        raise PosewrightError("is not a list of COCO results", file=path)
    return rows


def image_id(truth: Annotations, image: int) -> int | str:
    """What results call a picture: its id in the labels, else its path."""
    im = truth.images[image]
    return im.path if im.id is None else im.id


def _places(truth: Annotations) -> dict[str, int | None]:
    """Picture indices by everything a result may call them; None where a file name stands for several pictures.

    An id goes before a path, a path before a bare file name, that before the name without its ending or leading zeros.
    """
    places: dict[str, int | None] = {}
    for index, im in enumerate(truth.images):
        if im.id is not None:
            if str(im.id) in places:
                raise PosewrightError(f"id {im.id} stands for two pictures", file=truth.source or None)
            places[str(im.id)] = index
    paths = [PurePosixPath(im.path) for im in truth.images]
    numbers = [str(int(p.stem)) if p.stem.isdecimal() else p.stem for p in paths]  # 000139.jpg is called 139, too
    for names in ([str(p) for p in paths], [p.name for p in paths], [p.stem for p in paths], numbers):
        level: dict[str, int | None] = {}
        for index, name in enumerate(names):
            level[name] = None if name in level else index
        places = level | places
    return places


def _parse(
    row: Any, number: int, path: Path, truth: Annotations, places: dict[str, int | None], ids: set[Any]
) -> _Row | None:
    """One record, or None where it is for a picture outside the set."""
    record = f"result {number}"
    if not isinstance(row, dict) or "image_id" not in row or "keypoints" not in row:
        raise PosewrightError("has no image_id and keypoints", file=path, record=record)
    name = row["image_id"]
    if isinstance(name, bool) or not isinstance(name, (int, str)):
        raise PosewrightError(f"image_id {name!r} is neither a number nor a text", file=path, record=record)
    if isinstance(row.get("id"), (int, str)):
        if row["id"] in ids:
            raise PosewrightError(f"id {row['id']} is used twice", file=path, record=record)
        ids.add(row["id"])
    flat, k = row["keypoints"], len(truth.skeleton)
    if not isinstance(flat, list) or not all(map(is_number, flat)):
        raise PosewrightError("keypoints are not a list of numbers", file=path, record=record)
    if len(flat) != 3 * k:
        raise PosewrightError(
            f"has {len(flat)} keypoint numbers; the labels' skeleton '{truth.skeleton.name}' needs 3 x {k} = {3 * k}",
            file=path,
            record=record,
        )
    points = np.array(flat, float).reshape(k, 3)
    if not np.isfinite(points).all():
        bad = int(np.flatnonzero(~np.isfinite(points).all(1))[0])
        raise PosewrightError(f"keypoint '{truth.skeleton.keypoints[bad]}' is not finite", file=path, record=record)
    score = row.get("score", points[:, 2].mean())
    if not is_number(score) or not math.isfinite(score):
        raise PosewrightError(f"score {score!r} is not a finite number", file=path, record=record)
    if str(name) not in places:
        return None
    image = places[str(name)]
    if image is None:
        raise PosewrightError(f"image_id '{name}' is the name of several pictures", file=path, record=record)
    far = np.flatnonzero(np.abs(points[:, :2]).max(1) > FARTHEST)
    if len(far):
        what = f"keypoint '{truth.skeleton.keypoints[far[0]]}' lies at {points[far[0], :2].tolist()}, in no picture"
        raise PosewrightError(what, file=path, record=record)
    points[(points == 0).all(1)] = np.nan
    return _Row(image, points, float(score))
