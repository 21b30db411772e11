"""What stands in the maps around decoded points: whether a keypoint can be seen, and how far off its point may be.

The covariance of a point is made of its own map. Let ``s`` be the point's score and ``G`` the second moments of the squared
map about the point, in cells^2. Then, with ``b_k`` one number for each keypoint::

    covariance = stride^2 * exp(b_k + q * s) * (I + exp(v) * G)

``G`` is stretched along the direction in which a peak is uncertain, and where the map has a second peak it grows towards
that rival: it is what tells a keypoint that may sit on the wrong leg. The form is positive definite whatever the numbers
are; :mod:`posewright.training.covariance` fits them after training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from posewright.models.heatmaps import decode
from posewright.models.presets import NetConfig


@dataclass(frozen=True)
class PeakCovariance:
    """The numbers of the module's formula, and the law that errors follow.

    Attributes:
        level: ``b_k`` of each of the K keypoints.
        score: ``q``.
        spread: ``v``.
        tail: degrees of freedom of the errors' law, see :func:`posewright.metrics.calibration.ellipse`.
    """

    level: tuple[float, ...]
    score: float
    spread: float
    tail: float

    def to_dict(self) -> dict[str, Any]:
        return {"level": list(self.level), "score": self.score, "spread": self.spread, "tail": self.tail}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> PeakCovariance:
        """Read what :meth:`to_dict` wrote; KeyError, TypeError or ValueError where it is something else."""
        found = cls(tuple(float(b) for b in d["level"]), float(d["score"]), float(d["spread"]), float(d["tail"]))
        if not all(map(math.isfinite, (*found.level, found.score, found.spread, found.tail))) or found.tail <= 0:
            raise ValueError("the numbers of a covariance are finite, and its tail is above 0")
        return found


def read_maps(maps: Tensor, cells: Tensor) -> Tensor:
    """Maps ``[B, K, h, w]`` at one place each ``[B, K, 2]`` (x, y) in cells, bilinear, held to the map: ``[B, K]``."""
    height, width = maps.shape[-2:]
    x, y = cells[..., 0].clamp(0, width - 1), cells[..., 1].clamp(0, height - 1)
    left, top = x.floor().clamp(max=max(width - 2, 0)), y.floor().clamp(max=max(height - 2, 0))
    fx, fy = x - left, y - top
    first = (top * width + left).long()
    right, below = min(width - 1, 1), width * min(height - 1, 1)
    corners = torch.stack([first, first + right, first + below, first + below + right], -1)
    a, b, c, d = maps.flatten(2).gather(2, corners).unbind(-1)
    return (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy


def map_spread(maps: Tensor, cells: Tensor) -> Tensor:
    """Second moments (xx, xy, yy) of each squared map about a place of its own: the module's ``G``.

    Args:
        maps: ``[B, K, h, w]`` after the activation; what lies below 0 counts as 0.
        cells: ``[B, K, 2]`` (x, y) in cells.

    Returns:
        ``[B, K, 3]`` in cells^2. An empty map's are those of a flat one.
    """
    height, width = maps.shape[-2:]
    weight = maps.clamp(min=0) ** 2 + 1e-9
    x = torch.arange(width, device=maps.device, dtype=maps.dtype) - cells[..., :1]
    y = torch.arange(height, device=maps.device, dtype=maps.dtype) - cells[..., 1:]
    by_x, by_y = weight.sum(-2), weight.sum(-1)
    xy = ((weight * x[..., None, :]).sum(-1) * y).sum(-1)
    return torch.stack([(by_x * x * x).sum(-1), xy, (by_y * y * y).sum(-1)], -1) / by_x.sum(-1, keepdim=True)


def covariance(
    spread: Tensor, score: Tensor, stride: int, level: Tensor, by_score: Tensor | float, by_spread: Tensor | float
) -> Tensor:
    """The module's formula.

    Args:
        spread: ``[..., K, 3]``, from :func:`map_spread`.
        score: ``[..., K]`` in 0..1.
        stride: crop pixels per cell.
        level, by_score, by_spread: ``b_k`` ``[K]``, ``q`` and ``v``.

    Returns:
        ``[..., K, 3]`` (xx, xy, yy) in crop pixels^2.
    """
    scale = stride**2 * torch.exp(level + by_score * score)
    times = torch.exp(torch.as_tensor(by_spread, dtype=spread.dtype, device=spread.device))
    xx, xy, yy = spread.unbind(-1)
    return scale[..., None] * torch.stack([1 + times * xx, times * xy, 1 + times * yy], -1)


def peak_cells(maps: Tensor, points: Tensor, config: NetConfig) -> Tensor:
    """Where on the maps the decoded points lie, ``[B, K, 2]`` (x, y) in cells.

    Args:
        maps: ``[B, K, h, w]`` that the points were decoded from.
        points: ``[B, K, 2]`` in crop pixels.
        config: the net's.
    """
    if config.decoding != "gaussian":
        return decode(maps, 1)[..., :2]
    return to_cells(points, config)


def to_cells(points: Tensor, config: NetConfig) -> Tensor:
    """Points ``[..., 2]`` in crop pixels to where the net puts their peaks, in cells."""
    shift = torch.tensor(config.label_shift, dtype=points.dtype, device=points.device)
    return (points - (config.stride - 1) / 2) / config.stride + shift
