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

CONVOLUTIONS = ("Convolution", "GroupConvolution")


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
    quantisation); what draws the maps and
    decodes them stays in float32, see :func:`_kept_in_float`.
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
            ignored_scope=nncf.IgnoredScope(names=_kept_in_float(model), validate=False),
        )


def _kept_in_float(model: Any) -> list[str]:
    """Names of the operations that stay in float32: the convolutions that draw the maps, and what no convolution sees."""
    kept, drawing, before = [], set(), set()
    for op in reversed(model.get_ordered_ops()):
        name, kind = op.get_friendly_name(), op.get_type_name()
        after = [to.get_node() for out in op.outputs() for to in out.get_target_inputs()]
        # A result that is reached with no further convolution on the way, and any convolution that is.
        if kind == "Result" or any(
            n.get_friendly_name() in drawing and n.get_type_name() not in CONVOLUTIONS for n in after
        ):
            drawing.add(name)
        if any(n.get_friendly_name() in before or n.get_type_name() in CONVOLUTIONS for n in after):
            before.add(name)
        if kind in ("Constant", "Parameter", "Result"):
            continue
        if name in drawing if kind in CONVOLUTIONS else name not in before:
            kept.append(name)
    return kept
