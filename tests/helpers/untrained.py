"""An untrained net that finds something: what tests of exports write and run."""

from __future__ import annotations

import torch

from helpers.discs import DISCS
from posewright.export.parity import smooth_crops
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint
from posewright.models.presets import build_net, preset
from posewright.skeleton import Skeleton


def fresh(
    name: str = "hourglass_s2_nano", size: tuple[int, int] = (96, 64), skeleton: Skeleton = DISCS, **settings
) -> Checkpoint:
    """An untrained checkpoint whose maps have peaks: its last layers are scaled until cells differ by about one."""
    torch.manual_seed(1)
    net = build_net(preset(name, **settings), len(skeleton))
    with torch.no_grad():
        for _ in range(3):  # running statistics of real activations
            net(torch.randint(0, 256, (4, size[1], size[0], 3), dtype=torch.uint8))
        net.eval()
        crops = torch.from_numpy(smooth_crops(size[1], size[0]))
        for stage, predict in enumerate(net.predictors()):
            predict.weight.div_(net.logits(crops)[:, stage, : net.keypoints].std())
    return Checkpoint(net, skeleton, CropRule(size), name, (5.0, -2.0))
