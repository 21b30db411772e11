"""One evaluation from arrays to the record that is written."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from posewright.annotations import Annotations, Image
from posewright.errors import PosewrightError
from posewright.metrics import evaluate, normalised_distances, pck
from posewright.metrics.evaluation import CURVE_END
from posewright.skeleton import Normaliser, Skeleton

SKELETON = Skeleton("stick", ("top", "middle", "foot"), normaliser=Normaliser("segment", ("top", "foot")))


def sticks():
    """Three pictures, four objects: two whole, one without a foot, one a crowd; all boxes 40 x 100."""
    points = np.array(
        [
            [[20, 0, 2], [20, 50, 2], [20, 100, 2]],
            [[30, 0, 2], [30, 50, 1], [30, 100, 2]],
            [[20, 0, 2], [20, 50, 2], [0, 0, 0]],
            [[20, 0, 2], [20, 50, 2], [20, 100, 2]],
        ],
        float,
    )
    return Annotations(
        SKELETON,
        [Image("a.png", 200, 200), Image("b.png", 200, 200), Image("empty.png", 200, 200)],
        np.array([0, 0, 1, 1]),
        points,
        np.tile([0.0, 0, 40, 100], (4, 1)),
        iscrowd=np.array([False, False, False, True]),
    )


def test_by_hand():
    truth = sticks()
    pred = truth.keypoints[..., :2].copy()
    pred[0, 1] += [3, 4]  # 5 px, 0.05 of the segment of 100
    pred[1] = np.nan
    pred[2, 0] += [30, 40]  # 50 px, without a length
    pred[3] += 1000  # a crowd is not measured
    result = evaluate(pred, truth, thresholds=[0.04, 0.2])
    assert (result.n_images, result.n_objects, result.n_missing, result.n_left_out) == (3, 3, 1, 1)
    metrics = result.metrics
    assert metrics["PCK@0.04"] == pytest.approx(2 / 6)
    assert metrics["PCK@0.2"] == pytest.approx(3 / 6)
    assert metrics["mean_PCK@0.04"] == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert metrics["NME"] == pytest.approx(0.05 / 3)  # of the one object that has a prediction and a length
    assert metrics["mean_error_px"] == pytest.approx(55 / 5)
    assert metrics["median_error_px"] == 0
    assert metrics["AUC@0.5"] == pytest.approx((1 + 0.9 + 1) / 6)
    middle = result.by_keypoint["middle"]
    assert middle == {"PCK@0.04": 0, "PCK@0.2": 0.5, "mean_error_px": 2.5, "median_error_px": 2.5, "n": 3, "n_PCK": 2}
    assert result.worst(5) == [2, 0]
    assert [round(v, 3) for v in result.curve(10)[1]] == [round(2 / 6, 3)] + [0.5] * 10


def test_the_record():
    truth = sticks()
    record = json.loads(evaluate(truth.keypoints[..., :2], truth).dumps())
    assert {"n_images", "n_objects", "metrics", "by_keypoint", "normaliser"} <= set(record)
    assert (record["n_images"], record["n_objects"], record["n_left_out"]) == (3, 3, 1)
    assert record["normaliser"] == "segment (top to foot)"
    assert record["metrics"]["PCK@0.2"] == 1
    assert record["metrics"]["mean_error_px"] == 0
    assert list(record["by_keypoint"]) == ["top", "middle", "foot"]
    assert any("1 of 3 objects have no normaliser" in line for line in record["conventions"])


def test_what_cannot_be_measured_is_null():
    truth = sticks()
    truth.keypoints[:, 2] = 0
    record = json.loads(evaluate(truth.keypoints[..., :2], truth).dumps())
    assert record["metrics"]["PCK@0.2"] is None
    assert record["metrics"]["NME"] is None
    assert record["metrics"]["mean_error_px"] == 0
    assert record["by_keypoint"]["foot"]["PCK@0.2"] is None
    assert record["by_keypoint"]["foot"]["n"] == 0


def test_missing_and_left_out_are_stated():
    truth = sticks()
    pred = truth.keypoints[..., :2].copy()
    pred[0] = np.nan
    pred[1, 0] = np.nan
    said = " ".join(evaluate(pred, truth).conventions())
    assert "1 of 3 objects have no prediction and count as misses" in said
    assert "4 keypoints have no prediction" in said
    assert "visible keypoints (v = 2) count" in " ".join(evaluate(pred, truth, visible_only=True).conventions())


def test_hidden_keypoints_count_unless_told_otherwise():
    truth = sticks()
    assert evaluate(truth.keypoints[..., :2], truth).n_keypoints == 8
    assert evaluate(truth.keypoints[..., :2], truth, visible_only=True).n_keypoints == 7


def test_auc_is_the_area_under_the_curve():
    rng = np.random.default_rng(1)
    truth = sticks()
    pred = truth.keypoints[..., :2] + rng.normal(0, 20, (4, 3, 2))
    result = evaluate(pred, truth)
    thresholds, values = result.curve(20_000)
    area = float(((values[1:] + values[:-1]) / 2 * np.diff(thresholds)).sum())
    assert result.metrics["AUC@0.5"] == pytest.approx(area / CURVE_END, abs=1e-4)
    assert values[-1] == pytest.approx(pck(pred[:3], truth.keypoints[:3], result.lengths[:3], 0.5).total)


@pytest.mark.parametrize(
    ("normaliser", "thresholds"),
    [
        (Normaliser("box"), (0.05, 0.1, 0.2)),
        (Normaliser("hourglass"), (0.1, 0.2, 0.5)),
        (Normaliser("fixed", length=10), (0.05, 0.1, 0.2)),
    ],
)
def test_every_default_has_the_customary_threshold(normaliser, thresholds):
    truth = sticks()
    result = evaluate(truth.keypoints[..., :2], truth, normaliser=normaliser)
    assert result.thresholds == thresholds
    assert result.n_left_out == 0
    assert "PCK@0.2" in result.metrics


def test_the_hourglass_systems_pck():
    """Within 3.2 of 64 heatmap cells of a crop that is 1.25 boxes wide."""
    truth = sticks()
    limit = 3.2 / 64 * 1.25 * 100  # px
    for away, hit in ((limit * 0.999, 1.0), (limit * 1.001, 0.0)):
        pred = truth.keypoints[..., :2] + [away, 0]
        assert evaluate(pred, truth, normaliser=Normaliser("hourglass")).metrics["PCK@0.5"] == hit


def test_worst_ranks_by_relative_error_and_takes_the_box_where_there_is_no_length():
    truth = sticks()
    pred = truth.keypoints[..., :2].copy()
    pred[0] += [10, 0]
    pred[2] += [20, 0]
    assert evaluate(pred, truth).worst(2) == [2, 0]
    assert evaluate(pred, truth).worst(99) == [2, 0, 1]
    truth.boxes[2] *= 3  # three times as large: 20 px are less of it
    assert evaluate(pred, truth).worst(2) == [0, 2]


def test_nothing_labelled_and_bad_thresholds_are_refused():
    truth = sticks()
    with pytest.raises(PosewrightError, match="above 0"):
        evaluate(truth.keypoints[..., :2], truth, thresholds=[math.nan])
    with pytest.raises(PosewrightError, match="above 0"):
        evaluate(truth.keypoints[..., :2], truth, thresholds=[0.1, -1])
    truth.keypoints[:] = 0
    with pytest.raises(PosewrightError, match="no labelled keypoint"):
        evaluate(truth.keypoints[..., :2], truth)


def test_normalised_distances_leave_whole_objects_out():
    got = normalised_distances(np.array([[1.0, np.nan], [np.inf, 2.0]]), [np.nan, 2.0])
    np.testing.assert_array_equal(got, [[np.nan, np.nan], [np.inf, 1.0]])
