"""The reference decoder: heat maps to keypoints with nothing but numpy.

A model file decodes inside its graph. This is the same rule for whoever has maps in hand: flip averaging, and model
files written for accelerators that cannot run the decoding. It is short on purpose, to be ported to other languages.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 5
FLOOR = 1e-4
"""Cells lower than this share of the peak count as this much."""
RULES = ("gaussian", "argmax", "argmax_resized")
"""How maps become points, see :func:`decode`."""
SILENT = 1e-6
"""The "argmax" rule takes lower cells for 0."""


def decode(
    maps: NDArray[np.floating[Any]],
    stride: int,
    shift: tuple[float, float] = (0.0, 0.0),
    rule: str = "gaussian",
) -> NDArray[np.float64]:
    """Maps to keypoints: the highest cell, moved to the top of the gaussian that fits the 5 x 5 cells around it.

    The patch is summed along rows and along columns; a parabola is fitted to the logarithm of each sum by least squares
    weighted with its square. Near the map's edge the patch is shifted inwards, not cut.

    Args:
        maps: ``[..., h, w]``, at least 5 x 5 cells, without the background map.
        stride: crop pixels per cell.
        shift: the file's ``label_shift``: how far, in cells, its peaks lie right and down of the truth.
        rule: the file's ``decoding``: "gaussian" as above; "argmax", the stride times the highest cell's column and row;
            or "argmax_resized", the highest pixel of the map enlarged to the crop.

    Returns:
        ``[..., 3]`` (x, y, score): crop pixels, (0, 0) at the first pixel's centre, and the height of the fitted peak
        in 0..1.
    """
    height, width = maps.shape[-2:]
    flat = np.asarray(maps, np.float64).reshape(-1, height, width)
    if rule != "gaussian":
        return _highest(flat, stride, rule).reshape(*maps.shape[:-2], 3)
    each = np.arange(len(flat))
    row, column = np.divmod(flat.reshape(len(flat), -1).argmax(1), width)
    peak = flat[each, row, column]
    top = np.clip(row, WINDOW // 2, height - 1 - WINDOW // 2) - WINDOW // 2
    left = np.clip(column, WINDOW // 2, width - 1 - WINDOW // 2) - WINDOW // 2
    steps = np.arange(WINDOW)
    patch = flat[each[:, None, None], (top[:, None] + steps)[:, :, None], (left[:, None] + steps)[:, None, :]]
    patch = np.maximum(patch, (np.maximum(peak, 1e-6) * FLOOR)[:, None, None])
    dx, rise_x = _top_of_parabola(patch.sum(1), column - left)
    dy, rise_y = _top_of_parabola(patch.sum(2), row - top)
    cells = np.stack([column + dx, row + dy], axis=-1)
    score = np.clip(peak * np.exp(rise_x + rise_y), 0, 1)
    points = np.concatenate([(cells - shift) * stride + (stride - 1) / 2, score[:, None]], axis=1)
    return points.reshape(*maps.shape[:-2], 3)


def _highest(maps: NDArray[np.float64], stride: int, rule: str) -> NDArray[np.float64]:
    """The rules that old nets were published with, ``[N, h, w]`` to ``[N, 3]``."""
    if rule == "argmax":
        maps = np.where(maps < SILENT, 0, maps)
    else:
        import cv2

        size = (maps.shape[2] * stride, maps.shape[1] * stride)
        maps = np.stack([cv2.resize(m.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) for m in maps])
        stride = 1
    row, column = np.divmod(maps.reshape(len(maps), -1).argmax(1), maps.shape[2])
    return np.stack([column * stride, row * stride, np.clip(maps.max((1, 2)), 0, 1)], axis=1)


def _top_of_parabola(
    profile: NDArray[np.float64], place: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a parabola to the logarithm of profiles ``[N, 5]`` whose highest cell stands at ``place [N]``.

    Returns:
        Where its top lies from that cell, within one cell, and how far it rises above that cell, in logarithms, at most
        0.5; both 0 where it has no top.
    """
    u = np.arange(WINDOW) - place[:, None]
    values = np.log(profile)
    values -= values.max(1, keepdims=True)
    weight = np.exp(2 * values)
    s0, s1, s2, s3, s4 = ((weight * u**power).sum(1) for power in range(5))
    t0, t1, t2 = ((weight * values * u**power).sum(1) for power in range(3))
    # Cramer's rule for [s0 s1 s2; s1 s2 s3; s2 s3 s4] (a, b, c) = (t0, t1, t2).
    m1, m2 = s1 * s4 - s2 * s3, s1 * s3 - s2 * s2
    det = s0 * (s2 * s4 - s3 * s3) - s1 * m1 + s2 * m2
    b = s0 * (t1 * s4 - t2 * s3) - t0 * m1 + s2 * (s1 * t2 - s2 * t1)
    c = s0 * (s2 * t2 - s3 * t1) - s1 * (s1 * t2 - s2 * t1) + t0 * m2
    has_top = (c < -1e-6 * det) & (det > 0)
    shift = np.clip(np.where(has_top, -b / (2 * np.where(has_top, c, -1.0)), 0.0), -1, 1)
    curve = np.where(has_top, c / np.where(det > 0, det, 1.0), 0.0)
    return shift, np.clip(-curve * shift**2, 0, 0.5)
