"""The locator's net: a small pyramid that sees the whole picture and tells where objects are and how large.

Down to a 32nd of the input's resolution and up again, with residual blocks of depthwise-separable convolutions (Howard et
al., arXiv:1704.04861) on the way down and skip connections on the way up (Lin et al., arXiv:1612.03144). What it predicts
is in :mod:`posewright.models.centres`.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from posewright.errors import PosewrightError
from posewright.models.centres import MAPS
from posewright.models.locator_presets import CentreConfig

RARE = -4.6
"""Where the heat map's logits start, at 0.01 everywhere: nearly every cell is empty."""
USUAL_SIDE = 8.0
"""Where the boxes' sides start, in cells."""


class Unit(nn.Module):
    """A convolution, its batch norm, and a ReLU unless told otherwise."""

    def __init__(self, cin: int, cout: int, kernel: int, *, stride: int = 1, groups: int = 1, act: bool = True) -> None:
        super().__init__()
        # An even kernel of a strided convolution is centred where the output cell is, (s - 1) / 2 to the right of s * i.
        pad = kernel // 2 - (stride > 1) if kernel % 2 == 0 else kernel // 2
        self.conv = nn.Conv2d(cin, cout, kernel, stride, pad, groups=groups, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(cout)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x) if self.act else x


class Block(nn.Module):
    """A residual block of two depthwise-separable convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.deep = nn.Sequential(
            Unit(c, c, 5, groups=c, act=False),
            Unit(c, c, 1),
            Unit(c, c, 3, groups=c, act=False),
            Unit(c, c, 1, act=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.deep(x))


class CentreNet(nn.Module):
    """The whole net. Normalisation lives inside it, so that nobody outside can get it wrong."""

    mean: Tensor

    def __init__(self, config: CentreConfig) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        widths = [c // 3, c // 2, c, c * 4 // 3, c * 2]
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)
        self.stem = Unit(3, widths[0], 6, stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(
                Unit(cin, cout, 4, stride=2),
                *(Block(cout) for _ in range(config.depth if level else 0)),
            )
            for level, (cin, cout) in enumerate(itertools.pairwise(widths))
        )
        first = 1 if config.stride == 8 else 0
        self.lateral = nn.ModuleList(Unit(w, c, 1, act=False) for w in widths[first + 1 :])
        self.merged = nn.ModuleList(Block(c) for _ in widths[first + 2 :])
        self.heat = nn.Sequential(Unit(c, c, 3), nn.Conv2d(c, 1, 1))
        self.box = nn.Sequential(Unit(c, c, 3), nn.Conv2d(c, len(MAPS) - 1, 1))
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, Block):
                last = module.deep[-1]
                assert isinstance(last, Unit) and isinstance(last.bn, nn.BatchNorm2d)
                nn.init.zeros_(last.bn.weight)  # a block starts as the identity
        side = math.log(USUAL_SIDE)
        for head, start in ((self.heat, [RARE]), (self.box, [side, side, 0.0, 0.0])):
            predict = head[1]
            assert isinstance(predict, nn.Conv2d) and predict.bias is not None
            nn.init.normal_(predict.weight, std=0.01)
            with torch.no_grad():
                predict.bias[:] = torch.tensor(start)

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

    def logits(self, image: Tensor) -> Tensor:
        """Pictures ``uint8`` or float ``[B, H, W, 3]`` RGB in 0..255 to maps ``[B, 5, h, w]``, heat before its sigmoid."""
        x = image.permute(0, 3, 1, 2).to(self.mean.dtype) / self.config.scale - self.mean
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        seen = []
        for down in self.down:
            x = down(x)
            seen.append(x)
        kept = [lateral(x) for lateral, x in zip(self.lateral, seen[-len(self.lateral) :])]
        x = kept.pop()
        for merged in reversed(self.merged):
            x = merged(F.relu(F.interpolate(x, scale_factor=2.0, mode="nearest") + kept.pop()))
        return torch.cat([self.heat(x), self.box(x)], 1)

    def forward(self, image: Tensor) -> Tensor:
        """Pictures ``uint8 [B, H, W, 3]`` RGB to maps ``[B, 5, h, w]``; see :data:`posewright.models.centres.MAPS`."""
        maps = self.logits(image)
        return torch.cat([maps[:, :1].sigmoid(), maps[:, 1:]], 1)
