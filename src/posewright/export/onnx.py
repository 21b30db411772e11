"""The ONNX model file."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from posewright.console import hushed
from posewright.export.job import Job
from posewright.export.parity import Run, loss_on
from posewright.runtime.entries import ENTRY
from posewright.runtime.modelfile import INPUT, ModelInfo

if TYPE_CHECKING:
    import onnx

OPSET = 18
NOISY = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")


def write(job: Job, path: Path) -> None:
    """Write the model file of a job."""
    model = job.graph
    if job.precision == "fp16":
        from posewright.export.half import halved

        model = halved(model)
    elif job.precision == "int8":
        from posewright.export.quantize import quantised

        assert job.seen is not None
        loss = loss_on(job.net, job.seen)
        found = quantised(model, job.seen.crops, lambda graph: loss(running(graph)), job.aim)
        model = found.file
        job.notes.append(found.sentence())
    describe(model, job.info)
    path.write_bytes(model.SerializeToString())


def running(model: onnx.ModelProto) -> Run:
    """Runs a graph that lies in no file, as an engine would."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised as well
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    size = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value  # 0 where any

    def run(crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        filled = np.resize(crops, (size, *crops.shape[1:])) if size > len(crops) else crops
        return [array[: len(crops)] for array in session.run(list(outputs), {INPUT: filled})]

    return run


def graph_of(
    net: torch.nn.Module, size: tuple[int, int], outputs: Sequence[str], info: ModelInfo, batch: int | None = None
) -> onnx.ModelProto:
    """The graph of a net that takes ``image``, ``uint8 [B, H, W, 3]`` of ``size`` = (width, height), with what the model
    file says of itself, and without what only the exporting machine would understand.

    Args:
        batch: the one batch size that it takes; any where None.
    """
    import onnx

    width, height = size
    example = torch.zeros(batch or 2, height, width, 3, dtype=torch.uint8)
    free = {"image": {0: torch.export.Dim("batch", min=1, max=4096)}} if batch is None else None
    # The exporter also reports its own progress on stdout.
    with hushed(*NOISY), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        program = torch.onnx.export(
            net,
            (example,),
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_shapes=free,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    describe(model, info)
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    for node in model.graph.node:
        # Stack traces of the exporting machine: paths that mean nothing elsewhere.
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model)
    return model


def describe(model: onnx.ModelProto, info: ModelInfo) -> None:
    """Put posewright's entry into a graph, in the place of all others."""
    import onnx

    del model.metadata_props[:]
    model.metadata_props.append(onnx.StringStringEntryProto(key=ENTRY, value=info.to_json()))
