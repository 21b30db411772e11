"""The Core ML package, for Apple's devices: converted here, run nowhere but there.

Core ML takes pictures, not arrays of bytes, so that its ``image`` is an RGB picture of the input's size; the outputs are those
of every other model file.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posewright.console import hushed
from posewright.export.job import Job
from posewright.runtime.entries import ENTRY, NAME
from posewright.runtime.modelfile import INPUT

NOISY = ("coremltools",)


class _FromPicture(nn.Module):
    """The net with its input as Core ML hands a picture over: ``[1, 3, H, W]``, RGB, 0..255."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = self.net(image.permute(0, 2, 3, 1))
        return found


def write(job: Job, path: Path) -> None:
    """Write the package of a job into an empty folder."""
    import coremltools as ct

    _whole_numbered_gather()
    width, height = job.size
    shape = (1, 3, height, width)
    single, half = ct.precision.FLOAT32, ct.precision.FLOAT16
    with hushed(*NOISY), contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
        traced = torch.jit.trace(_FromPicture(job.net).eval(), (torch.zeros(shape),), check_trace=False)
        model = ct.convert(
            traced,
            inputs=[ct.ImageType(name=INPUT, shape=shape, color_layout=ct.colorlayout.RGB)],
            outputs=[ct.TensorType(name=name) for name in job.outputs],
            minimum_deployment_target=ct.target.iOS16,
            compute_precision=half if job.precision == "fp16" else single,
            skip_model_load=True,
        )
        text = job.info.to_json()
        model.user_defined_metadata[ENTRY] = text
        model.save(str(path))
    (path / NAME).write_text(text, encoding="utf-8")


def _whole_numbered_gather() -> None:
    """Make the converter's ``gather`` cast its indices: clamped ones have become fractions on the way."""
    from coremltools.converters.mil import Builder, register_torch_op
    from coremltools.converters.mil.frontend.torch.ops import _get_inputs

    def gather(context: Any, node: Any) -> None:
        x, axis, indices = _get_inputs(context, node)[:3]
        whole = Builder.cast(x=indices, dtype="int32")
        context.add(Builder.gather_along_axis(x=x, indices=whole, axis=axis.val, name=node.name))

    register_torch_op(gather, override=True)
