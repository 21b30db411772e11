"""Points to target maps and maps to points: the two directions of one convention.

Cell ``i`` of a map with stride ``s`` is centred on crop pixel ``s * i + (s - 1) / 2`` (pixel centres at whole numbers).

A net whose targets were drawn by another convention puts its peaks beside the truth. Its ``label_shift`` says by how many
cells, in both directions alike: :func:`encode` adds it, :func:`decode` takes it out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 5
"""Side, in cells, of the patch around the highest cell that the sub-cell fit looks at."""
FLOOR = 1e-4
"""Cells are taken to be at least this share of the peak, so that their logarithm exists."""
SILENT = 1e-6
"""The "argmax" rule takes lower cells for 0, as the system whose rule it is does."""


def encode(
    points: Tensor,
    drawn: Tensor,
    size: tuple[int, int],
    stride: int,
    sigma: float,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """Target maps: a gaussian of height 1 at each point's sub-pixel place, cut only by the map's edge.

    Args:
        points: ``[B, K, 2]`` (x, y) in crop pixels.
        drawn: ``[B, K]`` bool; False leaves the map empty.
        size: (height, width) of the maps in cells.
        stride: crop pixels per cell.
        sigma: standard deviation in cells.
        shift: the net's ``label_shift``, (x, y) in cells.

    Returns:
        ``[B, K, h, w]``, float32.
    """
    height, width = size
    cells = (points.float() - (stride - 1) / 2) / stride
    cells = torch.where(drawn[..., None], cells, torch.zeros_like(cells))
    x = torch.arange(width, device=points.device)
    y = torch.arange(height, device=points.device)
    gx = torch.exp(-((x - shift[0] - cells[..., :1]) ** 2) / (2 * sigma**2))
    gy = torch.exp(-((y - shift[1] - cells[..., 1:]) ** 2) / (2 * sigma**2))
    return gy[..., :, None] * (gx * drawn[..., None])[..., None, :]


def decode(maps: Tensor, stride: int, shift: tuple[float, float] = (0.0, 0.0), rule: str = "gaussian") -> Tensor:
    """Maps to keypoints.

    Args:
        maps: ``[B, K, h, w]``, at least 5 x 5 cells; any background channel already dropped.
        stride: crop pixels per cell.
        shift: the net's ``label_shift``, (x, y) in cells; only "gaussian" heeds it.
        rule: "gaussian" for the top of the gaussian around the highest cell. The other two are the rules that old nets
            were published with, whole-numbered and blind to ``shift``, for comparison: "argmax" for the stride times the
            highest cell's column and row, "argmax_resized" for the highest pixel of the map enlarged to the crop.

    Returns:
        ``[B, K, 3]`` (x, y, score): crop pixels, and the height of the peak in 0..1.
    """
    if rule == "argmax":
        return _highest(torch.where(maps < SILENT, torch.zeros_like(maps), maps), stride)
    if rule == "argmax_resized":
        return _highest(F.interpolate(maps, scale_factor=stride, mode="bilinear", align_corners=False), 1)
    column, row, score = _gaussian_peak(maps)
    x = (column - shift[0]) * stride + (stride - 1) / 2
    y = (row - shift[1]) * stride + (stride - 1) / 2
    return torch.stack([x, y, score], dim=-1)


def moved(points: Tensor, matrix: Tensor) -> Tensor:
    """Points ``[B, K, 2]`` through 2x3 matrices ``[B, 2, 3]``, or one ``[2, 3]`` for all, in the points' own precision.

    Written out rather than as a matrix product, which mixed precision computes in 16 bits: whole pixels would be lost.
    """
    matrix = matrix.expand(len(points), 2, 3)[:, None]
    return (points[..., None, :] * matrix[..., :2]).sum(-1) + matrix[..., 2]


def _highest(maps: Tensor, stride: int) -> Tensor:
    """``[B, K, 3]``: the first highest cell's column and row times the stride, and its height in 0..1."""
    flat = maps.flatten(2)
    index = flat.argmax(dim=2)
    row, column = torch.div(index, maps.shape[-1], rounding_mode="floor"), index % maps.shape[-1]
    score = flat.gather(2, index[..., None])[..., 0].clamp(0.0, 1.0)
    return torch.stack([column.to(maps.dtype) * stride, row.to(maps.dtype) * stride, score], dim=-1)


def _gaussian_peak(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The highest cell, moved to the top of the gaussian that fits the cells around it.

    In the manner of DARK (Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation", CVPR
    2020, arXiv:1910.06278), the logarithm of the map is taken to be quadratic near its peak. Where DARK blurs the map and
    takes finite differences, here the patch of 5 x 5 cells is summed along rows and along columns, and a parabola is
    fitted to the logarithm of each sum by least squares weighted with its square: noise in low cells counts for little,
    and a perfect gaussian is recovered exactly, also where the map's edge cuts it.

    Returns:
        Column and row in cells and the height of the fitted peak in 0..1, each ``[B, K]``.
    """
    height, width = maps.shape[-2:]
    flat = maps.flatten(2)
    peak, index = flat.max(dim=2)
    row, column = torch.div(index, width, rounding_mode="floor"), index % width
    half = WINDOW // 2
    top, left = row.clamp(half, height - 1 - half) - half, column.clamp(half, width - 1 - half) - half
    steps = torch.arange(WINDOW, device=maps.device)
    cells = (top[..., None] + steps)[..., :, None] * width + (left[..., None] + steps)[..., None, :]
    patch = flat.gather(2, cells.flatten(2)).unflatten(2, (WINDOW, WINDOW))
    patch = torch.maximum(patch, (peak.clamp(min=1e-6) * FLOOR)[..., None, None])
    dx, rise_x = _top_of_parabola(patch.sum(-2), (column - left).to(maps.dtype))
    dy, rise_y = _top_of_parabola(patch.sum(-1), (row - top).to(maps.dtype))
    score = (peak * torch.exp(rise_x + rise_y)).clamp(0.0, 1.0)
    return column.to(maps.dtype) + dx, row.to(maps.dtype) + dy, score


def _top_of_parabola(profile: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a parabola to the logarithm of a profile, by least squares weighted with the profile's square.

    Args:
        profile: ``[..., WINDOW]`` positive.
        place: ``[...]`` position of the highest cell in the window.

    Returns:
        Where the parabola's top lies from that cell, within one cell, and how far it rises above that cell, in
        logarithms; both 0 where it has no top.
    """
    u = torch.arange(WINDOW, device=profile.device, dtype=profile.dtype) - place[..., None]
    values = profile.log()
    values = values - values.amax(-1, keepdim=True)
    weight = torch.exp(2 * values)
    s0, s1, s2, s3, s4 = ((weight * u**power).sum(-1) for power in range(5))
    t0, t1, t2 = ((weight * values * u**power).sum(-1) for power in range(3))
    # Cramer's rule for [s0 s1 s2; s1 s2 s3; s2 s3 s4] (a, b, c) = (t0, t1, t2).
    m1, m2 = s1 * s4 - s2 * s3, s1 * s3 - s2 * s2
    det = s0 * (s2 * s4 - s3 * s3) - s1 * m1 + s2 * m2
    b = s0 * (t1 * s4 - t2 * s3) - t0 * m1 + s2 * (s1 * t2 - s2 * t1)
    c = s0 * (s2 * t2 - s3 * t1) - s1 * (s1 * t2 - s2 * t1) + t0 * m2
    # Both held against 0: MNN 3.6 compares a number with a product wrongly.
    has_top = (c + 1e-6 * det < 0) & (det > 0)
    safe = torch.where(has_top, c, -torch.ones_like(c))
    shift = torch.where(has_top, -b / (2 * safe), torch.zeros_like(b)).clamp(-1.0, 1.0)
    curve = torch.where(has_top, c / torch.where(det > 0, det, torch.ones_like(det)), torch.zeros_like(c))
    return shift, (-curve * shift**2).clamp(0.0, 0.5)
