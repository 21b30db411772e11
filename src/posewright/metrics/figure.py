"""The one figure that models are set side by side by: PCK, NME, AP, or how far they agree with another model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.metrics.bootstrap import PckDifference, paired_bootstrap
from posewright.metrics.evaluation import Evaluation, describe, object_means
from posewright.metrics.measuring import Rules
from posewright.metrics.results import Predicted
from posewright.poses import Poses
from posewright.skeleton import Normaliser

Array = NDArray[np.float64]
Kind = Literal["pck", "nme", "ap"]

NEAR = 0.02
"""Two models agree on a keypoint within this share of the picture's longer side."""
SURE = 0.1
"""Only those of its keypoints count that the model agreed with gives at least this score."""


@dataclass(frozen=True)
class Figure:
    """Which figure is measured, and by which rules.

    Attributes:
        kind: share of keypoints found; mean distance over the normaliser's length; COCO's AP of the one pose in each box.
        rules: how predictions are measured; a single threshold for PCK.
    """

    kind: Kind
    rules: Rules

    @classmethod
    def choose(cls, kind: Kind | None, normaliser: Normaliser, threshold: float | None) -> Figure:
        """The figure asked for, or the one that the normaliser is usually reported with: NME of faces, else PCK."""
        if kind is None:
            kind = "nme" if normaliser.kind == "outer_eye_corners" and threshold is None else "pck"
        if kind != "pck" and threshold is not None:
            raise PosewrightError(f"--threshold is PCK's; {kind.upper()} has none")
        rules = Rules(normaliser)
        return cls(kind, Rules(normaliser, [threshold or rules.score_at]))

    @property
    def name(self) -> str:
        """For a table's head."""
        return f"PCK@{self.rules.score_at:g}" if self.kind == "pck" else self.kind.upper()

    @property
    def better(self) -> str:
        return "lower" if self.kind == "nme" else "higher"

    def sentence(self) -> str:
        """What it means."""
        by = describe(self.rules.normaliser)
        return {
            "pck": f"{self.name}: share of all labelled keypoints within {self.rules.score_at:g} x the normaliser ({by}).",
            "nme": f"NME: mean over objects of the mean distance over the normaliser ({by}); lower is better.",
            "ap": "AP: COCO's, of the one pose in every labelled box, which misses nobody; not comparable with a detector's.",
        }[self.kind]

    def measure(self, predicted: Predicted, truth: Annotations) -> Evaluation:
        """Measure predictions of the objects of ``truth``.

        Raises:
            PosewrightError: where there is nothing to measure this figure by.
        """
        if self.kind == "ap" and not truth.skeleton.sigmas:
            what = f"skeleton '{truth.skeleton.name}' has no sigmas, which AP needs"
            raise PosewrightError(what, file=truth.source or None, fix="Give them with --sigmas, or take --metric pck")
        found = self.rules.measure(predicted, truth)
        if self.kind != "ap" and np.isnan(found.normalised).all():
            what = f"no object has a length to normalise by ({describe(self.rules.normaliser)})"
            raise PosewrightError(what, file=truth.source or None, fix="Choose another one, such as --normaliser box")
        return found

    def value(self, found: Evaluation) -> float:
        return found.metrics[self.name]

    def difference(self, first: Evaluation, other: Evaluation) -> PckDifference | None:
        """The other's figure less the first's, with its interval; None for AP, which no picture has a part of."""
        if self.kind == "ap":
            return None
        if self.kind == "pck":
            return paired_bootstrap(first.normalised, other.normalised, first.picture, self.rules.score_at)
        one, two = (object_means(side.normalised, keep_empty=True)[:, None] for side in (first, other))
        return paired_bootstrap(one, two, first.picture, None)


@dataclass(frozen=True)
class Agreement:
    """How far a model finds what another one finds.

    Attributes:
        share: of the keypoints that the other is sure of, those within :data:`NEAR` of its place; NaN where there is none.
        median: distance in pixels of the pictures.
        keypoints: how many were compared.
    """

    share: float
    median: float
    keypoints: int


def agreement(first: Sequence[Poses], other: Sequence[Poses], order: Sequence[int]) -> Agreement:
    """Hold the poses of a model on some pictures against those of the first.

    Args:
        first, other: one for each picture, each with one pose.
        order: for each keypoint of the first, its place in the other's.
    """
    away, near = [], []
    for one, two in zip(first, other, strict=True):
        distance = np.linalg.norm(two.xy[:, order] - one.xy, axis=-1)[one.score >= SURE]
        away.append(distance)
        near.append(distance <= NEAR * max(one.width or 0, one.height or 0))
    distances, hits = np.concatenate(away), np.concatenate(near)
    if not len(distances):
        return Agreement(float("nan"), float("nan"), 0)
    return Agreement(float(hits.mean()), float(np.median(distances)), len(distances))
