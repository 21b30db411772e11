"""Is the object there at all: a curve from the mean keypoint score to a probability, fitted after training."""

from __future__ import annotations

from typing import Any

import numpy as np

from posewright.metrics.calibration import roc_auc

KEPT = 0.95
"""False alarms are counted at the threshold that keeps this share of the objects."""
LEAST = 5
"""Crops of each kind that a curve is fitted to at least."""


def fit_presence(scores: np.ndarray, present: np.ndarray) -> tuple[float, float] | None:
    """Fit ``presence = sigmoid(a * mean score + b)`` to crops with and without the object.

    Args:
        scores: ``[N]`` mean keypoint score of each crop.
        present: ``[N]`` bool.

    Returns:
        (a, b) of the logistic regression (both kinds weighing alike, with a weak pull to a flat curve so that crops which
        separate perfectly do not give an infinitely steep one), or None where one kind is missing or nearly so.
    """
    from scipy.optimize import minimize

    if min(present.sum(), (~present).sum()) < LEAST:
        return None
    sign = np.where(present, 1.0, -1.0)
    weight = np.where(present, 0.5 / present.sum(), 0.5 / (~present).sum())

    def objective(p: np.ndarray) -> float:
        return float((weight * np.logaddexp(0, -sign * (p[0] * scores + p[1]))).sum() + 1e-4 * (p[0] / 10) ** 2)

    a, b = minimize(objective, (10.0, -3.0)).x
    return (float(a), float(b)) if a > 0 else None


def presence_figures(scores: np.ndarray, present: np.ndarray) -> tuple[dict[str, Any], str]:
    """How well the mean score tells crops with the object from crops without it; the curve does not change that.

    Args:
        scores, present: as for :func:`fit_presence`, both kinds among them.

    Returns:
        Metrics of a checkpoint, and the same as a sentence.
    """
    threshold = np.quantile(scores[present], 1 - KEPT)
    alarms = float((scores[~present] >= threshold).mean())
    auc = roc_auc(scores, present)
    of = f"{int(present.sum())} validation crops with an object, {int((~present).sum())} without"
    figures = {
        "presence_AUC": {"value": round(auc, 4), "data": of},
        f"presence_false_alarms@{100 * KEPT:g}": {
            "value": round(alarms, 4),
            "data": of,
            "at": f"the threshold that keeps {100 * KEPT:g} % of the objects",
        },
    }
    line = (
        f"Presence: AUC {auc:.3f}; {100 * alarms:.1f} % false alarms where {100 * KEPT:g} % of objects are kept ({of})."
    )
    return figures, line
