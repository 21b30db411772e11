"""Convolutional pose machines.

Wei, Ramakrishna, Kanade and Sheikh, "Convolutional Pose Machines", CVPR 2016 (arXiv:1602.00134): a trunk of plain
convolutions at an eighth of the picture's resolution, a first stage that guesses all maps from its features alone, and stages
that each look at the maps before them and at the same features through large kernels. Every stage has a loss of its own.

Layers, widths and order of the channels are those of a widely used TensorFlow implementation and of the Caffe nets that it
took its weights from, so that both fit exactly. There is no batch norm; every convolution but those that predict maps is
followed by a ReLU.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posewright.models.base import HeatmapNet
from posewright.models.presets import Cpm

TRUNK = (64, 64, 128, 128, 256, 256, 256, 256, 512, 512)
"""Widths of the trunk's first ten layers; the preset gives that of the other four."""
FEATURES, HIDDEN, FIRST_HIDDEN = 128, 128, 512
LARGE = 7
"""Side of a later stage's kernels."""


def conv(cin: int, cout: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, kernel, padding=kernel // 2)


def relu(x: Tensor) -> Tensor:
    return F.relu(x, inplace=True)


class Trunk(nn.Module):
    """Fourteen convolutions ``conv1`` to ``conv14``, and poolings between them."""

    def __init__(self, net: Cpm) -> None:
        super().__init__()
        widths = [net.in_channels, *(net.wide(w) for w in (*TRUNK, *[net.trunk] * 4))]
        for i in range(1, len(widths)):
            self.add_module(f"conv{i}", conv(widths[i - 1], widths[i], 3))
        self.pooled = ("conv2", "conv4", "conv8") if net.stride == 8 else ("conv2", "conv8")

    def forward(self, x: Tensor) -> Tensor:
        for name, layer in self.named_children():
            x = relu(layer(x))
            if name in self.pooled:
                x = F.max_pool2d(x, 2)
        return x


class FirstStage(nn.Module):
    """Maps from the features alone."""

    def __init__(self, net: Cpm, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(net.wide(FEATURES), net.wide(FIRST_HIDDEN), 1)
        self.heatmap = conv(net.wide(FIRST_HIDDEN), channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.heatmap(relu(self.conv1(features)))


class LaterStage(nn.Module):
    """Maps from those of the stage before, from the features and, where the net has one, from the centre map."""

    def __init__(self, net: Cpm, maps: int, channels: int) -> None:
        super().__init__()
        hidden = net.wide(HIDDEN)
        self.conv1 = conv(maps + net.wide(FEATURES) + int(net.centre), hidden, LARGE)
        self.conv2 = conv(hidden, hidden, LARGE)
        self.conv3 = conv(hidden, hidden, LARGE)
        self.conv4 = conv(hidden, hidden, LARGE)
        self.conv5 = conv(hidden, hidden, LARGE)
        self.conv6 = conv(hidden, hidden, 1)
        self.conv7 = conv(hidden, channels, 1)

    def forward(self, seen: list[Tensor]) -> Tensor:
        x = torch.cat(seen, 1)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5, self.conv6):
            x = relu(layer(x))
        return self.conv7(x)


def centre_map(height: int, width: int, stride: int, sigma: float) -> Tensor:
    """A gaussian of height 1 around pixel (width / 2, height / 2), averaged over windows of ``stride + 1`` pixels.

    Window ``i`` starts at pixel ``stride * i`` and ends at the picture's edge at the latest, beyond which nothing is
    averaged: TensorFlow's average pooling with SAME padding, for sizes that ``stride`` divides. The gaussian's centre lies
    half a pixel right of and below the picture's, as in the nets whose weights are to fit.

    Args:
        height, width: of the picture in pixels, multiples of ``stride``.
        stride: pixels per cell.
        sigma: standard deviation in pixels.

    Returns:
        ``[height / stride, width / stride]``, float32.
    """

    def along(size: int) -> list[float]:
        gaussian = [math.exp(-((i - size / 2) ** 2) / (2 * sigma**2)) for i in range(size)]
        windows = (gaussian[i : i + stride + 1] for i in range(0, size, stride))
        return [sum(window) / len(window) for window in windows]

    # Mean and gaussian are both products of one along x and one along y. In plain numbers, so that an exported net holds
    # the map and not how it was made: some formats have no power of doubles.
    rows, columns = along(height), along(width)
    return torch.tensor([[row * column for column in columns] for row in rows])


class PoseMachine(HeatmapNet):
    """The whole net. See :class:`posewright.models.base.HeatmapNet` for what goes in and comes out."""

    parts: ClassVar[dict[str, tuple[str, ...]]] = {"trunk": ("trunk", "feature"), "stages": ("stages",)}
    config: Cpm

    def __init__(self, config: Cpm, keypoints: int) -> None:
        super().__init__(config, keypoints)
        self.trunk = Trunk(config)
        self.feature = conv(config.wide(config.trunk), config.wide(FEATURES), 3)
        later = [LaterStage(config, self.maps, self.head_channels) for _ in range(config.stages - 1)]
        self.stages = nn.ModuleList([FirstStage(config, self.head_channels), *later])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # Without batch norm, only this keeps the signal's size through some forty layers.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.start_predictors()

    def predictors(self) -> list[nn.Conv2d]:
        return [stage.heatmap if isinstance(stage, FirstStage) else stage.conv7 for stage in self.stages]  # type: ignore[misc]

    def stage_maps(self, x: Tensor) -> list[Tensor]:
        height, width = int(x.shape[-2]), int(x.shape[-1])
        features = relu(self.feature(self.trunk(x)))
        extra = []
        if self.config.centre:
            centre = centre_map(height, width, self.config.stride, self.config.centre_sigma).to(features)
            extra.append(centre.expand(x.shape[0], 1, -1, -1))
        found = [self.stages[0](features)]
        for stage in self.stages[1:]:
            found.append(stage([self.activate(found[-1][:, : self.maps]), features, *extra]))
        return found


def build(config: Cpm, keypoints: int) -> PoseMachine:
    """The net of a preset."""
    return PoseMachine(config, keypoints)
