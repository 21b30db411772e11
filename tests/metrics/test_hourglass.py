"""The hourglass system's own PCK: its cells, its length, its rule of what counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from helpers.labels import save_json
from posewright.annotations import Annotations, Image, ReadOptions, read_annotations
from posewright.errors import PosewrightError
from posewright.metrics.hourglass import hourglass_cells, hourglass_length, hourglass_pck, hourglass_pck_of_cells
from posewright.skeleton import Skeleton

PAIR = Skeleton("pair", ("a", "b"))


@pytest.mark.parametrize(("size", "length"), [((256, 256), 6.4), ((192, 192), 4.8), ((128, 256), 4.8)])
def test_the_length(size, length):
    assert hourglass_length(size) == pytest.approx(length)


def test_a_hit_is_nearer_than_3_2_cells():
    truth = np.tile([20.0, 20.0], (1, 4, 1))
    pred = truth + np.array([[[3, 0], [3, 1], [2, 3], [0, 4]]])  # 3, 3.16, 3.6 and 4 cells away
    got = hourglass_pck_of_cells(pred, truth)
    assert got.by_keypoint.tolist() == [1, 1, 0, 0]
    assert (got.total, got.n) == (0.5, 4)
    assert hourglass_pck_of_cells(pred, truth, score_threshold=0.63).total == 1
    # Exactly as far as the threshold says is too far.
    assert hourglass_pck_of_cells(pred, truth, score_threshold=3 / 6.4).total == 0
    # An input of 192: 2.4 cells.
    assert hourglass_pck_of_cells(pred, truth, input_size=(192, 192)).total == 0


def test_what_counts_is_told_by_the_cell_alone():
    truth = np.array([[[1, 30], [30, 1], [2, 2], [70, 90], [np.nan, 5]]])
    got = hourglass_pck_of_cells(truth, truth)
    assert got.n_by_keypoint.tolist() == [0, 0, 1, 1, 0]
    assert (got.total, got.n) == (1, 2)
    assert np.isnan(got.by_keypoint[0])
    missing = hourglass_pck_of_cells(np.full(truth.shape, np.nan), truth)
    assert (missing.total, missing.n) == (0, 2)


def test_cells_of_a_box_by_hand():
    # A box of 80 about (50, 60): a crop of 100 from (0, 10), 64 cells of 100 / 64 px.
    xy = np.array([[[0, 10], [50, 60], [99.9, 109.9], [-1, 10], [-3.2, 10]]], float)
    got = hourglass_cells(xy, [[10, 20, 90, 100]])
    assert got[0].tolist() == [[1, 1], [33, 33], [64, 64], [1, 1], [-1, 1]]  # int() cuts towards 0


def system_cell(point, objpos, scale):
    """The system's own mapping of one label, written out from its description."""
    cx, cy = objpos[0], objpos[1] + 15 * scale
    side = 200 * scale * 1.25
    return [int(64 * x / side + 64 * (-c / side + 0.5)) + 1 for x, c in zip(point, (cx, cy), strict=True)]


def test_cells_of_its_own_label_file(tmp_path):
    """What its file says of a person leads to the cells that it would have made."""
    rng = np.random.default_rng(1)
    joints = np.concatenate([rng.uniform(30, 300, (16, 2)).round(1), np.ones((16, 1))], 1)
    objpos, scale = [150.5, 140.25], 1.37
    person = {
        "dataset": "MPI",
        "isValidation": 1.0,
        "img_paths": "a.jpg",
        "img_width": 400,
        "img_height": 400,
        "objpos": objpos,
        "scale_provided": scale,
        "joint_self": joints.tolist(),
    }
    truth = read_annotations(save_json(tmp_path / "annotations.json", [person]), options=ReadOptions())
    expected = [system_cell(joint[:2], objpos, scale) for joint in joints]
    assert hourglass_cells(truth.keypoints[..., :2], truth.boxes)[0].tolist() == expected


def one(points, box=(0.0, 0.0, 80.0, 80.0), **columns):
    return Annotations(PAIR, [Image("a.jpg")], [0], [points], [box], **columns)


def test_predictions_in_the_picture():
    truth = one([[20, 20, 2], [60, 60, 1]])
    pred = truth.keypoints[..., :2].copy()
    assert hourglass_pck(pred, truth).result.total == 1
    cell = 100 / 64
    pred[0, 0, 0] += 3 * cell
    pred[0, 1, 0] += 5 * cell
    got = hourglass_pck(pred, truth)
    assert got.result.by_keypoint.tolist() == [1, 0]
    assert got.to_json()["by_keypoint"] == {"a": 1, "b": 0}
    assert got.rows()[-1] == {"keypoint": "all", "hourglass PCK": 0.5, "n": 2}
    assert "3.2 cells" in got.conventions()[0]


def test_unlabelled_joints_count_only_where_told():
    # The crop of a box about the picture's corner reaches beyond it: (0, 0) lies in its middle.
    truth = one([[20, 20, 2], [0, 0, 0]], (-40.0, -40.0, 40.0, 40.0))
    pred = truth.keypoints[..., :2].copy()
    assert hourglass_pck(pred, truth).result.n == 1
    assert hourglass_pck(pred, truth, count_unlabelled=True).result.n == 2


@pytest.mark.parametrize(("x", "origin", "n"), [(-0.5, 1, 2), (-1, 1, 1), (-0.5, 0, 1), (0, 0, 1), (0.1, 0, 2)])
def test_labels_at_or_beyond_the_origin_are_not_mapped(x, origin, n):
    truth = one([[20, 20, 2], [x, 20, 1]], (-40.0, -40.0, 40.0, 40.0))
    assert hourglass_pck(truth.keypoints[..., :2], truth, origin=origin).result.n == n


def test_nothing_to_measure():
    truth = one([[20, 20, 2], [60, 60, 1]], iscrowd=[True])
    with pytest.raises(PosewrightError, match="no joint counts"):
        hourglass_pck(truth.keypoints[..., :2], truth)


def test_close_to_the_normaliser_of_the_same_name():
    """``--normaliser hourglass`` at 0.5 is the same length without cells: it agrees but for what cells round away."""
    from posewright.metrics import evaluate
    from posewright.skeleton import Normaliser

    rng = np.random.default_rng(2)
    n = 500
    points = np.concatenate([rng.uniform(20, 80, (n, 2, 2)), np.full((n, 2, 1), 2)], 2)
    truth = Annotations(PAIR, [Image("a.jpg")], np.zeros(n, int), points, np.tile([0.0, 0, 100, 100], (n, 1)))
    pred = points[..., :2] + rng.normal(0, 5, (n, 2, 2))
    smooth = evaluate(pred, truth, normaliser=Normaliser("hourglass"), thresholds=[0.5]).pck[0].total
    assert math.isclose(hourglass_pck(pred, truth).result.total, smooth, abs_tol=0.05)
    assert 0.3 < smooth < 0.8
