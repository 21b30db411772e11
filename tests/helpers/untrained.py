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
    """An untrained checkpoint whose maps have peaks: its last layers are scaled until cells differ by about one, and
    shifted until what is highest has a score that counts."""
    torch.manual_seed(1)
    net = build_net(preset(name, **settings), len(skeleton))
    with torch.no_grad():
        for _ in range(3):  # running statistics of real activations
            net(torch.randint(0, 256, (4, size[1], size[0], 3), dtype=torch.uint8))
        net.eval()
        crops = torch.from_numpy(smooth_crops(size[1], size[0]))
        for stage, predict in enumerate(net.predictors()):
            # Every map by itself: mean -1, so that most cells are low, and a deviation of 1, so that some are high.
            assert predict.bias is not None
            maps, count = net.logits(crops)[:, stage, : net.keypoints], net.keypoints
            spread = maps.std((0, 2, 3)).clamp(min=1e-3)
            predict.weight[:count] /= spread[:, None, None, None]
            predict.bias[:count] = (predict.bias[:count] - maps.mean((0, 2, 3))) / spread - 1
    return Checkpoint(net, skeleton, CropRule(size), name, (5.0, -2.0))
