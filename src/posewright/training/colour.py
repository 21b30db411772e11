"""Changes of a crop's colours: one matrix for all that is linear in RGB, then sharpness and local contrast.

The planes of hue and saturation are those of the luma (BT.601): turning or stretching a colour about the grey axis leaves
its luma as it is, and everything up to the contrast is one 3 x 4 matrix, rounded and clipped once.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.training.augment_config import PixelConfig

Array = NDArray[np.float64]
Rng = np.random.Generator

TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
"""RGB to luma and two chroma axes at right angles (the NTSC's YIQ): in the plane of the two, hue is an angle and
saturation a distance."""
_FROM_YIQ = np.linalg.inv(TO_YIQ)
_MIDDLE = 127.5


def strength_factor(strength: float, rng: Rng, count: int | None = None) -> Any:
    """Factors drawn log-uniformly from 1 / (1 + strength) to 1 + strength; an array of ``count``, or one number."""
    return np.exp(rng.uniform(-1, 1, count) * np.log1p(strength))


def colour_matrix(config: PixelConfig, rng: Rng) -> Array | None:
    """A random 3 x 4 map of RGB in 0..255: tint, hue, saturation, value, then contrast; None where it changes nothing."""
    c = config
    grey = c.grey > 0 and rng.random() < c.grey
    if not (grey or c.colour or c.hue or c.saturation or c.value or c.contrast):
        return None
    tint = strength_factor(c.colour, rng, 3)
    turn = np.deg2rad(c.hue) * rng.uniform(-1, 1)
    saturation, value, contrast = (float(strength_factor(s, rng)) for s in (c.saturation, c.value, c.contrast))
    if grey:
        saturation = 0.0
    cos, sin = saturation * np.cos(turn), saturation * np.sin(turn)
    chroma = _FROM_YIQ @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ TO_YIQ
    return np.column_stack([contrast * value * chroma * tint, np.full(3, _MIDDLE * (1 - contrast))])


def sharpened(crop: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """What a 3 x 3 smoothing takes away from a picture ``uint8 [H, W, C]``, multiplied: 0 smooths, 1 leaves, 2 sharpens."""
    smooth = np.ones((3, 3))
    smooth[1, 1] = 5
    kernel = (1 - factor) * smooth / smooth.sum()
    kernel[1, 1] += factor
    return np.asarray(cv2.filter2D(crop, -1, kernel), np.uint8)


def equalised(crop: NDArray[np.uint8], clip: float = 2.0, tiles: int = 8) -> NDArray[np.uint8]:
    """Contrast-limited adaptive histogram equalisation of the luma of an RGB picture ``uint8 [H, W, 3]``."""
    luma: Any = cv2.cvtColor(crop, cv2.COLOR_RGB2YCrCb)
    luma[..., 0] = cv2.createCLAHE(clip, (tiles, tiles)).apply(luma[..., 0])
    return np.asarray(cv2.cvtColor(luma, cv2.COLOR_YCrCb2RGB), np.uint8)
