"""Pose similarity: what alignment takes away, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.errors import PosewrightError
from posewright.geometry import Similarity
from posewright.metrics.similarity import limbs_of, similarity
from posewright.skeleton import Skeleton
from posewright.skeletons import BODY_14, COCO_17, FACE_68, HAND_21, MPII_16

STANDING = {
    "nose": (50, 10),
    "left_eye": (52, 8),
    "right_eye": (48, 8),
    "left_ear": (55, 10),
    "right_ear": (45, 10),
    "left_shoulder": (62, 30),
    "right_shoulder": (38, 30),
    "left_elbow": (64, 50),
    "right_elbow": (36, 50),
    "left_wrist": (66, 70),
    "right_wrist": (34, 70),
    "left_hip": (58, 75),
    "right_hip": (42, 75),
    "left_knee": (58, 105),
    "right_knee": (42, 105),
    "left_ankle": (58, 135),
    "right_ankle": (42, 135),
}


def pose(**changes):
    return np.array([changes.get(name, STANDING[name]) for name in COCO_17.keypoints], float)


RAISED = pose(left_elbow=(64, 10), left_wrist=(66, -10))


def test_the_same_pose_elsewhere_and_larger_is_the_same():
    moved = Similarity.crop((10, 20, 60, 70), (400, 400)).apply(pose())
    found = similarity(pose(), moved, COCO_17)
    assert found.oks == pytest.approx(1)
    np.testing.assert_allclose(found.aligned, pose(), atol=1e-9)
    assert found.feedback == []
    assert [limb.limb for limb in found.limbs] == ["left arm", "left leg", "right arm", "right leg"]


def test_a_turned_pose_is_the_same_only_when_told_to_turn():
    turned = Similarity.crop((0, 0, 100, 100), (100, 100), rotation=70).apply(pose())
    assert similarity(pose(), turned, COCO_17, turn=True).oks == pytest.approx(1)
    assert similarity(pose(), turned, COCO_17).oks < 0.5


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (RAISED, pose(), ["left arm higher"]),
        (pose(), RAISED, ["left arm lower"]),
        (
            pose(right_elbow=(18, 30), right_wrist=(-2, 30)),
            pose(),
            ["right arm higher and further to the left of the picture"],
        ),
        (pose(), pose(right_wrist=(38, 42)), ["right arm lower and straighter"]),
    ],
)
def test_what_is_said(first, second, said):
    """The arm of the second pose, told what to do to be like that of the first."""
    assert similarity(first, second, COCO_17).feedback == said


def test_the_figure_by_hand():
    """Two keypoints stay, one is 8 px off in a pose whose alignment is known: B is A but for a shift that fits none."""
    trio = Skeleton("trio", ("a", "b", "c"), sigmas=(0.1, 0.1, 0.1))
    first = np.array([[0, 0], [100, 0], [50, 100]], float)
    found = similarity(first, first[[1, 0, 2]], trio)
    # The best scale of the mirrored triangle is (-5000 + 20000 / 3) / (35000 / 3) = 1 / 7, below half the spread: taken as 1.
    expected = [np.exp(-(100.0**2) / (2 * 1e4 * 0.2**2))] * 2 + [1.0]
    assert found.by_keypoint == pytest.approx(expected, abs=1e-12)
    assert found.oks == pytest.approx(np.mean(expected))


def test_missing_keypoints_are_left_out():
    second = pose()
    second[COCO_17.index("left_wrist")] = np.nan
    found = similarity(pose(), second, COCO_17)
    assert found.oks == pytest.approx(1)
    assert "left arm" not in [limb.limb for limb in found.limbs]
    assert np.isnan(found.by_keypoint[COCO_17.index("left_wrist")])
    assert found.to_json()["by_keypoint"]["left_wrist"] is None


def test_limbs_of_shipped_skeletons():
    for skeleton in (BODY_14, MPII_16, COCO_17):
        assert set(limbs_of(skeleton)) == {"left arm", "right arm", "left leg", "right leg"}
    assert set(limbs_of(HAND_21)) == {"thumb", "index finger", "middle finger", "ring finger", "little finger"}
    assert limbs_of(FACE_68) == {}


def test_what_cannot_be_compared():
    alone = np.full((17, 2), np.nan)
    alone[0] = 1
    with pytest.raises(PosewrightError, match="share 1 keypoints"):
        similarity(pose(), alone, COCO_17)
    with pytest.raises(PosewrightError, match="in one place"):
        similarity(pose(), np.ones((17, 2)), COCO_17)
