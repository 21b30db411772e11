"""A locator's model file: boxes decoded inside the graph, checked against the net before it is put in its place."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from posewright.errors import PosewrightError
from posewright.export.half import halved
from posewright.export.info import trained_on
from posewright.export.onnx import describe, graph_of
from posewright.export.parity import smooth_crops
from posewright.files import whole_file
from posewright.models.centres import decode_boxes
from posewright.models.locator_checkpoint import LocatorCheckpoint
from posewright.runtime.modelfile import INPUT, ModelInfo

TOLERANCE, TOLERANCE_SCORE = 0.01, 1e-3
"""How far the sides of a box may lie from the net's, as a share of its longer side, and how far its score may be off."""
LEAST = 1e-3
"""Boxes with lower scores are not compared."""
SHAKEN, SETTLED = 1e-4, 1e-3
"""By how much a heat map is changed to see which of its peaks are settled, and how far their boxes may move then."""


class DeployedLocator(nn.Module):
    """A locator's net with decoding behind it, its batch norms folded; the checkpoint's own net is left as it was."""

    def __init__(self, checkpoint: LocatorCheckpoint) -> None:
        super().__init__()
        self.net = copy.deepcopy(checkpoint.net).cpu().float().eval()
        self.net.fuse()
        width, height = checkpoint.rule.size
        stride = self.net.config.stride
        self.most = min(checkpoint.most, (width // stride) * (height // stride))

    def forward(self, image: Tensor) -> Tensor:
        """Pictures ``uint8 [B, H, W, 3]`` RGB to ``boxes [B, N, 5]``: x0, y0, x1, y1 in pixels of the input and score, best
        first; boxes that stand for nothing have a score of 0."""
        return decode_boxes(self.net(image), self.net.config.stride, self.most)


def locator_info(checkpoint: LocatorCheckpoint) -> ModelInfo:
    """What the model file of a locator says about itself."""
    return ModelInfo(
        skeleton=checkpoint.skeleton,
        crop=checkpoint.rule,
        stride=checkpoint.net.config.stride,
        preset=checkpoint.preset,
        outputs=("boxes",),
        kind="locator",
        training_data=trained_on(checkpoint.training),
        metrics=checkpoint.metrics,
        terms=checkpoint.terms,
        threshold=checkpoint.threshold,
    )


def export_locator(
    checkpoint: LocatorCheckpoint, path: str | Path, pictures: np.ndarray | None = None, *, half: bool = False
) -> float:
    """Write a locator's model file.

    Args:
        checkpoint: the trained net and what belongs to it; left as it was.
        path: where to write; an existing file is replaced once the new one has passed.
        pictures: ``uint8 [N, H, W, 3]`` of the input's size on which file and net are compared; smooth random ones unless
            given.
        half: store the weights in half precision, see :mod:`posewright.export.half`.

    Returns:
        The largest distance between a side of the file's boxes and of the net's, as a share of the box's longer side.

    Raises:
        PosewrightError: where that is more than ``TOLERANCE``, or scores are off by more than ``TOLERANCE_SCORE``.
    """
    net = DeployedLocator(checkpoint).eval()
    width, height = checkpoint.rule.size
    info = locator_info(checkpoint)
    model = graph_of(net, (width, height), ("boxes",), info)
    if half:
        model = halved(model)
        describe(model, replace(info, precision="fp16"))
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        off, score = compare_boxes(net, temporary, smooth_crops(height, width) if pictures is None else pictures)
        # Asked this way round, figures that are no numbers do not pass.
        if not off <= TOLERANCE or not score <= TOLERANCE_SCORE:
            what = f"the exported file's boxes are off by {off:.4f} of their side, their scores by {score:.4f}"
            raise PosewrightError(what, file=path)
    return off


def compare_boxes(net: DeployedLocator, path: Path, pictures: np.ndarray) -> tuple[float, float]:
    """Run net and model file on the same pictures; the largest difference of sides, as a share of the box's longer side, and
    of scores.

    Boxes are paired by their place, since two of nearly the same score may change places in the order. Those are left out
    that stand on a heat map so flat that a change by ``SHAKEN`` puts their peak into another cell; the best score always
    counts.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    generator, off, score = torch.Generator().manual_seed(0), 0.0, 0.0
    for picture in pictures:
        with torch.no_grad():
            maps = net.net(torch.from_numpy(picture[None]))
            noise = SHAKEN * (2 * torch.rand(maps[:, :1].shape, generator=generator) - 1)
            shaken = torch.cat([maps[:, :1] + noise, maps[:, 1:]], 1)
            true, moved = (decode_boxes(m, net.net.config.stride, net.most)[0].double().numpy() for m in (maps, shaken))
        got = session.run(["boxes"], {INPUT: picture[None]})[0][0].astype(float)
        score = float(np.maximum(score, abs(got[0, 4] - true[0, 4])))
        for box in true[true[:, 4] > LEAST]:
            if _distance(moved, box)[0] > SETTLED:
                continue
            apart, nearest = _distance(got, box)
            off = float(np.maximum(off, apart))
            score = float(np.maximum(score, abs(got[nearest, 4] - box[4])))
    return off, score


def _distance(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> tuple[float, int]:
    """How far the sides of the nearest of some boxes lie from those of one, as a share of its longer side; and which it is."""
    apart = np.abs(boxes[:, :4] - box[:4]).max(1)
    nearest = int(apart.argmin())
    return float(apart[nearest] / max(box[2] - box[0], box[3] - box[1])), nearest
