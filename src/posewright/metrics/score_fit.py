"""Fitting the curve of :mod:`posewright.score` to keypoints that are known to be right or wrong.

Why this curve: on held-out halves of LSP-extended, 300-W and real hands its log loss was the lowest or within 0.001 of that of
any other tried, from 30 pictures on: one curve for all keypoints (Platt's or beta), a slope for each keypoint, and isotonic
regression, which also ties heights that were apart. Below some 20 pictures no curve was better than the bare height.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.metrics.reliability import Reliability, log_loss, reliability
from posewright.score import EDGE, ScoreCurve

Array = NDArray[np.float64]

LEAST_PICTURES, LEAST_OF_A_KIND = 20, 30
"""What must be there to fit to: pictures, and keypoints that are right and that are wrong."""
OFFSET_SPREAD, SLOPE_SPREAD = 0.4, 3.0
"""Standard deviations of the priors: of a keypoint's offset about the mean of all, and of the slopes' logarithms about 0."""


@dataclass(frozen=True)
class Halves:
    """The objects that a curve is fitted to, and those it is measured on, by mask ``[N]``; no picture or group is in both."""

    fit: NDArray[np.bool_]
    rest: NDArray[np.bool_]


def halves(group: NDArray[np.int64], counts: NDArray[np.bool_], seed: int = 0) -> Halves:
    """Part objects in two by whole groups.

    Args:
        group: ``[N]``, of each object: objects on one picture, or on pictures that belong together, share one.
        counts: ``[N]``: which objects have anything to fit to.
        seed: of the parting.
    """
    names = np.random.default_rng(seed).permutation(np.unique(group[counts]))
    mine = np.isin(group, names[: len(names) // 2])
    return Halves(mine & counts, ~mine & counts)


def fit_score_curve(
    height: Array, right: NDArray[np.bool_], threshold: float, normaliser: str, data: str
) -> ScoreCurve:
    """The curve under which what is known is most likely, with weak priors.

    Args:
        height: ``[N, K]`` of decoded peaks in 0..1; NaN where it is not known whether the keypoint is right.
        right: ``[N, K]``.
        threshold, normaliser, data: see :class:`ScoreCurve`.

    Raises:
        PosewrightError: where there is too little of a kind to fit to.
    """
    from scipy.optimize import minimize

    known = np.isfinite(height)
    rights, wrongs = int((known & right).sum()), int((known & ~right).sum())
    if min(rights, wrongs) < LEAST_OF_A_KIND:
        what = (
            f"{rights} keypoints are right and {wrongs} wrong at {threshold:g} x the normaliser; a score is fitted to "
        )
        what += f"{LEAST_OF_A_KIND} of each at least"
        fix = "Take more pictures, or another --calibrate-at: " + ("smaller" if wrongs < rights else "larger")
        raise PosewrightError(what, fix=fix)
    k = height.shape[1]
    s = np.clip(np.where(known, height, 0.5), EDGE, 1 - EDGE)
    u, v, sign = np.log(s), -np.log1p(-s), np.where(right, 1.0, -1.0) * known

    def objective(x: Array) -> tuple[float, Array]:
        a, b, c = np.exp(x[0]), np.exp(x[1]), x[2:]
        margin = sign * (a * u + b * v + c)
        loss = np.where(known, np.logaddexp(0, -margin), 0).sum()
        pull = -sign * (1 - np.tanh(margin / 2)) / 2
        off = c - c.mean()
        loss += 0.5 * (off @ off) / OFFSET_SPREAD**2 + 0.5 * (x[:2] @ x[:2]) / SLOPE_SPREAD**2
        slopes = np.array([a * (pull * u).sum(), b * (pull * v).sum()]) + x[:2] / SLOPE_SPREAD**2
        return float(loss), np.concatenate([slopes, pull.sum(0) + off / OFFSET_SPREAD**2])

    bounds = [(-6.0, 6.0)] * 2 + [(-30.0, 30.0)] * k
    best = minimize(objective, np.zeros(k + 2), jac=True, method="L-BFGS-B", bounds=bounds).x
    offset = tuple(float(c) for c in best[2:])
    return ScoreCurve(float(np.exp(best[0])), float(np.exp(best[1])), offset, threshold, normaliser, data)


def is_better(curve: ScoreCurve, height: Array, right: NDArray[np.bool_]) -> bool:
    """Whether the curve's scores are more to be believed than the bare heights, by the log loss; arrays as for
    :func:`fit_score_curve`, of other pictures than it was fitted to."""
    return log_loss(curve.apply(height), right) < log_loss(height, right)


@dataclass(frozen=True)
class Calibrated:
    """A curve and what it did to scores of pictures that it was not fitted to.

    Attributes:
        curve: its offsets are in the order of the labels' keypoints.
        before, after: the bare height and the score that the curve makes of it, each against what was right.
        halves: which objects it was fitted to, and which it was measured on.
        better: see :func:`is_better`.
    """

    curve: ScoreCurve
    before: Reliability
    after: Reliability
    halves: Halves
    better: bool

    def rows(self) -> list[dict[str, Any]]:
        """The table: what was said before and after."""
        named = {"peak's height": self.before, "calibrated score": self.after}
        return [
            {"said": name, "ECE": r.ece, "Brier": r.brier, "AUC": r.auc, "mean said": _mean_said(r), "right": r.base}
            for name, r in named.items()
        ]

    def unseen(self, score: Array) -> Array:
        """Scores ``[N, K]`` with NaN in the place of those that the curve was fitted to."""
        return np.where(self.halves.rest[:, None], score, np.nan)

    def words(self) -> str:
        """Which pictures are which."""
        return f"Fitted to {self.curve.data}; measured on {self.after.n} keypoints of the other pictures."


def calibrate_score(
    height: Array,
    normalised: Array,
    group: NDArray[np.int64],
    threshold: float,
    normaliser: str,
    data: str,
    *,
    visible_only: bool = False,
    seed: int = 0,
) -> Calibrated:
    """Fit a curve to one half of the pictures and measure it on the other.

    Args:
        height: ``[N, K]`` of decoded peaks in 0..1.
        normalised: ``[N, K]`` distances over the normaliser; NaN where a keypoint does not count, infinite where it was
            not predicted.
        group: ``[N]``, see :func:`halves`.
        threshold: a keypoint is right where its distance is at most this.
        normaliser, data: in words.
        visible_only: whether hidden keypoints were left out.
        seed: of the halves.

    Raises:
        PosewrightError: where there is too little to fit to or to measure on.
    """
    height = np.where(np.isfinite(normalised), height, np.nan)
    with np.errstate(invalid="ignore"):
        right = normalised <= threshold
    counts: NDArray[np.bool_] = np.asarray(np.isfinite(height).any(1))
    parts = halves(group, counts, seed)
    pictures = [len(np.unique(group[mask])) for mask in (parts.fit, parts.rest)]
    if min(pictures) < LEAST_PICTURES:
        what = (
            f"{sum(pictures)} pictures (or groups of them) are too few to calibrate with: half is fitted to and half "
        )
        raise PosewrightError(what + "measured on", fix=f"Take {2 * LEAST_PICTURES} at least")
    said = f"{int(np.isfinite(height[parts.fit]).sum())} keypoints, half of {data}"
    curve = fit_score_curve(height[parts.fit], right[parts.fit], threshold, normaliser, said)
    curve = replace(curve, visible_only=visible_only)
    rest, true = height[parts.rest], right[parts.rest]
    event = f"the share of keypoints right by {curve.meaning}"
    before, after = reliability(rest, true, "height", event), reliability(curve.apply(rest), true, "score", event)
    assert before is not None and after is not None
    return Calibrated(curve, before, after, parts, is_better(curve, rest, true))


def _mean_said(found: Reliability) -> float:
    return float(np.nansum(found.share * found.said))
