"""A model behind a locator on a labelled set: how well the boxes are found, and AP and AR with those boxes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.annotations.tables import Annotations
from posewright.media.labelled import picture_of
from posewright.metrics.average_precision import AveragePrecision, Detections, average_precision
from posewright.metrics.boxes import OVERLAP, Finds, judge
from posewright.metrics.running import Model, keypoint_order

Array = NDArray[np.float64]

BATCH_PIXELS = 32_000_000
"""Pictures share runs of the model up to this many pixels."""


class Finder(Protocol):
    """What finds boxes; every locator does."""

    def find(self, image: NDArray[np.uint8]) -> tuple[Array, Array]: ...


@dataclass(frozen=True)
class Located:
    """What :func:`run_located` measured.

    Attributes:
        boxes: the found boxes, judged against the labelled ones.
        keypoints: COCO's AP and AR of the poses in the found boxes; None where the skeleton has no sigmas.
    """

    boxes: Finds
    keypoints: AveragePrecision | None

    def rows(self, labelled: AveragePrecision | None) -> list[dict[str, Any]]:
        """AP and AR with labelled boxes beside those with located ones."""
        rows: list[dict[str, Any]] = []
        for name, found in (("labelled", labelled), ("located", self.keypoints)):
            if found is not None:
                figures = {k: "–" if math.isnan(v) else f"{v:.3f}" for k, v in found.metrics.items()}
                rows.append({"boxes": name, **figures})
        return rows

    def statements(self) -> list[str]:
        """The boxes' figures and their conventions, one sentence each."""
        recall, false = self.boxes.at(0.0)
        figures = f"recall {recall:.3f}, {false:.3f} false boxes a picture, AP {self.boxes.ap:.3f}"
        return [
            f"Located boxes: {figures} on {self.boxes.pictures} pictures with {self.boxes.objects} objects.",
            f"Located boxes: right from an intersection over union of {OVERLAP:g} on, each object once; boxes within crowds "
            "do not count. AP and AR by them: a pose's score is its mean keypoint score times its box's.",
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values; None where there is no figure."""
        recall, false = self.boxes.at(0.0)
        figures = {"recall": recall, "false_boxes": false, "box_AP": self.boxes.ap}
        figures |= self.keypoints.metrics if self.keypoints else {}
        plain: dict[str, Any] = {name: None if math.isnan(value) else value for name, value in figures.items()}
        return plain | {"pictures": self.boxes.pictures, "objects": self.boxes.objects, "overlap": OVERLAP}


def run_located(
    model: Model,
    locator: Finder,
    truth: Annotations,
    *,
    flip: bool = False,
    batch_size: int = 16,
    progress: Callable[[int], None] | None = None,
) -> Located:
    """Find all objects of a set's pictures and their keypoints, from nothing but the pictures.

    Args:
        model: finds at least the keypoints of ``truth.skeleton``, in any order.
        locator: finds the boxes.
        truth: the labels; pictures without any object count.
        flip: average with the mirrored crops.
        batch_size: crops in one run of the model.
        progress: called with the number of pictures done since the last call.

    Raises:
        PosewrightError: where the model lacks a keypoint, or a picture is missing or broken.
    """
    order = keypoint_order(model.skeleton, truth.skeleton)
    found: list[tuple[Array, Array]] = []
    images: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    points: list[Array] = [np.zeros((0, len(order), 2))]
    scores: list[Array] = [np.zeros(0)]
    waiting: list[tuple[int, NDArray[np.uint8]]] = []

    def run() -> None:
        told = [locator.find(picture) for _, picture in waiting]
        boxes: list[ArrayLike] = [b for b, _ in told]
        poses = model.predict_batch([p for _, p in waiting], boxes, flip=flip, batch_size=batch_size)
        for (image, _), (_, score), pose in zip(waiting, told, poses, strict=True):
            images.append(np.full(len(pose), image, np.int64))
            points.append(pose.xy[:, order])
            scores.append(pose.score[:, order].mean(1) * score)
        found.extend(told)
        if progress:
            progress(len(waiting))
        waiting.clear()

    for image in range(len(truth.images)):
        waiting.append((image, picture_of(truth, image)))
        if len(waiting) >= batch_size or sum(p.size // 3 for _, p in waiting) > BATCH_PIXELS:
            run()
    if waiting:
        run()
    crowd = np.asarray(truth.iscrowd)
    of = [np.flatnonzero(truth.image == image) for image in range(len(truth.images))]
    boxes = judge(found, [truth.boxes[o[~crowd[o]]] for o in of], [truth.boxes[o[crowd[o]]] for o in of])
    keypoints = None
    if truth.skeleton.sigmas is not None:
        all_of_them = Detections(np.concatenate(images), np.concatenate(points), np.concatenate(scores))
        keypoints = average_precision(all_of_them, truth)
    return Located(boxes, keypoints)
