"""Average precision: by hand, and equal to the official tool on data with every quirk it has a rule for."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewright.annotations import Annotations, Image
from posewright.errors import PosewrightError
from posewright.metrics.average_precision import Detections, average_precision
from posewright.skeleton import Skeleton
from posewright.skeletons import COCO_17

PAIR = Skeleton("pair", ("a", "b"), sigmas=(0.5, 0.5))
"""Sigmas of 0.5 make OKS the mean of exp(-d^2 / (2 area))."""
AREA = 50.0**2


def objects(at, images=1, iscrowd=None, area=AREA, v=2):
    """One object of :data:`PAIR` for each (image, x), with its keypoints 10 px apart."""
    points = np.array([[[x, 0, v], [x + 10, 0, v]] for _, x in at], float).reshape(-1, 2, 3)
    boxes = np.array([[x - 5, -5, x + 15, 15] for _, x in at], float).reshape(-1, 4)
    n = len(at)
    pictures = [Image(f"{i}.jpg", id=i) for i in range(images)]
    areas = np.full(n, area) if np.isscalar(area) else area
    return Annotations(PAIR, pictures, np.array([i for i, _ in at], int), points, boxes, iscrowd=iscrowd, area=areas)


def found(at):
    """One detection for each (image, x, score); boxes of their keypoints have no area."""
    xy = np.array([[[x, 0], [x + 10, 0]] for _, x, _ in at], float).reshape(-1, 2, 2)
    return Detections(np.array([i for i, _, _ in at], int), xy, np.array([s for _, _, s in at], float))


def off_by(similarity):
    """How far a pose must be moved for this OKS."""
    return float(np.sqrt(-2 * AREA * np.log(similarity)))


def test_all_found_is_one_and_nothing_found_is_nought():
    truth = objects([(0, 0), (0, 500), (1, 0)], 3)
    got = average_precision(found([(0, 0, 0.9), (0, 500, 0.8), (1, 0, 0.7)]), truth).metrics
    assert {name: got[name] for name in ("AP", "AP50", "AP75", "AP_M", "AR", "AR_M")} == pytest.approx(
        dict.fromkeys(("AP", "AP50", "AP75", "AP_M", "AR", "AR_M"), 1.0)
    )
    assert np.isnan(got["AP_L"])
    assert np.isnan(got["AR_L"])
    nothing = average_precision(found([]), truth)
    assert (nothing.metrics["AP"], nothing.metrics["AR50"], nothing.n_objects) == (0, 0, 3)


def test_an_oks_of_0_72_is_found_at_five_of_ten_thresholds():
    truth = objects([(0, 0)])
    got = average_precision(found([(0, off_by(0.72), 1.0)]), truth).metrics
    assert got["AP"] == pytest.approx(0.5)
    assert got["AR"] == pytest.approx(0.5)
    assert (got["AP50"], got["AP75"]) == pytest.approx((1, 0))


def test_a_wrong_detection_above_the_right_one_halves_the_precision():
    truth = objects([(0, 0)])
    first = [(0, 9000.0, 0.9), (0, 0.0, 0.8)]
    assert average_precision(found(first), truth).metrics["AP"] == pytest.approx(0.5)
    last = [(0, 9000.0, 0.7), (0, 0.0, 0.8)]
    assert average_precision(found(last), truth).metrics["AP"] == pytest.approx(1)


def test_a_second_detection_of_one_object_is_wrong():
    truth = objects([(0, 0), (0, 5000)])
    got = average_precision(found([(0, 0, 0.9), (0, 0, 0.8), (0, 5000, 0.7)]), truth).metrics
    # Recall up to 0.5 at precision 1 (51 of 101 places), beyond at 2 / 3.
    assert got["AP"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_crowd_takes_any_number_and_counts_for_nothing():
    truth = objects([(0, 0), (0, 5000)], iscrowd=[False, True])
    got = average_precision(found([(0, 5000, 0.9), (0, 5000, 0.8), (0, 0, 0.7)]), truth)
    assert got.metrics["AP"] == pytest.approx(1)
    assert (got.n_objects, got.n_ignored, got.n_detections) == (1, 1, 3)
    plain = average_precision(found([(0, 5000, 0.9), (0, 5000, 0.8), (0, 0, 0.7)]), objects([(0, 0)]))
    assert plain.metrics["AP"] == pytest.approx(1 / 3)


def test_an_object_without_labels_takes_one_detection_within_its_grown_box():
    truth = objects([(0, 0), (0, 5000)])
    truth.keypoints[1] = 0
    # Its box grown to three times its size ends at x = 5035; the pose of 5020 .. 5030 lies inside.
    got = average_precision(found([(0, 5020, 0.9), (0, 0, 0.7)]), truth)
    assert got.metrics["AP"] == pytest.approx(1)
    twice = average_precision(found([(0, 5020, 0.9), (0, 5020, 0.8), (0, 0, 0.7)]), truth)
    assert twice.metrics["AP"] == pytest.approx(0.5)


def test_only_the_twenty_highest_of_a_picture_count():
    truth = objects([(0, 0)])
    wrong = [(0, 9000.0 + i, 0.9) for i in range(20)]
    assert average_precision(found([*wrong, (0, 0, 0.1)]), truth).metrics["AP"] == 0
    assert average_precision(found([*wrong[:19], (0, 0, 0.1)]), truth).metrics["AP"] == pytest.approx(1 / 20)


def test_given_sigmas_take_the_place_of_the_skeletons():
    truth = objects([(0, 0)])
    at = found([(0, off_by(0.72), 1.0)])
    assert average_precision(at, truth, [5.0, 5.0]).metrics["AP"] == pytest.approx(1)
    assert average_precision(at, truth, [0.05, 0.05]).metrics["AP"] == 0
    with pytest.raises(PosewrightError, match="must be 2 numbers"):
        average_precision(at, truth, [0.1])
    bare = Annotations(Skeleton("pair", ("a", "b")), truth.images, truth.image, truth.keypoints, truth.boxes)
    with pytest.raises(PosewrightError, match="has no sigmas"):
        average_precision(at, bare)


# -- the official tool -------------------------------------------------------------------------------------------------


def official_stats(truth: Annotations, detections: Detections) -> list[float]:
    """What pycocotools says; the set goes to it as a COCO file would."""
    from pycocotools.coco import COCO

    ids = truth.image_ids
    flat = np.concatenate([detections.xy, np.ones((*detections.xy.shape[:2], 1))], 2).reshape(len(detections.xy), -1)
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO()
        labels.dataset = {
            "info": {},
            "images": [{"id": i} for i in ids],
            "categories": [{"id": 1, "name": "person"}],
            "annotations": [
                {
                    "id": i + 1,
                    "image_id": ids[truth.image[i]],
                    "category_id": 1,
                    "iscrowd": int(truth.iscrowd[i]),
                    "area": float(truth.area[i]),
                    "bbox": [*(truth.boxes[i, :2] + 0.5), *(truth.boxes[i, 2:] - truth.boxes[i, :2])],
                    "keypoints": truth.keypoints[i].ravel().tolist(),
                    "num_keypoints": int(truth.labelled[i].sum()),
                }
                for i in range(len(truth))
            ],
        }
        labels.createIndex()
        rows = [
            {"image_id": ids[i], "category_id": 1, "keypoints": k.tolist(), "score": float(s)}
            for i, k, s in zip(detections.image, flat, detections.score, strict=True)
        ]
        return summary(labels, labels.loadRes(rows), truth.skeleton.sigmas)


def summary(labels, results, sigmas) -> list[float]:
    from pycocotools.cocoeval import COCOeval

    official = COCOeval(labels, results, "keypoints")
    official.params.kpt_oks_sigmas = np.array(sigmas)
    official.evaluate()
    official.accumulate()
    official.summarize()
    return list(official.stats)


def made_up(seed: int, skeleton: Skeleton) -> tuple[Annotations, Detections]:
    """Pictures with people of all sizes, crowds, unlabelled people, none at all; detections good, doubled and invented."""
    rng = np.random.default_rng(seed)
    k, m = len(skeleton), int(rng.integers(1, 7))
    n = int(rng.integers(0, 5 * m))
    image = np.sort(rng.integers(0, m, n))
    area = np.exp(rng.uniform(np.log(500), np.log(60_000), n))
    side = np.sqrt(area * rng.uniform(1, 2, n))[:, None]
    corner = rng.uniform(0, 300, (n, 2))
    xy = corner[:, None] + rng.uniform(0, 1, (n, k, 2)) * side[:, None]
    v = rng.integers(0, 3, (n, k, 1)) * (rng.random((n, 1, 1)) > 0.2)
    images = [Image(f"{i}.jpg", id=int(number)) for i, number in enumerate(rng.permutation(50)[:m])]
    boxes = np.concatenate([corner, corner + side], 1)
    crowd = rng.random(n) < 0.15
    truth = Annotations(skeleton, images, image, np.concatenate([xy, v], 2), boxes, iscrowd=crowd, area=area)

    copies = np.repeat(np.arange(n), rng.integers(0, 4, n))
    blur = rng.choice([0.0, 0.02, 0.1, 0.3], len(copies))[:, None, None] * side[copies][:, None]
    near = xy[copies] + rng.normal(0, 1, (len(copies), k, 2)) * blur
    extra = int(rng.integers(1, 30))
    invented = rng.uniform(0, 300, (extra, 1, 2)) + rng.uniform(0, 1, (extra, k, 2)) * rng.uniform(
        5, 300, (extra, 1, 1)
    )
    points = np.concatenate([near, invented])
    points[rng.random(points.shape[:2]) < 0.05] = 0  # not predicted
    where = np.concatenate([image[copies], rng.integers(0, m, extra)])
    order = rng.permutation(len(points))
    score = rng.choice([0.1, 0.25, 0.5, 0.75, 0.9], len(points)) if rng.random() < 0.5 else rng.random(len(points))
    return truth, Detections(where[order], points[order], score)


TRIPOD = Skeleton("tripod", ("top", "left_foot", "right_foot"), sigmas=(0.1, 0.05, 0.2))


@pytest.mark.parametrize("skeleton", [COCO_17, TRIPOD], ids=lambda s: s.name)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_equals_the_official_tool(skeleton, seed):
    pytest.importorskip("pycocotools")
    truth, detections = made_up(seed, skeleton)
    ours = list(average_precision(detections, truth).metrics.values())
    np.testing.assert_allclose(np.nan_to_num(ours, nan=-1), official_stats(truth, detections), rtol=0, atol=1e-9)


def test_the_made_up_data_reach_every_rule():
    """The comparison with the official tool is worth something: figures neither all 0 nor all 1, every quirk there."""
    made = [made_up(seed, COCO_17) for seed in range(40)]
    figures = np.array([list(average_precision(d, t).metrics.values()) for t, d in made])
    middling = (figures > 0.05) & (figures < 0.95)
    assert (middling.sum(0) >= 10).all()
    assert any(t.iscrowd.any() for t, _ in made)
    assert any((~t.labelled.any(1)).any() for t, _ in made)
    assert any(len(np.unique(t.image)) < len(t.images) for t, _ in made)
    assert any(np.bincount(d.image).max() > 20 for _, d in made)


def test_real_coco_labels_file_by_file(shared_data, tmp_path):
    """The official file of real people and a results file: what both tools read and say of them."""
    pytest.importorskip("pycocotools")
    import json

    from pycocotools.coco import COCO

    from posewright.annotations import read_annotations
    from posewright.metrics import read_results

    labels = next(
        path for path in sorted((shared_data / "formats" / "coco").rglob("*.json")) if "keypoints" in path.name
    )
    truth = read_annotations(labels)
    rng = np.random.default_rng(0)
    rows = []
    for i in np.repeat(np.flatnonzero(truth.labelled.any(1)), 2):
        xy = truth.keypoints[i, :, :2] + rng.normal(0, 0.04, (17, 2)) * np.sqrt(truth.area[i])
        xy[rng.random(17) < 0.1] = 0
        keypoints = np.column_stack([xy, (xy > 0).all(1)]).ravel().tolist()
        image = truth.image_ids[truth.image[i]]
        rows.append({"image_id": image, "category_id": 1, "keypoints": keypoints, "score": rng.random()})
    (tmp_path / "results.json").write_text(json.dumps(rows))
    detections = read_results(tmp_path / "results.json", truth).all_detections(truth)
    ours = list(average_precision(detections, truth).metrics.values())
    assert 0.1 < ours[0] < 0.9
    with contextlib.redirect_stdout(io.StringIO()):
        official = COCO(str(labels))
        theirs = summary(official, official.loadRes(str(tmp_path / "results.json")), COCO_17.sigmas)
    np.testing.assert_allclose(np.nan_to_num(ours, nan=-1), theirs, rtol=0, atol=1e-9)
