"""Nets of every family, as small as they come, to start from."""

from __future__ import annotations

import pytest
import torch

from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint
from posewright.models.presets import FAMILIES, build_net, preset
from posewright.skeleton import Skeleton
from posewright.training.start import Start

SMALLEST = {
    "hourglass": ("hourglass_s2_nano", {"channels": 16}),
    "cpm": ("cpm_body", {"stages": 3, "width": 0.1}),
    "cpm_light": ("cpm_light", {"channels": 16}),
}
FAMILY = pytest.mark.parametrize("family", sorted(set(FAMILIES) & set(SMALLEST)))


def net_for(family: str, keypoints: int, seed: int = 0, **settings):
    torch.manual_seed(seed)
    name, small = SMALLEST[family]
    return build_net(preset(name, **(small | settings)), keypoints)


def start_of(net, skeleton: Skeleton, terms: str = "") -> Start:
    return Start("there", Checkpoint(net, skeleton, CropRule((64, 64)), "hourglass_s2_nano", terms=terms))


def state(net) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in net.state_dict().items()}
