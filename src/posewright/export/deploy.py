"""The net as it is shipped: pictures in, decoded keypoints and presence out, nothing left for a caller to get wrong."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from posewright.models.checkpoint import Checkpoint
from posewright.models.heatmaps import decode

OUTPUTS = ("keypoints", "presence", "heatmaps")
"""Names of the outputs, in order."""


class DeployedNet(nn.Module):
    """A checkpoint's net with decoding and presence behind it, its batch norms folded where that is possible.

    The checkpoint's own net is left as it was.

    Args:
        checkpoint: the trained net and its presence curve.
        fuse: fold batch norms into convolutions.
    """

    presence: Tensor

    def __init__(self, checkpoint: Checkpoint, fuse: bool = True) -> None:
        super().__init__()
        self.net = copy.deepcopy(checkpoint.net).cpu().float().eval()
        if fuse:
            self.net.fuse()
        self.register_buffer("presence", torch.tensor(checkpoint.presence, dtype=torch.float32))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Crops to what the model file returns.

        Args:
            image: ``uint8 [B, H, W, 3]`` RGB.

        Returns:
            ``keypoints [B, K, 3]``: x, y in crop pixels and the height of the peak; ``presence [B]`` in 0..1; ``heatmaps
            [B, S, C, h, w]`` of all stages.
        """
        maps = self.net(image)
        keypoints = decode(maps[:, -1, : self.net.keypoints], self.net.config.stride)
        presence = torch.sigmoid(self.presence[0] * keypoints[..., 2].mean(1) + self.presence[1])
        return keypoints, presence, maps
