"""A hand's bones: lengths, joint angles with their limits, and where that puts the 21 keypoints.

The hand's own frame: origin at the wrist, x towards the thumb's side, y towards the fingers, z out of the palm, and the
distance from the wrist to the middle finger's knuckle as the unit. Everything is computed for a right hand; a left hand
is its mirror image in x.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

KNUCKLES = np.array([(0.365, 0.985, 0.0), (0.09, 1.0, 0.0), (-0.17, 0.95, -0.005), (-0.415, 0.87, 0.015)])
"""First joints of index, middle, ring and little finger in the palm of an average hand."""
BONES = np.array([(0.545, 0.34, 0.315), (0.60, 0.395, 0.325), (0.56, 0.375, 0.31), (0.425, 0.27, 0.285)])
"""Lengths of the three bones of index, middle, ring and little finger; the last reaches to the fingertip keypoint."""
FAN = np.deg2rad([4.0, 0.0, -4.0, -9.0])
"""Directions of the four straight fingers in the palm's plane, from the middle finger's towards the thumb."""
THUMB_ROOT = np.array([0.30, 0.20, 0.05])
THUMB_BONES = np.array([0.485, 0.405, 0.355])

RADII = np.array(
    [
        (0.190, 0.128, 0.110, 0.090),
        (0.128, 0.104, 0.089, 0.074),
        (0.130, 0.106, 0.091, 0.076),
        (0.124, 0.100, 0.086, 0.072),
        (0.112, 0.088, 0.076, 0.064),
    ]
)
"""``[5, 4]``: half the flesh's thickness at each keypoint of thumb, index, middle, ring and little finger."""
WRIST_RADIUS = 0.17

LIMITS = np.array(
    [[(0, 70), (-5, 65), (-15, 65), (-25, 85)]]
    + [[(-18, 18), (-25, 95), (-5, 112), (-8, 80)]] * 3
    + [[(-28, 22), (-25, 95), (-5, 112), (-8, 80)]],
    float,
)
"""``[5, 4, 2]`` degrees: the range of each joint angle, in the order of ``Articulation.angles``."""
WRIST_LIMITS = np.array([(-65.0, 65.0), (-30.0, 22.0)])


@dataclass(frozen=True)
class Articulation:
    """The joint angles of one hand.

    Attributes:
        angles: ``[5, 4]`` degrees. For the four fingers: spread towards the thumb's side, then the flexion of the
            three joints from the knuckle on. For the thumb: its angle from the index bone in the palm's plane, its
            angle out of that plane, then the flexion of its two joints.
        wrist: (flexion towards the palm, deviation towards the thumb) of the hand against the forearm, degrees.
    """

    angles: Array
    wrist: Array

    def limited(self) -> Articulation:
        """The nearest articulation within the joints' limits; a finger bent at the knuckle can hardly be spread."""
        angles = np.clip(self.angles, LIMITS[..., 0], LIMITS[..., 1])
        freedom = np.cos(np.deg2rad(np.clip(angles[1:, 1], 0, 80)))
        angles[1:, 0] *= freedom
        return Articulation(angles, np.clip(self.wrist, WRIST_LIMITS[:, 0], WRIST_LIMITS[:, 1]))

    def mixed(self, other: Articulation, share: float) -> Articulation:
        """Between this articulation (``share`` = 0) and another (1)."""
        return Articulation(
            self.angles + (other.angles - self.angles) * share, self.wrist + (other.wrist - self.wrist) * share
        )


@dataclass(frozen=True)
class HandShape:
    """The build of one person's hand, lengths in palms.

    Attributes:
        knuckles: ``[4, 3]`` first joints of the four fingers.
        bones: ``[5, 3]`` lengths of the free bones of thumb, index, middle, ring and little finger.
        thumb_root: ``[3]``.
        radii: ``[5, 4]`` half thickness at each keypoint of the fingers.
        wrist_radius: half thickness at the wrist.
        left: whether it is a left hand.
    """

    knuckles: Array
    bones: Array
    thumb_root: Array
    radii: Array
    wrist_radius: float
    left: bool

    @property
    def breadth(self) -> float:
        """Half the distance between the bones at the two sides of the wrist."""
        return 0.5 * float(self.knuckles[0, 0])

    @classmethod
    def random(cls, rng: np.random.Generator) -> HandShape:
        """Draw a hand: long or short fingers, slender or stout, narrow or broad, left or right."""
        long, stout, broad = 1 + np.clip(rng.normal(size=3), -2, 2) * (0.07, 0.08, 0.07)
        knuckles = KNUCKLES * (broad, 1, 1)
        knuckles[:, 1] += rng.normal(size=4) * 0.008
        bones = np.vstack([THUMB_BONES, BONES]) * long * (1 + rng.normal(size=(5, 3)) * 0.025)
        radii = RADII * stout * (1 + rng.normal(size=(5, 1)) * 0.03)
        return cls(knuckles, bones, THUMB_ROOT * (broad, 1, 1), radii, WRIST_RADIUS * stout, bool(rng.random() < 0.5))


@dataclass(frozen=True)
class PosedHand:
    """A hand with every bone in its place, in the hand's own frame (already mirrored for a left hand).

    Attributes:
        shape: whose hand it is.
        keypoints: ``[21, 3]`` in the order of the skeleton hand-21.
        along: ``[5, 3, 3]`` unit directions of the free bones of each finger.
        pad: ``[5, 3, 3]`` unit vectors from each of these bones towards its soft, palmar side; the nail lies opposite.
        side: ``[5, 3]`` unit vectors across each finger, the same for all its bones.
        forearm: ``[3]`` unit vector from the wrist towards the elbow.
        forearm_side: ``[3]`` unit vector across the forearm, towards the thumb's side.
    """

    shape: HandShape
    keypoints: Array
    along: Array
    pad: Array
    side: Array
    forearm: Array
    forearm_side: Array

    def with_arm_aside(self, axis: Array, most: float = 0.35) -> PosedHand:
        """The same hand with a wrist that keeps the forearm from coming along ``axis``, a unit vector of the hand's frame.

        Args:
            axis: the direction towards the viewer, where an arm would end in mid-air before the camera.
            most: the largest share of the forearm's direction along it.
        """
        rise = float(self.forearm @ axis)
        if rise <= most:
            return self
        flat = self.forearm - rise * axis
        length = float(np.linalg.norm(flat))
        flat = flat / length if length > 1e-6 else np.cross(axis, self.forearm_side)
        forearm = most * axis + np.sqrt(1 - most * most) * flat
        side = self.forearm_side - (self.forearm_side @ forearm) * forearm
        return replace(self, forearm=forearm, forearm_side=side / np.linalg.norm(side))


def pose_hand(shape: HandShape, articulation: Articulation) -> PosedHand:
    """Forward kinematics: the joint angles as given (see :meth:`Articulation.limited`) to bones in space."""
    angles = np.deg2rad(articulation.angles)
    straight, bend = np.empty((5, 3)), np.empty((5, 3))
    beta, alpha = angles[0, :2]
    straight[0] = np.sin(beta) * np.cos(alpha), np.cos(beta) * np.cos(alpha), np.sin(alpha)
    # The further the thumb stands out of the palm, the more it has turned its pad towards the fingers.
    bend[0] = -0.75, 0.3 * np.sin(alpha), 0.65 * np.cos(alpha)
    azimuth = FAN + angles[1:, 0]
    straight[1:, 0], straight[1:, 1], straight[1:, 2] = np.sin(azimuth), np.cos(azimuth), 0.0
    # Curled fingers all point at the root of the thumb.
    bend[1:] = np.column_stack([(0.12 - shape.knuckles[:, 0]) * 0.35, np.zeros(4), np.ones(4)])
    bend -= (bend * straight).sum(1, keepdims=True) * straight
    bend /= np.sqrt((bend * bend).sum(1, keepdims=True))
    side = straight[:, [1, 2, 0]] * bend[:, [2, 0, 1]] - straight[:, [2, 0, 1]] * bend[:, [1, 2, 0]]
    flexion = np.cumsum(angles[:, 1:], axis=1)
    flexion[0] -= angles[0, 1]  # the thumb's second angle is no flexion
    cos, sin = np.cos(flexion)[..., None], np.sin(flexion)[..., None]
    along = cos * straight[:, None] + sin * bend[:, None]
    pad = cos * bend[:, None] - sin * straight[:, None]

    keypoints = np.zeros((21, 3))
    fingers = keypoints[1:].reshape(5, 4, 3)
    fingers[0, 0], fingers[1:, 0] = shape.thumb_root, shape.knuckles
    fingers[:, 1:] = fingers[:, :1] + np.cumsum(along * shape.bones[..., None], axis=1)

    flex, deviation = np.deg2rad(articulation.wrist)
    forearm = np.array([np.sin(deviation) * np.cos(flex), -np.cos(deviation) * np.cos(flex), np.sin(flex)])
    arm_side = np.array([np.cos(deviation), np.sin(deviation), 0.0])
    if shape.left:
        mirror = np.array([-1.0, 1.0, 1.0])
        parts = (keypoints, along, pad, side, forearm, arm_side)
        keypoints, along, pad, side, forearm, arm_side = (part * mirror for part in parts)
    return PosedHand(shape, keypoints, along, pad, side, forearm, arm_side)
