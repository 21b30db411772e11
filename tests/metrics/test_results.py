"""Reading any tool's COCO results and bringing them into the order of the labels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from posewright.annotations import Annotations, Image
from posewright.errors import PosewrightError
from posewright.metrics import evaluate, read_results
from posewright.metrics.results import image_id
from posewright.poses import Poses
from posewright.skeleton import Skeleton

SKELETON = Skeleton("pair", ("left", "right"))


def labels(*images):
    """Two objects on the first picture, one on each other."""
    images = images or (Image("a/000007.jpg", 100, 100, id=70), Image("a/b.jpg", 100, 100, id=8))
    image = np.array([0, *range(len(images))])
    n = len(image)
    points = np.array([[[10 + 20 * i, 10, 2], [20 + 20 * i, 30, 2]] for i in range(n)], float)
    boxes = np.array([[5 + 20 * i, 5, 25 + 20 * i, 35] for i in range(n)], float)
    return Annotations(SKELETON, list(images), image, points, boxes)


def row(truth, i, image=None, shift=(0, 0), **more):
    flat = (truth.keypoints[i] + [*shift, 0]).ravel().tolist()
    return {
        "image_id": truth.images[truth.image[i]].id if image is None else image,
        "keypoints": flat,
        "score": 0.5,
        **more,
    }


def write(tmp_path, rows):
    path = tmp_path / "results.json"
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return path


def test_truth_as_results_in_any_order_is_perfect(tmp_path):
    truth = labels()
    path = write(tmp_path, [row(truth, i) for i in (2, 1, 0)])
    got = read_results(path, truth)
    np.testing.assert_array_equal(got.xy, truth.keypoints[..., :2])
    np.testing.assert_array_equal(got.presence, 0.5)
    assert evaluate(got.xy, truth).metrics["PCK@0.05"] == 1
    assert "3 matched, 0 spare" in got.notes[0]


def test_a_shift_is_measured_exactly(tmp_path):
    truth = labels()
    got = read_results(write(tmp_path, [row(truth, i, shift=(3, -4)) for i in range(3)]), truth)
    metrics = evaluate(got.xy, truth).metrics
    assert metrics["mean_error_px"] == metrics["median_error_px"] == 5
    assert metrics["NME"] == pytest.approx(5 / 30)


@pytest.mark.parametrize("name", [70, "70", "a/000007.jpg", "000007.jpg", "000007", 7])
def test_a_picture_is_found_by_id_path_name_and_number(tmp_path, name):
    truth = labels()
    got = read_results(write(tmp_path, [row(truth, 0, image=name)]), truth)
    assert np.isfinite(got.xy[0]).all()


def test_ids_go_before_names(tmp_path):
    truth = labels(Image("2.jpg", id=1), Image("1.jpg", id=2))
    got = read_results(write(tmp_path, [row(truth, 2, image=2)]), truth)
    assert np.isfinite(got.xy).all((1, 2)).tolist() == [False, False, True]


def test_a_name_of_several_pictures_is_not_guessed(tmp_path):
    truth = labels(Image("a/x.jpg"), Image("b/x.jpg"))
    with pytest.raises(PosewrightError, match="name of several pictures"):
        read_results(write(tmp_path, [row(truth, 0, image="x.jpg")]), truth)
    assert np.isfinite(read_results(write(tmp_path, [row(truth, 0, image="b/x.jpg")]), truth).xy[2]).all()


def test_two_pictures_of_one_id_are_refused(tmp_path):
    truth = labels(Image("a.jpg", id=1), Image("b.jpg", id=1))
    with pytest.raises(PosewrightError, match="id 1 stands for two pictures"):
        read_results(write(tmp_path, [row(truth, 0)]), truth)


def test_missing_spare_and_foreign_results_are_counted(tmp_path):
    truth = labels()
    rows = [row(truth, 0), row(truth, 2), row(truth, 2, shift=(9, 9)), row(truth, 2, image=999)]
    got = read_results(write(tmp_path, rows), truth)
    assert np.isnan(got.xy[1]).all()
    assert np.array_equal(got.xy[2], truth.keypoints[2, :, :2])
    assert "2 matched, 1 spare" in got.notes[0]
    assert got.notes[1].startswith("1 results are for pictures outside")
    result = evaluate(got.xy, truth)
    assert (result.n_missing, result.metrics["PCK@0.2"]) == (1, pytest.approx(2 / 3))


def test_no_results_at_all_are_all_misses(tmp_path):
    truth = labels()
    result = evaluate(read_results(write(tmp_path, []), truth).xy, truth)
    assert (result.n_missing, result.metrics["PCK@0.2"]) == (3, 0)


def test_a_keypoint_of_three_zeros_was_not_predicted(tmp_path):
    truth = labels()
    one = row(truth, 2)
    one["keypoints"][:3] = [0, 0, 0]
    got = read_results(write(tmp_path, [one]), truth)
    assert np.isnan(got.xy[2, 0]).all()
    assert np.isfinite(got.xy[2, 1]).all()


def test_crowds_take_no_detection(tmp_path):
    truth = labels()
    truth.iscrowd[0] = True
    got = read_results(write(tmp_path, [row(truth, 0)]), truth)
    assert np.isnan(got.xy[0]).all()
    assert np.isfinite(got.xy[1]).all()


def test_what_poses_write_comes_back(tmp_path):
    truth = labels()
    rows = []
    for i in (0, 1):
        of = np.flatnonzero(truth.image == i)
        poses = Poses(
            SKELETON, truth.keypoints[of, :, :2] + 0.25, np.full((len(of), 2), 0.9), np.ones(len(of)), truth.boxes[of]
        )
        rows += poses.to_coco_results(image_id(truth, i))
    got = read_results(write(tmp_path, rows), truth)
    np.testing.assert_allclose(got.xy, truth.keypoints[..., :2] + 0.25, atol=1e-3)
    np.testing.assert_allclose(got.score, 0.9)


def bad(**changes):
    return lambda truth: [row(truth, 0), {**row(truth, 1), **changes}]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("", "is empty"),
        ("[{", "is cut short"),
        ("[{1]", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"images": [], "annotations": []}', "COCO data set with labels, not COCO results"),
        ('{"a": 1}', "is a JSON object, not COCO results"),
        ("3", "not a list"),
        ("[3]", "result 0: has no image_id and keypoints"),
        ('[{"image_id": 70}]', "result 0: has no image_id and keypoints"),
        (bad(image_id=None), "result 1: image_id None"),
        (bad(image_id=True), "result 1: image_id True"),
        (bad(image_id=[1]), "result 1: image_id"),
        (bad(keypoints=None), "result 1: keypoints are not a list of numbers"),
        (bad(keypoints=[1, 2, "3", 4, 5, 6]), "result 1: keypoints are not a list of numbers"),
        (bad(keypoints=[1, 2, True, 4, 5, 6]), "result 1: keypoints are not a list of numbers"),
        (bad(keypoints=[1, 2, 3]), "result 1: has 3 keypoint numbers; the labels' skeleton 'pair' needs 3 x 2 = 6"),
        (bad(keypoints=[1, 2, 1, float("nan"), 5, 1]), "result 1: keypoint 'right' is not finite"),
        (bad(keypoints=[float("inf"), 2, 1, 3, 5, 1]), "result 1: keypoint 'left' is not finite"),
        (bad(keypoints=[1, 2, 1, 3, -1e200, 1]), r"result 1: keypoint 'right' lies at \[3.0, -1e\+200\]"),
        (bad(score="high"), "result 1: score 'high'"),
        (bad(score=float("nan")), "result 1: score nan"),
        (lambda t: [row(t, 0, id=4), row(t, 1, id=4)], "result 1: id 4 is used twice"),
        (lambda t: [row(t, 0, image=5), row(t, 1, image=6)], "none of its image_ids is a picture .* like 70, 8"),
    ],
)
def test_bad_results_are_one_clear_line(tmp_path, rows, complaint):
    truth = labels()
    path = write(tmp_path, rows(truth) if callable(rows) else rows)
    with pytest.raises(PosewrightError, match=complaint) as caught:
        read_results(path, truth)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_file_and_binary_file(tmp_path):
    with pytest.raises(PosewrightError, match="No such file"):
        read_results(tmp_path / "none.json", labels())
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(PosewrightError, match="is not JSON"):
        read_results(tmp_path / "b.json", labels())


def test_skip_bad_goes_on_and_lists(tmp_path):
    truth = labels()
    rows = [row(truth, 0), {**row(truth, 1), "keypoints": [1]}, 7]
    got = read_results(write(tmp_path, rows), truth, skip_bad=True)
    assert [line.split(": ")[1] for line in got.skipped] == ["result 1", "result 2"]
    assert np.isfinite(got.xy).all((1, 2)).sum() == 1
