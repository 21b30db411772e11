"""Whether a number that says how sure a model is can be taken at its word: said against true, in bins.

**Expected calibration error.** Predictions are put into ``BINS`` bins of equal width by what was said of them; in each, the
mean of what was said is held against the share that came true. The ECE is the mean of these differences, each bin weighing
as much as it holds (Guo, Pleiss, Sun and Weinberger, ICML 2017). 0 is best. It judges the claim alone: who always says the
overall share is never wrong, and of no use.

**Brier score.** The mean of (said - true)^2, true being 0 or 1. 0 is best; always saying the overall share ``q`` gives
``q (1 - q)``. It judges claim and power to tell apart together.

**AUC.** How often what came true was given the higher number, ties counting half. A curve that only rises leaves it as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.metrics.calibration import roc_auc

Array = NDArray[np.float64]

BINS = 15

CONVENTION = (
    f"ECE: mean over {BINS} bins of equal width of |mean said - share true|, weighted by what each holds. Brier: mean of "
    "(said - true)^2. AUC of score and presence: how often what came true was given the higher number."
)


@dataclass(frozen=True)
class Reliability:
    """What :func:`reliability` found.

    Attributes:
        what: what was said, such as "score".
        event: what it should be the share of, in words.
        said: ``[B]`` the mean of what was said in each bin; NaN in an empty one.
        true: ``[B]`` the share that came true, likewise.
        share: ``[B]`` how much of the weight the bin holds; they sum to 1.
        count: ``[B]`` how many it holds.
        ece, brier, auc: see the module.
        base: the overall share.
    """

    what: str
    event: str
    said: Array
    true: Array
    share: Array
    count: NDArray[np.int64]
    ece: float
    brier: float
    auc: float
    base: float

    @property
    def n(self) -> int:
        return int(self.count.sum())

    @property
    def figures(self) -> dict[str, float]:
        """``ECE``, ``Brier`` and ``AUC``, each after what it is of."""
        return {f"{self.what}_ECE": self.ece, f"{self.what}_Brier": self.brier, f"{self.what}_AUC": self.auc}

    def __str__(self) -> str:
        return f"ECE {self.ece:.3f}, Brier {self.brier:.3f}, AUC {self.auc:.3f}"

    def claim(self) -> str:
        """What was held against what, one sentence."""
        return (
            f"{self.what.capitalize()} against {self.event}: over {self.n} predictions; always saying {self.base:.3f} has a "
            f"Brier score of {self.base * (1 - self.base):.3f}."
        )

    def to_json(self) -> dict[str, Any]:
        """The record that ``--json`` writes; bins that hold nothing are left out."""
        held = np.flatnonzero(self.count)
        return {
            "event": self.event,
            **{name: _number(value) for name, value in self.figures.items()},
            "share": _number(self.base),
            "n": self.n,
            "bins": [
                {"said": _number(self.said[b]), "true": _number(self.true[b]), "n": int(self.count[b])} for b in held
            ],
            "conventions": [CONVENTION, self.claim()],
        }


def reliability(
    said: ArrayLike, true: ArrayLike, what: str, event: str, weight: ArrayLike | None = None
) -> Reliability | None:
    """Hold what was said against what came true.

    Args:
        said: numbers in 0..1 of any shape; NaN where nothing was said, which does not count.
        true: bool, of the same shape.
        what, event: see :class:`Reliability`.
        weight: of each prediction; 1 where None.

    Returns:
        None where nothing was said.
    """
    p, came = np.asarray(said, float).ravel(), np.asarray(true, bool).ravel()
    w = np.ones(len(p)) if weight is None else np.asarray(weight, float).ravel()
    known = np.isfinite(p)
    p, came, w = np.clip(p[known], 0, 1), came[known], w[known]
    if not len(p) or not w.sum() > 0:
        return None
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    total = np.bincount(place, w, BINS)
    held = np.where(total > 0, total, np.nan)
    mean, hit = np.bincount(place, w * p, BINS) / held, np.bincount(place, w * came, BINS) / held
    return Reliability(
        what,
        event,
        mean,
        hit,
        total / total.sum(),
        np.bincount(place, minlength=BINS),
        float(np.nansum(total * np.abs(mean - hit)) / total.sum()),
        float((w * (p - came) ** 2).sum() / w.sum()),
        roc_auc(p, came),
        float((w * came).sum() / w.sum()),
    )


def log_loss(said: ArrayLike, true: ArrayLike, weight: ArrayLike | None = None) -> float:
    """The mean surprise, in nats, of who believed what was said; NaN entries do not count."""
    p, came = np.asarray(said, float).ravel(), np.asarray(true, bool).ravel()
    known = np.isfinite(p)
    w = np.ones(len(p)) if weight is None else np.asarray(weight, float).ravel()
    p = np.clip(p[known], 1e-6, 1 - 1e-6)
    return float((-np.log(np.where(came[known], p, 1 - p)) * w[known]).sum() / w[known].sum()) if len(p) else math.nan


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
