"""The OpenVINO folder: OpenVINO's graph and weights, and posewright's entry beside them."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError
from posewright.export.job import Job
from posewright.export.sensitive import search_on_file
from posewright.runtime.engines.openvino import GRAPH
from posewright.runtime.entries import NAME
from posewright.runtime.formats import FORMATS
from posewright.runtime.modelfile import INPUT

CONVOLUTIONS = ("Convolution", "GroupConvolution")


def write(job: Job, path: Path) -> None:
    """Fill a folder with the model of a job."""
    import openvino

    def save(model: Any, folder: Path) -> None:
        openvino.save_model(model, folder / GRAPH, compress_to_fp16=job.precision == "fp16")
        (folder / NAME).write_text(job.info.to_json(), encoding="utf-8")

    def read() -> Any:
        return openvino.Core().read_model(job.graph.SerializeToString())

    if job.precision == "int8":
        model = search_on_file(job, FORMATS["openvino"], lambda kept: _quantised(read(), job, kept), save)
    else:
        model = read()
    save(model, path)


def _quantised(model: Any, job: Job, kept: Collection[str]) -> Any:
    """A graph whose convolutions compute in int8, with ranges seen on the calibration crops (NNCF's post-training
    quantisation), but for some by their names in the net. What draws the maps and decodes them stays in float32, see
    :func:`_kept_in_float`.
    """
    # NNCF reports its use to its makers unless it believes that it is being tested.
    os.environ.setdefault("NNCF_CI", "1")
    try:
        import nncf
    except ModuleNotFoundError:
        what = "--to openvino in int8 needs nncf, which is not installed"
        raise PosewrightError(what, fix="pip install 'posewright[openvino-int8]'") from None
    assert job.calibration is not None
    nncf.set_log_level(logging.ERROR)
    crops = nncf.Dataset([crop[None] for crop in job.calibration], lambda crop: {INPUT: crop})
    with contextlib.redirect_stdout(io.StringIO()):
        return nncf.quantize(
            model,
            crops,
            # Activations are not symmetric about 0 everywhere: the stages add maps to features.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(job.calibration),
            ignored_scope=nncf.IgnoredScope(names=[*_kept_in_float(model), *_called(model, kept)], validate=False),
        )


def _called(model: Any, layers: Collection[str]) -> list[str]:
    """Names of the convolutions whose weights are those of some layers of the net."""
    found = []
    for op in model.get_ordered_ops():
        if op.get_type_name() in CONVOLUTIONS:
            weights = op.input_value(1).get_node()
            while weights.get_type_name() != "Constant":  # reshaped, or stored in another precision
                weights = weights.input_value(0).get_node()
            if weights.get_friendly_name().removesuffix(".weight") in layers:
                found.append(op.get_friendly_name())
    return found


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
