"""The flesh on the bones: which capsules and triangles make a hand and its forearm."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from posewright.synthetic.anatomy import Array, PosedHand
from posewright.synthetic.surface import DepthBuffer
from posewright.synthetic.view import View

SKIN, SLEEVE, HELD = 1, 2, 3
"""Materials in the depth buffer."""
SOFT = 0.08
"""Palms: over what depth neighbouring flesh flows together."""
RELIEF = 0.05
"""Palms: the radius over which the palm's relief is evened out."""

Link = tuple[int, int, float]
"""Two points that a tapered capsule joins, and its softness in palms."""
Face = tuple[int, int, int]
"""Three points that a rounded triangle joins."""


@dataclass
class Part:
    """Shapes of one material, drawn together.

    Attributes:
        material: a number of the depth buffer.
        links: tapered capsules.
        faces: rounded triangles.
        even: whether the relief of this part and what was drawn before is evened out.
    """

    material: int
    links: list[Link]
    faces: list[Face] = field(default_factory=list)
    even: bool = False


@dataclass
class Solid:
    """One object in its own frame; lengths in palms.

    Attributes:
        points: ``[P, 3]`` corner points.
        radii: ``[P]``.
        parts: drawn in this order; what is nearer covers what is farther whatever the order.
    """

    points: Array
    radii: Array
    parts: list[Part]

    def draw(self, buffer: DepthBuffer, view: View) -> None:
        """Draw it as seen in a view."""
        points = view.project(self.points)
        radii = self.radii * view.scale_at(self.points)
        for part in self.parts:
            for face in part.faces:
                corners = list(face)
                buffer.triangle(points[corners].tolist(), radii[corners].tolist())
            links = np.array(part.links)
            a, b = links[:, :2].astype(np.int64).T
            buffer.capsules(points[a], points[b], radii[a], radii[b], links[:, 2] * view.scale)
            if part.even:
                buffer.smooth(RELIEF * view.scale)
            buffer.claim(part.material)


def chain(*points: int, soft: float = 0.0) -> list[Link]:
    """Tapered capsules from each point to the next."""
    return [(a, b, soft) for a, b in pairwise(points)]


class _Points:
    def __init__(self) -> None:
        self.points: list[Array] = []
        self.radii: list[float] = []

    def __call__(self, xyz: Array, radius: float) -> int:
        self.points.append(xyz)
        self.radii.append(radius)
        return len(self.points) - 1


def hand_solid(hand: PosedHand, forearm: float = 2.2, sleeve: float | None = None, cuff: float = 1.2) -> Solid:
    """The solid of a posed hand.

    Args:
        hand: bones in their places.
        forearm: how far the arm is drawn, palms from the wrist.
        sleeve: where on the arm a sleeve begins, palms from the wrist; None for a bare arm.
        cuff: thickness of the sleeve relative to the arm's.
    """
    point = _Points()
    parts = [_palm(point, hand, forearm), _fingers(point, hand)]
    if sleeve is not None and sleeve < forearm:
        parts.append(_sleeve(point, hand, sleeve, forearm, cuff))
    return Solid(np.array(point.points), np.array(point.radii), parts)


def _arm(point: _Points, hand: PosedHand, at: float, thicker: float = 1.0) -> tuple[int, int]:
    """The two points of the oval arm's cross-section at a distance from the wrist, the thumb's side first."""
    centre, grown = hand.keypoints[0] + hand.forearm * at, min(at, 2.4)
    across = hand.forearm_side * (hand.shape.breadth * (0.84 + 0.1 * grown))
    radius = hand.shape.wrist_radius * (0.92 + 0.28 * grown) * thicker
    return point(centre + across, radius), point(centre - across, radius)


def _palm(point: _Points, hand: PosedHand, forearm: float) -> Part:
    """Forearm, back and palm of the hand, with the balls of the thumb and of the little finger."""
    shape, fingers = hand.shape, hand.keypoints[1:].reshape(5, 4, 3)
    breadth, thick = shape.breadth, shape.wrist_radius
    x, y, z = np.diag([-1.0 if shape.left else 1.0, 1.0, 1.0])
    radial = point(x * breadth + y * 0.04, thick * 0.92)
    ulnar = point(-x * breadth + y * 0.04, thick * 0.92)
    heads = [point(fingers[f, 0] - y * 0.05, shape.radii[f, 0] * 0.94) for f in range(1, 5)]
    root, towards = fingers[0, 0], hand.along[0, 0]
    ball = point(root + z * 0.04 + towards * 0.08, shape.radii[0, 0] * 0.88)
    neck = point(fingers[0, 1], shape.radii[0, 1])
    web_high = point(fingers[1, 0] * 0.76 + z * 0.01, shape.radii[1, 0] * 0.85)
    web_low = point(root + towards * shape.bones[0, 0] * 0.68, shape.radii[0, 1] * 0.72)
    heel_low = point(-x * breadth * 1.12 + y * 0.22 + z * 0.06, thick * 0.86)
    heel_high = point(fingers[4, 0] - y * 0.2 + z * 0.04 - x * 0.01, shape.radii[4, 0] * 1.08)
    near, far = _arm(point, hand, 0.34), _arm(point, hand, forearm)

    index, middle, ring, little = heads
    faces = [(radial, ulnar, little), (radial, little, index), (index, middle, ring), (index, ring, little)]
    faces += [(ball, web_high, web_low), (radial, ulnar, near[0]), (ulnar, *near), (*near, far[0]), (near[1], *far)]
    links = chain(far[0], near[0], radial, index) + chain(far[1], near[1], ulnar, little) + chain(*heads)
    links += chain(radial, ball, neck, soft=SOFT) + chain(web_low, web_high, soft=SOFT)
    links += chain(heel_low, heel_high, soft=SOFT)
    links += chain(ulnar, radial, little)  # the faces lean apart and gape along these edges
    return Part(SKIN, links, faces, even=True)


def _fingers(point: _Points, hand: PosedHand) -> Part:
    """Each finger is a chain of tapered capsules; the skin between their roots reaches a third up the first bone."""
    shape, fingers = hand.shape, hand.keypoints[1:].reshape(5, 4, 3)
    links: list[Link] = []
    webs = []
    for f in range(5):
        radii, pad, first = shape.radii[f], hand.pad[f], 1 if f == 0 else 0
        # A knuckle stands out on the back of the hand, not in the palm.
        joints = [point(fingers[f, first] - pad[first] * radii[first] * 0.12, radii[first] * 0.92)]
        joints += [point(fingers[f, j], radii[j]) for j in range(first + 1, 3)]
        # The flesh of the tip ends half its thickness beyond the keypoint.
        joints.append(point(fingers[f, 3] - hand.along[f, 2] * radii[3] * 0.55 + pad[2] * radii[3] * 0.06, radii[3]))
        links += chain(*joints[:2], soft=SOFT * 0.6) + chain(*joints[1:])
        if f:
            webs.append(point(fingers[f, 0] * 0.72 + fingers[f, 1] * 0.28 + pad[0] * 0.02, radii[0] * 0.74))
    return Part(SKIN, links + chain(*webs, soft=SOFT * 0.8))


def _sleeve(point: _Points, hand: PosedHand, start: float, end: float, cuff: float) -> Part:
    """Like the arm, thicker."""
    (a, b), (c, d) = _arm(point, hand, start, cuff), _arm(point, hand, end, cuff)
    return Part(SLEEVE, chain(c, a, b, d), [(a, b, c), (b, c, d)])
