"""A checkpoint run as it was trained, unfused and by torch: what every exported file is held against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from posewright.export.deploy import DeployedNet
from posewright.export.info import model_info
from posewright.models.checkpoint import Checkpoint, load_checkpoint
from posewright.models.devices import choose_device
from posewright.runtime.predictor import Predictor


class TorchEngine:
    """Runs a checkpoint's own net in float32; to a :class:`Predictor` what an ``OnnxEngine`` is."""

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, path: Path, device: str = "auto") -> None:
        self.device = choose_device(device)
        self.path = path
        self.info = model_info(checkpoint)
        self._net = DeployedNet(checkpoint, fuse=False).to(self.device)

    def run(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Run the net on crops ``uint8 [B, H, W, 3]``; the named outputs in the order asked for."""
        with torch.inference_mode():
            found = self._net(torch.from_numpy(np.ascontiguousarray(crops)).to(self.device))
        by_name = dict(zip(self._net.outputs, found, strict=True))
        return [by_name[name].float().cpu().numpy() for name in outputs]


def checkpoint_predictor(path: str | Path, device: str = "auto") -> Predictor:
    """A predictor that runs a checkpoint's unfused net; used like what :func:`posewright.load` returns."""
    return Predictor(TorchEngine(load_checkpoint(path), Path(path), device))
