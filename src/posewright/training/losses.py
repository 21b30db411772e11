"""How far maps are from their targets."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from posewright.training.dataset import IGNORED

CellLoss = Callable[[Tensor, Tensor], Tensor]
"""(logits, target), both ``[..., h, w]``, to the loss of every cell."""


def mse(logits: Tensor, target: Tensor) -> Tensor:
    """Squared error of linear maps."""
    return (logits - target) ** 2


def weighted_mse(logits: Tensor, target: Tensor, peak: float = 9.0) -> Tensor:
    """Squared error in which a cell at a keypoint counts ten times one in the background."""
    return (1 + peak * target) * (logits - target) ** 2


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of each cell against its target, for maps that pass through a sigmoid.

    Like the squared error it is least where the map equals the target, so that a peak's height keeps its meaning; unlike
    it, its gradient does not fade where a map is wrong and sure of it.
    """
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


LOSSES: dict[str, tuple[CellLoss, str]] = {
    "bce": (bce, "sigmoid"),
    "mse": (mse, "linear"),
    "weighted_mse": (weighted_mse, "linear"),
}
"""By name: the loss of a cell, and the activation of the nets it trains."""


def heatmap_loss(cell: CellLoss, logits: Tensor, target: Tensor, state: Tensor) -> Tensor:
    """The mean over stages, and over the maps that somebody labelled, of each map's summed cell loss.

    Args:
        cell: one of :data:`LOSSES`.
        logits: ``[B, S, C, h, w]`` before the activation.
        target: ``[B, C, h, w]``.
        state: ``[B, C]``; IGNORED maps carry no loss.

    Returns:
        A scalar, float32. Its unit is one map, so that it neither grows with the number of keypoints or stages nor falls
        where labels are missing.
    """
    per_map = cell(logits.float(), target[:, None].expand_as(logits)).sum((-2, -1))
    counted = (state != IGNORED)[:, None].expand(per_map.shape[:3])
    return torch.where(counted, per_map, torch.zeros_like(per_map)).sum() / counted.sum().clamp(min=1)
