"""Counts, shares, sizes and the mean pose of sets whose figures are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from posewright.annotations import Annotations, Image
from posewright.annotations.statistics import (
    box_shares,
    count_rows,
    in_boxes,
    keypoint_rows,
    mean_pose,
    parts,
    size_rows,
    unusualness,
)
from posewright.skeleton import Skeleton

TWO = Skeleton("two", ("a", "b"))


def labels(n: int = 4, crowd: int | None = None, width: int = 200) -> Annotations:
    """Objects of growing boxes, keypoint a at a quarter and b at three quarters of each."""
    images = [Image(f"{i}.jpg", width, width // 2) for i in range(n + 1)]
    side = 10.0 * (1 + np.arange(n))
    boxes = np.stack([0 * side, 0 * side, side, side / 2], 1)
    a, b = np.stack([side / 4, side / 4], 1), np.stack([3 * side / 4, side / 4], 1)
    keypoints = np.concatenate([np.stack([a, b], 1), np.full((n, 2, 1), 2.0)], 2)
    iscrowd = None if crowd is None else np.arange(n) == crowd
    return Annotations(TWO, images, np.arange(n), keypoints, boxes, iscrowd=iscrowd)


def test_parts_and_counts():
    plain = labels()
    assert list(parts(plain)) == ["all"]
    images = [replace(im, split=s) for im, s in zip(plain.images, ["val", "train", "train", None, None])]
    split = replace(plain, images=images)
    assert list(parts(split)) == ["train", "val", "no split", "all"]
    rows = {row["part"]: row for row in count_rows(split)}
    assert (rows["train"]["images"], rows["train"]["objects"], rows["train"]["without object"]) == (2, 2, 0)
    assert (rows["no split"]["images"], rows["no split"]["objects"], rows["no split"]["without object"]) == (2, 1, 1)
    assert rows["all"]["visible keypoints"] == 8


def test_shares_by_keypoint_leave_crowds_out():
    a = labels(4, crowd=3)
    a.keypoints[0, 0, 2], a.keypoints[1, 0], a.keypoints[3] = 1, 0, 0
    first, second, every = keypoint_rows(a)
    assert [first[k] for k in ("visible", "hidden", "not labelled")] == [1 / 3, 1 / 3, 1 / 3]
    assert (second["visible"], second["not labelled"]) == (1, 0)
    np.testing.assert_allclose(every["visible"], 2 / 3)
    none = keypoint_rows(a.objects([]))
    assert np.isnan(none[0]["visible"])


def test_sizes_and_their_share_of_the_picture():
    a = labels()
    np.testing.assert_allclose(box_shares(a), [0.05, 0.1, 0.15, 0.2])
    rows = {row["size"]: row for row in size_rows(a)}
    assert rows["box, longer side (px)"]["least"] == "10"
    assert rows["box, longer side (px)"]["median"] == "25"
    assert rows["box, width / height"]["median"] == "2.00"
    assert rows["objects on a picture"]["least"] == "0"
    unknown = replace(a, images=[replace(im, width=0, height=0) for im in a.images])
    assert not any("picture, " in row["size"] or "/ picture" in row["size"] for row in size_rows(unknown))


def test_the_mean_pose_does_not_depend_on_size_or_place():
    a = labels()
    moved = replace(a, keypoints=np.add(a.keypoints, [30, 7, 0]), boxes=np.add(a.boxes, [30, 7, 30, 7]))
    for mean in (mean_pose(a), mean_pose(moved)):
        np.testing.assert_allclose(mean.xy, [[-0.25, 0], [0.25, 0]], atol=1e-12)
        np.testing.assert_allclose(mean.covariance, 0, atol=1e-12)
        assert mean.count.tolist() == [4, 4]


def test_the_spread_is_the_covariance_in_boxes():
    rng = np.random.default_rng(0)
    a = labels(200, width=4000)
    side = (a.boxes[:, 2] - a.boxes[:, 0])[:, None]
    a.keypoints[:, 1, :2] += side * rng.normal(0, [0.05, 0.1], (200, 2))
    a.keypoints[:50, 1] = 0
    mean = mean_pose(a)
    assert mean.count.tolist() == [200, 150]
    own = in_boxes(a)[50:, 1]
    np.testing.assert_allclose(mean.covariance[1], np.cov(own.T, bias=True)[[0, 0, 1], [0, 1, 1]])


def test_the_odd_pose_is_the_unusual_one():
    rng = np.random.default_rng(1)
    a = labels(50, width=4000)
    side = (a.boxes[:, 2] - a.boxes[:, 0])[:, None, None]
    a.keypoints[..., :2] += side * rng.normal(0, 0.05, (50, 2, 2))
    a.keypoints[17, 0, 0] += 0.8 * side[17, 0, 0]
    a.keypoints[3] = 0
    odd = unusualness(a, mean_pose(a))
    assert np.isnan(odd[3])
    assert np.nanargmax(odd) == 17
    assert 0.6 < np.nanmedian(odd) < 1.2


def test_a_keypoint_that_is_never_labelled():
    a = labels()
    a.keypoints[:, 0] = 0
    mean = mean_pose(a)
    assert mean.count.tolist() == [0, 4]
    assert np.isnan(mean.xy[0]).all()
    assert np.isfinite(unusualness(a, mean)).all()
