"""A light pose machine: the idea of convolutional pose machines at a small part of their cost.

As in Wei et al., "Convolutional Pose Machines", CVPR 2016 (arXiv:1602.00134), a first stage guesses all maps from shared
features, and later stages refine them through large kernels. What differs:

- each 7x7 convolution is split into a row of seven, a column of seven and a pointwise one, inside a residual block: 14 + C
  weights for each of C channels in place of 49 C;
- every convolution has a batch norm, which lets it be trained fast and folds into it at export;
- the trunk goes down to a sixteenth of the picture's resolution, where looking far is cheap, and comes back up to a quarter,
  so that the maps are twice as fine.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from posewright.models.base import HeatmapNet
from posewright.models.presets import CpmLight

LARGE = 7
DEPTH = (2, 2, 3)
"""Blocks of the trunk at a quarter, an eighth and a sixteenth of the picture's resolution."""
STAGE_DEPTH = 4
"""Blocks of a later stage."""


class Unit(nn.Module):
    """Convolution and batch norm, and a ReLU unless ``act`` is False."""

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        # An even kernel is centred where the cell of a strided convolution is, between two pixels.
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        pads = [side // 2 if stride == 1 else (side - stride) // 2 for side in sides]
        self.conv = nn.Conv2d(cin, cout, sides, stride, (pads[0], pads[1]), groups=groups, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(cout)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x, inplace=True) if self.act else x


class Block(nn.Module):
    """A residual block: a row and a column of weights for each channel, which make one large kernel, then 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = LARGE // 2
        self.row = nn.Conv2d(channels, channels, (1, LARGE), padding=(0, half), groups=channels, bias=False)
        self.column = Unit(channels, channels, (LARGE, 1), groups=channels)
        self.pointwise = Unit(channels, channels, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.pointwise(self.column(self.row(x))), inplace=True)


def blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(channels) for _ in range(count)))


class Trunk(nn.Module):
    """From the picture to the features, at a quarter of its resolution, that all stages share."""

    def __init__(self, net: CpmLight) -> None:
        super().__init__()
        c = net.channels
        stem, half = max(c // 4, 8), c // 2
        self.stem = Unit(net.in_channels, stem, 6, stride=2)
        self.down4 = nn.Sequential(Unit(stem, half, 4, stride=2), blocks(half, DEPTH[0]))
        self.down8 = nn.Sequential(Unit(half, c, 4, stride=2), blocks(c, DEPTH[1]))
        self.down16 = nn.Sequential(Unit(c, c, 4, stride=2), blocks(c, DEPTH[2]))
        self.up8 = Block(c)
        self.lateral4 = Unit(half, c)
        self.up4 = Block(c)

    def forward(self, x: Tensor) -> Tensor:
        quarter = self.down4(self.stem(x))
        eighth = self.down8(quarter)
        x = self.up8(F.interpolate(self.down16(eighth), scale_factor=2.0, mode="nearest") + eighth)
        return self.up4(F.interpolate(x, scale_factor=2.0, mode="nearest") + self.lateral4(quarter))


class LaterStage(nn.Module):
    """Maps from those of the stage before and from the features."""

    def __init__(self, net: CpmLight, maps: int, channels: int) -> None:
        super().__init__()
        self.enter = Unit(maps + net.channels, net.channels)
        self.blocks = blocks(net.channels, STAGE_DEPTH)
        self.predict = nn.Conv2d(net.channels, channels, 1)

    def forward(self, maps: Tensor, features: Tensor) -> Tensor:
        return self.predict(self.blocks(self.enter(torch.cat([maps, features], 1))))


class LightPoseMachine(HeatmapNet):
    """The whole net. See :class:`posewright.models.base.HeatmapNet` for what goes in and comes out."""

    parts: ClassVar[dict[str, tuple[str, ...]]] = {"trunk": ("trunk",), "stages": ("first", "later")}
    config: CpmLight

    def __init__(self, config: CpmLight, keypoints: int) -> None:
        super().__init__(config, keypoints)
        self.trunk = Trunk(config)
        self.first = nn.Conv2d(config.channels, self.head_channels, 1)
        self.later = nn.ModuleList(LaterStage(config, self.maps, self.head_channels) for _ in range(config.stages - 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, Block) and isinstance(module.pointwise.bn, nn.BatchNorm2d):
                # Blocks start as the identity (Goyal et al., arXiv:1706.02677, 5.1).
                nn.init.zeros_(module.pointwise.bn.weight)
        self.start_predictors()

    def predictors(self) -> list[nn.Conv2d]:
        return [self.first, *(stage.predict for stage in self.later if isinstance(stage, LaterStage))]

    def fuse(self) -> None:
        for module in self.modules():
            if isinstance(module, Unit) and isinstance(module.bn, nn.BatchNorm2d):
                module.conv = fuse_conv_bn_eval(module.conv, module.bn)
                module.bn = nn.Identity()

    def stage_maps(self, x: Tensor) -> list[Tensor]:
        features = self.trunk(x)
        found = [self.first(features)]
        for stage in self.later:
            found.append(stage(self.activate(found[-1][:, : self.maps]), features))
        return found


def build(config: CpmLight, keypoints: int) -> LightPoseMachine:
    """The net of a preset."""
    return LightPoseMachine(config, keypoints)
