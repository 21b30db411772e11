"""PCKh by the MPII rules, on people whose figures can be counted on the fingers."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.annotations import Annotations, Image
from posewright.errors import PosewrightError
from posewright.metrics.mpii import mpii_pckh
from posewright.skeletons import BODY_14, MPII_16

HEAD = 20.0


def people(n=2, head_size=HEAD, skeleton=MPII_16, **columns):
    rng = np.random.default_rng(0)
    k = len(skeleton)
    points = np.concatenate([rng.uniform(10, 90, (n, k, 2)), np.full((n, k, 1), 2)], 2)
    boxes = np.tile([0.0, 0, 100, 100], (n, 1))
    images = [Image(f"{i}.jpg") for i in range(n)]
    return Annotations(
        skeleton, images, np.arange(n), points, boxes, head_size=np.broadcast_to(head_size, n).copy(), **columns
    )


def moved(truth, **away):
    """Predictions that are right but for the named joints, moved to the right by so many pixels."""
    xy = truth.keypoints[..., :2].copy()
    for name, pixels in away.items():
        xy[:, truth.skeleton.index(name), 0] += pixels
    return xy


def test_the_table():
    truth = people()
    pred = moved(truth, left_wrist=10.5, right_knee=15.0, left_knee=15.0)
    pred[0, truth.skeleton.index("head_top"), 0] += 11
    found = mpii_pckh(pred, truth)
    expected = {"Head": 50, "Shoulder": 100, "Elbow": 100, "Wrist": 50, "Hip": 100, "Knee": 0, "Ankle": 100}
    assert found.table == pytest.approx(expected | {"Mean": 100 * (14 - 3.5) / 14})
    assert list(found.table) == ["Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mean"]
    assert found.rows()[0]["Wrist"] == "50.0"
    assert found.to_json()["table"]["Knee"] == 0


def test_half_a_head_is_too_far_and_a_little_less_is_not():
    truth = people(1)
    truth.keypoints[..., :2] = np.round(truth.keypoints[..., :2])
    assert mpii_pckh(moved(truth, left_hip=10.0), truth).table["Hip"] == 50
    assert mpii_pckh(moved(truth, left_hip=9.99), truth).table["Hip"] == 100
    assert mpii_pckh(moved(truth, left_hip=9.99), truth, 0.1).table["Hip"] == 50


def test_pelvis_and_thorax_do_not_count():
    truth = people()
    found = mpii_pckh(moved(truth, pelvis=500.0, thorax=500.0), truth)
    assert found.table["Mean"] == 100
    assert "pelvis" not in found.by_keypoint
    assert len(found.by_keypoint) == 14


def test_hidden_joints_count_and_unlabelled_ones_do_not():
    truth = people()
    ankle = truth.skeleton.index("left_ankle")
    truth.keypoints[0, ankle, 2] = 1
    truth.keypoints[1, ankle] = 0
    found = mpii_pckh(moved(truth, left_ankle=500.0), truth)
    assert (found.n_by_keypoint["left_ankle"], found.by_keypoint["left_ankle"]) == (1, 0)
    assert found.table["Ankle"] == 50
    # The mean is that of the joints, the pooled figure that of the labels.
    assert found.table["Mean"] == pytest.approx(100 * 13 / 14)
    assert found.pooled == pytest.approx(100 * 26 / 27)


def test_people_without_a_head_size_are_left_out_and_missing_ones_are_misses():
    truth = people(3, np.array([HEAD, np.nan, HEAD]))
    pred = moved(truth)
    pred[1] += 500
    pred[2] = np.nan
    found = mpii_pckh(pred, truth)
    assert found.table["Mean"] == 50
    assert found.n_left_out == 1
    assert "1 people have no labelled head size" in found.conventions()[-1]


def test_crowds_do_not_count():
    truth = people(iscrowd=[False, True])
    pred = moved(truth)
    pred[1] += 500
    assert mpii_pckh(pred, truth).table["Mean"] == 100


def test_what_it_cannot_measure():
    with pytest.raises(PosewrightError, match="lacks 'pelvis'"):
        mpii_pckh(moved(people(skeleton=BODY_14)), people(skeleton=BODY_14))
    truth = people(head_size=np.nan)
    with pytest.raises(PosewrightError, match="no labelled person has a head size"):
        mpii_pckh(moved(truth), truth)
