"""By which rules predictions are measured, put together once and used for each measurement of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from numpy.typing import ArrayLike

from posewright.annotations.tables import Annotations
from posewright.metrics.evaluation import Evaluation, default_thresholds, evaluate, usual_threshold
from posewright.metrics.results import Predicted
from posewright.score import ScoreCurve
from posewright.skeleton import Normaliser


@dataclass(frozen=True)
class Rules:
    """How predictions are measured.

    Attributes:
        normaliser: what distances are divided by.
        thresholds: of PCK; :func:`posewright.metrics.evaluation.default_thresholds` where None.
        visible_only: leave hidden keypoints out.
        tail: of the law that a model says its errors follow; None for the normal one.
        right_at: the PCK threshold by which a keypoint is right, where scores are held against that; see
            :func:`posewright.metrics.evaluation.usual_threshold` where None.
    """

    normaliser: Normaliser
    thresholds: Sequence[float] | None = None
    visible_only: bool = False
    tail: float | None = None
    right_at: float | None = None

    def for_score(self, curve: ScoreCurve | None) -> Rules:
        """Hold scores against what their curve says they are, where it was fitted by these rules."""
        if curve is None or (curve.normaliser, curve.visible_only) != (str(self.normaliser), self.visible_only):
            return self
        return replace(self, right_at=curve.threshold)

    def for_calibration(self, threshold: float | None) -> Rules:
        """Hold scores against the PCK that a curve is to be fitted to; the usual one where None, whatever is reported."""
        return replace(
            self, right_at=threshold or usual_threshold(self.normaliser, default_thresholds(self.normaliser))
        )

    @property
    def score_at(self) -> float:
        """The threshold that scores are held against."""
        thresholds = self.thresholds or default_thresholds(self.normaliser)
        return self.right_at or usual_threshold(self.normaliser, thresholds)

    def measure(self, predicted: Predicted, truth: Annotations, score: ArrayLike | None = None) -> Evaluation:
        """Measure predictions of the objects of ``truth``.

        Args:
            score: ``[N, K]`` to be held against what was right instead of the predictions' own; NaN does not count.
        """
        return evaluate(
            predicted.xy,
            truth,
            normaliser=self.normaliser,
            thresholds=self.thresholds,
            visible_only=self.visible_only,
            covariance=predicted.covariance,
            tail=self.tail,
            visibility=predicted.visibility,
            detections=predicted.all_detections(truth),
            score=predicted.score if score is None else score,
            score_at=self.score_at,
        )
