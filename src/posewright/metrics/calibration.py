"""Whether what a model says about its own errors is true: ellipses that hold the truth as often as they claim, and
probabilities that tell two kinds apart.

**The law of errors.** A covariance ``C`` comes with a tail, ``nu``. The error ``e`` of a keypoint is taken to follow a
two-dimensional Student distribution with ``nu`` degrees of freedom, scaled such that half of all errors lie where
``e' C^-1 e <= 2 ln 2``, as with a normal distribution of covariance ``C``. The ellipse that holds a share ``p`` of them is
``e' C^-1 e <= ellipse(p, nu)``. With ``nu`` infinite it is the normal one. A tail near 1 or 2 says that now and then a
keypoint, or its label, is somewhere else altogether; no normal distribution has both its 50 % and its 90 % ellipse right
then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LEVELS = (0.5, 0.9)
"""Ellipses whose coverage is reported."""
TAILS = (0.3, 1000.0)
"""A tail is held within these; the upper one is as good as normal."""


def ellipse(share: float, tail: float = math.inf) -> float:
    """The squared Mahalanobis distance within which a share of errors lies, by the module's law.

    The squared radius of a two-dimensional Student distribution, whose share beyond r^2 is (1 + r^2 / nu)^(-nu / 2),
    divided by its median and multiplied by the normal distribution's, 2 ln 2.
    """
    normal = -2 * math.log1p(-share)
    if math.isinf(tail):
        return normal
    return 2 * math.log(2) * math.expm1(normal / tail) / math.expm1(2 * math.log(2) / tail)


def tail_of(ratio: float) -> float:
    """The tail whose 90 % ellipse has ``ratio`` times the squared radius of its 50 % one, within ``TAILS``."""
    low, high = TAILS
    for _ in range(60):
        middle = math.sqrt(low * high)
        wider = ellipse(0.9, middle) / ellipse(0.5, middle) > ratio
        low, high = (middle, high) if wider else (low, middle)
    return math.sqrt(low * high)


def squared_distance(error: ArrayLike, covariance: ArrayLike) -> Array:
    """Squared Mahalanobis distances ``[...]`` of errors ``[..., 2]`` under covariances ``[..., 3]`` (xx, xy, yy)."""
    x, y = np.moveaxis(np.asarray(error, float), -1, 0)
    xx, xy, yy = np.moveaxis(np.asarray(covariance, float), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((yy * x * x - 2 * xy * x * y + xx * y * y) / (xx * yy - xy * xy))


def roc_auc(score: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive one scores above a negative one, ties counting half.

    Returns:
        NaN where one kind is missing.
    """
    score, positive = np.asarray(score, float).ravel(), np.asarray(positive, bool).ravel()
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return math.nan
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[positive].sum() - n * (n + 1) / 2) / (n * m))


@dataclass(frozen=True)
class Uncertainty:
    """What a model said about its predictions, held against the labels.

    Attributes:
        keypoints: names of the K keypoints.
        square: ``[N, K]`` squared Mahalanobis distances, NaN where a keypoint does not count or has no prediction; None
            for a model without covariance.
        tail: of the model's law of errors.
        visibility: ``[N, K]`` in 0..1, NaN likewise; None for a model without it.
        visible: ``[N, K]``: which keypoints are labelled visible.
    """

    keypoints: Sequence[str]
    square: Array | None
    tail: float
    visibility: Array | None
    visible: NDArray[np.bool_]

    @classmethod
    def measure(
        cls,
        keypoints: Sequence[str],
        xy: ArrayLike,
        truth: ArrayLike,
        covariance: ArrayLike | None,
        tail: float,
        visibility: ArrayLike | None,
    ) -> Uncertainty:
        """Hold predictions against labels.

        Args:
            keypoints: the K names.
            xy: ``[N, K, 2]`` pixels; NaN where nothing was predicted.
            truth: ``[N, K, 3]`` (x, y, v) in the same frame; v = 0 does not count.
            covariance: ``[N, K, 3]`` (xx, xy, yy) in px^2, or None.
            tail: see the module.
            visibility: ``[N, K]`` in 0..1, or None.
        """
        truth, xy = np.asarray(truth, float), np.asarray(xy, float)
        counts = (truth[..., 2] > 0) & np.isfinite(xy).all(-1)
        square = None
        if covariance is not None:
            square = np.where(counts, squared_distance(xy - truth[..., :2], covariance), np.nan)
        seen = None if visibility is None else np.where(counts, np.asarray(visibility, float), np.nan)
        return cls(tuple(keypoints), square, float(tail), seen, truth[..., 2] == 2)

    @property
    def both_kinds(self) -> bool:
        """Whether there is a visibility, and visible and hidden keypoints to measure it by."""
        if self.visibility is None:
            return False
        counted = self.visible[~np.isnan(self.visibility)]
        return bool(counted.any() and not counted.all())

    @property
    def metrics(self) -> dict[str, float]:
        """``coverage@50`` and ``coverage@90``: the share of keypoints within the ellipse that claims to hold 50 % and
        90 %; ``visibility_accuracy`` (at 0.5) and ``visibility_AUC``. Only what can be measured is there."""
        found = self._coverage(slice(None))
        if self.both_kinds and self.visibility is not None:
            counts = ~np.isnan(self.visibility)
            said, true = self.visibility[counts], self.visible[counts]
            found["visibility_accuracy"] = float(((said >= 0.5) == true).mean())
            found["visibility_AUC"] = roc_auc(said, true)
        return found

    @property
    def by_keypoint(self) -> dict[str, dict[str, float]]:
        """The coverages of each keypoint, by name."""
        return {name: self._coverage(k) for k, name in enumerate(self.keypoints)}

    def _coverage(self, k: int | slice) -> dict[str, float]:
        if self.square is None:
            return {}
        square = self.square[:, k]
        square = square[~np.isnan(square)]
        return {
            f"coverage@{100 * p:g}": float((square <= ellipse(p, self.tail)).mean()) if len(square) else math.nan
            for p in LEVELS
        }

    def conventions(self) -> list[str]:
        """What the figures mean, one sentence each."""
        lines = []
        if self.square is not None:
            square = self.square[~np.isnan(self.square)]
            normal = [float((square <= ellipse(p)).mean()) if len(square) else math.nan for p in LEVELS]
            wider = math.sqrt(ellipse(0.9, self.tail) / ellipse(0.9))
            lines.append(
                f"coverage@p: share of labelled keypoints within the ellipse that claims to hold p %; errors are heavy-"
                f"tailed (Student, {self.tail:.3g} degrees of freedom), the 90 % ellipse reaches {wider:.2g} times as far "
                f"as a normal one. Normal ellipses would hold {normal[0]:.3f} and {normal[1]:.3f}."
            )
        if self.both_kinds:
            hidden = int((~self.visible & ~np.isnan(self.visibility)).sum())  # type: ignore[arg-type]
            total = int((~np.isnan(self.visibility)).sum())  # type: ignore[arg-type]
            lines.append(
                f"Visibility: {hidden} of {total} labelled keypoints are hidden; always saying visible would be right for "
                f"{1 - hidden / total:.3f}."
            )
        elif self.visibility is not None:
            lines.append("Visibility is not measured: the labels have only one kind of keypoint.")
        return lines
