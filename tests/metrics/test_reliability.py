"""Whether what is said comes true: by hand, and of claims that are known to be right or wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from posewright.annotations import Annotations, Image
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.metrics.absence import LEAST, presence_reliability, without_objects
from posewright.metrics.interval import share_interval, wilson
from posewright.metrics.reliability import BINS, log_loss, reliability
from posewright.metrics.score_fit import LEAST_PICTURES, calibrate_score, fit_score_curve
from posewright.score import EDGE, ScoreCurve, curve_meaning
from posewright.skeleton import Skeleton


def test_by_hand():
    # Two bins: 0.1 and 0.1, of which one came true; 0.9, which did not.
    found = reliability([0.1, 0.1, 0.9, np.nan], [True, False, False, True], "score", "being right")
    assert found.n == 3 and found.base == pytest.approx(1 / 3)
    assert found.ece == pytest.approx((2 * abs(0.5 - 0.1) + 1 * 0.9) / 3)
    assert found.brier == pytest.approx((0.81 + 0.01 + 0.81) / 3)
    assert found.auc == pytest.approx(0.25)  # one tie, one loss
    assert found.count[[int(0.1 * BINS), int(0.9 * BINS)]].tolist() == [2, 1]
    assert found.figures == {"score_ECE": found.ece, "score_Brier": found.brier, "score_AUC": found.auc}
    assert "over 3 predictions; always saying 0.333 has a Brier score of 0.222" in found.claim()
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [b["n"] for b in record["bins"]] == [2, 1]
    assert reliability([np.nan], [True], "score", "x") is None


def test_weights_count_as_repetitions():
    said, true = [0.2, 0.7, 0.7, 0.7], [True, False, True, True]
    plain, weighed = reliability(said, true, "s", "x"), reliability(said[:3], true[:3], "s", "x", [1, 1, 2])
    assert (plain.ece, plain.brier, plain.base) == pytest.approx((weighed.ece, weighed.brier, weighed.base))


def test_an_honest_claim_has_no_error_but_the_sampling_error():
    rng = np.random.default_rng(0)
    said = rng.random(40_000)
    honest = reliability(said, rng.random(40_000) < said, "s", "x")
    boast = reliability(np.sqrt(said), rng.random(40_000) < said, "s", "x")
    assert honest.ece < 0.015 < 0.15 < boast.ece
    assert honest.brier == pytest.approx(1 / 6, abs=0.005)  # the integral of p (1 - p)


def test_log_loss_by_hand():
    assert log_loss([0.5, 0.25, np.nan], [True, False, True]) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)


TRUE = ScoreCurve(2.0, 0.7, (0.4, -0.3, 1.0), 0.2, "torso")


def made(n=4000, seed=0):
    """Heights, and distances such that the share right is what TRUE says."""
    rng = np.random.default_rng(seed)
    height = rng.beta(2, 2, (n, 3))
    return height, np.where(rng.random((n, 3)) < TRUE.apply(height), 0.1, 0.9)


def test_the_fit_finds_the_curve_that_made_the_data():
    height, away = made()
    found = fit_score_curve(height, away <= 0.2, 0.2, "torso", "made")
    grid = np.linspace(0.05, 0.95, 10)[:, None] * np.ones(3)
    np.testing.assert_allclose(found.apply(grid), TRUE.apply(grid), atol=0.04)
    assert (found.threshold, found.normaliser, found.meaning) == (0.2, "torso", "PCK@0.2, torso")


def test_ranks_stay_and_the_ends_are_finite():
    grid = np.linspace(EDGE, 1 - EDGE, 1000)[:, None] * np.ones(3)
    assert (np.diff(TRUE.apply(grid), axis=0) > 0).all()
    ends = TRUE.apply([[0.0, 1.0, np.nan]])[0]
    assert 0 < ends[0] < 0.01 and 0.99 < ends[1] < 1 and np.isnan(ends[2])


def test_calibration_is_measured_on_other_pictures_and_better_there():
    height, away = made(400)
    away[0] = np.nan  # an object without a normaliser
    away[1, 0] = np.inf  # a keypoint that was not predicted
    group = np.arange(400) // 2
    found = calibrate_score(height, away, group, 0.2, "torso", "400 pictures")
    assert not set(group[found.halves.fit]) & set(group[found.halves.rest])
    assert found.halves.fit.sum() + found.halves.rest.sum() == 399
    assert found.better and found.after.ece < found.before.ece and found.after.brier < found.before.brier
    seen = found.unseen(height)
    assert np.isnan(seen[found.halves.fit]).all() and (seen[found.halves.rest] == height[found.halves.rest]).all()
    assert [row["said"] for row in found.rows()] == ["peak's height", "calibrated score"]
    same = calibrate_score(height, away, group, 0.2, "torso", "400 pictures")
    assert same.curve == found.curve


def test_too_little_to_fit_to_is_refused():
    height, away = made(200)
    with pytest.raises(PosewrightError, match="are too few to calibrate with"):
        calibrate_score(height[:30], away[:30], np.arange(30), 0.2, "torso", "x")
    with pytest.raises(PosewrightError, match="another --calibrate-at: smaller"):
        calibrate_score(height, np.full((200, 3), 0.1), np.arange(200), 0.2, "torso", "x")
    assert LEAST_PICTURES == 20


def test_the_record_comes_back_and_a_damaged_one_does_not():
    assert ScoreCurve.from_dict(json.loads(json.dumps(TRUE.to_dict())), 3) == TRUE
    for change in ({"rise": 0}, {"fall": float("nan")}, {"offset": [1, 2]}, {"threshold": -1}, {"offset": ["a", 1, 2]}):
        with pytest.raises(ValueError):
            ScoreCurve.from_dict(TRUE.to_dict() | change, 3)
    assert "claims" not in curve_meaning(None) and "no share of anything" in curve_meaning(None)
    assert "right by PCK@0.2, torso" in curve_meaning(TRUE)


@pytest.mark.parametrize(
    ("share", "count", "expected"), [(0.5, 10, (0.2366, 0.7634)), (1.0, 10, (0.7225, 1.0)), (0.0, 10, (0.0, 0.2775))]
)
def test_wilsons_interval_as_published(share, count, expected):
    assert wilson(share, count) == pytest.approx(expected, abs=1e-4)


def test_keypoints_of_one_picture_say_less_than_those_of_many():
    alone = share_interval([1, 0] * 50, [1] * 100)
    assert alone == pytest.approx(wilson(0.5, 100), abs=2e-3)
    together = share_interval([10, 0] * 5, [10] * 10)  # all or none of ten: ten pictures, not a hundred keypoints
    assert together == pytest.approx(wilson(0.5, 10), abs=0.02)
    assert share_interval([5] * 8, [5] * 8) == wilson(1.0, 8)
    assert np.isnan(share_interval([], [])).all()


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        chance = rng.beta(3, 1.5, 60)  # pictures differ: keypoints on one go together
        low, high = share_interval(rng.binomial(10, chance), np.full(60, 10))
        held += low <= 3 / 4.5 <= high
    assert 0.92 <= held / 400 <= 0.98


def boxed(boxes, images, size=200):
    points = np.zeros((len(boxes), 1, 3))
    points[:, 0] = [*np.mean(np.array(boxes, float).reshape(-1, 2, 2)[0], 0), 2]
    table = [Image(f"{i}.png", size, size) for i in range(images)]
    return Annotations(Skeleton("dot", ("dot",)), table, np.arange(len(boxes)), points, np.array(boxes, float))


def test_crops_without_an_object_touch_none_and_are_as_large_as_the_rule_makes_them():
    truth, rule = boxed([[80, 80, 120, 120]] * 30, 40), CropRule((64, 64), 1.5)
    found = without_objects(truth, rule, 25)
    assert len(found) == 25 and len(np.unique(found.image)) > 10
    assert (found.image >= 30).any()  # some on pictures without objects
    centre, half = (
        (found.boxes[:, :2] + found.boxes[:, 2:]) / 2,
        rule.margin * (found.boxes[:, 2:] - found.boxes[:, :2]) / 2,
    )
    low, high, beside = centre - half, centre + half, found.image < 30
    assert ((high <= 80 + 1e-9).any(1) | (low >= 120 - 1e-9).any(1))[beside].all()
    assert (low >= -0.5 - 1e-9).all() and (high <= 199.5 + 1e-9).all()
    assert (2 * half <= 60 + 1e-9).all()
    full = boxed([[-0.5, -0.5, 199.5, 199.5]] * 5, 5)
    assert len(without_objects(full, rule, 25)) == 0


def test_both_kinds_weigh_alike_in_presence():
    found = presence_reliability([0.9] * 300, [0.2] * 20 + [np.nan])
    assert found.base == pytest.approx(0.5) and found.n == 320
    assert found.ece == pytest.approx((0.1 + 0.2) / 2)
    assert found.auc == 1
    assert presence_reliability([0.9] * 300, [0.2] * (LEAST - 1)) is None
