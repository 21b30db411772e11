"""The PCK family: which share of the labelled keypoints is found near enough, and the errors behind it.

Conventions, all stated in every report:

- A labelled keypoint counts, visible (v = 2) or hidden (v = 1); an unlabelled one (v = 0) does not.
- It is a hit where distance <= threshold * length, the length being the object's normaliser.
- ``total`` is the share over all labelled keypoints of all objects together (micro average), as the hourglass system
  has it; ``mean`` is the mean over keypoint names (macro average), as tables for LSP and MPII have it.
- A missing prediction (NaN) is a miss at every threshold.
- An object without a length (NaN) is left out of everything that is normalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PckResult:
    """PCK at one threshold.

    Attributes:
        total: hits / labelled keypoints, over all objects and keypoints; NaN where nothing counts.
        by_keypoint: ``[K]``, the same for each keypoint; NaN for one that is never labelled.
        n: labelled keypoints that counted.
        n_by_keypoint: ``[K]``, the same for each keypoint.
    """

    total: float
    by_keypoint: Array
    n: int
    n_by_keypoint: NDArray[np.int64]

    @property
    def mean(self) -> float:
        """The mean over the keypoints that are labelled at all (macro average)."""
        seen = self.by_keypoint[self.n_by_keypoint > 0]
        return float(seen.mean()) if len(seen) else float("nan")


def distances(pred_xy: ArrayLike, truth: ArrayLike, *, visible_only: bool = False) -> Array:
    """Distances between prediction and truth.

    Args:
        pred_xy: ``[N, K, 2]`` in pixels of any frame; NaN where nothing was predicted.
        truth: ``[N, K, 3]`` (x, y, v) in the same frame.
        visible_only: count v = 2 only.

    Returns:
        ``[N, K]`` pixels: NaN where the keypoint does not count, infinite where it counts and was not predicted.
    """
    truth = np.asarray(truth, float)
    pred_xy = np.asarray(pred_xy, float)
    if pred_xy.shape[:-1] != truth.shape[:-1] or pred_xy.shape[-1:] != (2,) or truth.shape[-1:] != (3,):
        raise ValueError(f"predictions {pred_xy.shape} and truth {truth.shape} are not [N, K, 2] and [N, K, 3]")
    away = np.linalg.norm(pred_xy - truth[..., :2], axis=-1)
    away = np.where(np.isfinite(away), away, np.inf)
    return np.where(truth[..., 2] > (1 if visible_only else 0), away, np.nan)


def normalised_distances(distance: Array, lengths: ArrayLike) -> Array:
    """``[N, K]`` distances divided by ``[N]`` lengths; NaN for the whole of an object whose length is NaN."""
    return distance / np.asarray(lengths, float)[:, None]


def pck_of_distances(normalised: Array, threshold: float) -> PckResult:
    """PCK from the normalised distances ``[N, K]`` of :func:`normalised_distances`."""
    counts = ~np.isnan(normalised)
    with np.errstate(invalid="ignore"):
        hits = (normalised <= threshold) & counts
    n_by_keypoint, n = counts.sum(0), int(counts.sum())
    with np.errstate(invalid="ignore"):
        by_keypoint = hits.sum(0) / np.where(n_by_keypoint > 0, n_by_keypoint, np.nan)
    return PckResult(float(hits.sum() / n) if n else float("nan"), by_keypoint, n, n_by_keypoint)


def pck(
    pred_xy: ArrayLike, truth: ArrayLike, lengths: ArrayLike, threshold: float, *, visible_only: bool = False
) -> PckResult:
    """PCK at one threshold.

    Args:
        pred_xy: ``[N, K, 2]`` in pixels of any frame; NaN where nothing was predicted.
        truth: ``[N, K, 3]`` (x, y, v) in the same frame.
        lengths: ``[N]`` in the same frame, from :func:`posewright.metrics.normaliser_lengths`; NaN leaves the object
            out.
        threshold: share of the length within which a prediction is a hit.
        visible_only: count v = 2 only.
    """
    distance = distances(pred_xy, truth, visible_only=visible_only)
    return pck_of_distances(normalised_distances(distance, lengths), threshold)
