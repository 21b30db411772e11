"""The OpenVINO folder: OpenVINO's graph and weights, and posewright's entry beside them."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError
from posewright.export.job import Job
from posewright.runtime.engines.openvino import GRAPH
from posewright.runtime.entries import NAME
from posewright.runtime.modelfile import INPUT


def write(job: Job, path: Path) -> None:
    """Fill a folder with the model of a job."""
    import openvino

    model = openvino.Core().read_model(job.graph.SerializeToString())
    if job.precision == "int8":
        model = _quantised(model, job)
    openvino.save_model(model, path / GRAPH, compress_to_fp16=job.precision == "fp16")
    (path / NAME).write_text(job.info.to_json(), encoding="utf-8")


def _quantised(model: Any, job: Job) -> Any:
    """A graph whose convolutions compute in int8, with ranges seen on the calibration crops (NNCF's post-training
    quantisation); what decodes the maps stays in float32.
    """
    # NNCF reports its use to its makers unless it believes that it is being tested.
    os.environ.setdefault("NNCF_CI", "1")
    try:
        import nncf
    except ModuleNotFoundError:
        what = "--to openvino in int8 needs nncf, which is not installed"
        raise PosewrightError(what, fix="pip install 'posewright[openvino-int8]'") from None
    if job.calibration is None:
        raise PosewrightError("int8 has to see training pictures to be written", fix="Give it some: --data LABELS")
    nncf.set_log_level(logging.ERROR)
    crops = nncf.Dataset([crop[None] for crop in job.calibration], lambda crop: {INPUT: crop})
    with contextlib.redirect_stdout(io.StringIO()):
        return nncf.quantize(
            model,
            crops,
            # Activations are not symmetric about 0 everywhere: the stages add maps to features.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(job.calibration),
            ignored_scope=nncf.IgnoredScope(names=_behind_convolutions(model), validate=False),
        )


def _behind_convolutions(model: Any) -> list[str]:
    """Names of the operations whose results no convolution sees: the decoder and all that is told of a point."""
    seen: set[str] = set()
    behind = []
    for op in reversed(model.get_ordered_ops()):
        convolves = op.get_type_name() in ("Convolution", "GroupConvolution")
        if convolves or any(to.get_node().get_friendly_name() in seen for out in op.outputs() for to in out.get_target_inputs()):
            seen.add(op.get_friendly_name())
        elif op.get_type_name() not in ("Constant", "Parameter", "Result"):
            behind.append(op.get_friendly_name())
    return behind
