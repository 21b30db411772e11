"""What all nets share: pictures in as they are stored, heat maps of every stage out."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from posewright.errors import PosewrightError
from posewright.models.heatmaps import WINDOW, decode
from posewright.models.presets import NetConfig

EMPTY_LOGIT = -4.6
"""Where a sigmoid net's maps start, at 0.01 everywhere: nearly every cell of a target is empty."""
LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""


class HeatmapNet(nn.Module):
    """A net that turns crops into heat maps, one for each keypoint, at every one of its stages.

    A family implements :meth:`stage_maps`. Normalisation and order of the channels live here, inside the net, so that
    nobody outside can get them wrong.
    """

    parts: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Names a person can freeze parts by, and the modules each stands for. Every family has "trunk", what lies before its
    first stage, and "stages", all the rest, and adds names of its own."""
    mean: Tensor
    luma: Tensor

    def __init__(self, config: NetConfig, keypoints: int) -> None:
        super().__init__()
        self.config = config
        self.keypoints = keypoints
        self.maps = keypoints + int(config.background)
        self.head_channels = self.maps + (keypoints if config.visibility else 0)
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def stage_maps(self, x: Tensor) -> list[Tensor]:
        """What :meth:`pixels` returns to one ``[B, head_channels, h, w]`` a stage, before the activation.

        The channels are the ``maps`` heat maps and, where the net has visibility, one more for each keypoint.
        """
        raise NotImplementedError

    def predictors(self) -> list[nn.Conv2d]:
        """The layer of each stage that predicts its ``head_channels`` channels."""
        raise NotImplementedError

    def merge(self) -> None:
        """Compute as one layer from now on what :meth:`fuse` makes one, apart from batch norms; trained, it stays several."""

    def fuse(self) -> None:
        """Fold batch norms into convolutions where the order of layers allows; in place, for a net in eval mode."""

    def check_size(self, height: int, width: int) -> None:
        """Raise a PosewrightError where the net cannot take crops of this size."""
        m = self.config.multiple
        # Maps are decoded in windows, and a smaller map has no room for one.
        least = max(m, -(-WINDOW * self.config.stride // m) * m)
        if height % m or width % m or min(height, width) < least:
            near = [max(least, round(v / m) * m) for v in (height, width)]
            raise PosewrightError(
                f"input size {height}x{width} does not fit the net",
                fix=f"Use multiples of {m}, such as {near[0]}x{near[1]}",
            )

    def pixels(self, image: Tensor) -> Tensor:
        """Crops ``[B, H, W, 3]`` RGB in 0..255 to what the first layer sees: ``[B, config.in_channels, H, W]``."""
        x = image.permute(0, 3, 1, 2).to(self.mean.dtype) / self.config.scale - self.mean
        if self.config.colour == "bgr":
            x = x.flip(1)
        elif self.config.colour == "grey":
            x = (x * self.luma).sum(1, keepdim=True)
        return x.contiguous(memory_format=torch.channels_last)

    def outputs(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """All that the net computes, before any activation.

        Args:
            image: ``uint8`` or float ``[B, H, W, 3]`` RGB in 0..255.

        Returns:
            The heat maps ``[B, S, C, h, w]``; and, where the net has visibility, maps ``[B, S, K, h, w]`` whose value at
            a keypoint's place is the logit that it can be seen, else None.
        """
        stages = torch.stack(self.stage_maps(self.pixels(image)), dim=1)
        return stages[:, :, : self.maps], stages[:, :, self.maps :] if self.config.visibility else None

    def logits(self, image: Tensor) -> Tensor:
        """Heat maps before the activation: ``uint8`` or float ``[B, H, W, 3]`` RGB in 0..255 to ``[B, S, C, h, w]``."""
        return self.outputs(image)[0]

    def activate(self, logits: Tensor) -> Tensor:
        """The net's activation applied to :meth:`logits`."""
        if self.config.activation == "sigmoid":
            return logits.sigmoid()
        return logits.relu() if self.config.activation == "relu" else logits

    def points(self, maps: Tensor) -> Tensor:
        """Keypoints ``[B, K, 3]`` (x, y, score) in crop pixels of one stage's maps ``[B, K, h, w]`` after the activation,
        as this net's stride, label shift and decoding have it."""
        return decode(maps, self.config.stride, self.config.label_shift, self.config.decoding)

    def start_predictors(self) -> None:
        """Let every stage's last layer start from what most targets are: empty keypoint maps, a full background."""
        # A ReLU's maps start above zero, since none of their cells would learn from below.
        empty, full = {"sigmoid": (EMPTY_LOGIT, -EMPTY_LOGIT), "relu": (0.02, 1.0), "linear": (0.0, 1.0)}[
            self.config.activation
        ]
        for predict in self.predictors():
            assert predict.bias is not None
            nn.init.normal_(predict.weight, std=0.01)
            nn.init.zeros_(predict.bias)
            with torch.no_grad():
                predict.bias[: self.keypoints] = empty
                predict.bias[self.keypoints : self.maps] = full

    def forward(self, image: Tensor) -> Tensor:
        """Crops ``uint8 [B, H, W, 3]`` RGB to heat maps ``[B, S, C, h, w]`` of all S stages.

        C is the number of keypoints, plus one where the net has a background channel, which is last.
        """
        return self.activate(self.logits(image))
