"""One export: what is to be written, for every target the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from posewright.export.deploy import DeployedNet, Wanted
from posewright.export.info import model_info
from posewright.export.parity import CheckSet
from posewright.models.checkpoint import Checkpoint
from posewright.runtime.modelfile import ModelInfo

if TYPE_CHECKING:
    import onnx

PRECISIONS = ("fp32", "fp16", "int8", "int8-dynamic")
AIM = 0.005
"""Share of right keypoints that int8 may lose before layers are left in a higher precision."""


@dataclass(frozen=True)
class Job:
    """What a target writes.

    Attributes:
        net: takes ``image``, ``uint8 [B, H, W, 3]``, returns what ``info.outputs`` names; float32, on the processor.
        info: what the file says of itself.
        precision: one of :data:`PRECISIONS`.
        seen: crops like those it was trained on, with their labels where there are any, to see the ranges of its values and what
            coarser ones cost; None where there are none.
        batch: the one batch size of the file, for targets that need one; None for any.
        aim: share of right keypoints that may be lost on ``seen`` before layers are left in a higher precision.
        notes: what there is to say about how it was written, one sentence each; the target adds to it.
    """

    net: DeployedNet
    info: ModelInfo
    precision: str = "fp32"
    seen: CheckSet | None = None
    batch: int | None = None
    aim: float = AIM
    notes: list[str] = field(default_factory=list)

    @property
    def calibration(self) -> NDArray[np.uint8] | None:
        """The crops of ``seen``, ``uint8 [N, H, W, 3]``."""
        return None if self.seen is None else self.seen.crops

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the input."""
        return self.info.input_size

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.info.outputs

    @cached_property
    def graph(self) -> onnx.ModelProto:
        """The net as an ONNX graph in float32, made once; what changes it takes a copy."""
        from posewright.export.onnx import graph_of

        return graph_of(self.net, self.size, self.outputs, self.info, self.batch)


def make_job(
    checkpoint: Checkpoint,
    precision: str = "fp32",
    wanted: Wanted = "all",
    *,
    flip: bool = False,
    seen: CheckSet | None = None,
    batch: int | None = None,
    aim: float = AIM,
) -> Job:
    """The job of writing a checkpoint's model file; the checkpoint is left as it was."""
    net = DeployedNet(checkpoint, wanted=wanted, flip=flip).eval()
    return Job(net, model_info(checkpoint, net.outputs, precision, flip), precision, seen, batch, aim)
