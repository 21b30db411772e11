"""Object keypoint similarity against the official tool, and the matching built on it."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.metrics.oks import assign, mean_distances, oks
from posewright.skeletons import COCO_17


def test_by_hand():
    # One labelled keypoint, d^2 = 25, area 100, sigma 0.5: exp(-25 / (2 * 100 * 1)).
    truth = np.array([[[0, 0, 2], [50, 50, 0]]], float)
    pred = np.array([[[3, 4], [0, 0]], [[0, 0], [0, 0]]], float)
    got = oks(pred, truth, [100], [0.5, 0.5])
    assert got[:, 0] == pytest.approx([np.exp(-25 / 200), 1.0])
    assert mean_distances(pred, truth, [10])[:, 0] == pytest.approx([0.5, 0.0])


def test_missing_predictions_count_as_far_away():
    truth = np.array([[[0, 0, 2], [50, 50, 1]]], float)
    pred = np.array([[[0, 0], [np.nan, np.nan]]])
    assert oks(pred, truth, [100], [0.5, 0.5])[0, 0] == pytest.approx(0.5)
    assert mean_distances(pred, truth, [10])[0, 0] == pytest.approx(0.5)


def test_equals_the_official_tool():
    mask = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(3)
    truth = np.zeros((4, 17, 3))
    truth[..., :2] = rng.uniform(0, 200, (4, 17, 2)).round(2)
    truth[..., 2] = rng.integers(0, 3, (4, 17))
    truth[..., :2] *= truth[..., 2:] > 0
    pred = truth[[2, 0, 1, 3, 0], :, :2] + rng.normal(0, 8, (5, 17, 2))
    area = rng.uniform(2000, 20000, 4)
    dataset = mask.COCO()
    dataset.dataset = {
        "info": {},
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": i + 1,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "area": area[i],
                "bbox": [0, 0, 200, 200],
                "keypoints": truth[i].ravel().tolist(),
                "num_keypoints": int((truth[i, :, 2] > 0).sum()),
            }
            for i in range(4)
        ],
    }
    dataset.createIndex()
    found = [
        {
            "image_id": 1,
            "category_id": 1,
            "keypoints": np.column_stack([p, np.ones(17)]).ravel().tolist(),
            "score": 1 - i / 10,
        }
        for i, p in enumerate(pred)
    ]
    official = COCOeval(dataset, dataset.loadRes(found), "keypoints")
    official.params.imgIds, official.params.catIds = [1], [1]
    official._prepare()
    np.testing.assert_allclose(oks(pred, truth, area, COCO_17.sigmas), official.computeOks(1, 1), atol=1e-12)


SIGMAS = [None, (0.08, 0.08)]


@pytest.mark.parametrize("sigmas", SIGMAS)
def test_the_best_pair_goes_first_and_each_is_used_once(sigmas):
    truth = np.array([[[0, 0, 2], [10, 0, 2]], [[30, 0, 2], [40, 0, 2]]], float)
    boxes = np.array([[-5, -5, 15, 15], [25, -5, 45, 15]], float)
    # Detection 0 lies between, nearer to object 1; detection 1 is object 1 itself.
    pred = np.array([[[20, 0], [30, 0]], [[30, 0], [40, 0]]], float)
    assert assign(pred, truth, boxes, [400, 400], sigmas).tolist() == [0, 1]
    assert assign(pred[1:], truth, boxes, [400, 400], sigmas).tolist() == [-1, 0]
    assert assign(pred[:0], truth, boxes, [400, 400], sigmas).tolist() == [-1, -1]


@pytest.mark.parametrize("sigmas", SIGMAS)
def test_shuffled_truth_finds_itself(sigmas):
    rng = np.random.default_rng(0)
    truth = np.concatenate([rng.uniform(0, 100, (6, 2, 2)), np.full((6, 2, 1), 2)], axis=2)
    boxes = np.tile([0.0, 0, 100, 100], (6, 1))
    order = rng.permutation(6)
    got = assign(truth[order, :, :2], truth, boxes, np.full(6, 1e4), sigmas)
    np.testing.assert_array_equal(order[got], np.arange(6))


def test_hopeless_detections_are_told_apart_by_distance():
    # So far off that both similarities are 0 in floating point: the nearer one is taken.
    truth = np.array([[[0, 0, 2]]], float)
    got = assign(np.array([[[9e3, 0]], [[8e3, 0]]]), truth, [[-5, -5, 5, 5]], [100], (0.05,))
    assert got.tolist() == [1]


@pytest.mark.parametrize("sigmas", [None, (0.05,)])
def test_an_object_without_labels_takes_no_detection(sigmas):
    truth = np.array([[[0, 0, 0]], [[50, 50, 2]]], float)
    boxes = np.array([[0, 0, 10, 10], [45, 45, 55, 55]], float)
    assert assign(np.array([[[1.0, 1.0]]]), truth, boxes, [100, 100], sigmas).tolist() == [-1, 0]
