"""Things in a hand and things in front of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from posewright.synthetic.anatomy import Array, Articulation
from posewright.synthetic.flesh import HELD, SKIN, Part, Solid, chain
from posewright.synthetic.gestures import GESTURES
from posewright.synthetic.scenery import Palette
from posewright.synthetic.shading import Picture, blend, grain_tile
from posewright.synthetic.surface import DepthBuffer

Capsule = tuple[Array, float, Array, float]
"""A tapered capsule in pixels: one end (x, y, z) and its radius, the other end and its radius."""

FRONT, OTHER_SKIN = 4, 5
"""Materials of things that stand in front of a hand, beside those of ``flesh``."""


@dataclass(frozen=True)
class _Grip:
    """A way to hold a round thing, lengths in palms: the least of each quantity and how much more there may be.

    Attributes:
        gesture: whose fingers close round the thing.
        middle: ``(x, y, z)`` where they do, in a right hand's frame.
        direction: of the thing's axis, and how much each coordinate varies.
        radius: half thickness.
        ahead, behind: how far the axis reaches from ``middle``.
    """

    gesture: str
    middle: tuple[float, float, float]
    direction: tuple[tuple[float, float, float], tuple[float, float, float]]
    radius: tuple[float, float]
    ahead: tuple[float, float]
    behind: tuple[float, float]


_ACROSS = (1.0, -0.25, -0.2), (0.0, 0.5, 0.4)
_STICK = _Grip("fist", (0.0, 0.80, 0.29), _ACROSS, (0.05, 0.07), (1.0, 1.0), (0.6, 1.0))
_BOTTLE = _Grip("cup", (0.0, 0.96, 0.50), _ACROSS, (0.20, 0.11), (0.7, 1.0), (0.5, 1.0))
_BALL = _Grip("claw", (0.0, 1.10, 0.52), _ACROSS, (0.28, 0.11), (0.01, 0.0), (0.01, 0.0))
_PEN = _Grip("pinch", (0.33, 1.06, 0.91), ((-0.5, 0.8, -0.27), (1.0, 0.0, 0.9)), (0.03, 0.02), (0.9, 0.0), (0.3, 1.0))
_GRIPS = (_STICK, _STICK, _STICK, _BOTTLE, _BOTTLE, _BOTTLE, _BALL, _BALL, _PEN, _PEN, None)
"""What is held, the more often the more often it is listed; None is a card."""


def held_thing(rng: np.random.Generator, left: bool) -> tuple[Articulation, Solid]:
    """A thing and the hand that holds it, in the hand's frame: a stick, a bottle, a ball, a pen or a card."""
    kind, thick, ahead, behind, wide, high = rng.random(6).tolist()
    grip = _GRIPS[int(kind * len(_GRIPS))]
    if grip is None:
        gesture, radius = GESTURES["pinch"], 0.02 + 0.03 * thick
        middle = np.array([0.33, 1.1, 0.91])
        right, up = np.array([0.25 + 0.3 * wide, 0.1, 0.0]), np.array([-0.05, 0.3 + 0.35 * high, 0.1])
        points = middle + np.array([-right - 0.2 * up, right - 0.2 * up, right + up, up - right])
        part = Part(HELD, chain(0, 1, 2, 3, 0), [(0, 1, 2, 3)])
    else:
        gesture, radius = GESTURES[grip.gesture], grip.radius[0] + grip.radius[1] * thick
        along = np.array(grip.direction[0]) + np.array(grip.direction[1]) * rng.random(3)
        along /= np.linalg.norm(along)
        reach = np.array([grip.ahead[0] + grip.ahead[1] * ahead, -grip.behind[0] - grip.behind[1] * behind])
        points = np.array(grip.middle) + reach[:, None] * along
        part = Part(HELD, chain(0, 1))
    if left:
        points = points * (-1, 1, 1)
    jitter = Articulation(gesture.angles + rng.normal(size=(5, 4)) * 4, rng.normal(size=2) * (16, 8))
    return jitter.limited(), Solid(points, np.full(len(points), radius), [part])


@dataclass
class Bar:
    """A round bar in front of everything: a pole, a cable, somebody's arm or finger. Pixels of the picture.

    Attributes:
        start, end: (x, y).
        radius: half thickness.
        material: ``FRONT`` or ``OTHER_SKIN``.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    radius: float
    material: int

    @classmethod
    def random(cls, rng: np.random.Generator, target: Array, reach: float) -> Bar:
        """A bar that passes near a point; ``reach`` is the size of the hand in pixels."""
        angle, off, thick, kind, length = rng.random(5).tolist()
        along = np.array([np.cos(angle * 2 * np.pi), np.sin(angle * 2 * np.pi)])
        middle = target + np.array([-along[1], along[0]]) * (off - 0.5) * 0.5 * reach
        near = middle - along * reach * (3 if length < 0.6 else 0.1 + 0.4 * length)
        far = middle + along * reach * 3
        radius = reach * (0.02 + 0.07 * thick)
        return cls((near[0], near[1]), (far[0], far[1]), radius, OTHER_SKIN if kind < 0.3 else FRONT)

    def draw(self, buffer: DepthBuffer, depth: float) -> None:
        """Draw it at a depth (pixels towards the viewer)."""
        ends = np.array([(*self.start, depth + self.radius), (*self.end, depth + self.radius)])
        radius = np.array([self.radius])
        buffer.capsules(ends[:1], ends[1:], radius, radius, np.zeros(1))
        buffer.claim(self.material)


@dataclass
class Sheet:
    """A flat thing in front of everything: a disc, a card, a leaf, a torn edge. Pixels of the picture.

    Attributes:
        outline: ``[P, 2]`` corners.
        colours: two RGB colours that it changes between.
        grain: strength of its texture.
    """

    outline: Array
    colours: tuple[tuple[float, float, float], tuple[float, float, float]]
    grain: float

    @classmethod
    def random(cls, rng: np.random.Generator, target: Array, reach: float) -> Sheet:
        """A sheet over a point; ``reach`` is the size of the hand in pixels."""
        palette = Palette(rng)
        kind, size, ratio, turn, edge = rng.random(5).tolist()
        span = reach * (0.07 + 0.16 * size)
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        if kind < 0.4:
            shape = np.column_stack([np.cos(angle), np.sin(angle) * (0.5 + 0.5 * ratio)])
        elif kind < 0.7:
            shape = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (0.4 + ratio, 0.9)
        else:
            angle = np.sort(rng.random(int(4 + 5 * ratio))) * 2 * np.pi
            shape = np.column_stack([np.cos(angle), np.sin(angle)])
        c, s = np.cos(turn * np.pi), np.sin(turn * np.pi)
        outline = shape * span @ np.array([[c, s], [-s, c]]) + target
        return cls(outline, (palette.pick(rng), palette.pick(rng)), 0.5 * edge)

    def draw(self, picture: Picture) -> Picture:
        """Draw it over a picture, in place; return its coverage, ``uint8 [H, W]``."""
        height, width = picture.shape[:2]
        cover = np.zeros((height, width), np.uint8)
        cv2.fillPoly(cover, [(self.outline * 16).round().astype(np.int32)], 255, cv2.LINE_AA, 4)
        x, y, w, h = cv2.boundingRect(cover)
        if w:
            ends = np.array([[self.colours[0], self.colours[1]]] * 2).clip(0, 255).astype(np.uint8)
            patch = cv2.resize(ends, (w, h), interpolation=cv2.INTER_LINEAR)
            grain = cv2.resize(grain_tile(512, 0.8)[: h // 2 + 4, : w // 2 + 4], (w, h), interpolation=cv2.INTER_LINEAR)
            patch = cv2.addWeighted(patch, 1, cv2.merge([grain] * 3), self.grain, -128 * self.grain)
            blend(picture[y : y + h, x : x + w], patch, cover[y : y + h, x : x + w])
        return cover


def decoy(rng: np.random.Generator, size: tuple[int, int]) -> tuple[list[Capsule], int]:
    """Round things that are no hand but might be taken for one, and their material.

    A bare arm, a fork of two or three prongs, sausages that do not meet, a ball.
    """
    width, height = size
    unit = min(size) * (0.1 + 0.25 * rng.random())
    middle = np.array([width, height, 0.0]) * (0.25 + 0.5 * rng.random(3)) * (1, 1, 0)
    kind, turn, count = rng.random(3).tolist()
    along = np.array([np.cos(turn * 2 * np.pi), np.sin(turn * 2 * np.pi), 0.0])
    across = np.array([-along[1], along[0], 0.0])
    out: list[Capsule] = []
    if kind < 0.35:
        thick = unit * (0.3 + 0.3 * count)
        out.append((middle, thick, middle + along * unit * 9, thick * 1.5))
        if rng.random() < 0.5:
            out.append((middle, thick, middle + (across - along * 0.4) * unit * 5, thick * 1.2))
    elif kind < 0.6:
        out.append((middle, unit * 0.3, middle + along * unit * 4, unit * 0.25))
        for place in (-0.4, 0.4) if count < 0.5 else (-0.6, 0.0, 0.6):
            foot = middle + across * unit * place
            out.append((foot, unit * 0.14, foot - along * unit * 1.4, unit * 0.1))
    elif kind < 0.8:
        for i in range(int(2 + 3 * count)):
            foot = middle + across * unit * (i - 1) * (0.6 + 0.3 * rng.random()) + along * unit * rng.normal() * 0.3
            tip = foot + (along + across * rng.normal() * 0.25) * unit * (0.5 + rng.random())
            out.append((foot, unit * 0.2, tip, unit * (0.15 + 0.07 * rng.random())))
    else:
        out.append((middle, unit * (0.6 + 0.6 * count), middle + along * 0.1, unit * 0.6))
    return out, SKIN if rng.random() < 0.75 else FRONT
