"""White balance of a crop by the grey-world rule: on average the world is grey (Buchsbaum, J. Franklin Institute 310, 1980)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

MOST = 3.0
"""Largest gain of a channel: a crop that is red because it shows something red stays so."""
_LEAST_PIXELS = 64
_DARK, _BRIGHT = 8, 247
"""Pixels with a channel beyond these tell nothing of the light's colour."""
_LUMA = np.array([0.2126, 0.7152, 0.0722])
"""Of linear red, green and blue in luminance (ITU-R BT.709)."""


def _linear(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB 0..1 to linear light (IEC 61966-2-1)."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _srgb(light: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


_TABLE = _linear(np.arange(256) / 255)


class GreyWorld:
    """Scales red, green and blue, in linear light, so that their means are equal and the mean luminance stays what it was.

    Args:
        border: value of the pixels around the picture, which say nothing of its light and stay as they are.
    """

    def __init__(self, border: int) -> None:
        self.border = border

    def __call__(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A balanced copy of ``uint8 [H, W, 3]`` RGB."""
        inside = (crop != self.border).any(2)
        use = inside & (crop.min(2) >= _DARK) & (crop.max(2) <= _BRIGHT)
        if use.sum() < _LEAST_PIXELS:
            return crop
        mean = np.array([_TABLE @ np.bincount(crop[..., c][use], minlength=256) for c in range(3)]) / use.sum()
        gain = np.clip(_LUMA @ mean / np.maximum(mean, 1e-6), 1 / MOST, MOST)
        curves = np.rint(255 * np.clip(_srgb(_TABLE[:, None] * gain), 0, 1)).astype(np.uint8)
        balanced = cv2.LUT(crop, curves[:, None, :])
        return np.where(inside[..., None], balanced, crop)
