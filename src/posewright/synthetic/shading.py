"""From depth to light and shade, and from shade to the colours of skin and other stuff."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.synthetic.surface import FAR, DepthBuffer, Floats, Window

Picture = NDArray[Any]
"""``uint8 [H, W, 3]`` RGB or ``[H, W]``; loosely typed, as OpenCV's stubs say little about what they return."""

Colour = tuple[float, float, float]
"""RGB, 0..255."""

FULL = 170
"""The shade (0..255) of a surface that faces the light squarely; what is brighter shines."""


@dataclass(frozen=True)
class Light:
    """One lamp and its surroundings.

    Attributes:
        direction: unit vector towards the lamp; x right, y down, z to the viewer.
        ambient: 0..1, the share of light that comes from everywhere.
        colour: RGB factors of the lamp's light.
        gloss: 0..1, how strongly skin shines.
        shadow: 0..1, how dark a cast shadow is.
    """

    direction: tuple[float, float, float]
    ambient: float
    colour: Colour
    gloss: float
    shadow: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Light:
        """Mostly from above and in front, white to warm or bluish."""
        x, y, warm, green = (rng.normal(size=4) * (0.7, 0.5, 0.06, 0.015)).tolist()
        z, ambient, gloss, shadow = rng.random(4).tolist()
        y, z = y - 0.55, 0.35 + 0.9 * z
        length = math.sqrt(x * x + y * y + z * z)
        warm = min(max(warm, -0.12), 0.12)
        return cls(
            (x / length, y / length, z / length),
            0.28 + 0.42 * ambient,
            (1 + warm, 1 + green, 1 - warm),
            0.35 * gloss * gloss,
            0.25 + 0.55 * shadow,
        )


def shade(buffer: DepthBuffer, window: Window, light: Light, unit: float) -> Picture:
    """How bright each pixel of a window is.

    Args:
        buffer: what is seen.
        window: (left, top, right, bottom) in pixels.
        light: where the light comes from.
        unit: pixels per palm, the length that the reach of shadows is measured by.

    Returns:
        ``uint8 [h, w]``, :data:`FULL` for a surface in full light.
    """
    left, top, right, bottom = window
    depth = buffer.depth[top:bottom, left:right]
    drawn = depth > 0.5 * FAR
    floor = float(depth.min(where=drawn, initial=1e9)) - 0.1 * unit
    depth = np.maximum(depth, np.float32(floor))
    lx, ly, lz = light.direction
    gx = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3, scale=0.125, borderType=cv2.BORDER_REPLICATE)
    gy = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3, scale=0.125, borderType=cv2.BORDER_REPLICATE)
    # The unit normal is (-gx, -gy, 1) / sqrt(1 + gx^2 + gy^2). At the outline a camera's pixel still sees some of the
    # front; without a floor under its z the outline would look drawn with a pen.
    inverse: Floats = gx * gx
    inverse += gy * gy
    inverse += 1
    inverse = cv2.pow(inverse, -0.5)
    nz = np.maximum(inverse, np.float32(0.35))

    def along(x: float, y: float, z: float) -> Floats:
        dot: Floats = cv2.addWeighted(gx, -x, gy, -y, 0)
        dot *= inverse
        return cv2.scaleAdd(nz, z, dot)

    lit, crevice = _darkness(depth, light, unit)
    lamp = 0.8 * (1 - light.ambient)
    result = along(lx * lamp, ly * lamp, lz * lamp)
    result += 0.25 * lamp  # light wraps round soft flesh
    np.maximum(result, 0, out=result)
    result *= lit
    # The sky is brighter than the floor.
    result += along(0.0, -0.12 * light.ambient, 0.45 * light.ambient)
    result += 0.55 * light.ambient
    result *= crevice
    if light.gloss > 0.02:
        half = np.array([lx, ly, lz + 1]) / np.sqrt(lx * lx + ly * ly + (lz + 1) ** 2)  # Blinn's half vector
        shine = along(*half.tolist())
        np.maximum(shine, 0, out=shine)
        shine = cv2.pow(shine, 16)
        shine *= lit
        result = cv2.scaleAdd(shine, light.gloss, result)
    return cv2.convertScaleAbs(result, alpha=FULL)


def _darkness(depth: Floats, light: Light, unit: float) -> tuple[Floats, Floats]:
    """The factors of light that cast shadows and crevices leave, both found at half resolution."""
    height, width = depth.shape
    small = np.ascontiguousarray(depth[::2, ::2])
    dark = np.zeros_like(small)
    lx, ly, lz = light.direction
    softness = 1 / (0.10 * unit)
    for reach in (0.10, 0.22, 0.38, 0.6):
        sx, sy = round(lx * reach * unit / 2), round(ly * reach * unit / 2)
        h, w = small.shape[0] - abs(sy), small.shape[1] - abs(sx)
        if h <= 0 or w <= 0:
            continue
        here = (slice(max(-sy, 0), max(-sy, 0) + h), slice(max(-sx, 0), max(-sx, 0) + w))
        there = (slice(max(sy, 0), max(sy, 0) + h), slice(max(sx, 0), max(sx, 0) + w))
        over = small[there] - small[here]
        over -= lz * reach * unit + 0.03 * unit
        over *= softness
        np.maximum(dark[here], over, out=dark[here])
    np.minimum(dark, 1, out=dark)
    dark = 1 - light.shadow * cv2.blur(dark, (3, 3))
    near = 2 * max(1, round(unit * 0.035)) + 1
    lost: Floats = small - cv2.blur(small, (near, near))
    lost *= 3.5 / unit
    np.clip(lost, -0.4, 0.06, out=lost)
    lost += 1
    full = (cv2.resize(factor, (width, height), interpolation=cv2.INTER_LINEAR) for factor in (dark, lost))
    return next(full), next(full)


TONES: tuple[Colour, ...] = (
    (240, 200, 178),
    (228, 178, 150),
    (212, 156, 126),
    (190, 132, 100),
    (158, 104, 76),
    (122, 80, 58),
    (90, 60, 46),
    (66, 45, 37),
)
"""RGB of skin in full light, from very light to very dark."""


@dataclass(frozen=True)
class Skin:
    """The colour of one person's skin: RGB of the back of the hand and of the palm in full light."""

    back: Colour
    palm: Colour
    nail: Colour

    @classmethod
    def random(cls, rng: np.random.Generator) -> Skin:
        """Any tone from very light to very dark, more or less ruddy; sometimes painted nails."""
        dark, painted = rng.random(2).tolist()
        ruddy, yellow = (rng.normal(size=2) * (0.035, 0.03)).tolist()
        place = dark**1.15 * (len(TONES) - 1)
        tone = _between(TONES[int(place)], TONES[min(int(place) + 1, len(TONES) - 1)], place - int(place))
        tint = (1 + ruddy, 1 - 0.5 * ruddy + 0.3 * yellow, 1 - 0.6 * ruddy - yellow)
        back = (min(tone[0] * tint[0], 255.0), min(tone[1] * tint[1], 255.0), min(tone[2] * tint[2], 255.0))
        # Palms carry little pigment: the darker the skin, the more they stand off from the back of the hand.
        palm = _between(back, (222, 160, 138), 0.1 + 0.35 * dark)
        nail = _between(palm, (245, 205, 198), 0.25)
        if painted < 0.12:
            red, green, blue = (rng.random(3) * 200 + 30).tolist()
            nail = (red, green, blue)
        return cls(back, palm, nail)

    def towards(self, palm_share: float) -> Colour:
        """The colour between the back of the hand (0) and the palm (1)."""
        return _between(self.back, self.palm, palm_share)


def _between(one: Colour, other: Colour, share: float) -> Colour:
    r, g, b = (p + (q - p) * share for p, q in zip(one, other, strict=True))
    return r, g, b


_LEVEL = np.arange(256)[:, None] / FULL
_SHINE = np.clip(_LEVEL - 1, 0, 0.5) * 1.3
# Shadows on skin turn red: green and blue fall off faster.
_SKIN_FALL = np.minimum(_LEVEL, 1.1) ** np.array([0.72, 0.86, 0.92])
_MATTER_FALL = np.minimum(_LEVEL, 1.1) ** 0.9


def skin_ramp(colour: Colour, light: Light) -> Picture:
    """``uint8 [256, 3]``: the colour of skin for each shade; shadows turn red, highlights white."""
    return _ramp(colour, light, _SKIN_FALL, 0.8)


def matter_ramp(colour: Colour, light: Light, gloss: float = 0.2) -> Picture:
    """``uint8 [256, 3]``: the colour of cloth, wood or plastic for each shade."""
    return _ramp(colour, light, _MATTER_FALL, gloss)


def _ramp(colour: Colour, light: Light, fall: NDArray[np.float64], gloss: float) -> Picture:
    lamp = np.array(light.colour)
    lit = fall * (np.array(colour) * lamp)
    lit += (lamp * 255 - lit) * (_SHINE * gloss)
    return np.minimum(lit, 255).astype(np.uint8)


def paint(shades: Picture, blush: Picture | None, ramp: Picture) -> Picture:
    """Look every shade up in a ramp; ``blush`` (0..255) takes green and blue away. Returns ``uint8 [h, w, 3]`` RGB."""
    pale = shades if blush is None else cv2.subtract(shades, blush)
    # One table a channel: OpenCV's lookup of three channels at once takes twice as long.
    red, green, blue = np.ascontiguousarray(ramp.T)
    return cv2.merge([cv2.LUT(shades, red), cv2.LUT(pale, green), cv2.LUT(pale, blue)])


def composite(picture: Picture, buffer: DepthBuffer, window: Window, shades: Picture, blush: Picture | None,
              ramps: Mapping[int, Picture]) -> None:  # fmt: skip
    """Paint what the buffer shows over a picture, in place, with soft edges.

    Args:
        picture: ``uint8 [H, W, 3]``.
        buffer, window: what is shown and where.
        shades, blush: ``uint8 [h, w]`` of the window.
        ramps: for each material its ramp; the first takes the blush.
    """
    left, top, right, bottom = window
    material = buffer.material[top:bottom, left:right]
    # One pixel beyond the outline takes its neighbour's material, for the soft edge.
    spread = np.maximum(material, cv2.dilate(material, np.ones((3, 3), np.uint8)) * (material == 0))
    (_, ramp), *others = ramps.items()
    colours = paint(shades, blush, ramp)
    for number, ramp in others:
        x, y, width, height = cv2.boundingRect((spread == number).view(np.uint8))
        if width:
            x0, y0 = max(x - 1, 0), max(y - 1, 0)
            part = (slice(y0, y + height + 1), slice(x0, x + width + 1))
            blend(colours[part], paint(shades[part], None, ramp), _soft_mask(spread[part] == number))
    cover = _soft_mask(material > 0)
    blend(picture[top:bottom, left:right], colours, cover)


def _soft_mask(mask: NDArray[np.bool_]) -> Picture:
    """Coverage 0..255 with an edge about a pixel wide."""
    return cv2.GaussianBlur(mask.view(np.uint8) * np.uint8(255), (3, 3), 0.7, borderType=cv2.BORDER_REPLICATE)


def blend(below: Picture, above: Picture, cover: Picture) -> None:
    """Lay ``above`` over ``below`` in place, by the coverage 0..255 of each pixel."""
    share = cv2.merge([cover] * 3)
    kept = cv2.multiply(below, cv2.bitwise_not(share), scale=1 / 255)
    cv2.add(kept, cv2.multiply(above, share, scale=1 / 255), dst=below)


@lru_cache(maxsize=4)
def grain_tile(size: int = 512, blur: float = 0.0) -> Picture:
    """``uint8 [size, size]`` of reproducible noise about 128 with a standard deviation of 32; do not write to it."""
    noise: Floats = np.random.default_rng(20240607).normal(size=(size, size)).astype(np.float32)
    if blur > 0:
        noise = cv2.GaussianBlur(noise, (0, 0), blur, borderType=cv2.BORDER_REFLECT)
        noise = noise / noise.std()
    tile = np.clip(noise * 32 + 128, 0, 255).astype(np.uint8)
    tile.setflags(write=False)
    return tile
