"""The flesh on the bones: which capsules and triangles make a hand and its forearm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posewright.synthetic.anatomy import Array, PosedHand

SKIN, SLEEVE, HELD = 1, 2, 3
"""Materials in the depth buffer."""


Shape = tuple[tuple[int, ...], int, float]
"""Two points (a tapered capsule) or three (a rounded triangle's face), the material, the softness in palms."""


@dataclass
class Solid:
    """Shapes of one object, in its own frame; lengths in palms.

    Attributes:
        points: ``[P, 3]`` corner points.
        radii: ``[P]``.
        body: shapes whose relief is evened out together, drawn first.
        limbs: shapes drawn over them as they are.
    """

    points: Array
    radii: Array
    body: list[Shape]
    limbs: list[Shape]


class _Builder:
    def __init__(self) -> None:
        self.points: list[NDArray[np.float64]] = []
        self.radii: list[float] = []
        self.body: list[Shape] = []
        self.limbs: list[Shape] = []

    def point(self, xyz: Array, radius: float) -> int:
        self.points.append(xyz)
        self.radii.append(radius)
        return len(self.points) - 1

    def chain(self, to: list[Shape], *points: int, soft: float = 0.0, material: int = SKIN) -> None:
        to += [((a, b), material, soft) for a, b in zip(points, points[1:], strict=False)]


SOFT = 0.08


def hand_solid(hand: PosedHand, forearm: float = 2.2, sleeve: float | None = None, cuff: float = 1.2) -> Solid:
    """The solid of a posed hand.

    Args:
        hand: bones in their places.
        forearm: length of the forearm that is drawn, palms.
        sleeve: where on the forearm a sleeve begins, palms from the wrist; None for a bare arm.
        cuff: thickness of the sleeve relative to the arm's.
    """
    out = _Builder()
    _palm(out, hand, forearm)
    _fingers(out, hand)
    if sleeve is not None and sleeve < forearm:
        _sleeve(out, hand, sleeve, forearm, cuff)
    return Solid(np.array(out.points), np.array(out.radii), out.body, out.limbs)


def _arm(out: _Builder, hand: PosedHand, at: float, wide: float, radius: float) -> tuple[int, int]:
    """The two points of the oval arm's cross-section at a distance from the wrist, the thumb's side first."""
    centre = hand.keypoints[0] + hand.forearm * at
    return out.point(centre + hand.forearm_side * wide, radius), out.point(centre - hand.forearm_side * wide, radius)


def _palm(out: _Builder, hand: PosedHand, forearm: float) -> None:
    """Forearm, back and palm of the hand, with the balls of the thumb and of the little finger."""
    shape, wrist, fingers = hand.shape, hand.keypoints[0], hand.keypoints[1:].reshape(5, 4, 3)
    mirror, thick = -1.0 if shape.left else 1.0, shape.wrist_radius
    unit_x, unit_y, unit_z = np.array([mirror, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0])
    across = 0.58 * abs(shape.knuckles[0, 0])
    radial = out.point(wrist + unit_x * across + unit_y * 0.04, thick * 0.92)
    ulnar = out.point(wrist - unit_x * across + unit_y * 0.04, thick * 0.92)
    heads = [out.point(fingers[f, 0] - unit_y * 0.05, shape.radii[f, 0] * 0.94) for f in range(1, 5)]
    root, thumb = fingers[0, 0], fingers[0, 1]
    ball = out.point(root + unit_z * 0.04 + hand.along[0, 0] * 0.08, shape.radii[0, 0] * 0.88)
    neck = out.point(thumb, shape.radii[0, 1])
    web_high = out.point(fingers[1, 0] * 0.76 + wrist * 0.24 + unit_z * 0.01, shape.radii[1, 0] * 0.85)
    web_low = out.point(root + hand.along[0, 0] * shape.bones[0, 0] * 0.68, shape.radii[0, 1] * 0.72)
    heel_low = out.point(wrist - unit_x * across * 1.12 + unit_y * 0.22 + unit_z * 0.06, thick * 0.86)
    heel_high = out.point(fingers[4, 0] - unit_y * 0.2 + unit_z * 0.04 - unit_x * 0.01, shape.radii[4, 0] * 1.08)
    near = _arm(out, hand, 0.34, across * 0.86, thick * 0.93)
    far = _arm(out, hand, forearm, across * (1 + 0.22 * forearm), thick * (1 + 0.25 * forearm))

    for a, b, c in ((radial, ulnar, heads[3]), (radial, heads[3], heads[2]), (radial, heads[2], heads[1]),
                    (radial, heads[1], heads[0]), (ball, web_high, web_low), (radial, ulnar, near[0]),
                    (ulnar, near[0], near[1]), (near[0], near[1], far[0]), (near[1], far[0], far[1])):  # fmt: skip
        out.body.append(((a, b, c), SKIN, 0.0))
    out.chain(out.body, far[0], near[0], radial, heads[0])
    out.chain(out.body, far[1], near[1], ulnar, heads[3])
    out.chain(out.body, *heads)
    out.chain(out.body, radial, ball, neck, soft=SOFT)
    out.chain(out.body, web_low, web_high, soft=SOFT)
    out.chain(out.body, heel_low, heel_high, soft=SOFT)


def _fingers(out: _Builder, hand: PosedHand) -> None:
    """Each finger is a chain of tapered capsules; the skin between their roots reaches a third up the first bone."""
    shape, fingers = hand.shape, hand.keypoints[1:].reshape(5, 4, 3)
    roots = []
    for f in range(5):
        radii, pad = shape.radii[f], hand.pad[f]
        first = 1 if f == 0 else 0
        chain = [out.point(fingers[f, first] - pad[first] * radii[first] * 0.12, radii[first] * 0.92)]
        for j in range(first, 2):
            start, end = fingers[f, j], fingers[f, j + 1]
            waist = start * 0.45 + end * 0.55 + pad[j] * radii[j + 1] * 0.12
            chain.append(out.point(waist, (radii[j] * 0.45 + radii[j + 1] * 0.55) * 0.97))
            chain.append(out.point(end, radii[j + 1]))
            if j == 0:
                roots.append(out.point(start * 0.72 + end * 0.28 + pad[0] * 0.02, radii[0] * 0.74))
        tip = fingers[f, 3] - hand.along[f, 2] * radii[3] * 0.55
        belly = fingers[f, 2] * 0.45 + tip * 0.55 + pad[2] * radii[3] * 0.16
        chain += [out.point(belly, radii[3] * 1.08), out.point(tip, radii[3])]
        out.chain(out.limbs, *chain[:3], soft=SOFT * 0.6)
        out.chain(out.limbs, *chain[2:])
    out.chain(out.limbs, *roots, soft=SOFT * 0.8)


def _sleeve(out: _Builder, hand: PosedHand, start: float, end: float, cuff: float) -> None:
    """Like the arm, thicker."""
    across, thick = 0.58 * abs(hand.shape.knuckles[0, 0]), hand.shape.wrist_radius
    (a, b), (c, d) = (
        _arm(out, hand, at, across * (1 + 0.22 * at) * cuff**0.5, thick * (1 + 0.25 * at) * cuff) for at in (start, end)
    )
    out.limbs += [((a, b, c), SLEEVE, 0.0), ((b, c, d), SLEEVE, 0.0)]
    out.chain(out.limbs, c, a, b, d, material=SLEEVE)
