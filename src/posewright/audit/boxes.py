"""Boxes that lie about their object otherwise than the set's other boxes do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.annotations.tables import Annotations
from posewright.audit.evidence import Evidence

Array = NDArray[np.float64]

TAIL = 5.0
"""Degrees of freedom of the law that the boxes of a set follow."""
WRONG = 10.0
"""A wrong box follows the same law, so many times as wide."""
SAME = 1e-3
"""Boxes whose place about their keypoints varies by less than this share of their side were made from them."""


def box_ratios(labels: Annotations, evidence: Evidence) -> tuple[Array, Array]:
    """Log likelihood ratios of a wrong box, and the boxes that would be usual.

    What is looked at is where the labelled keypoints lie in their box, and where the model has the same keypoints: the offset
    of their middle, and the logarithm of the box's extent over theirs. Objects with less than half of their keypoints
    labelled are not judged; nor is a set whose boxes were made from the keypoints.

    Returns:
        ``[N]``, minus infinity where not judged; and ``[N, 4]`` in pixels of the picture.
    """
    usual = labels.boxes.copy()
    seen = evidence.seen & (2 * labels.labelled.sum(1) >= len(labels.skeleton)) & (labels.labelled.sum(1) >= 3)
    none = np.full(len(labels), -np.inf)
    if seen.sum() < 3:
        return none, usual
    own = _about(labels, labels.keypoints)
    if np.abs(own[seen] - np.median(own[seen], 0)).mean(0).max() < SAME:
        return none, usual
    found = np.concatenate([evidence.found, labels.keypoints[..., 2:]], 2)
    # Where the model has them as usual, it is the labels that are elsewhere, not the box.
    ratio = np.minimum(_unusual(own, seen), _unusual(_about(labels, found), seen))
    tight = boxes_from_keypoints(labels.keypoints, 1.0)
    extent = np.maximum(tight[:, 2:] - tight[:, :2], 1.0)
    middle, growth = np.median(own[seen], 0).reshape(2, 2)
    size = extent * np.exp(growth)
    centre = (tight[:, :2] + tight[:, 2:]) / 2 - middle * size
    usual[seen] = np.concatenate([centre - size / 2, centre + size / 2], 1)[seen]
    return np.where(seen, ratio, -np.inf), usual


def _about(labels: Annotations, keypoints: Array) -> Array:
    """``[N, 4]``: the middle of the keypoints from the box's centre, in the box's sides; log of the box over their extent."""
    tight = np.nan_to_num(boxes_from_keypoints(keypoints, 1.0), nan=0.0)
    low, high = labels.boxes[:, :2], labels.boxes[:, 2:]
    offset = ((tight[:, :2] + tight[:, 2:]) / 2 - (low + high) / 2) / (high - low)
    growth = np.log((high - low) / np.maximum(tight[:, 2:] - tight[:, :2], 1.0))
    return np.concatenate([offset, growth], 1)


def _unusual(about: Array, seen: NDArray[np.bool_]) -> Array:
    """Log likelihood ratio ``[N]`` of the law of wrong boxes over that of the set's."""
    middle = np.median(about[seen], 0)
    spread = np.maximum(np.median(np.abs(about[seen] - middle), 0) / 0.6745, 0.01)
    squared = (((about - middle) / spread) ** 2).sum(1)
    dimensions = about.shape[1]
    power = (TAIL + dimensions) / 2
    narrow, wide = np.log1p(squared / TAIL), np.log1p(squared / (TAIL * WRONG**2))
    return power * (narrow - wide) - dimensions * np.log(WRONG)
