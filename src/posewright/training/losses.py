"""How far maps are from their targets: the loss of a cell, and how cells, maps and stages make one figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from posewright.errors import PosewrightError
from posewright.training.config import TrainConfig
from posewright.training.dataset import IGNORED
from posewright.training.ranks import mean_count

CellLoss = Callable[[Tensor, Tensor], Tensor]
"""(maps, target) to the loss of every cell. The target broadcasts to the shape of the maps, ``[..., h, w]``."""


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of each cell against its target, of maps before their sigmoid.

    Like the squared error it is least where the map equals the target, so that a peak's height keeps its meaning; unlike
    it, its gradient does not fade where a map is wrong and sure of it.
    """
    return F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")


def mse(maps: Tensor, target: Tensor) -> Tensor:
    """Squared error."""
    return (maps - target) ** 2


def mae(maps: Tensor, target: Tensor) -> Tensor:
    """Absolute error."""
    return (maps - target).abs()


def weighted_mse(maps: Tensor, target: Tensor, peak: float = 9.0) -> Tensor:
    """Squared error in which a cell at a keypoint counts ten times one in the background."""
    return (1 + peak * target) * (maps - target) ** 2


def huber(maps: Tensor, target: Tensor, delta: float = 1.0) -> Tensor:
    """Half the squared error up to ``delta``, the straight line that continues it beyond (Huber, 1964)."""
    return F.huber_loss(maps, target.expand_as(maps), reduction="none", delta=delta)


def smooth_l1(maps: Tensor, target: Tensor) -> Tensor:
    """The Huber loss with its bend at 1 (Girshick, "Fast R-CNN", ICCV 2015, arXiv:1504.08083)."""
    return huber(maps, target)


def adaptive_wing(
    maps: Tensor,
    target: Tensor,
    *,
    alpha: float = 2.1,
    omega: float = 14.0,
    epsilon: float = 1.0,
    theta: float = 0.5,
    weight: float = 10.0,
    foreground: float = 0.2,
) -> Tensor:
    """Adaptive wing loss times the weighted loss map.

    Wang, Bo and Fuxin, "Adaptive Wing Loss for Robust Face Alignment via Heatmap Regression", ICCV 2019
    (arXiv:1904.07399). With ``d`` the error of a cell and ``y`` its target::

        omega * ln(1 + |d / epsilon|^(alpha - y))    where |d| < theta
        A * |d| - C                                  beyond

    A and C make value and slope continuous. The power falls from 2.1 in the background to 1.1 at a peak: there small
    errors still pull, in the background they hardly do. Cells whose target, dilated by 3 x 3, reaches ``foreground``
    count 1 + ``weight`` times.
    """
    power = alpha - target
    knee = (theta / epsilon) ** power
    slope = omega / epsilon * power * (theta / epsilon) ** (power - 1) / (1 + knee)
    offset = theta * slope - omega * torch.log1p(knee)
    error = (maps - target).abs()
    curved = omega * torch.log1p((error / epsilon) ** power)
    near = F.max_pool2d(target.flatten(0, -3), 3, stride=1, padding=1).view_as(target) >= foreground
    return torch.where(error < theta, curved, slope * error - offset) * (1 + weight * near)


LOSSES: dict[str, CellLoss] = {
    "bce": bce,
    "mse": mse,
    "mae": mae,
    "weighted_mse": weighted_mse,
    "smooth_l1": smooth_l1,
    "huber": huber,
    "adaptive_wing": adaptive_wing,
}
"""By name: the loss of a cell."""
ON_LOGITS = frozenset({"bce"})
"""Losses that look at maps before a sigmoid; all others compare activated maps, whatever the activation."""


def activation_for(loss: str) -> str | None:
    """The activation of the nets that a loss trains; None where the preset's own will do."""
    return "sigmoid" if loss in ON_LOGITS else None


@dataclass(frozen=True)
class HeatmapLoss:
    """One figure from the maps of a batch: the sum over a map's cells, the mean over labelled maps, the mean over stages.

    Its unit is one map, so that it neither grows with the number of keypoints or stages nor falls where labels are missing.

    Attributes:
        cell: the loss of a cell.
        keypoints: how many of the channels are keypoints; any behind them (the background) are never mined.
        hard_keypoints: the last stage learns only from this many of each sample's labelled keypoints, those with the
            highest loss, as in Chen et al., "Cascaded Pyramid Network for Multi-Person Pose Estimation", CVPR 2018
            (arXiv:1711.07319); earlier stages learn from all. 0 for all everywhere.
        stage_weights: how much each stage counts in the mean over stages; alike where empty.
    """

    cell: CellLoss
    keypoints: int
    hard_keypoints: int = 0
    stage_weights: tuple[float, ...] = ()

    @classmethod
    def from_config(cls, config: TrainConfig, keypoints: int, stages: int) -> HeatmapLoss:
        """The loss that the settings ask for, for a net of so many keypoints and stages.

        Raises:
            PosewrightError: where the settings do not fit these numbers.
        """
        if config.stage_weights and len(config.stage_weights) != stages:
            raise PosewrightError(
                f"{len(config.stage_weights)} stage weights, but {config.model} predicts in {stages} stages",
                fix=f"Give {stages} numbers to --stage-weights",
            )
        if config.hard_keypoints > keypoints:
            raise PosewrightError(
                f"hard_keypoints is {config.hard_keypoints}, but there are only {keypoints} keypoints",
                fix=f"Use --hard-keypoints {max(keypoints // 2, 1)}, say",
            )
        cell = partial(huber, delta=config.huber_delta) if config.loss == "huber" else LOSSES[config.loss]
        return cls(cell, keypoints, config.hard_keypoints, config.stage_weights)

    def __call__(self, maps: Tensor, target: Tensor, state: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            maps: ``[B, S, C, h, w]``, activated unless the cell loss is one of :data:`ON_LOGITS`.
            target: ``[B, C, h, w]``.
            state: ``[B, C]``; IGNORED maps carry no loss.

        Returns:
            A scalar; 0 where nothing is labelled.
        """
        per_map = self.cell(maps, target[:, None]).sum((-2, -1))
        return self.mean(per_map, self.counted(per_map, state))

    def counted(self, per_map: Tensor, state: Tensor) -> Tensor:
        """Which maps the loss is the mean of, ``[B, S, C]`` bool.

        Args:
            per_map: ``[B, S, C]``, the loss of each map.
            state: ``[B, C]``.
        """
        counted = (state != IGNORED)[:, None].expand(per_map.shape)
        if self.hard_keypoints:
            hard = self._hardest(per_map[:, -1].detach(), counted[:, -1])
            counted = torch.cat([counted[:, :-1], hard[:, None]], 1)
        return counted

    def mean(self, per_map: Tensor, weight: Tensor) -> Tensor:
        """The mean over maps by their weight, then over stages; both ``[B, S, C]``, with any number of maps."""
        summed = torch.where(weight > 0, per_map * weight, torch.zeros_like(per_map)).sum((0, 2))
        per_stage = summed / mean_count(weight.sum((0, 2)))
        if not self.stage_weights:
            return per_stage.mean()
        weights = per_stage.new_tensor(self.stage_weights)
        return (per_stage * weights).sum() / weights.sum()

    def _hardest(self, loss: Tensor, counted: Tensor) -> Tensor:
        """``counted`` ``[B, C]`` without the keypoints that a sample does best, by their ``loss`` ``[B, C]``."""
        labelled = counted[:, : self.keypoints]
        of_keypoints = loss[:, : self.keypoints].masked_fill(~labelled, -torch.inf)
        top = of_keypoints.topk(min(self.hard_keypoints, self.keypoints), dim=1).indices
        hard = torch.zeros_like(labelled).scatter(1, top, True) & labelled
        return torch.cat([hard, counted[:, self.keypoints :]], 1)
