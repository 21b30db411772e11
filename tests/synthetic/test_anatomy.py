"""Bones keep their lengths, joints their limits, and fingers bend the way fingers bend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posewright.synthetic.anatomy import LIMITS, Articulation, HandShape, pose_hand
from posewright.synthetic.gestures import GESTURES, random_articulation
from posewright.synthetic.view import fit_view, random_rotation, rotation_from_angles


@pytest.fixture
def shape():
    return replace(HandShape.random(np.random.default_rng(3)), left=False)


def fingers(hand):
    return hand.keypoints[1:].reshape(5, 4, 3)


@pytest.mark.parametrize("name", GESTURES)
def test_bones_keep_their_lengths(shape, name):
    hand = pose_hand(shape, GESTURES[name].limited())
    lengths = np.linalg.norm(np.diff(fingers(hand), axis=1), axis=2)
    assert lengths == pytest.approx(shape.bones, abs=1e-9)
    for vectors in (hand.along, hand.pad, hand.forearm, hand.forearm_side):
        assert np.linalg.norm(vectors, axis=-1) == pytest.approx(1, abs=1e-9)
    assert (hand.along * hand.pad).sum(-1) == pytest.approx(0, abs=1e-9)


def test_random_articulations_stay_within_the_limits():
    rng = np.random.default_rng(0)
    angles = np.array([random_articulation(rng).angles for _ in range(300)])
    assert (angles >= LIMITS[..., 0] - 1e-9).all()
    assert (angles <= LIMITS[..., 1] + 1e-9).all()
    # They also use the room they have: every finger is seen straight and curled.
    assert (np.ptp(angles[:, 1:, 2], axis=0) > 90).all()


def test_flexion_bends_towards_the_palm_and_shortens_the_reach(shape):
    straight, curled = (fingers(pose_hand(shape, GESTURES[g])) for g in ("five", "fist"))
    assert (curled[1:, 2, 2] > straight[1:, 2, 2] + 0.2).all()
    reach = [np.linalg.norm(hand[1:, 3], axis=1) for hand in (straight, curled)]
    assert (reach[1] < 0.7 * reach[0]).all()


def test_pinch_brings_thumb_and_index_together(shape):
    tips = {name: fingers(pose_hand(shape, GESTURES[name].limited()))[:2, 3] for name in ("ring pinch", "open")}
    gap = {name: np.linalg.norm(pair[0] - pair[1]) for name, pair in tips.items()}
    assert gap["ring pinch"] < 0.3 < 0.8 < gap["open"]


def test_a_bent_finger_can_hardly_be_spread():
    angles = GESTURES["fist"].angles.copy()
    angles[1:, 0] = 18
    assert (np.abs(Articulation(angles, np.zeros(2)).limited().angles[1:, 0]) < 4).all()


def test_left_hand_is_the_mirror_of_the_right(shape):
    right = pose_hand(shape, GESTURES["gun"])
    left = pose_hand(replace(shape, left=True), GESTURES["gun"])
    assert left.keypoints == pytest.approx(right.keypoints * (-1, 1, 1))
    # Palm to the viewer and fingers up, a right hand's thumb stands on the right.
    assert right.keypoints[4, 0] > right.keypoints[20, 0]


def test_turns_are_rotations():
    rng = np.random.default_rng(1)
    for turn in [random_rotation(rng) for _ in range(20)] + [rotation_from_angles(20, 160, -75)]:
        assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-12)
        assert np.linalg.det(turn) == pytest.approx(1)


@pytest.mark.parametrize("place", [(0, 0), (1, 1), (0.5, 0.5)])
@pytest.mark.parametrize("extent", [60, 180, 400])
def test_fitted_view_shows_every_keypoint_at_the_size_asked_for(shape, place, extent):
    rng, size = np.random.default_rng(2), (256, 200)
    for gesture in ("open", "fist", "point"):
        points = pose_hand(shape, GESTURES[gesture]).keypoints
        spots = fit_view(random_rotation(rng), points, 4.0, extent, size, place).project(points)[:, :2]
        assert (spots > 0).all()
        assert (spots < np.array(size) - 1).all()
        assert np.ptp(spots, axis=0).max() <= extent + 1e-6


def test_projection_is_a_pinhole():
    points = np.array([[0.0, 0, 0], [0.5, 0, 0], [0.5, 0, 1.0]])
    view = fit_view(np.eye(3), np.array([[-1.0, -1, 0], [1, 1, 0]]), 5.0, 100, (256, 256), (0.5, 0.5))
    spots = view.project(points)
    assert spots[0, :2] == pytest.approx((127.5, 127.5))
    # One palm nearer at five palms' distance is shown 5/4 as large.
    assert spots[2, 0] - 127.5 == pytest.approx((spots[1, 0] - 127.5) * 5 / 4)
    assert view.scale_at(points)[2] == pytest.approx(view.scale * 5 / 4)
