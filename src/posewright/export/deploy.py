"""The net as it is shipped: pictures in, decoded keypoints and presence out, nothing left for a caller to get wrong."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from posewright.models.checkpoint import Checkpoint
from posewright.models.peaks import covariance, map_spread, peak_cells, read_maps
from posewright.score import EDGE

OUTPUTS = ("keypoints", "presence", "heatmaps")
"""Names of the outputs that every net has, in order."""


def outputs_of(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Names of the outputs of a checkpoint's model file, in order: ``OUTPUTS``, then what it was trained to tell besides."""
    more = {"covariance": checkpoint.covariance is not None, "visibility": checkpoint.net.config.visibility}
    return (*OUTPUTS, *(name for name, there in more.items() if there))


class DeployedNet(nn.Module):
    """A checkpoint's net with decoding and all that is told about a point behind it, its batch norms folded where that is
    possible.

    The checkpoint's own net is left as it was.

    Args:
        checkpoint: the trained net and what was fitted to it.
        fuse: fold batch norms into convolutions.

    Attributes:
        outputs: names of what :meth:`forward` returns.
    """

    presence: Tensor
    level: Tensor
    offset: Tensor

    def __init__(self, checkpoint: Checkpoint, fuse: bool = True) -> None:
        super().__init__()
        self.outputs = outputs_of(checkpoint)
        self.net = copy.deepcopy(checkpoint.net).cpu().float().eval()
        if fuse:
            self.net.fuse()
        self.fitted = checkpoint.covariance
        self.register_buffer("presence", torch.tensor(checkpoint.presence, dtype=torch.float32))
        level = self.fitted.level if self.fitted else (0.0,) * self.net.keypoints
        self.register_buffer("level", torch.tensor(level, dtype=torch.float32))
        self.curve = checkpoint.score_curve
        offset = self.curve.offset if self.curve else (0.0,) * self.net.keypoints
        self.register_buffer("offset", torch.tensor(offset, dtype=torch.float32))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Crops to what the model file returns.

        Args:
            image: ``uint8 [B, H, W, 3]`` RGB.

        Returns:
            ``keypoints [B, K, 3]``: x, y in crop pixels and the score, which is the height of the peak, or what the
            checkpoint's curve makes of it; ``presence [B]`` in 0..1; ``heatmaps
            [B, S, C, h, w]`` of all stages; and where the checkpoint has them ``covariance [B, K, 3]`` (xx, xy, yy) in
            crop pixels^2 and ``visibility [B, K]`` in 0..1.
        """
        logits, visibility = self.net.outputs(image)
        maps = self.net.activate(logits)
        config, last = self.net.config, maps[:, -1, : self.net.keypoints]
        keypoints = self.net.points(last)
        presence = torch.sigmoid(self.presence[0] * keypoints[..., 2].mean(1) + self.presence[1])
        found = [self.scored(keypoints), presence, maps]
        if self.fitted is None and visibility is None:
            return tuple(found)
        cells = peak_cells(last, keypoints[..., :2], config)
        if self.fitted is not None:
            spread, score = map_spread(last, cells), keypoints[..., 2]
            found.append(covariance(spread, score, config.stride, self.level, self.fitted.score, self.fitted.spread))
        if visibility is not None:
            found.append(torch.sigmoid(read_maps(visibility[:, -1], cells)))
        return tuple(found)

    def scored(self, keypoints: Tensor) -> Tensor:
        """Keypoints ``[B, K, 3]`` with scores in the place of heights: the formula of :mod:`posewright.score`."""
        if self.curve is None:
            return keypoints
        height = keypoints[..., 2].clamp(EDGE, 1 - EDGE)
        score = torch.sigmoid(self.curve.rise * height.log() - self.curve.fall * (1 - height).log() + self.offset)
        return torch.cat([keypoints[..., :2], score[..., None]], -1)
