"""Can a keypoint be seen: learned from labels that tell hidden keypoints from visible ones."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from posewright.annotations import Annotations
from posewright.models.peaks import read_maps, to_cells
from posewright.models.presets import NetConfig
from posewright.training.config import TrainConfig
from posewright.training.nets import net_settings
from posewright.training.ranks import mean_count

WEIGHT = 10.0
"""Of a keypoint's visibility beside its map, whose loss is a sum over all cells and some fifty times as large."""


def learnable(config: TrainConfig, annotations: Annotations) -> TrainConfig:
    """A run's settings, without visibility, and with a line that says so, where its labels have nothing to learn it from."""
    train = annotations.of_split("train") if "train" in annotations.splits else annotations
    kinds = [v for v in (1, 2) if (train.keypoints[..., 2] == v).any()]
    if not net_settings(config).visibility or len(kinds) == 2:
        return config
    only = "visible" if kinds == [2] else "hidden"
    print(f"visibility is not trained: every labelled keypoint is marked {only}; there is nothing to tell apart")
    return replace(config, visibility=False, net=tuple(t for t in config.net if not t.startswith("visibility=")))


def visibility_loss(maps: Tensor, points: Tensor, visible: Tensor, config: NetConfig) -> Tensor:
    """``WEIGHT`` times the cross-entropy of the visibility read at the true places, the mean over stages and labelled
    keypoints.

    Read there and nowhere else: elsewhere the maps may hold what they like, since at inference they are read at the peak.

    Args:
        maps: ``[B, S, K, h, w]`` logits.
        points: ``[B, K, 2]`` true places in crop pixels.
        visible: ``[B, K]``: 1 hidden, 2 visible; 0 carries no loss.
        config: the net's.
    """
    known = visible > 0
    cells = torch.where(known[..., None], to_cells(points, config), torch.zeros_like(points))
    logits = torch.stack([read_maps(stage, cells) for stage in maps.unbind(1)], 1)
    target = (visible == 2).to(logits.dtype)[:, None].expand_as(logits)
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    counted = known[:, None].expand_as(each)
    return WEIGHT * torch.where(counted, each, torch.zeros_like(each)).sum() / mean_count(counted.sum())
