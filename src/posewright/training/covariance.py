"""How far off a point may be: the covariance of :mod:`posewright.models.peaks`, fitted to errors on held-out pictures.

Half of the pictures are fitted to, by maximum likelihood of a two-dimensional Student distribution: wrong legs and wrong
labels, which every real set has, then widen its tail instead of every ellipse. The tail and the common scale are set last,
so that on those pictures exactly 50 % and 90 % of the errors lie within the ellipses that claim it. What is reported is
the coverage on the other half, which nothing was fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posewright.metrics.calibration import LEVELS, ellipse, squared_distance, tail_of
from posewright.models.peaks import PeakCovariance, covariance

Array = NDArray[np.float64]

LEAST_ERRORS, LEAST_PICTURES = 200, 8
"""What the half to fit to must hold at least."""
LEVEL_SPREAD, SLOPE_SPREAD = 0.5, 4.0
"""Standard deviations of the priors: of a keypoint's level about the mean of all, and of the other two numbers about 0."""
BOUND = 12.0


@dataclass(frozen=True)
class Fitted:
    """What :func:`fit_covariance` came to.

    Attributes:
        covariance: None where there was too little to fit to.
        line: the coverage found, or why there is no covariance, as a sentence.
        metrics: coverage at 50 % and 90 %, as metrics of a checkpoint.
        by_keypoint: ``[K]`` coverages by level, NaN where a keypoint was not measured.
    """

    covariance: PeakCovariance | None
    line: str
    metrics: dict[str, Any] = field(default_factory=dict)
    by_keypoint: dict[float, Array] = field(default_factory=dict)


def fit_covariance(
    error: Array, score: Array, spread: Array, picture: NDArray[np.int64], stride: int, seed: int = 0
) -> Fitted:
    """Fit the covariance of a net's points and measure its coverage.

    Args:
        error: ``[N, K, 2]`` in crop pixels; NaN where the truth is not known.
        score: ``[N, K]`` in 0..1.
        spread: ``[N, K, 3]``, of :func:`posewright.models.peaks.map_spread`.
        picture: ``[N]``: which picture each object is on; all objects of one fall into the same half.
        stride: crop pixels per cell.
        seed: of the halves.
    """
    pictures = np.random.default_rng(seed).permutation(np.unique(picture))
    fit_half = np.isin(picture, pictures[: len(pictures) // 2])
    known: NDArray[np.bool_] = np.asarray(np.isfinite(error).all(-1))
    n = int(known[fit_half].sum())
    if n < LEAST_ERRORS or len(pictures) // 2 < LEAST_PICTURES:
        why = f"half of the held-out pictures give {n} errors on {len(pictures) // 2} pictures to fit it to, and "
        return Fitted(None, why + f"{LEAST_ERRORS} errors on {LEAST_PICTURES} pictures are needed.")
    found = _maximum_likelihood(error[fit_half], score[fit_half], spread[fit_half], known[fit_half], stride)
    square = squared_distance(error, evaluate_covariance(found, spread, score, stride))
    inner, outer = np.quantile(square[fit_half][known[fit_half]], LEVELS)
    tail = tail_of(outer / inner)
    raised = tuple(b + math.log(inner / ellipse(LEVELS[0], tail)) for b in found.level)
    found = PeakCovariance(raised, found.score, found.spread, tail)
    return _measured(found, error, score, spread, known, ~fit_half, stride, len(pictures))


def evaluate_covariance(found: PeakCovariance, spread: Array, score: Array, stride: int) -> Array:
    """Covariances ``[N, K, 3]`` (xx, xy, yy) in crop pixels^2 of points with this spread and score."""
    level = torch.tensor(found.level, dtype=torch.float64)
    return covariance(
        torch.from_numpy(spread), torch.from_numpy(score), stride, level, found.score, found.spread
    ).numpy()


def _measured(
    found: PeakCovariance,
    error: Array,
    score: Array,
    spread: Array,
    known: NDArray[np.bool_],
    half: NDArray[np.bool_],
    stride: int,
    pictures: int,
) -> Fitted:
    """The coverage on the half that nothing was fitted to."""
    square = np.where(known, squared_distance(error, evaluate_covariance(found, spread, score, stride)), np.nan)[half]
    counts = ~np.isnan(square)
    n = int(counts.sum())
    of = f"{n} keypoints of the half of {pictures} validation pictures that it was not fitted to"
    metrics, by_keypoint, said = {}, {}, []
    for level in LEVELS:
        inside = counts & (square <= ellipse(level, found.tail))
        share = float(inside.sum() / max(n, 1))
        with np.errstate(invalid="ignore"):
            by_keypoint[level] = inside.sum(0) / np.where(counts.any(0), counts.sum(0), np.nan)
        metrics[f"coverage@{100 * level:g}"] = {"value": round(share, 4), "data": of, "tail": round(found.tail, 3)}
        said.append(f"the {100 * level:g} % ellipses hold {100 * share:.1f} %")
    line = f"Covariance: {' and '.join(said)} of {of}; Student tail {found.tail:.3g}."
    return Fitted(found, line, metrics, by_keypoint)


def _maximum_likelihood(
    error: Array, score: Array, spread: Array, known: NDArray[np.bool_], stride: int
) -> PeakCovariance:
    """The numbers, and the tail, under which the errors are most likely."""
    from scipy.optimize import minimize

    k = error.shape[1]
    objective = _likelihood(error, score, spread, known, stride)
    start = np.zeros(k + 3)
    start[-1] = math.log(4.0)
    bounds = [(-BOUND, BOUND)] * (k + 2) + [(math.log(0.5), math.log(100.0))]
    best = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return PeakCovariance(tuple(float(b) for b in best[:k]), float(best[k]), float(best[k + 1]), math.exp(best[-1]))


def _likelihood(
    error: Array, score: Array, spread: Array, known: NDArray[np.bool_], stride: int
) -> Callable[[Array], tuple[float, Array]]:
    """Numbers ``[K + 3]`` (levels, score, spread, logarithm of the tail) to the mean negative log-likelihood with its
    priors, and the gradient."""
    e, s, g = (torch.from_numpy(np.nan_to_num(a)) for a in (error, score, spread))
    counts, k = torch.from_numpy(known), error.shape[1]
    n = int(known.sum())

    def objective(numbers: Array) -> tuple[float, Array]:
        x = torch.tensor(numbers, requires_grad=True)
        level, by_score, by_spread, tail = x[:k], x[k], x[k + 1], x[k + 2].exp()
        xx, xy, yy = covariance(g, s, stride, level, by_score, by_spread).unbind(-1)
        area = xx * yy - xy * xy
        square: Tensor = (yy * e[..., 0] ** 2 - 2 * xy * e[..., 0] * e[..., 1] + xx * e[..., 1] ** 2) / area
        surprise = 0.5 * area.log() + (tail + 2) / 2 * torch.log1p(square / tail)
        prior = ((level - level.mean()) ** 2).sum() / LEVEL_SPREAD**2 + (x[k : k + 2] ** 2).sum() / SLOPE_SPREAD**2
        loss = surprise[counts].mean() + 0.5 * prior / n
        loss.backward()
        assert x.grad is not None
        return loss.item(), x.grad.numpy()

    return objective
