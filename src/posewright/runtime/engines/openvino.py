"""Running a model file with OpenVINO: its own folders, and ONNX files.

On processors that have bfloat16 OpenVINO computes in it by itself, from the first convolution to the last; what decodes the
maps stays in single precision. That is faster and moves keypoints a little; ``exact`` asks for single precision throughout.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError, did_you_mean
from posewright.runtime.engines.base import Engine, first_line
from posewright.runtime.entries import AGAIN
from posewright.runtime.graph import refuse_references
from posewright.runtime.modelfile import INPUT

GRAPH, WEIGHTS = "model.xml", "model.bin"
"""The two files that a folder holds besides its entry."""

DEVICES = ("cpu", "gpu", "npu")
"""What OpenVINO may run on; of several GPUs each has a number, "gpu.1". Only the processor is tested."""

SHORT = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}
"""OpenVINO's names of what it computes in, and those here."""


class OpenVinoEngine(Engine):
    """A model file loaded by OpenVINO; "auto" is a GPU where OpenVINO finds one, else the processor."""

    name = "openvino"

    def _open(self, device: str, threads: int | None) -> None:
        import openvino

        core = openvino.Core()
        model = self._read(core)
        shape = model.inputs[0].partial_shape if len(model.inputs) == 1 else None
        free = [] if shape is None or shape.rank.is_dynamic else [-1 if d.is_dynamic else d.get_length() for d in shape]
        name = model.inputs[0].any_name if free else ""
        outputs = {each for output in model.outputs for each in output.names}
        self._check(name, free, bool(free) and model.inputs[0].element_type == openvino.Type.u8, sorted(outputs))
        self.device = _device(device, [str(d).lower() for d in core.available_devices])
        if self.device.startswith("npu") and free[0] == -1:
            free[0] = 1  # an NPU runs fixed shapes only
            model.reshape(free)
        self.batch = None if free[0] == -1 else int(free[0])
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if threads is not None and self.device == "cpu":
            settings["INFERENCE_NUM_THREADS"] = threads
        if self.exact:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        try:
            compiled = core.compile_model(model, self.device.upper(), settings)
            self.computes = SHORT.get(compiled.get_property("INFERENCE_PRECISION_HINT").to_string(), "fp32")
        except RuntimeError as error:
            raise PosewrightError(
                f"OpenVINO cannot run it on {self.device}: {_reason(error)}", file=self.path
            ) from None
        self._request = compiled.create_infer_request()
        self._busy = threading.Lock()  # a request runs one thing at a time

    def _read(self, core: Any) -> Any:
        path = self.path
        if path.is_dir():
            missing = [name for name in (GRAPH, WEIGHTS) if not (path / name).is_file()]
            if missing:
                raise PosewrightError(f"lacks its {missing[0]}", file=path, fix=AGAIN)
            path = path / GRAPH
        else:
            refuse_references(path)
        try:
            return core.read_model(path)
        except RuntimeError as error:
            raise PosewrightError(
                f"cannot be loaded by OpenVINO: {_reason(error)}", file=self.path, fix=AGAIN
            ) from None

    def _call(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        with self._busy:
            try:
                self._request.infer({INPUT: np.ascontiguousarray(crops)}, share_inputs=True)
            except RuntimeError as error:
                raise PosewrightError(f"OpenVINO failed on {self.device}: {_reason(error)}", file=self.path) from None
            # The request writes the next results to the same place.
            return [np.array(self._request.get_tensor(name).data, np.float32) for name in outputs]


def _device(wanted: str, there: Sequence[str]) -> str:
    """OpenVINO's device for a name, in small letters."""
    if wanted == "auto":
        return next((d for d in there if d.startswith("gpu")), "cpu")
    if wanted.split(".")[0] not in DEVICES:
        raise PosewrightError(f"unknown device '{wanted}'", fix=did_you_mean(wanted, ["auto", *DEVICES]))
    if not any(d == wanted or d.split(".")[0] == wanted for d in there):
        what = f"OpenVINO finds no {wanted} here; it has {', '.join(there)}"
        raise PosewrightError(what, fix="Check the device's driver, or take --device cpu")
    return wanted


def _reason(error: RuntimeError) -> str:
    """What OpenVINO says is wrong, without where in its code it noticed: lines like "Exception from src/core/x.cpp:76:"."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not re.search(r"^Exception from |\.(c|h)pp:\d+:?$", line)]
    words = re.sub(r"^Check '.*' failed( at \S+)?:?\s*", "", told[0]) if told else ""
    return first_line(RuntimeError(words or (told[1] if len(told) > 1 else str(error))))
