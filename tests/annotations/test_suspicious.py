"""Planted mistakes are found, each by its own check, and an ordinary set raises no suspicion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posewright.annotations import Annotations, Image, read_annotations
from posewright.annotations.suspicious import suspicious
from posewright.skeleton import Skeleton

NAMES = ("left_hip", "right_hip", "left_shoulder", "right_shoulder", "left_ankle", "right_ankle", "nose")
BODY = Skeleton("body", NAMES, swaps=((0, 1), (2, 3), (4, 5)))
POSE = np.array([[60, 60], [40, 60], [62, 40], [38, 40], [58, 90], [42, 90], [50, 20]], float)


def people(n: int = 60, both_ways: bool = True) -> Annotations:
    """Standing people, every other one seen from behind with ``both_ways``; the ankles of a third are crossed."""
    rng = np.random.default_rng(0)
    xy = np.tile(POSE, (n, 1, 1)) + rng.normal(0, 1, (n, 7, 2))
    if both_ways:
        xy[::2, :, 0] = 100 - xy[::2, :, 0]
    xy[::3, 4:6] = xy[::3, 5:3:-1]
    keypoints = np.concatenate([xy, np.full((n, 7, 1), 2.0)], 2)
    images = [Image(f"{i}.jpg", 100, 120) for i in range(n)]
    return Annotations(BODY, images, np.arange(n), keypoints, np.tile([30, 10, 70, 100.0], (n, 1)))


def found(a: Annotations) -> dict[str, list[int | None]]:
    result: dict[str, list[int | None]] = {}
    for s in suspicious(a):
        assert s.object is None or a.image[s.object] == s.image
        result.setdefault(s.kind, []).append(s.object)
    return result


def test_ordinary_people_are_not_suspicious():
    assert found(people()) == {}


def test_keypoints_outside_picture_and_box():
    a = people()
    a.keypoints[4, 6, :2] = [50, -9]  # outside both
    a.keypoints[9, 6, :2] = [-1.4, 30]  # within the rounding of the picture's edge, outside the box
    a.keypoints[11, 6, :2] = [50, 6]  # outside the box by less than a tenth of its side
    a.keypoints[20, 5, 2] = 0
    a.keypoints[20, 5, :2] = 0  # not labelled: nowhere
    assert found(a) == {"outside the picture": [4], "outside the box": [9, 4]}
    first = suspicious(a)[0]
    assert first.what == "nose: up to 8 px outside the picture"
    unknown = replace(a, images=[replace(im, width=0, height=0) for im in a.images])
    assert "outside the picture" not in found(unknown)


def test_boxes_that_do_not_fit_the_keypoints():
    a = people()
    a.boxes[5] = [-200, -200, 300, 300]
    a.boxes[6] = [45, 50, 55, 60]
    a.boxes[7], a.keypoints[7, :5] = [0, 0, 100, 900], 0  # too few keypoints to tell
    kinds = found(a)
    assert kinds["box too large"] == [5]
    assert kinds["box too small"] == [6]
    wide = people()
    wide.boxes[:] = [-200, -200, 300, 300]  # so are all: that is how they were drawn
    assert found(wide) == {}


def test_a_pair_that_is_crossed_against_the_others():
    a = people()
    a.keypoints[10, [0, 1]] = a.keypoints[10, [1, 0]]
    assert found(a) == {"left and right": [10]}
    assert suspicious(a)[0].what.startswith("left_hip and right_hip are crossed against the other pairs")


def test_an_object_the_other_way_round_where_all_others_agree():
    a = people(both_ways=False)
    a.keypoints[:, [4, 5]] = np.sort(a.keypoints[:, [4, 5]], axis=1)[:, ::-1]  # uncross the ankles
    a.keypoints[31] = a.keypoints[31, BODY.flip_order()]
    (only,) = [s for s in suspicious(a) if "other way round" in s.what]
    assert only.object == 31
    assert "98% of the objects" in only.what


def test_crowds_are_left_alone():
    a = people()
    a.keypoints[4, 6, :2] = [50, -9]
    a.iscrowd[4] = True
    assert found(a) == {}


def test_sets_without_pairs_or_objects():
    one = Skeleton("dot", ("dot",))
    a = Annotations(one, [Image("a.jpg", 9, 9)], [0], [[[4, 4, 2]]], [[0, 0, 9, 9]])
    assert found(a) == {}
    assert found(a.objects([])) == {}
    assert found(people().objects([])) == {}


@pytest.mark.parametrize("folder", ["hands21", "faces300w/afw"])
def test_real_sets_are_mostly_not_suspicious(shared_data, folder):
    a = read_annotations(shared_data / folder)
    assert len({s.object for s in suspicious(a)}) < 0.1 * len(a)


def test_planted_swaps_stand_out_in_a_real_set(shared_data):
    a = read_annotations(shared_data / "faces300w/afw")
    order = a.skeleton.flip_order()
    planted = np.random.default_rng(0).choice(len(a), 10, replace=False)
    a.keypoints[planted] = a.keypoints[planted][:, order]
    flagged = [s.object for s in suspicious(a) if s.kind == "left and right"]
    assert len(set(planted.tolist()) & set(flagged)) >= 9
