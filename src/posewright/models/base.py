"""What all nets share: pictures in as they are stored, heat maps of every stage out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from posewright.errors import PosewrightError
from posewright.models.presets import NetConfig


class HeatmapNet(nn.Module):
    """A net that turns crops into heat maps, one for each keypoint, at every one of its stages.

    A family implements :meth:`stage_maps`. Normalisation lives here, inside the net, so that nobody outside can get it
    wrong.
    """

    mean: Tensor

    def __init__(self, config: NetConfig, keypoints: int) -> None:
        super().__init__()
        self.config = config
        self.keypoints = keypoints
        self.maps = keypoints + int(config.background)
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)

    def stage_maps(self, x: Tensor) -> list[Tensor]:
        """Normalised crops ``[B, 3, H, W]`` to one ``[B, C, h, w]`` a stage, before the activation."""
        raise NotImplementedError

    def fuse(self) -> None:
        """Fold batch norms into convolutions where the order of layers allows; in place, for a net in eval mode."""

    def check_size(self, height: int, width: int) -> None:
        """Raise a PosewrightError where the net cannot take crops of this size."""
        m = self.config.multiple
        if height % m or width % m or min(height, width) < m:
            near = [max(m, round(v / m) * m) for v in (height, width)]
            raise PosewrightError(
                f"input size {height}x{width} does not fit the net",
                fix=f"Use multiples of {m}, such as {near[0]}x{near[1]}",
            )

    def logits(self, image: Tensor) -> Tensor:
        """Maps before the activation: ``uint8`` or float ``[B, H, W, 3]`` RGB in 0..255 to ``[B, S, C, h, w]``."""
        x = image.permute(0, 3, 1, 2).to(self.mean.dtype) / 255.0 - self.mean
        return torch.stack(self.stage_maps(x.contiguous(memory_format=torch.channels_last)), dim=1)

    def activate(self, logits: Tensor) -> Tensor:
        """The net's activation applied to :meth:`logits`."""
        return logits.sigmoid() if self.config.activation == "sigmoid" else logits

    def forward(self, image: Tensor) -> Tensor:
        """Crops ``uint8 [B, H, W, 3]`` RGB to heat maps ``[B, S, C, h, w]`` of all S stages.

        C is the number of keypoints, plus one where the net has a background channel, which is last.
        """
        return self.activate(self.logits(image))
