"""How strongly training crops are varied. Free of torch, like all settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from posewright.errors import PosewrightError

STEEPEST = 50.0
"""Largest tilt, in degrees; at 69 the horizon of the tilted picture would come into a crop."""


@dataclass(frozen=True)
class PixelConfig:
    """How strongly the pixels of training pictures are varied, wherever in them the objects are; 0 turns a change off.

    A factor of strength S is drawn log-uniformly from 1 / (1 + S) to 1 + S; a share is that of the crops that are changed.
    """

    colour: float = 0.15
    """Tint the light: each of red, green and blue by a factor of this strength."""
    hue: float = 5.0
    """Turn the hue by up to this many degrees of the colour circle either way."""
    saturation: float = 0.3
    """Saturation, as a factor of this strength."""
    value: float = 0.3
    """Brightness (the V of HSV), as a factor of this strength."""
    contrast: float = 0.3
    """Contrast about the middle grey, as a factor of this strength."""
    sharpness: float = 0.0
    """Sharpness, as a factor of this strength on what a small smoothing takes away."""
    grey: float = 0.05
    """Share of crops turned grey."""
    clahe: float = 0.0
    """Share of crops whose lightness is equalised region by region (CLAHE)."""
    blur: float = 0.1
    """Share of crops blurred."""
    cutout: float = 0.2
    """Share of crops with a patch painted over."""
    cutout_size: float = 0.3
    """Largest side of such a patch, as a share of the crop's side."""

    def __post_init__(self) -> None:
        named = {f.name for f in fields(self)}
        for name in _SHARES:
            if name in named and not 0 <= getattr(self, name) <= 1:
                raise PosewrightError(f"augment.{name} is a share from 0 to 1, not {getattr(self, name)}")
        for name in _STRENGTHS:
            value = getattr(self, name, 0.0)
            if not 0 <= value < math.inf:
                raise PosewrightError(f"augment.{name} must be a finite number of at least 0, not {value}")


@dataclass(frozen=True)
class AugmentConfig(PixelConfig):
    """How strongly training crops are varied; 0 turns a change off."""

    scale: float = 0.25
    """Zoom, as a factor of this strength."""
    rotation: float = 40.0
    """Turn by up to this many degrees either way."""
    rotation_share: float = 0.7
    """Share of crops that are turned at all."""
    shift: float = 0.06
    """Move by up to this share of the crop's side."""
    flip: float = 0.5
    """Share of crops mirrored left to right, with left and right keypoints changing places."""
    flip_vertical: float = 0.0
    """Share of crops mirrored top to bottom."""
    perspective: float = 0.0
    """Tilt the picture in space by up to this many degrees, about any axis in its plane; at most 50."""
    half_body: float = 0.0
    """Share of crops around about half of an object's keypoints: upper or lower body, else a connected part."""
    background: str | None = None
    """Folder of pictures, best without such objects, onto which objects with an outline (polygon or mask) are pasted."""
    background_share: float = 0.5
    """Share of those objects' crops that get such a background, where a folder is given."""
    negative: float = 0.05
    """Share of training crops that show no object, so that the net learns to stay silent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.perspective > STEEPEST:
            raise PosewrightError(f"augment.perspective is at most {STEEPEST:g} degrees, not {self.perspective}")


@dataclass(frozen=True)
class SceneAugment(PixelConfig):
    """How strongly the pictures that a locator is trained on are varied; 0 turns a change off."""

    blur: float = 0.05
    """Share of pictures blurred."""
    cutout: float = 0.1
    """Share of pictures with a patch painted over."""
    cutout_size: float = 0.2
    """Largest side of such a patch, as a share of the picture's side."""
    scale: float = 0.8
    """Zoom about the size at which the whole picture fits, as a factor of this strength."""
    shift: float = 1.0
    """Where a zoomed picture lies: 0 in the middle, 1 anywhere."""
    flip: float = 0.5
    """Share of pictures mirrored left to right."""
    flip_vertical: float = 0.0
    """Share of pictures mirrored top to bottom."""
    mosaic: float = 0.3
    """Share of samples put together from four pictures, so that objects come smaller and beside other things."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shift > 1:
            raise PosewrightError(f"augment.shift is a share from 0 to 1, not {self.shift}")


_SHARES = (
    "rotation_share", "flip", "flip_vertical", "half_body", "grey", "clahe", "blur", "cutout", "cutout_size",
    "background_share", "negative", "mosaic",
)  # fmt: skip
_STRENGTHS = (
    "scale", "rotation", "shift", "perspective", "colour", "hue", "saturation", "value", "contrast", "sharpness",
)  # fmt: skip
_OF_OTHERS = ("rotation_share", "cutout_size", "background", "background_share")
"""Settings that say how or how often another one acts, and do nothing where that is off."""

PLAIN = AugmentConfig(**{f.name: 0.0 for f in fields(AugmentConfig) if f.name not in _OF_OTHERS})  # type: ignore[arg-type]
"""No augmentation at all."""
