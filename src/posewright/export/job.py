"""One export: what is to be written, for every target the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posewright.export.deploy import DeployedNet, Wanted
from posewright.export.info import model_info
from posewright.models.checkpoint import Checkpoint
from posewright.runtime.modelfile import ModelInfo

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Job:
    """What a target writes.

    Attributes:
        net: takes ``image``, ``uint8 [B, H, W, 3]``, returns what ``info.outputs`` names; float32, on the processor.
        info: what the file says of itself.
        precision: one of :data:`PRECISIONS`.
        calibration: ``uint8 [N, H, W, 3]``, crops like those it was trained on, to see the ranges of its values; None where
            there are none.
        batch: the one batch size of the file, for targets that need one; None for any.
    """

    net: DeployedNet
    info: ModelInfo
    precision: str = "fp32"
    calibration: NDArray[np.uint8] | None = None
    batch: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the input."""
        return self.info.input_size

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.info.outputs


def make_job(
    checkpoint: Checkpoint,
    precision: str = "fp32",
    wanted: Wanted = "all",
    *,
    flip: bool = False,
    calibration: NDArray[np.uint8] | None = None,
    batch: int | None = None,
) -> Job:
    """The job of writing a checkpoint's model file; the checkpoint is left as it was."""
    net = DeployedNet(checkpoint, wanted=wanted, flip=flip).eval()
    return Job(net, model_info(checkpoint, net.outputs, precision, flip), precision, calibration, batch)
