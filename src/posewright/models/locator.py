"""The locator's net: features of the whole picture, and maps that tell where objects are and how large.

The features are those of a keypoint net, which already knows what the objects look like, or of a pyramid of the locator's
own: down to a 32nd of the input's resolution in residual blocks (He et al., arXiv:1512.03385) and up again with skip
connections (Lin et al., arXiv:1612.03144). What is predicted is in :mod:`posewright.models.centres`.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from posewright.errors import PosewrightError
from posewright.models.base import HeatmapNet
from posewright.models.centres import scored
from posewright.models.locator_presets import CentreConfig
from posewright.models.presets import NetConfig, build_net

RARE = -4.6
"""Where the heat map's logits start, at 0.01 everywhere: nearly every cell is empty."""
USUAL_SIDE = 8.0
"""Where the boxes' sides start, in cells."""
PATCH = 4
"""The pyramid's first layer sees each patch of so many pixels squared as one cell of many channels."""


class Unit(nn.Module):
    """A convolution, its batch norm, and a ReLU unless told otherwise."""

    def __init__(self, cin: int, cout: int, kernel: int, *, stride: int = 1, act: bool = True) -> None:
        super().__init__()
        # An even kernel of a strided convolution is centred where the output cell is, (s - 1) / 2 to the right of s * i.
        pad = kernel // 2 - (stride > 1) if kernel % 2 == 0 else kernel // 2
        self.conv = nn.Conv2d(cin, cout, kernel, stride, pad, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(cout)
        self.act = act
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x) if self.act else x


class Block(nn.Module):
    """A residual block of two convolutions, which starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = Unit(channels, channels, 3, act=False)
        assert isinstance(last.bn, nn.BatchNorm2d)
        nn.init.zeros_(last.bn.weight)
        self.deep = nn.Sequential(Unit(channels, channels, 3), last)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.deep(x))


class Pyramid(nn.Module):
    """Pictures to features of ``config.channels`` channels, by layers of the locator's own."""

    mean: Tensor

    def __init__(self, config: CentreConfig) -> None:
        super().__init__()
        self.scale = config.scale
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)
        c, fine = config.channels, config.stride == PATCH
        widths = [c, c * 4 // 3 // 4 * 4, c * 3 // 2, c * 2] if fine else [c // 2, c, c * 3 // 2, c * 2]
        self.stem = Unit(3 * PATCH**2, widths[0], 3)
        self.down = nn.ModuleList(
            nn.Sequential(Unit(cin, cout, 4, stride=2), *(Block(cout) for _ in range(config.depth)))
            for cin, cout in itertools.pairwise(widths)
        )
        read = widths if fine else widths[1:]
        self.lateral = nn.ModuleList(Unit(width, c, 1, act=False) for width in read)
        self.merged = nn.ModuleList(Block(c) for _ in read[1:])

    def forward(self, image: Tensor) -> Tensor:
        x = image.permute(0, 3, 1, 2).to(self.mean.dtype) / self.scale - self.mean
        x = self.stem(F.pixel_unshuffle(x, PATCH).contiguous(memory_format=torch.channels_last))
        seen = [x]
        for down in self.down:
            x = down(x)
            seen.append(x)
        kept = [lateral(x) for lateral, x in zip(self.lateral, seen[-len(self.lateral) :])]
        x = F.relu(kept.pop())
        for merged in reversed(self.merged):
            x = merged(F.relu(F.interpolate(x, scale_factor=2.0, mode="nearest") + kept.pop()))
        return x


class Trunk(nn.Module):
    """Pictures to features of ``config.channels`` channels, by way of a keypoint net's."""

    def __init__(self, config: CentreConfig, trunk: NetConfig) -> None:
        super().__init__()
        net: HeatmapNet = build_net(trunk, config.keypoints)
        width = without_last_maps(net)
        self.net, c = net, config.channels
        step = Unit(width, c, 4, stride=2) if trunk.stride < config.stride else Unit(width, c, 1)
        self.behind = nn.Sequential(step, *(Block(c) for _ in range(config.depth)))

    def forward(self, image: Tensor) -> Tensor:
        return self.behind(self.net.stage_maps(self.net.pixels(image))[-1])


def without_last_maps(net: HeatmapNet) -> int:
    """Let the last of a net's ``stage_maps`` be the features that its last layer would have predicted maps from; in place.

    Returns:
        How many channels they have.
    """
    last = net.predictors()[-1]
    for parent in net.modules():
        for name, module in parent.named_children():
            if module is last:
                setattr(parent, name, nn.Identity())
    return last.in_channels


class CentreNet(nn.Module):
    """The whole net. Normalisation lives inside it, so that nobody outside can get it wrong."""

    def __init__(self, config: CentreConfig) -> None:
        super().__init__()
        self.config = config
        trunk, c = config.trunk_config, config.channels
        self.features: nn.Module = Pyramid(config) if trunk is None else Trunk(config, trunk)
        side = math.log(USUAL_SIDE)
        self.heat, self.box = self._head(c, [RARE]), self._head(c, [side, side, 0.0, 0.0, 0.0])

    @staticmethod
    def _head(channels: int, start: list[float]) -> nn.Sequential:
        predict = nn.Conv2d(channels, len(start), 1)
        assert predict.bias is not None
        nn.init.normal_(predict.weight, std=0.01)
        with torch.no_grad():
            predict.bias[:] = torch.tensor(start)
        return nn.Sequential(Unit(channels, channels, 3), predict)

    def check_size(self, height: int, width: int) -> None:
        """Raise a PosewrightError where the net cannot take pictures of this size."""
        m = self.config.multiple
        if height % m or width % m or min(height, width) < m:
            near = [max(m, round(v / m) * m) for v in (height, width)]
            raise PosewrightError(
                f"input size {height}x{width} does not fit the net",
                fix=f"Use multiples of {m}, such as {near[0]}x{near[1]}",
            )

    def fuse(self) -> None:
        """Fold batch norms into convolutions; in place, for a net in eval mode."""
        for module in self.modules():
            if isinstance(module, Unit) and isinstance(module.bn, nn.BatchNorm2d):
                module.conv = fuse_conv_bn_eval(module.conv, module.bn)
                module.bn = nn.Identity()
            elif isinstance(module, HeatmapNet):
                module.fuse()

    def logits(self, image: Tensor) -> Tensor:
        """Pictures ``uint8`` or float ``[B, H, W, 3]`` RGB in 0..255 to
        :data:`posewright.models.centres.LOGITS` ``[B, 6, h, w]``."""
        x = self.features(image)
        return torch.cat([self.heat(x), self.box(x)], 1)

    def forward(self, image: Tensor) -> Tensor:
        """Pictures ``uint8 [B, H, W, 3]`` RGB to maps ``[B, 5, h, w]``; see :data:`posewright.models.centres.MAPS`."""
        return scored(self.logits(image))
