"""A posed hand in front of a camera, with what it holds and what hides it: drawn, and judged for what can be seen."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.synthetic.anatomy import Array, HandShape, PosedHand
from posewright.synthetic.flesh import HELD, SKIN, SLEEVE, Solid, hand_solid
from posewright.synthetic.marks import blush_map, crease_map, draw_nails
from posewright.synthetic.scenery import Palette, skin_colour
from posewright.synthetic.shading import (
    Colour,
    Light,
    Picture,
    Skin,
    composite,
    grain_tile,
    matter_ramp,
    shade,
    skin_ramp,
)
from posewright.synthetic.surface import DepthBuffer
from posewright.synthetic.things import FRONT, OTHER_SKIN, Bar, Capsule, Sheet
from posewright.synthetic.view import View

HIDDEN, VISIBLE = 1, 2
_ARM = 6.0
"""Palms of arm that are drawn: out of the picture even for a small hand."""
_FINE = 18
"""Pixels per palm below which creases, nails and grain would be smaller than a pixel."""


@dataclass(frozen=True)
class Looks:
    """Everything about a hand's appearance that does not change while it moves.

    Attributes:
        shape, skin, light: the hand's build and colour, and what lights it.
        sleeve: palms from the wrist to where a sleeve begins; None for a bare arm.
        cuff: thickness of the sleeve relative to the arm's.
        cloth, thing, front, stranger: RGB of the sleeve, of what is held or in front, of someone else's skin.
        creases, blush: 0..1, how deep the skin's creases are and how red its fingertips.
        nails: length, 1 for short ones.
        grain: (x, y) in the tile of noise, and the strength, of the skin's mottle.
    """

    shape: HandShape
    skin: Skin
    light: Light
    sleeve: float | None
    cuff: float
    cloth: Colour
    thing: Colour
    front: Colour
    stranger: Colour
    creases: float
    blush: float
    nails: float
    grain: tuple[int, int, float]

    @classmethod
    def random(cls, rng: np.random.Generator) -> Looks:
        palette = Palette(rng)
        bare, sleeve, cuff, creases, blush, nails, gx, gy, grain = rng.random(9).tolist()
        return cls(
            HandShape.random(rng),
            Skin.random(rng),
            Light.random(rng),
            None if bare < 0.45 else 0.2 + 1.6 * sleeve,
            1.12 + 0.35 * cuff,
            palette.pick(rng),
            palette.pick(rng, 30),
            palette.pick(rng, 30),
            skin_colour(rng),
            0.15 + 0.65 * creases,
            0.9 * blush,
            max(1.0, 1.0 + 1.75 * (nails - 0.8)),
            (int(gx * 250), int(gy * 250), 0.04 + 0.14 * grain),
        )


@dataclass
class Scene:
    """A posed hand in front of a camera, with what it holds and what hides it."""

    looks: Looks
    hand: PosedHand
    view: View
    held: Solid | None = None
    bars: list[Bar] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)


def draw_scene(picture: Picture, scene: Scene) -> Array:
    """Draw a scene over a background, in place.

    Args:
        picture: ``uint8 [H, W, 3]`` RGB.
        scene: what to draw.

    Returns:
        ``[21, 3]`` (x, y, v) in pixels of the picture; v = 1 hidden by a thing or the hand itself, 2 visible.
    """
    looks, hand, view = scene.looks, scene.hand, scene.view
    buffer = depth_of(scene, picture.shape[1], picture.shape[0])
    seen = view.project(hand.keypoints)
    hidden = _hidden(scene, buffer, seen)
    window = buffer.window()
    if window is not None:
        fine = view.scale > _FINE
        shades = shade(buffer, window, looks.light, view.scale)
        if fine:
            _add_grain(shades, looks.grain)
            cv2.subtract(shades, crease_map(hand, view, buffer, window, looks.creases), dst=shades)
        palm_share = min(max(0.5 + 0.8 * float(view.rotation[2, 2]), 0.0), 1.0)
        ramps = {SKIN: skin_ramp(looks.skin.towards(palm_share), looks.light)}
        if looks.sleeve is not None:
            ramps[SLEEVE] = matter_ramp(looks.cloth, looks.light, 0.0)
        if scene.held is not None:
            ramps[HELD] = matter_ramp(looks.thing, looks.light, 0.6)
        if scene.bars:
            ramps[FRONT] = matter_ramp(looks.front, looks.light, 0.4)
            ramps[OTHER_SKIN] = skin_ramp(looks.stranger, looks.light)
        composite(picture, buffer, window, shades, blush_map(hand, view, window, looks.blush), ramps)
        if fine:
            nails = skin_ramp(looks.skin.nail, looks.light)
            draw_nails(picture, hand, view, buffer, window, shades, nails, looks.nails)
    for sheet in scene.sheets:
        cover = sheet.draw(picture)
        inside, rows, columns = _pixels(seen, buffer)
        hidden |= inside & (cover[rows, columns] > 127)
    return np.column_stack([seen[:, :2], np.where(hidden, HIDDEN, VISIBLE)])


def depth_of(scene: Scene, width: int, height: int) -> DepthBuffer:
    """What of a scene is nearest at every pixel, its flat sheets left out."""
    buffer, view, looks = DepthBuffer(width, height), scene.view, scene.looks
    hand_solid(scene.hand, _ARM, looks.sleeve, looks.cuff).draw(buffer, view)
    if scene.held is not None:
        scene.held.draw(buffer, view)
    front = float(buffer.depth.max())
    for bar in scene.bars:
        bar.draw(buffer, front)
    return buffer


# The flesh over a keypoint relative to the radius there: the palm's joints lie deep.
_COVER = np.array([1.7] + [1.6, 1.35, 1.3, 1.3] + [1.55, 1.3, 1.3, 1.3] * 4)


def _hidden(scene: Scene, buffer: DepthBuffer, seen: Array) -> NDArray[np.bool_]:
    """``[21]``: the keypoints in front of which something other than their own flesh is seen."""
    hand, view = scene.hand, scene.view
    # A bone that comes towards the viewer covers its joint the more the steeper it stands; up to a point that is still
    # the joint's own flesh.
    rise = hand.along @ view.rotation[2]
    steep = np.zeros((5, 4))
    steep[:, :3] = rise
    steep[:, 1:] = np.maximum(steep[:, 1:], -rise)
    slant = np.concatenate([[0.0], np.minimum(np.maximum(steep, 0), 0.85).ravel()])
    radius = np.concatenate([[hand.shape.wrist_radius], hand.shape.radii.ravel()]) * _COVER / np.sqrt(1 - slant**2)
    inside, rows, columns = _pixels(seen, buffer)
    gap = buffer.depth[rows, columns] - seen[:, 2]
    foreign = buffer.material[rows, columns] > SLEEVE
    return inside & (foreign | (gap > radius * view.scale_at(hand.keypoints)))


def _pixels(seen: Array, buffer: DepthBuffer) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Which points lie in the picture, and the row and column nearest to each."""
    columns, rows = np.rint(seen[:, 0]).astype(np.int64), np.rint(seen[:, 1]).astype(np.int64)
    inside = (columns >= 0) & (columns < buffer.width) & (rows >= 0) & (rows < buffer.height)
    return inside, np.clip(rows, 0, buffer.height - 1), np.clip(columns, 0, buffer.width - 1)


def _add_grain(shades: Picture, grain: tuple[int, int, float]) -> None:
    """Mottle of skin and weave of cloth, in place."""
    x, y, strength = grain
    tile = grain_tile(512, 0.8)
    height, width = shades.shape
    if height + y > 512 or width + x > 512:
        tile = np.tile(tile, (-(-(height + y) // 512), -(-(width + x) // 512)))
    cv2.addWeighted(shades, 1, tile[y : y + height, x : x + width], strength, -128 * strength, dst=shades)


def draw_capsules(picture: Picture, looks: Looks, capsules: list[Capsule], material: int) -> None:
    """Draw tapered capsules, given in pixels, of skin or of the material in front, over a picture in place."""
    height, width = picture.shape[:2]
    buffer = DepthBuffer(width, height)
    a, ra, b, rb = (np.array(column, float) for column in zip(*capsules, strict=True))
    buffer.capsules(a, b, ra, rb, np.full(len(a), 2.0))
    buffer.claim(material)
    window = buffer.window()
    if window is None:
        return
    shades = shade(buffer, window, looks.light, min(width, height) * 0.3)
    _add_grain(shades, looks.grain)
    ramps = {SKIN: skin_ramp(looks.skin.back, looks.light), FRONT: matter_ramp(looks.front, looks.light, 0.4)}
    composite(picture, buffer, window, shades, None, ramps)
