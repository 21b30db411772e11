"""The flesh on the bones: which capsules and polygons make a hand and its forearm."""

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
Face = tuple[int, ...]
"""The corners of a rounded polygon, in order."""


@dataclass
class Part:
    """Shapes of one material, drawn together.

    Attributes:
        material: a number of the depth buffer.
        links: tapered capsules.
        faces: rounded polygons.
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
                buffer.face(points[corners], radii[corners])
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
    """The points of a solid as they are gathered; adding some returns their places."""

    def __init__(self) -> None:
        self.xyz: list[Array] = []
        self.radii: list[Array] = []
        self.count = 0

    def add(self, xyz: Array, radii: Array) -> list[int]:
        """Add points ``[N, 3]`` with their radii ``[N]``."""
        self.xyz.append(xyz)
        self.radii.append(radii)
        self.count += len(xyz)
        return list(range(self.count - len(xyz), self.count))


def hand_solid(hand: PosedHand, forearm: float = 2.2, sleeve: float | None = None, cuff: float = 1.2) -> Solid:
    """The solid of a posed hand.

    Args:
        hand: bones in their places.
        forearm: how far the arm is drawn, palms from the wrist.
        sleeve: where on the arm a sleeve begins, palms from the wrist; None for a bare arm.
        cuff: thickness of the sleeve relative to the arm's.
    """
    points = _Points()
    parts = [_palm(points, hand, forearm), _fingers(points, hand)]
    if sleeve is not None and sleeve < forearm:
        parts.append(_sleeve(points, hand, sleeve, forearm, cuff))
    return Solid(np.concatenate(points.xyz), np.concatenate(points.radii), parts)


def _arm(points: _Points, hand: PosedHand, start: float, end: float, thicker: float = 1.0) -> list[int]:
    """An oval arm from one distance from the wrist to another: at each end its two sides, the thumb's side first."""
    at = np.array([start, start, end, end])
    grown, side = np.minimum(at, 2.4), np.array([1.0, -1.0, 1.0, -1.0])
    across = side * hand.shape.breadth * (0.84 + 0.1 * grown)
    radii = hand.shape.wrist_radius * (0.92 + 0.28 * grown) * thicker
    return points.add(at[:, None] * hand.forearm + across[:, None] * hand.forearm_side, radii)


def _palm(points: _Points, hand: PosedHand, forearm: float) -> Part:
    """Forearm, back and palm of the hand, with the balls of the thumb and of the little finger."""
    shape, fingers = hand.shape, hand.keypoints[1:].reshape(5, 4, 3)
    breadth, thick, radii = shape.breadth, shape.wrist_radius, shape.radii
    x = -1.0 if shape.left else 1.0
    fixed = np.array(
        [
            (x * breadth, 0.04, 0.0),  # the two sides of the wrist
            (-x * breadth, 0.04, 0.0),
            (-x * breadth * 1.12, 0.22, 0.06),  # the ball of the little finger
        ]
    )
    radial, ulnar, heel_low = points.add(fixed, thick * np.array([0.92, 0.92, 0.86]))
    heads = points.add(fingers[1:, 0] - (0, 0.05, 0), radii[1:, 0] * 0.94)
    root, towards = fingers[0, 0], hand.along[0, 0]
    flesh = np.array(
        [
            fingers[4, 0] + (-0.01 * x, -0.2, 0.04),
            root + towards * 0.08 + (0, 0, 0.04),  # the ball of the thumb
            fingers[0, 1],
            root + towards * (shape.bones[0, 0] * 0.68),  # the skin between thumb and palm
            fingers[1, 0] * 0.76 + (0, 0, 0.01),
        ]
    )
    heel_high, ball, neck, web_low, web_high = points.add(
        flesh,
        np.array([radii[4, 0] * 1.08, radii[0, 0] * 0.88, radii[0, 1], radii[0, 1] * 0.72, radii[1, 0] * 0.85]),
    )
    near_radial, near_ulnar, far_radial, far_ulnar = _arm(points, hand, 0.34, forearm)

    faces: list[Face] = [
        (radial, ulnar, *reversed(heads)),
        (radial, ulnar, near_ulnar, near_radial),
        (near_radial, near_ulnar, far_ulnar, far_radial),
        (ball, web_high, web_low),
    ]
    links = chain(far_radial, near_radial, radial, *heads, ulnar, near_ulnar, far_ulnar)
    links += chain(radial, ulnar)
    links += chain(radial, ball, neck, soft=SOFT) + chain(web_low, web_high, soft=SOFT)
    links += chain(heel_low, heel_high, soft=SOFT)
    return Part(SKIN, links, faces, even=True)


def _fingers(points: _Points, hand: PosedHand) -> Part:
    """Each finger is a chain of tapered capsules; the skin between their roots reaches a third up the first bone."""
    radii, fingers, pad = hand.shape.radii, hand.keypoints[1:].reshape(5, 4, 3), hand.pad
    first = np.array([1, 0, 0, 0, 0])  # the thumb's first bone belongs to the palm
    every = np.arange(5)
    thick = radii[every, first]
    # A knuckle stands out on the back of the hand, not in the palm.
    base = points.add(fingers[every, first] - pad[every, first] * (thick * 0.12)[:, None], thick * 0.92)
    middle = points.add(fingers[1:, 1], radii[1:, 1])
    last = points.add(fingers[:, 2], radii[:, 2])
    # People mark a fingertip just inside its outline: the flesh ends a quarter of its half thickness beyond.
    end = (pad[:, 2] * 0.06 - hand.along[:, 2] * 0.75) * radii[:, 3, None]
    tip = points.add(fingers[:, 3] + end, radii[:, 3])
    webs = points.add(fingers[1:, 0] * 0.72 + fingers[1:, 1] * 0.28 + pad[1:, 0] * 0.02, radii[1:, 0] * 0.74)

    links = chain(base[0], last[0], soft=SOFT * 0.6) + chain(last[0], tip[0])
    for f in range(1, 5):
        links += chain(base[f], middle[f - 1], soft=SOFT * 0.6) + chain(middle[f - 1], last[f], tip[f])
    return Part(SKIN, links + chain(*webs, soft=SOFT * 0.8))


def _sleeve(points: _Points, hand: PosedHand, start: float, end: float, cuff: float) -> Part:
    """Like the arm, thicker."""
    a, b, c, d = _arm(points, hand, start, end, cuff)
    return Part(SLEEVE, chain(c, a, b, d), [(a, b, d, c)])
