"""Two sets of predictions on the same labels: which keypoints got better or worse, and how sure that is."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.metrics.bootstrap import PckDifference, paired_bootstrap
from posewright.metrics.evaluation import Evaluation, describe, evaluate
from posewright.metrics.interval import FEW
from posewright.skeleton import Normaliser

BETTER, WORSE, UNCLEAR = "better", "worse", "not clear"


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found; a difference is B's PCK less A's.

    Attributes:
        a, b: both evaluations, of the same keypoints.
        threshold: of PCK.
        total: over all keypoints.
        by_keypoint: for each keypoint by name; None for one that never counts.
    """

    a: Evaluation
    b: Evaluation
    threshold: float
    total: PckDifference
    by_keypoint: dict[str, PckDifference | None]

    def keypoints(self, verdict: str) -> list[str]:
        """The keypoints of one verdict of :func:`verdict_on`, the largest difference first."""
        chosen = [(name, d.difference) for name, d in self.by_keypoint.items() if d and verdict_on(d) == verdict]
        return [name for name, _ in sorted(chosen, key=lambda row: -abs(row[1]))]

    def rows(self) -> list[dict[str, Any]]:
        """The table: one row a keypoint, then all of them."""
        rows = [_row(name, found) for name, found in self.by_keypoint.items()]
        return [*rows, _row("all", self.total)]

    def summary(self) -> list[str]:
        """What came out, one sentence each."""
        words = {
            BETTER: "B is better than A",
            WORSE: "B is worse than A",
            UNCLEAR: "No clear difference between A and B",
        }
        lines = [f"{words[verdict_on(self.total)]}: PCK@{self.threshold:g} {self.total}."]
        for verdict in (BETTER, WORSE):
            names = self.keypoints(verdict)
            if names:
                lines.append(f"Clearly {verdict}: {', '.join(names)}.")
        return lines

    def conventions(self) -> list[str]:
        """What the figures mean, one sentence each."""
        counted = sum(found is not None for found in self.by_keypoint.values())
        level = self.total.level
        chance = counted * (1 - level)
        kind = "visible" if self.a.visible_only else "labelled"
        lines = [
            f"PCK@{self.threshold:g}: share of all {kind} keypoints within {self.threshold:g} x the normaliser "
            f"({describe(self.a.normaliser)}).",
            f"Intervals: paired bootstrap, {self.total.resamples} resamples of {self.total.pictures} whole pictures, the middle "
            f"{level:.0%}; {BETTER} or {WORSE} where an interval leaves out 0 and A and B differ on at least "
            f"{least_differing(level)} pictures: fewer may all point one way by chance.",
            f"Of {counted} keypoints without any difference, about {chance:.1f} would seem to have one by chance.",
            f"Without any prediction: {self.a.n_missing} objects of A, {self.b.n_missing} of B; they count as misses.",
        ]
        if self.a.n_left_out:
            lines.append(f"{self.a.n_left_out} of {self.a.n_objects} objects have no normaliser and are left out.")
        if self.total.pictures < FEW:
            few = "1 picture is" if self.total.pictures == 1 else f"{self.total.pictures} pictures are"
            lines.append(f"Caution: {few} few to draw from: the intervals are narrower than they should be.")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The record that ``--json`` writes; a keypoint that never counts is null."""
        return {
            "threshold": self.threshold,
            "normaliser": str(self.a.normaliser),
            "skeleton": self.a.skeleton.name,
            "n_objects": self.a.n_objects,
            "n_left_out": self.a.n_left_out,
            "visible_only": self.a.visible_only,
            "level": self.total.level,
            "resamples": self.total.resamples,
            "pictures": self.total.pictures,
            "all": _record(self.total),
            "by_keypoint": {name: found and _record(found) for name, found in self.by_keypoint.items()},
            "a": {name: _finite(value) for name, value in self.a.metrics.items()},
            "b": {name: _finite(value) for name, value in self.b.metrics.items()},
            "conventions": self.conventions(),
        }

    def dumps(self) -> str:
        """:meth:`to_json` as text."""
        return json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"


def verdict_on(found: PckDifference) -> str:
    """ "better" or "worse" (B than A) where the interval leaves out 0 and enough pictures differ, else "not clear"."""
    if found.differing < least_differing(found.level):
        return UNCLEAR
    return BETTER if found.low > 0 else WORSE if found.high < 0 else UNCLEAR


def least_differing(level: float) -> int:
    """How many pictures must differ for a verdict, 6 at a level of 0.95.

    The sign test: that n pictures all point one way by chance has a probability of 2^(1 - n). A bootstrap of very few pictures
    does not know this; of a single one its interval is a point.
    """
    return 1 + math.ceil(-math.log2(1 - level) - 1e-9)


def compare(
    a_xy: ArrayLike,
    b_xy: ArrayLike,
    truth: Annotations,
    *,
    normaliser: Normaliser | None = None,
    threshold: float | None = None,
    visible_only: bool = False,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Compare two sets of predictions by PCK, over all keypoints and each of them.

    Args:
        a_xy, b_xy: ``[N, K, 2]`` in source-picture pixels, one pose for each object of ``truth`` in its order; NaN where
            nothing was predicted.
        truth: the labels. Crowd regions are not counted.
        normaliser: what distances are divided by; the skeleton's own where None.
        threshold: of PCK; the second of :func:`posewright.metrics.evaluation.default_thresholds` where None.
        visible_only: leave hidden keypoints (v = 1) out.
        resamples, level, seed: of :func:`posewright.metrics.paired_bootstrap`.
        progress: called with 1 for each of the K + 1 differences.

    Raises:
        PosewrightError: where nothing is left to measure by, or a number makes no sense.
    """
    if resamples < 100:
        raise PosewrightError(f"an interval takes at least 100 resamples, not {resamples}")
    if seed < 0:
        raise PosewrightError(f"a seed must not be below 0, but is {seed}")
    if not 0.5 <= level < 1:
        raise PosewrightError(f"an interval's level is a share from 0.5 to below 1, not {level:g}")
    thresholds: Sequence[float] | None = None if threshold is None else [threshold]
    a, b = (
        evaluate(xy, truth, normaliser=normaliser, thresholds=thresholds, visible_only=visible_only)
        for xy in (a_xy, b_xy)
    )
    at = a.thresholds[1] if threshold is None else threshold
    one, other = a.normalised, b.normalised
    if np.isnan(one).all():
        fix = "Choose another one, such as --normaliser box"
        raise PosewrightError(f"no object has a length to normalise by ({describe(a.normaliser)})", fix=fix)

    def difference(columns: slice) -> PckDifference | None:
        if np.isnan(one[:, columns]).all():
            found = None
        else:
            sides = one[:, columns], other[:, columns]
            found = paired_bootstrap(*sides, truth.image, at, resamples=resamples, level=level, seed=seed)
        if progress:
            progress(1)
        return found

    total = difference(slice(None))
    assert total is not None
    names = truth.skeleton.keypoints
    return Comparison(a, b, at, total, {name: difference(slice(k, k + 1)) for k, name in enumerate(names)})


def _row(name: str, found: PckDifference | None) -> dict[str, Any]:
    if found is None:
        return {"keypoint": name, "A": None, "B": None, "B - A": None, "from": None, "to": None, "B is": ""}
    return {
        "keypoint": name,
        "A": found.a,
        "B": found.b,
        "B - A": f"{found.difference:+.3f}",
        "from": f"{found.low:+.3f}",
        "to": f"{found.high:+.3f}",
        "B is": verdict_on(found),
        "pictures": found.pictures,
        "differ": found.differing,
    }


def _record(found: PckDifference) -> dict[str, Any]:
    numbers = {name: round(getattr(found, name), 6) for name in ("a", "b", "difference", "low", "high")}
    counts = {"pictures": found.pictures, "differing": found.differing}
    return {**numbers, **counts, "verdict": verdict_on(found)}


def _finite(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
