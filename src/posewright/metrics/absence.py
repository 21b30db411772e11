"""Crops that show no object, to measure by whether a model knows that there is nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.annotations.tables import Annotations
from posewright.geometry import CropRule, negative_box
from posewright.metrics.reliability import Reliability, reliability
from posewright.metrics.results import Predicted
from posewright.metrics.running import Model, run_model

Array = NDArray[np.float64]

LEAST = 20
"""Crops of each kind that presence is measured by at least."""
EVENT = "the share of crops with the object, where both kinds are equally frequent"


def without_objects(truth: Annotations, rule: CropRule, count: int, seed: int = 0) -> Annotations:
    """The same pictures, with boxes on them whose crops touch no labelled object; to be run like any labelled set.

    As in training, half of the crops are of pictures without objects where there are such, the others lie beside objects,
    and each is a quarter to once as large as an object's crop. Pictures whose size is not known are left out.

    Args:
        truth: the labels.
        rule: how a box becomes a crop; the boxes are as much smaller as its margin adds.
        count: how many at most; fewer where the objects leave no room.
        seed: of pictures and places.

    Returns:
        The boxes as objects, each with one keypoint that stands for nothing.
    """
    rng = np.random.default_rng(seed)
    wanted = np.flatnonzero(truth.usable)
    known = np.array([im.width > 0 and im.height > 0 for im in truth.images], bool)
    bare = known.copy()
    bare[truth.image] = False
    empty = np.flatnonzero(bare)
    boxes: list[Any] = []
    images: list[int] = []
    for i in rng.permutation(wanted):
        if len(boxes) == count:
            break
        image = int(rng.choice(empty)) if len(empty) and rng.random() < 0.5 else int(truth.image[i])
        if not known[image]:
            continue
        side = float((truth.boxes[i, 2:] - truth.boxes[i, :2]).max()) * rule.margin
        there = truth.boxes[truth.image == image]
        found = negative_box((truth.images[image].width, truth.images[image].height), there, side, rng)
        if found is None:
            continue
        centre, half = (found[:2] + found[2:]) / 2, (found[2:] - found[:2]) / 2 / rule.margin
        boxes.append([*(centre - half), *(centre + half)])
        images.append(image)
    table = np.array(boxes, float).reshape(-1, 4)
    points = np.zeros((len(table), len(truth.skeleton), 3))
    points[:, 0] = np.column_stack([(table[:, :2] + table[:, 2:]) / 2, np.ones(len(table))])
    plain: dict[str, Any] = dict.fromkeys(("iscrowd", "area", "weight", "track", "head_size", "polygons"))
    return replace(truth, image=np.array(images, np.int64), keypoints=points, boxes=table, **plain)


@dataclass(frozen=True)
class Absent:
    """What a model says of crops without any object.

    Attributes:
        crops: where they are, see :func:`without_objects`.
        presence: ``[M]``; NaN of a picture that cannot be read.
    """

    crops: Annotations
    presence: Array

    @classmethod
    def measure(
        cls, model: Model, crops: Annotations, batch_size: int = 16, progress: Callable[[int], None] | None = None
    ) -> Absent | None:
        """Run a model on the crops; None where there are fewer than ``LEAST``."""
        if len(crops) < LEAST:
            return None
        found, left = run_model(model, crops, batch_size=batch_size, skip_bad=True, progress=progress)
        return cls(left, found.presence)

    def reliability(self, predicted: Predicted, truth: Annotations) -> Reliability | None:
        """The presence told of these crops and of the objects of a labelled set; see :func:`presence_reliability`."""
        return presence_reliability(predicted.presence[truth.usable], self.presence)


def presence_reliability(with_object: ArrayLike, without: ArrayLike) -> Reliability | None:
    """The presence told of crops with the object and of crops without it against which of them they were.

    Both kinds weigh alike, whatever their number, since how often an object is there is the use's, not the model's.

    Returns:
        None where there are fewer than ``LEAST`` of a kind.
    """
    there, bare = (np.asarray(a, float).ravel() for a in (with_object, without))
    there, bare = there[np.isfinite(there)], bare[np.isfinite(bare)]
    if min(len(there), len(bare)) < LEAST:
        return None
    true = np.repeat([True, False], [len(there), len(bare)])
    return reliability(
        np.concatenate([there, bare]), true, "presence", EVENT, np.where(true, 1 / len(there), 1 / len(bare))
    )
