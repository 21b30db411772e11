"""Stacked hourglass networks.

Newell, Yang and Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016 (arXiv:1603.06937): a stem at a
quarter of the input's resolution, then stacks that each pool down and come back up with skip connections, every stack
predicting all heat maps under its own loss (intermediate supervision).

One net, three orders of its layers:

- ``preact``: batch norm, ReLU, convolution, as in the paper;
- ``conv_relu_bn``: convolution, ReLU, batch norm, as in a widely used tf.keras implementation, whose weights fit exactly;
- ``conv_bn_relu``: convolution, batch norm, ReLU; its batch norms fold into the convolutions at export.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from posewright.models.base import HeatmapNet
from posewright.models.presets import Hourglass

KERAS_EPS = 1e-3
KERAS_MOMENTUM = 0.01


class SamePadConv(nn.Conv2d):
    """A strided convolution padded as TensorFlow's SAME does: the odd pixel of padding goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


class Separable(nn.Sequential):
    """A depthwise convolution without bias, then a pointwise one."""

    def __init__(self, cin: int, cout: int, kernel: int, bias: bool) -> None:
        super().__init__()
        self.depthwise: nn.Module = nn.Conv2d(cin, cin, kernel, padding=kernel // 2, groups=cin, bias=False)
        self.pointwise = nn.Conv2d(cin, cout, 1, bias=bias)
        self.as_one = False

    def merged(self) -> Tensor | None:
        """The weights of the one pointwise convolution that both are where the depthwise kernel is 1 x 1, a factor on each
        channel; None where they are two, and once they have been folded."""
        if not isinstance(self.depthwise, nn.Conv2d) or self.depthwise.kernel_size != (1, 1):
            return None
        return self.pointwise.weight * self.depthwise.weight.view(1, -1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        # In training a pass over the maps and another over their gradients are saved. Elsewhere the layers run as they are
        # stored, for whoever counts or watches them, and `fold` makes them one for the model file.
        weight = self.merged() if self.training or self.as_one else None
        return super().forward(x) if weight is None else F.conv2d(x, weight, self.pointwise.bias)

    def fold(self) -> None:
        """Make one layer of the two where :meth:`merged` says how; in place."""
        weight = self.merged()
        if weight is not None:
            self.pointwise.weight = nn.Parameter(weight.detach())
            self.depthwise = nn.Identity()


class Unit(nn.Module):
    """One convolution with its batch norm and ReLU in the net's order.

    Args:
        norm, act: whether the unit has a batch norm and a ReLU at all.
    """

    def __init__(
        self,
        net: Hourglass,
        cin: int,
        cout: int,
        kernel: int = 1,
        *,
        norm: bool = True,
        act: bool = True,
        plain: bool = False,
    ) -> None:
        super().__init__()
        self.order = net.order
        bias = net.order != "conv_bn_relu" or not norm
        separable = net.mobile and not plain
        self.conv: nn.Module = (
            Separable(cin, cout, kernel, bias)
            if separable
            else nn.Conv2d(cin, cout, kernel, padding=kernel // 2, bias=bias)
        )
        self.bn: nn.Module = batch_norm(net, cin if net.order == "preact" else cout) if norm else nn.Identity()
        self.act: nn.Module = nn.ReLU(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.order == "preact":
            return self.conv(self.act(self.bn(x)))
        if self.order == "conv_relu_bn":
            return self.bn(self.act(self.conv(x)))
        return self.act(self.bn(self.conv(x)))


def batch_norm(net: Hourglass, channels: int) -> nn.BatchNorm2d:
    if net.order == "conv_relu_bn":
        return nn.BatchNorm2d(channels, eps=KERAS_EPS, momentum=KERAS_MOMENTUM)
    return nn.BatchNorm2d(channels)


class Bottleneck(nn.Module):
    """A residual block of three convolutions: 1x1 to half the channels, 3x3, 1x1 back."""

    def __init__(self, net: Hourglass, cin: int, cout: int) -> None:
        super().__init__()
        half, preact, folds = cout // 2, net.order == "preact", net.order == "conv_bn_relu"
        self.unit1 = Unit(net, cin, half)
        self.unit2 = Unit(net, half, half, 3)
        self.unit3 = Unit(net, half, cout, act=not folds)
        self.skip: nn.Module = nn.Identity()
        if cin != cout:
            self.skip = Unit(net, cin, cout, norm=folds, act=not preact and not folds)
        self.act: nn.Module = nn.ReLU(inplace=True) if folds else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.unit3(self.unit2(self.unit1(x))) + self.skip(x))


class Stem(nn.Module):
    """From the picture to features at a quarter of its resolution."""

    def __init__(self, net: Hourglass, in_channels: int) -> None:
        super().__init__()
        c = net.channels
        width = 64 if c >= 128 else max(c // 2, 16)
        bias = net.order != "conv_bn_relu"
        if net.order == "conv_relu_bn":
            self.conv: nn.Conv2d = SamePadConv(in_channels, width, 7, stride=2, bias=bias)
        else:
            # An even kernel is centred where the output cell is, (s - 1) / 2 to the right of pixel s * i.
            self.conv = nn.Conv2d(in_channels, width, 6, stride=2, padding=2, bias=bias)
        self.bn = batch_norm(net, width)
        self.act = nn.ReLU(inplace=True)
        self.keras = net.order == "conv_relu_bn"
        self.residual1 = Bottleneck(net, width, c // 2)
        self.residual2 = Bottleneck(net, c // 2, c // 2)
        self.residual3 = Bottleneck(net, c // 2, c)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.bn(self.act(x)) if self.keras else self.act(self.bn(x))
        return self.residual3(self.residual2(F.max_pool2d(self.residual1(x), 2)))


class Stack(nn.Module):
    """One hourglass: down through ``poolings`` poolings, a chain of three blocks at the bottom, and up again."""

    def __init__(self, net: Hourglass) -> None:
        super().__init__()

        def block() -> Bottleneck:
            return Bottleneck(net, net.channels, net.channels)

        levels = range(net.poolings)
        self.down = nn.ModuleList(block() for _ in range(net.poolings + 1))
        self.bottom_short = block()
        self.bottom = nn.Sequential(block(), block(), block())
        self.short = nn.ModuleList(block() for _ in levels)
        self.merged = nn.ModuleList(block() for _ in levels)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for level, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if level else x)
            kept.append(x)
        x = kept.pop()
        x = self.bottom(x) + self.bottom_short(x)
        for short, merged in zip(reversed(self.short), reversed(self.merged)):
            x = merged(F.interpolate(x, scale_factor=2.0, mode="nearest") + short(kept.pop()))
        return x


class Head(nn.Module):
    """A stack's prediction and, except behind the last stack, the features that the next one starts from."""

    def __init__(self, net: Hourglass, maps: int, last: bool) -> None:
        super().__init__()
        c = net.channels
        self.feature = Unit(net, c, c, plain=True)
        # A pre-activation unit ends in its convolution; the linear heads want a norm and a ReLU before them.
        self.close: nn.Module = (
            nn.Sequential(batch_norm(net, c), nn.ReLU(inplace=True)) if net.order == "preact" else nn.Identity()
        )
        self.predict = nn.Conv2d(c, maps, 1)
        self.from_feature = None if last else nn.Conv2d(c, c, 1)
        self.from_maps = None if last else nn.Conv2d(maps, c, 1)

    def forward(self, features: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.close(self.feature(features))
        maps = self.predict(hidden)
        if self.from_feature is None or self.from_maps is None:
            return maps, before
        return maps, before + self.from_feature(hidden) + self.from_maps(maps)


class HourglassNet(HeatmapNet):
    """The whole net. See :class:`posewright.models.base.HeatmapNet` for what goes in and comes out."""

    parts: ClassVar[dict[str, tuple[str, ...]]] = {
        "trunk": ("stem",),
        "stages": ("stacks", "heads"),
        "stem": ("stem",),
        "stacks": ("stacks",),
        "heads": ("heads",),
    }

    def __init__(self, config: Hourglass, keypoints: int) -> None:
        super().__init__(config, keypoints)
        self.order = config.order
        self.stem = Stem(config, config.in_channels)
        self.stacks = nn.ModuleList(Stack(config) for _ in range(config.stacks))
        self.heads = nn.ModuleList(
            Head(config, self.head_channels, i == config.stacks - 1) for i in range(config.stacks)
        )
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            # A residual block that starts as the identity lets a deep stack learn from the first step (Goyal et al.,
            # arXiv:1706.02677, 5.1).
            if (
                isinstance(module, Bottleneck)
                and isinstance(module.unit3.bn, nn.BatchNorm2d)
                and self.order != "preact"
            ):
                nn.init.zeros_(module.unit3.bn.weight)
        self.start_predictors()

    def predictors(self) -> list[nn.Conv2d]:
        return [head.predict for head in self.heads if isinstance(head, Head)]

    def merge(self) -> None:
        for module in self.modules():
            if isinstance(module, Separable):
                module.as_one = True

    def fuse(self) -> None:
        for module in self.modules():
            if isinstance(module, Separable):
                module.fold()
        if self.order != "conv_bn_relu":
            return
        for module in self.modules():
            if isinstance(module, (Unit, Stem)) and isinstance(module.bn, nn.BatchNorm2d):
                holder, name = (module.conv, "pointwise") if isinstance(module.conv, Separable) else (module, "conv")
                setattr(holder, name, fuse_conv_bn_eval(getattr(holder, name), module.bn))
                module.bn = nn.Identity()

    def stage_maps(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for stack, head in zip(self.stacks, self.heads):
            predicted, x = head(stack(x), x)
            maps.append(predicted)
        return maps


def build(config: Hourglass, keypoints: int) -> HourglassNet:
    """The net of a preset."""
    return HourglassNet(config, keypoints)
