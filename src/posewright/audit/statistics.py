"""The small estimators that an audit is made of; each is fitted to the very set that is audited."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CEILING = 5.0
"""No kind of evidence on left and right is believed beyond odds of about e^5, 150 to 1."""


def fit_mixture(
    densities: NDArray[np.floating[Any]], group: NDArray[np.int64], groups: int, strength: float = 20.0
) -> Array:
    """Weights of a mixture whose parts are known, by expectation maximisation (Dempster, Laird and Rubin, 1977).

    Args:
        densities: ``[M, C]`` of each observation under each of C parts; at least one above 0.
        group: ``[M]`` observations of one group share their weights.
        groups: how many groups there are.
        strength: as if so many observations more of each group were parted like all observations together, so that a group
            with few of its own follows the others.

    Returns:
        ``[groups, C]``, each row adds up to 1.
    """
    parts = densities.shape[1]
    weights = np.full((groups, parts), 1 / parts)
    for _ in range(50):
        share = densities * weights[group]
        share /= share.sum(1, keepdims=True)
        counts = np.stack([np.bincount(group, share[:, c], groups) for c in range(parts)], 1)
        pooled = counts.sum(0) / max(counts.sum(), 1e-12) if len(group) else weights[0]
        new = (counts + strength * pooled) / (counts.sum(1, keepdims=True) + strength)
        if np.abs(new - weights).max() < 1e-5:
            return new
        weights = new
    return weights


def fit_logistic(rows: Array, ridge: float, free: int = 0, around: Array | None = None) -> Array:
    """The logistic regression for which every row ``x`` is a case and ``-x`` is its opposite.

    ``x @ weights`` is then the logarithm of how much likelier the case is than its opposite. For two classes, give the rows of
    the second with their signs changed.

    Args:
        rows: ``[M, F]``.
        ridge: weight of the squared length of the weights against the likelihood, in units of each feature's mean square.
        free: of the last so many features, an intercept say, the weights are free.
        around: ``[F]`` weights from which few rows do not lead far away, the last ones either; 0, and free ones, otherwise.

    Returns:
        ``[F]``.
    """
    from scipy.optimize import minimize

    scale = np.sqrt((rows**2).mean(0)) if len(rows) else np.ones(rows.shape[1])
    scale[~(scale > 1e-9)] = 1.0
    x = rows / scale
    penalty = np.full(x.shape[1], ridge)
    penalty[len(penalty) - free :] = 1e-6 if around is None else ridge
    start = np.zeros(x.shape[1]) if around is None else around * scale

    def loss(w: Array) -> tuple[float, Array]:
        z = x @ w
        wrong = 1 / (1 + np.exp(np.clip(z, -50, 50)))
        pull = penalty * (w - start)
        return float(np.logaddexp(0, -z).sum() + (pull * (w - start)).sum() / 2), pull - wrong @ x

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200, "maxcor": 20})
    return found.x / scale


def fit_rare(evidence: Array, ceiling: float = CEILING) -> tuple[Array, float]:
    """What several kinds of evidence say together of a question whose answer is mostly no, and nobody knows for which case.

    Evidence is below 0 where it speaks for no, and would have the opposite sign if everything were the other way round: a
    logistic regression without intercept tells the cases from their opposites. Some of the cases are yeses, however, and
    taken for noes they would teach that the surest evidence errs; so a case counts as ``(1 - r) s(-z) + r s(z)``, with the
    logistic function ``s``, and the share ``r`` of yeses is fitted with the rest (maximum likelihood). Each kind of evidence adds
    its multiple to ``z``, but hardly more than the ceiling: what one kind cannot know, no strength of it makes certain.

    Args:
        evidence: ``[M, F]``.
        ceiling: in log odds.

    Returns:
        ``[M]`` log likelihood ratios of yes over no; and the share of yeses.
    """
    from scipy.optimize import minimize

    scale = np.sqrt((evidence**2).mean(0)) if len(evidence) else np.zeros(evidence.shape[1])
    x = evidence / np.where(scale > 1e-9, scale, 1.0)

    def together(factors: Array) -> Array:
        return (ceiling * np.tanh(x * factors / ceiling)).sum(1)

    def loss(free: Array) -> float:
        z, odds = together(free[:-1]), np.clip(free[-1], -9, -1)
        each = np.logaddexp(-np.logaddexp(0, z), odds - np.logaddexp(0, -z)) - np.logaddexp(0, odds)
        # Weak pulls: towards knowing nothing, and towards one case in a hundred.
        return float(-each.sum() + (free[:-1] ** 2).sum() / 2 + (free[-1] + 4.6) ** 2)

    fitted = minimize(loss, np.append(np.full(x.shape[1], 0.5), -4.6), method="L-BFGS-B").x
    return together(fitted[:-1]), float(1 / (1 + np.exp(-np.clip(fitted[-1], -9, -1))))


def fit_rate(log_ratio: Array, expected: float = 0.01, strength: float = 20.0) -> float:
    """The share of wrong ones among cases whose log likelihood ratios (wrong over right) are known.

    By expectation maximisation, as if ``strength`` cases more had been seen of which the share ``expected`` was wrong.
    """
    rate = expected
    for _ in range(100):
        wrong = 1 / (1 + np.exp(-np.clip(log_ratio + np.log(rate / (1 - rate)), -50, 50)))
        new = float((wrong.sum() + strength * expected) / (len(log_ratio) + strength))
        if abs(new - rate) < 1e-6:
            break
        rate = new
    return float(np.clip(rate, 1e-6, 0.5))
