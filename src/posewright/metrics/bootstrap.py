"""Is one model better than another, or only luckier with these pictures? A paired bootstrap over pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class PckDifference:
    """What :func:`paired_bootstrap` found.

    Attributes:
        a, b: PCK (or mean distance) of either side, over all its runs.
        difference: b - a.
        low, high: the interval that holds the middle ``level`` of the resampled differences.
        level: such as 0.95.
        pictures: how many pictures count.
        resamples: how often they were drawn.
        differing: pictures on which the two sides do not have the same number of hits.
    """

    a: float
    b: float
    difference: float
    low: float
    high: float
    level: float
    pictures: int
    resamples: int
    differing: int

    def __str__(self) -> str:
        interval = f"{self.level:.0%} interval {self.low:+.4f} to {self.high:+.4f}"
        return f"{self.difference:+.4f} ({interval}, {self.pictures} pictures)"


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    picture: ArrayLike,
    threshold: float | None,
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> PckDifference:
    """The difference in PCK, or in mean distance, between two models on the same pictures, with its uncertainty.

    Whole pictures are drawn with replacement, the same for both sides, since keypoints on one picture stand or fall
    together (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993: percentile interval). Where a side has several
    runs, a picture's hits are their mean: the interval is then about the mean run, and says nothing of the spread of runs.

    Args:
        a, b: ``[N, K]`` normalised distances (:attr:`posewright.metrics.Evaluation.normalised`), or ``[R, N, K]`` of R runs;
            NaN where a keypoint does not count, in both sides alike.
        picture: ``[N]``, which picture each object is on.
        threshold: of PCK; the mean distance itself is compared where None.

    Raises:
        ValueError: where the two sides do not count the same keypoints, or none counts.
    """
    sides = [np.asarray(side, float) for side in (a, b)]
    sides = [side[None] if side.ndim == 2 else side for side in sides]
    counts = ~np.isnan(sides[0][0])
    if any(run.shape != counts.shape or (np.isnan(run) == counts).any() for side in sides for run in side):
        raise ValueError("the two sides do not count the same keypoints")
    if not counts.any():
        raise ValueError("no keypoint counts")
    _, place = np.unique(np.asarray(picture), return_inverse=True)
    n = np.bincount(place, counts.sum(1))
    with np.errstate(invalid="ignore"):
        values = [np.where(counts, side if threshold is None else side <= threshold, 0) for side in sides]
    hits = [np.bincount(place, value.mean(0).sum(1), len(n)) for value in values]
    used = n > 0
    n, (hits_a, hits_b) = n[used], (h[used] for h in hits)
    rng = np.random.default_rng(seed)
    found = np.empty(resamples)
    for start in range(0, resamples, 500):
        drawn = rng.integers(0, len(n), (min(500, resamples - start), len(n)))
        found[start : start + len(drawn)] = (hits_b - hits_a)[drawn].sum(1) / n[drawn].sum(1)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    one, other = float(hits_a.sum() / n.sum()), float(hits_b.sum() / n.sum())
    differing = int((hits_a != hits_b).sum())
    return PckDifference(one, other, other - one, float(low), float(high), level, len(n), resamples, differing)
