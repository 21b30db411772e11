"""How strongly training crops are varied. Free of torch, like all settings."""

from __future__ import annotations

from dataclasses import dataclass

from posewright.errors import PosewrightError


@dataclass(frozen=True)
class AugmentConfig:
    """How strongly training crops are varied; 0 turns a change off."""

    scale: float = 0.25
    """Zoom by a factor drawn log-uniformly from 1 / (1 + S) to 1 + S."""
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
    colour: float = 0.3
    """Strength of brightness, contrast, saturation and channel changes."""
    grey: float = 0.05
    """Share of crops turned grey."""
    blur: float = 0.1
    """Share of crops blurred."""
    cutout: float = 0.2
    """Share of crops with a patch painted over."""
    cutout_size: float = 0.3
    """Largest side of such a patch, as a share of the crop's side."""
    negative: float = 0.05
    """Share of training crops that show no object, so that the net learns to stay silent."""

    def __post_init__(self) -> None:
        for name in ("rotation_share", "flip", "flip_vertical", "grey", "blur", "cutout", "cutout_size", "negative"):
            if not 0 <= getattr(self, name) <= 1:
                raise PosewrightError(f"augment.{name} is a share from 0 to 1, not {getattr(self, name)}")
        for name in ("scale", "rotation", "shift", "colour"):
            if getattr(self, name) < 0:
                raise PosewrightError(f"augment.{name} must not be below 0")
