"""The rules of an evaluation: by what a score is held, whatever else is reported."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.annotations import Annotations, Image
from posewright.metrics import parse_normaliser
from posewright.metrics.measuring import Rules
from posewright.metrics.results import Predicted
from posewright.score import ScoreCurve
from posewright.skeletons import BODY_14

BOX = parse_normaliser("box", BODY_14)


@pytest.mark.parametrize(
    ("normaliser", "thresholds", "given", "calibration"),
    [
        (BODY_14.normaliser, None, 0.2, 0.2),
        (BOX, None, 0.1, 0.1),
        (BODY_14.normaliser, (0.5,), 0.5, 0.2),
        (BOX, (0.02, 0.3, 0.4), 0.3, 0.1),
    ],
)
def test_what_a_score_is_held_against(normaliser, thresholds, given, calibration):
    """A report shows what was asked for; a curve is fitted to what the help says, whatever the report shows."""
    rules = Rules(normaliser, thresholds)
    assert rules.score_at == given
    assert rules.for_calibration(None).score_at == calibration
    assert rules.for_calibration(0.07).score_at == 0.07


def test_a_calibrated_score_is_held_against_its_own_meaning_only():
    curve = ScoreCurve(1.0, 1.0, (0.0,) * 14, 0.15, str(BOX))
    assert Rules(BOX).for_score(curve).score_at == 0.15
    assert Rules(BODY_14.normaliser).for_score(curve).score_at == 0.2
    assert Rules(BOX, visible_only=True).for_score(curve).score_at == 0.1
    assert Rules(BOX).for_score(None) == Rules(BOX)


def test_measuring_takes_the_predictions_scores_unless_others_are_given():
    points = np.full((1, 14, 3), 2.0)
    points[..., :2] = np.random.default_rng(0).uniform(10, 90, (1, 14, 2))
    truth = Annotations(BODY_14, [Image("a.jpg", 100, 100)], np.array([0]), points, np.array([[0.0, 0, 100, 100]]))
    predicted = Predicted(points[..., :2], np.full((1, 14), 0.75), np.ones(1))
    rules = Rules(BOX)
    assert rules.measure(predicted, truth).metrics["score_ECE"] == pytest.approx(0.25)
    other = np.full((1, 14), np.nan)
    other[0, :3] = 0.5
    found = rules.measure(predicted, truth, other)
    assert (found.score.n, found.metrics["score_ECE"]) == (3, pytest.approx(0.5))
