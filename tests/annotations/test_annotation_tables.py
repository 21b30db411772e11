"""The two tables: what they check, their views, and boxes made from keypoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.labels import picture, random_annotations
from posewright.annotations import Annotations, Image, boxes_from_keypoints
from posewright.annotations.keypoints import far_outside
from posewright.errors import PosewrightError
from posewright.geometry import keypoints_box
from posewright.skeleton import Skeleton

ENDS = Skeleton("stick", ("top", "bottom"))


def table(**changes: Any) -> Annotations:
    columns: dict[str, Any] = {
        "images": [Image("a.jpg", 100, 80), Image("b.jpg", 50, 60)],
        "image": [0, 1, 1],
        "keypoints": [[[1, 2, 2], [3, 4, 1]], [[5, 6, 2], [9, 9, 0]], [[7, 8, 0], [7, 8, 0]]],
        "boxes": [[0, 0, 10, 10], [0, 0, 20, 5], [1, 1, 2, 2]],
        "source": "labels.json",
    }
    return Annotations(ENDS, **(columns | changes))


def test_defaults():
    a = table()
    assert len(a) == 3
    assert a.area.tolist() == [100, 100, 1]
    assert a.iscrowd.tolist() == [False] * 3
    assert a.weight.tolist() == [1] * 3
    assert a.track.tolist() == [-1] * 3
    assert np.isnan(a.head_size).all()
    assert a.polygons == [[], [], []]
    assert a.keypoints[1, 1].tolist() == [0, 0, 0]  # coordinates of what is not labelled say nothing
    assert "2 images, 3 objects" in repr(a)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"keypoints": np.zeros((3, 3, 3))}, r"labels\.json: keypoints have shape \(3, 3, 3\), not \(3, 2, 3\)"),
        ({"image": [0, 1, 2]}, "object 2: refers to image 2 of 2"),
        ({"image": [0, -1, 1]}, "object 1: refers to image -1 of 2"),
        ({"weight": [1, 2]}, "column 'weight' has 2 entries for 3 objects"),
        ({"weight": [1, -2, 1]}, "object 1 on image 'b.jpg': weight is -2"),
        ({"area": [1, np.inf, 1]}, "object 1 on image 'b.jpg': area is inf"),
        ({"head_size": [1, 0, np.nan]}, "object 1 on image 'b.jpg': head size is 0"),
        ({"boxes": [[0, 0, 1, 1], [0, 0, 1, 1], [3, 3, 3, 9]]}, "object 2 on image 'b.jpg': box .* has no area"),
        ({"boxes": [[0, 0, 1, 1], [0, 0, np.nan, 1], [3, 3, 4, 9]]}, "object 1 .*: box is not finite"),
        ({"images": [Image("a.jpg"), Image("a.jpg")]}, "image 'a.jpg': is listed twice"),
        ({"images": [Image("a.jpg"), Image("b.jpg", -1, 5)]}, r"image 1 \('b.jpg'\): has size -1 x 5"),
        ({"images": [Image("a.jpg", split="training"), Image("b.jpg")]}, "split 'training' is not one of"),
    ],
)
def test_every_error_names_its_record(changes, says):
    with pytest.raises(PosewrightError, match=says) as raised:
        table(**changes)
    assert str(raised.value).startswith("labels.json: ")


def test_frames_of_one_video_are_different_images():
    a = table(images=[Image("v.mp4", frame=0), Image("v.mp4", frame=1)])
    assert len(a.images) == 2


def test_far_outside_is_half_a_side_and_only_for_the_visible():
    sizes = np.array([[100.0, 80.0]])
    for x, v, far in ((149, 2, False), (151, 2, True), (-51, 2, True), (-49, 2, False), (500, 1, False)):
        assert far_outside(np.array([[[x, 5.0, v]]]), sizes).any() == far
    assert not far_outside(np.array([[[1e6, 5.0, 2]]]), np.zeros((1, 2))).any()


def test_bad_objects_can_be_reported_and_left_out():
    seen = []
    boxes = [[0, 0, 1, 1], [3, 3, 3, 9], [0, 0, 2, 2]]
    a = table(boxes=boxes, report=lambda i, problem: seen.append((i, problem)))
    assert [i for i, _ in seen] == [1]
    assert "has no area" in seen[0][1]
    assert a.image.tolist() == [0, 1]
    assert a.boxes.tolist() == [boxes[0], boxes[2]]
    assert len(a.polygons) == len(a.keypoints) == len(a.area) == 2
    assert len(replace(a, source="x")) == 2


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_boxes_from_keypoints_equal_the_one_by_one_rule(seed):
    rng = np.random.default_rng(seed)
    keypoints = np.concatenate([rng.normal(0, 50, (6, 4, 2)), rng.integers(0, 3, (6, 4, 1))], 2)
    keypoints[0, :, 2] = 0
    boxes = boxes_from_keypoints(keypoints, 1.3)
    for k, box in zip(keypoints, boxes):
        one = keypoints_box(k, 1.3)
        np.testing.assert_allclose(box, np.full(4, np.nan) if one is None else one)
    assert boxes_from_keypoints(np.zeros((0, 4, 3))).shape == (0, 4)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_views_keep_objects_on_their_images(seed):
    a = random_annotations(seed, ENDS)
    keep = np.random.default_rng(seed).random(len(a.images)) < 0.6
    b = a.subset(keep)
    assert [im.path for im in b.images] == [im.path for im, k in zip(a.images, keep) if k]
    on = [a.images[i].path for i in a.image if keep[i]]
    assert [b.images[i].path for i in b.image] == on
    c = a.objects(a.keypoints[:, 0, 2] == 2)
    assert len(c.images) == len(a.images)
    assert (c.keypoints[:, 0, 2] == 2).all()
    split = a.of_split("val")
    assert {im.split for im in split.images} <= {"val"}


def test_image_ids():
    a = table(images=[Image("a.jpg", id=5), Image("b.jpg", id="x")])
    assert a.image_ids == [5, "x"]
    assert table(images=[Image("a.jpg", id=5), Image("b.jpg", id=5)]).image_ids == [1, 2]
    assert table(images=[Image("a.jpg", id=5), Image("b.jpg")]).image_ids == [1, 2]


def test_with_splits_keeps_groups_whole_and_is_seeded():
    images = [Image(f"{i}.jpg", group=f"g{i // 10}") for i in range(200)]
    a = Annotations(ENDS, images, [], np.zeros((0, 2, 3)), np.zeros((0, 4)))
    b = a.with_splits(0.2, seed=4)
    of_group: dict[str, set[str]] = {}
    for im in b.images:
        of_group.setdefault(im.group, set()).add(im.split)
    assert all(len(s) == 1 for s in of_group.values())
    assert sum(im.split == "val" for im in b.images) == 40
    assert b.images == a.with_splits(0.2, seed=4).images
    assert b.images != a.with_splits(0.2, seed=5).images


def test_missing_pictures(tmp_path):
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "deep/c.jpg")
    images = [Image("a.jpg"), Image("b.jpg"), Image("deep/c.jpg"), Image("none/d.jpg")]
    a = Annotations(ENDS, images, [], np.zeros((0, 2, 3)), np.zeros((0, 4)), tmp_path)
    assert a.missing_pictures() == [1, 3]
    with pytest.raises(PosewrightError, match=r"b\.jpg does not exist. 2 of 4 pictures are missing"):
        a.require_pictures()
    left_out: list[PosewrightError] = []
    assert [im.path for im in a.require_pictures(left_out.append).images] == ["a.jpg", "deep/c.jpg"]
    assert len(left_out) == 2
    with pytest.raises(PosewrightError, match=r"2 of 2 pictures are missing"):
        a.subset([1, 3]).require_pictures(left_out.append)


def test_boxes_of_places_beyond_all_numbers(recwarn):
    """Damaged files hold any number; the table of objects refuses what comes of it."""
    points = np.array([[[1e308, 1, 2], [1.7e308, 2, 2]], [[5, 5, 2], [15, 5, 2]]])
    boxes = boxes_from_keypoints(points)
    assert not np.isfinite(boxes[0]).all()
    assert boxes[1].tolist() == [4, 4.5, 16, 5.5]
    assert not recwarn.list
