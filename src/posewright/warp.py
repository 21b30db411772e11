"""The CPU executor of the one warp: a picture resampled once through a Similarity, reduced first where it shrinks."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.geometry import CropRule, Similarity


def reduction_factor(similarity: Similarity, rule: CropRule) -> int:
    """The whole factor by which a picture is area-averaged before the warp; 1 where the rule asks for none."""
    shrink = 1.0 / similarity.scale
    return max(1, math.floor(shrink + 1e-9)) if shrink > rule.reduce_above else 1


def warp(picture: NDArray[np.uint8], similarity: Similarity, rule: CropRule) -> NDArray[np.uint8]:
    """Resample a picture into a crop.

    Args:
        picture: ``uint8 [H, W, C]`` in any channel order, or ``[H, W]``.
        similarity: map from picture pixels to crop pixels.
        rule: gives the crop's size, its border value and when to reduce first.

    Returns:
        ``uint8`` of the rule's size, channels as in ``picture``.
    """
    matrix, source = similarity.matrix, picture
    factor = reduction_factor(similarity, rule)
    if factor > 1:
        source, matrix = _reduced(picture, similarity, rule, factor)
    border = (rule.border,) * 4
    crop: Any = cv2.warpAffine(
        source, matrix, rule.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=border
    )
    return crop


def _reduced(
    picture: NDArray[np.uint8], similarity: Similarity, rule: CropRule, factor: int
) -> tuple[Any, NDArray[np.float64]]:
    """Area-average the part of the picture that the crop sees; return it and the matrix from it to the crop."""
    height, width = picture.shape[:2]
    crop_w, crop_h = rule.size
    corners = np.array([[-0.5, -0.5], [crop_w - 0.5, -0.5], [-0.5, crop_h - 0.5], [crop_w - 0.5, crop_h - 0.5]])
    seen = similarity.inverse().apply(corners)
    # Block borders lie at multiples of the factor from the picture's corner, so that a crop's place does not change
    # which pixels are averaged together; two blocks more on each side serve the bilinear step.
    x0, y0 = (np.clip(np.floor(seen.min(0) / factor) - 2, 0, None) * factor).astype(int)
    x1, y1 = ((np.ceil(seen.max(0) / factor) + 2) * factor).astype(int)
    x0, y0 = min(x0, (width - 1) // factor * factor), min(y0, (height - 1) // factor * factor)
    part: Any = picture[y0 : max(y1, y0 + factor), x0 : max(x1, x0 + factor)]
    # A rest narrower than one block at the far edge is filled up with the border value, so that every block is whole.
    pad_x, pad_y = -part.shape[1] % factor, -part.shape[0] % factor
    if pad_x or pad_y:
        part = cv2.copyMakeBorder(part, 0, pad_y, 0, pad_x, cv2.BORDER_CONSTANT, value=(rule.border,) * 4)
    size = (part.shape[1] // factor, part.shape[0] // factor)
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    # small (u, v) -> picture: x = factor * u + (factor - 1) / 2 + x0
    offset = (factor - 1) / 2
    back = np.array([[factor, 0, offset + x0], [0, factor, offset + y0]])
    linear = similarity.matrix[:, :2]
    return small, np.column_stack([linear @ back[:, :2], linear @ back[:, 2] + similarity.matrix[:, 2]])
