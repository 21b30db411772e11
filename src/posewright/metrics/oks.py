"""Object keypoint similarity, and which detection belongs to which labelled object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def _all_distances(pred_xy: ArrayLike, truth: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    """``[D, G, K]`` distances (infinite where a prediction is NaN) and ``[G, K]`` which keypoints are labelled."""
    truth = np.asarray(truth, float)
    pred_xy = np.asarray(pred_xy, float)
    away = np.linalg.norm(pred_xy[:, None] - truth[None, ..., :2], axis=-1)
    return np.where(np.isfinite(away), away, np.inf), truth[..., 2] > 0


def oks(pred_xy: ArrayLike, truth: ArrayLike, area: ArrayLike, sigmas: Sequence[float]) -> Array:
    """Object keypoint similarity as COCO has it: the mean over labelled keypoints of exp(-d^2 / (2 area (2 sigma)^2)).

    Args:
        pred_xy: ``[D, K, 2]`` in pixels; NaN where nothing was predicted, which counts as infinitely far.
        truth: ``[G, K, 3]`` (x, y, v) in the same frame.
        area: ``[G]`` in px^2.
        sigmas: K of them.

    Returns:
        ``[D, G]`` in 0..1; 0 for an object without any labelled keypoint.
    """
    away, labelled = _all_distances(pred_xy, truth)
    spread = 2 * (np.asarray(area, float)[:, None] + np.spacing(1)) * (2 * np.asarray(sigmas, float)) ** 2
    similarity = np.exp(-(away**2) / spread)
    return (similarity * labelled).sum(-1) / np.maximum(labelled.sum(-1), 1)


def mean_distances(pred_xy: ArrayLike, truth: ArrayLike, lengths: ArrayLike) -> Array:
    """``[D, G]``: mean distance over labelled keypoints, divided by the object's length.

    A keypoint that was not predicted counts as one whole length away. An object without labelled keypoints is
    infinitely far from everything.
    """
    away, labelled = _all_distances(pred_xy, truth)
    relative = away / np.asarray(lengths, float)[:, None]
    relative = np.where(np.isfinite(relative), relative, 1.0)
    count = labelled.sum(-1)
    return np.where(count > 0, (relative * labelled).sum(-1) / np.maximum(count, 1), np.inf)


def assign(
    pred_xy: ArrayLike, truth: ArrayLike, boxes: ArrayLike, area: ArrayLike, sigmas: Sequence[float] | None
) -> NDArray[np.int64]:
    """Which detection of one picture belongs to which of its objects, one to one, the best pair first.

    Pairs are ranked by OKS where the skeleton has sigmas, else (and among equals) by the mean distance over the box's
    longer side. There is no lower limit: a poor detection is an error to be measured, not a missing one.

    Args:
        pred_xy: ``[D, K, 2]``, truth: ``[G, K, 3]``, boxes: ``[G, 4]``, area: ``[G]``; all in pixels of the picture.
        sigmas: K of them, or None.

    Returns:
        ``[G]``: the index of the object's detection, -1 where it has none or no labelled keypoint.
    """
    box = np.asarray(boxes, float)
    away = mean_distances(pred_xy, truth, (box[:, 2:] - box[:, :2]).max(1, initial=0))
    similar = np.zeros_like(away) if sigmas is None else oks(pred_xy, truth, area, sigmas)
    chosen = np.full(away.shape[1], -1, np.int64)
    taken = np.zeros(away.shape[0], bool)
    for pair in np.lexsort((away.ravel(), -similar.ravel())):
        d, g = divmod(int(pair), away.shape[1])
        if not taken[d] and chosen[g] < 0 and np.isfinite(away[d, g]):
            chosen[g], taken[d] = d, True
    return chosen
