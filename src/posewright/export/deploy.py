"""The net as it is shipped: pictures in, decoded keypoints and presence out, nothing left for a caller to get wrong."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from posewright.models.checkpoint import Checkpoint
from posewright.models.peaks import covariance, map_spread, peak_cells, read_maps
from posewright.score import EDGE

OUTPUTS = ("keypoints", "presence", "heatmaps")
"""Names of the outputs that every net has, in order."""

Wanted = Literal["all", "keypoints", "heatmaps"]
"""What a model file is to return: everything; everything but the maps; or the maps alone, undecoded."""


def outputs_of(checkpoint: Checkpoint, wanted: Wanted = "all") -> tuple[str, ...]:
    """Names of the outputs of a checkpoint's model file, in order: ``OUTPUTS``, then what it was trained to tell besides."""
    if wanted == "heatmaps":
        return ("heatmaps",)
    more = {"covariance": checkpoint.covariance is not None, "visibility": checkpoint.net.config.visibility}
    every = (*OUTPUTS, *(name for name, there in more.items() if there))
    return tuple(name for name in every if wanted == "all" or name != "heatmaps")


class DeployedNet(nn.Module):
    """A checkpoint's net with decoding and all that is told about a point behind it, its batch norms folded where that is
    possible.

    The checkpoint's own net is left as it was.

    Args:
        checkpoint: the trained net and what was fitted to it.
        fuse: fold batch norms into convolutions.
        wanted: what it returns.
        flip: average each crop's maps with those of its mirror image, as the runtime's flip averaging does.

    Attributes:
        outputs: names of what :meth:`forward` returns.
    """

    presence: Tensor
    level: Tensor
    offset: Tensor
    mirror: Tensor

    def __init__(self, checkpoint: Checkpoint, fuse: bool = True, wanted: Wanted = "all", flip: bool = False) -> None:
        super().__init__()
        self.outputs, self.flip = outputs_of(checkpoint, wanted), flip
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
        order = checkpoint.skeleton.flip_order()
        background = [len(order)] if self.net.config.background else []
        self.register_buffer("mirror", torch.tensor([*order, *background], dtype=torch.int64))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Crops to what the model file returns.

        Args:
            image: ``uint8 [B, H, W, 3]`` RGB.

        Returns:
            Those named in ``outputs``: ``keypoints [B, K, 3]``: x, y in crop pixels and the score, which is the height of
            the peak, or what the checkpoint's curve makes of it; ``presence [B]`` in 0..1; ``heatmaps [B, S, C, h, w]`` of
            all stages; and where the checkpoint has them ``covariance [B, K, 3]`` (xx, xy, yy) in crop pixels^2 and
            ``visibility [B, K]`` in 0..1.
        """
        found = self.found(image)
        return tuple(found[name] for name in self.outputs)

    def found(self, image: Tensor) -> dict[str, Tensor]:
        """What :meth:`forward` returns, by name, and the maps whatever is to be returned."""
        found = self._seen(image)
        if self.flip:
            found = self._both(found, self._seen(image.flip(2)))
        if "keypoints" in found:
            found["keypoints"] = self.scored(found["keypoints"])
        return found

    def _seen(self, image: Tensor) -> dict[str, Tensor]:
        """What is seen in crops, by name, scores as the peaks' heights; the maps always."""
        logits, visibility = self.net.outputs(image)
        maps = self.net.activate(logits)
        found = {"heatmaps": maps}
        if self.outputs == ("heatmaps",):
            return found
        config, last = self.net.config, maps[:, -1, : self.net.keypoints]
        keypoints = self.net.points(last)
        found["keypoints"] = keypoints
        found["presence"] = torch.sigmoid(self.presence[0] * keypoints[..., 2].mean(1) + self.presence[1])
        if self.fitted is None and visibility is None:
            return found
        cells = peak_cells(last, keypoints[..., :2], config)
        if self.fitted is not None:
            spread, score = map_spread(last, cells), keypoints[..., 2]
            found["covariance"] = covariance(
                spread, score, config.stride, self.level, self.fitted.score, self.fitted.spread
            )
        if visibility is not None:
            found["visibility"] = torch.sigmoid(read_maps(visibility[:, -1], cells))
        return found

    def _both(self, found: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
        """The mean of what was seen in a crop and in its mirror image, keypoints decoded anew from the averaged maps."""
        points = self.mirror[: self.net.keypoints]
        back = other["heatmaps"].flip(4)[:, :, self.mirror]
        # Mirrored, a peak that lies to the right of the truth lies to the left of it.
        other["heatmaps"] = _moved_right(back, 2 * self.net.config.label_shift[0])
        if "visibility" in other:
            other["visibility"] = other["visibility"][:, points]
        if "covariance" in other:
            other["covariance"] = other["covariance"][:, points] * torch.tensor([1.0, -1.0, 1.0])
        both = {name: (found[name] + other[name]) / 2 for name in found if name != "keypoints"}
        if "keypoints" in found:
            both["keypoints"] = self.net.points(both["heatmaps"][:, -1, : self.net.keypoints])
        return both

    def scored(self, keypoints: Tensor) -> Tensor:
        """Keypoints ``[B, K, 3]`` with scores in the place of heights: the formula of :mod:`posewright.score`."""
        if self.curve is None:
            return keypoints
        height = keypoints[..., 2].clamp(EDGE, 1 - EDGE)
        score = torch.sigmoid(self.curve.rise * height.log() - self.curve.fall * (1 - height).log() + self.offset)
        return torch.cat([keypoints[..., :2], score[..., None]], -1)


def _moved_right(maps: Tensor, cells: float) -> Tensor:
    """Maps ``[..., w]`` moved right by ``cells``, linear between cells; the edge stays what it was beyond it."""
    if cells == 0:
        return maps
    width = maps.shape[-1]
    at = (torch.arange(width) - cells).clamp(0, width - 1)
    low = at.floor().long()
    share = at - low
    return maps[..., low] * (1 - share) + maps[..., (low + 1).clamp(max=width - 1)] * share
