"""The CPU executor of the one warp: a picture resampled once through a Similarity, reduced first where it shrinks.

``training/warp_torch.py`` is the other executor, for batches on an accelerator; both take factor, part and matrix from here.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.geometry import CropRule, Similarity

Array = NDArray[np.float64]


def reduction_factor(similarity: Similarity, rule: CropRule) -> int:
    """The whole factor by which a picture is area-averaged before the warp; 1 where the rule asks for none."""
    shrink = 1.0 / similarity.scale
    return max(1, math.floor(shrink + 1e-9)) if shrink > rule.reduce_above else 1


def warp(
    picture: NDArray[np.uint8], similarity: Similarity, rule: CropRule, tilt: Array | None = None
) -> NDArray[np.uint8]:
    """Resample a picture into a crop.

    Args:
        picture: ``uint8 [H, W, C]`` in any channel order, or ``[H, W]``.
        similarity: map from picture pixels to crop pixels.
        rule: gives the crop's size, its border value and when to reduce first.
        tilt: a 3x3 map of crop pixels that follows the similarity, in the same resampling; it must leave the whole crop
            in front of the camera. The similarity alone decides about reducing first.

    Returns:
        ``uint8`` of the rule's size, channels as in ``picture``.
    """
    factor = reduction_factor(similarity, rule)
    matrix, source = crop_matrix(similarity, tilt), picture
    if factor > 1:
        source, matrix = _reduced(picture, matrix, rule, factor)
    border: dict[str, Any] = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": (rule.border,) * 4}
    crop: Any
    if tilt is None:
        crop = cv2.warpAffine(source, matrix[:2], rule.size, flags=cv2.INTER_LINEAR, **border)
    else:
        crop = cv2.warpPerspective(source, matrix, rule.size, flags=cv2.INTER_LINEAR, **border)
    return crop


def crop_matrix(similarity: Similarity, tilt: Array | None = None) -> Array:
    """The 3x3 map from picture pixels to crop pixels."""
    matrix = np.eye(3)
    matrix[:2] = similarity.matrix
    return matrix if tilt is None else tilt @ matrix


def seen_part(width: int, height: int, matrix: Array, rule: CropRule, factor: int) -> tuple[int, int, int, int]:
    """The part of a picture that a crop is made of, in whole blocks of ``factor`` x ``factor`` pixels.

    Block borders lie at multiples of the factor from the picture's corner, so that a crop's place does not change which
    pixels are averaged together; two blocks more on each side serve the bilinear step.

    Args:
        width, height: of the picture in pixels.
        matrix: 3x3 map from picture to crop.
        rule: gives the crop's size.
        factor: by which the part is going to be reduced.

    Returns:
        (x0, y0, x1, y1): the columns from x0 up to but not x1, and rows likewise; at least one block. The last block may
        reach over the picture's far edge.
    """
    crop_w, crop_h = rule.size
    corners = np.array([[-0.5, crop_w - 0.5, -0.5, crop_w - 0.5], [-0.5, -0.5, crop_h - 0.5, crop_h - 0.5], [1.0] * 4])
    seen = np.linalg.inv(matrix) @ corners
    seen = seen[:2] / seen[2]
    (x0, y0), (x1, y1) = (np.floor(seen.min(1) / factor) - 2) * factor, (np.ceil(seen.max(1) / factor) + 2) * factor
    columns, rows = math.ceil(width / factor) * factor, math.ceil(height / factor) * factor
    x0, y0 = min(max(x0, 0), columns - factor), min(max(y0, 0), rows - factor)
    return int(x0), int(y0), int(min(max(x1, x0 + factor), columns)), int(min(max(y1, y0 + factor), rows))


def from_reduced(matrix: Array, x0: int, y0: int, factor: int) -> Array:
    """``matrix``, which maps the picture, as a map of the part that starts at (x0, y0), reduced by ``factor``."""
    # part (u, v) -> picture: x = factor * u + (factor - 1) / 2 + x0
    offset = (factor - 1) / 2
    return matrix @ np.array([[factor, 0, offset + x0], [0, factor, offset + y0], [0, 0, 1.0]])


def _reduced(picture: NDArray[np.uint8], matrix: Array, rule: CropRule, factor: int) -> tuple[Any, Array]:
    """Area-average the part of the picture that the crop sees; return it and the matrix from it to the crop."""
    height, width = picture.shape[:2]
    part = seen_part(width, height, matrix, rule, factor)
    return area_reduced(picture, part, factor, rule.border), from_reduced(matrix, part[0], part[1], factor)


def area_reduced(
    picture: NDArray[np.uint8], part: tuple[int, int, int, int], factor: int, border: int
) -> NDArray[np.uint8]:
    """A part of a picture, averaged over blocks of ``factor`` x ``factor`` pixels.

    Args:
        picture: ``uint8 [H, W, C]`` or ``[H, W]``.
        part: (x0, y0, x1, y1): the columns from x0 up to but not x1, and rows likewise; may reach over the far edge.
        border: fills up a rest narrower than one block at the far edge, so that every block is whole.

    Returns:
        ``uint8``, its sides those of the part divided by ``factor``, rounded up.
    """
    x0, y0, x1, y1 = part
    columns, rows = -(-(x1 - x0) // factor), -(-(y1 - y0) // factor)
    cut: Any = picture[y0:y1, x0:x1]
    if factor == 1:
        return np.ascontiguousarray(cut)
    pad_x, pad_y = columns * factor - cut.shape[1], rows * factor - cut.shape[0]
    if pad_x or pad_y:
        cut = cv2.copyMakeBorder(cut, 0, pad_y, 0, pad_x, cv2.BORDER_CONSTANT, value=(border,) * 4)
    small: Any = cv2.resize(cut, (columns, rows), interpolation=cv2.INTER_AREA)
    return small
