"""The lengths that distances are divided by, and who is left out."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.annotations import Annotations, Image
from posewright.errors import PosewrightError
from posewright.metrics import normaliser_lengths, parse_normaliser
from posewright.skeleton import Normaliser, Skeleton
from posewright.skeletons import BODY_14, COCO_17, FACE_68, HAND_21, MPII_16


def people(*torsos, skeleton=BODY_14, box=(0, 0, 60, 100)):
    """One object for each (shoulder, hip); each is (x, y, v)."""
    a, b = (skeleton.index(n) for n in skeleton.normaliser.keypoints)
    points = np.zeros((len(torsos), len(skeleton), 3))
    for i, (p, q) in enumerate(torsos):
        points[i, a], points[i, b] = p, q
    return points, np.tile(np.array(box, float), (len(torsos), 1)), None


def test_torso_runs_from_left_shoulder_to_right_hip():
    labels = people(((0, 0, 2), (30, 40, 1)))
    assert normaliser_lengths(labels, BODY_14).tolist() == [50]


@pytest.mark.parametrize(
    ("shoulder", "hip", "length"),
    [
        ((0, 0, 2), (0, 10, 2), 10),  # a tenth of the box's longer side is just long enough
        ((0, 0, 2), (0, 9.99, 2), np.nan),
        ((0, 0, 0), (0, 50, 2), np.nan),
        ((0, 0, 2), (0, 50, 0), np.nan),
        ((5, 5, 2), (5, 5, 2), np.nan),
    ],
)
def test_short_and_unlabelled_torsos_are_left_out(shoulder, hip, length):
    got = normaliser_lengths(people((shoulder, hip)), BODY_14)
    np.testing.assert_array_equal(got, [length])


@pytest.mark.parametrize(("skeleton", "kind"), [(HAND_21, "palm"), (FACE_68, "outer_eye_corners")])
def test_other_segments_obey_the_same_rule(skeleton, kind):
    assert skeleton.normaliser.kind == kind
    labels = people(((0, 0, 2), (0, 20, 2)), ((0, 0, 2), (0, 9, 2)), skeleton=skeleton)
    np.testing.assert_array_equal(normaliser_lengths(labels, skeleton), [20, np.nan])


def test_outer_eye_corners_are_points_37_and_46():
    assert [FACE_68.index(n) + 1 for n in FACE_68.normaliser.keypoints] == [37, 46]


def test_head_takes_the_labelled_size_and_else_its_keypoints_however_short():
    points, boxes, _ = people(*[((0, 0, 2), (0, 5, 2))] * 3, skeleton=MPII_16)
    points[2] = 0
    got = normaliser_lengths((points, boxes, [12.0, np.nan, np.nan]), MPII_16)
    np.testing.assert_array_equal(got, [12, 5, np.nan])


def test_head_without_keypoints_needs_a_labelled_size():
    points, boxes, _ = people(((0, 0, 2), (0, 50, 2)))
    head = Normaliser("head")
    assert normaliser_lengths((points, boxes, [8.0]), BODY_14, head).tolist() == [8]
    with pytest.raises(PosewrightError, match="no object has a head size"):
        normaliser_lengths((points, boxes, None), BODY_14, head)


def test_box_hourglass_and_fixed():
    labels = people(((0, 0, 0), (0, 0, 0)), box=(10, 10, 90, 50))
    assert normaliser_lengths(labels, BODY_14, Normaliser("box")).tolist() == [80]
    assert normaliser_lengths(labels, BODY_14, Normaliser("fixed", length=7)).tolist() == [7]
    # Its crop is 1.25 x 80 = 100 px wide and shown in 64 cells: 6.4 cells are 10 px.
    assert normaliser_lengths(labels, BODY_14, Normaliser("hourglass")).tolist() == [pytest.approx(6.4 * 100 / 64)]


def test_annotations_are_taken_as_they_are():
    points, boxes, _ = people(((0, 0, 2), (30, 40, 2)))
    data = Annotations(BODY_14, [Image("a.jpg")], np.array([0]), points, boxes, head_size=np.array([9.0]))
    assert normaliser_lengths(data, BODY_14).tolist() == [50]
    assert normaliser_lengths(data, BODY_14, Normaliser("head")).tolist() == [9]


@pytest.mark.parametrize(
    ("text", "skeleton", "expected"),
    [
        ("torso", BODY_14, BODY_14.normaliser),
        ("torso", MPII_16, Normaliser("torso", ("left_shoulder", "right_hip"))),
        ("head", MPII_16, MPII_16.normaliser),
        ("head", HAND_21, Normaliser("head")),
        ("box", HAND_21, Normaliser("box")),
        ("hourglass", MPII_16, Normaliser("hourglass")),
        ("fixed:12.5", BODY_14, Normaliser("fixed", length=12.5)),
        ("segment:neck, head_top", BODY_14, Normaliser("segment", ("neck", "head_top"))),
        ("palm:wrist,index_1", HAND_21, Normaliser("palm", ("wrist", "index_1"))),
        ("segment:plevis,thorax", MPII_16, Normaliser("segment", ("pelvis", "thorax"))),
    ],
)
def test_parse(text, skeleton, expected):
    assert parse_normaliser(text, skeleton) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tors", "Did you mean 'torso'"),
        ("fixed", "fixed:PIXELS"),
        ("fixed:-3", "fixed:PIXELS"),
        ("fixed:inf", "fixed:PIXELS"),
        ("fixed:nan", "fixed:PIXELS"),
        ("palm", "does not say between which keypoints"),
        ("segment", "segment:NAME,NAME"),
        ("segment:nose", "segment:"),
        ("segment:nose,nose", "segment:"),
        ("box:nose,left_eye", "segment:"),
        ("segment:nose,left_ey", "Did you mean 'left_eye'"),
    ],
)
def test_parse_refuses(text, complaint):
    with pytest.raises(PosewrightError, match=complaint):
        parse_normaliser(text, COCO_17)


def test_a_skeleton_without_the_keypoints_is_told_so():
    other = Skeleton("x", ("a", "b"))
    with pytest.raises(PosewrightError, match="no keypoint 'neck'"):
        normaliser_lengths((np.zeros((1, 2, 3)), [[0, 0, 1, 1]], None), other, Normaliser("segment", ("neck", "a")))


@pytest.mark.parametrize(("kind", "length"), [("box", 40), ("diagonal", 50), ("box_area", np.sqrt(1200))])
def test_lengths_of_the_box(kind, length):
    """A box of 30 x 40, by hand; keypoints do not matter."""
    skeleton = Skeleton("dot", ("dot",))
    normaliser = parse_normaliser(kind, skeleton)
    got = normaliser_lengths((np.zeros((1, 1, 3)), [[5, 5, 35, 45]], None), skeleton, normaliser)
    assert got.tolist() == pytest.approx([length])
    with pytest.raises(PosewrightError, match="does not name two keypoints"):
        parse_normaliser(f"{kind}:dot,dot", skeleton)
