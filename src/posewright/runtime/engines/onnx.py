"""Running a model file with onnxruntime, on the processor or on what else it has an execution provider for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError, did_you_mean
from posewright.runtime.engines.base import Engine, first_line
from posewright.runtime.entries import AGAIN
from posewright.runtime.graph import refuse_references
from posewright.runtime.modelfile import INPUT


@dataclass(frozen=True)
class Device:
    """One place to run on.

    Attributes:
        provider: onnxruntime's name for it.
        package: what to install to have it.
        tested: whether posewright is tested on it.
    """

    provider: str
    package: str
    tested: bool = False


DEVICES = {
    "cpu": Device("CPUExecutionProvider", "onnxruntime", tested=True),
    "cuda": Device("CUDAExecutionProvider", "onnxruntime-gpu in the place of onnxruntime, with CUDA and cuDNN"),
    "tensorrt": Device("TensorrtExecutionProvider", "onnxruntime-gpu in the place of onnxruntime, with TensorRT"),
    "coreml": Device("CoreMLExecutionProvider", "onnxruntime on a Mac"),
    "directml": Device("DmlExecutionProvider", "onnxruntime-directml in the place of onnxruntime, on Windows"),
}


class OnnxEngine(Engine):
    """A model file loaded by onnxruntime; devices are those of :data:`DEVICES`, "auto" is CUDA where it works.

    onnxruntime's inference builds compute the whole graph whatever is asked for (microsoft/onnxruntime#16013); on the
    hourglass nets a file without maps is no faster, so that nothing is done about it here.
    """

    name = "onnxruntime"

    def _open(self, device: str, threads: int | None) -> None:
        self.device, self._session = open_session(self.path, device, threads)
        inputs, outputs = self._session.get_inputs(), [o.name for o in self._session.get_outputs()]
        first = inputs[0] if len(inputs) == 1 else None
        name, shape, kind = (first.name, first.shape, first.type) if first else ("", [0], "")
        self._check(name, shape, kind == "tensor(uint8)", outputs)
        self.batch = shape[0] if isinstance(shape[0], int) else None

    def _call(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        try:
            return self._session.run(outputs, {INPUT: crops})  # type: ignore[no-any-return]
        except Exception as error:  # see _started
            raise self._failed(error) from None


def open_session(path: Path, device: str = "auto", threads: int | None = None) -> tuple[str, Any]:
    """Load any ONNX file with onnxruntime; see :class:`Engine`.

    Returns:
        The device that it runs on, and the session.

    Raises:
        PosewrightError: also where it keeps weights in another file.
    """
    refuse_references(path)
    if threads is not None and threads < 1:
        raise PosewrightError(f"threads must be at least 1, not {threads}")
    if device == "auto":
        if DEVICES["cuda"].provider in _available():
            try:
                return "cuda", _started(path, "cuda", threads)
            except PosewrightError:
                pass  # the package is there, the driver or its libraries are not
        return "cpu", _started(path, "cpu", threads)
    if device not in DEVICES:
        raise PosewrightError(f"unknown device '{device}'", fix=did_you_mean(device, ["auto", *DEVICES]))
    return device, _started(path, device, threads)


def _started(path: Path, device: str, threads: int | None) -> Any:
    import onnxruntime

    wanted = DEVICES[device]
    if wanted.provider not in _available():
        raise PosewrightError(f"this onnxruntime cannot run on {device}", fix=f"Install {wanted.package}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised as well
    if threads is not None:
        options.intra_op_num_threads = threads
    # Between calls the engine's threads give way to what reads, crops and draws the next picture.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if device == "directml":
        options.enable_mem_pattern = False  # as that provider demands
    if device in ("cuda", "tensorrt") and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    # What a provider cannot run, the processor does; TensorRT hands on to CUDA first.
    chain = [wanted.provider, *(["CUDAExecutionProvider"] if device == "tensorrt" else []), "CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=list(dict.fromkeys(chain)))
    except Exception as error:  # onnxruntime's errors share no other base
        what = f"cannot be loaded by onnxruntime: {first_line(error)}"
        raise PosewrightError(what, file=path, fix=AGAIN) from None
    if session.get_providers()[0] != wanted.provider:
        fix = f"Check the driver and its libraries ({wanted.package}), or take --device cpu"
        raise PosewrightError(f"onnxruntime could not start on {device}", fix=fix)
    return session


def _available() -> list[str]:
    import onnxruntime

    return list(onnxruntime.get_available_providers())
