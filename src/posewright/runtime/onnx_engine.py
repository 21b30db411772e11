"""Running a model file with onnxruntime, on the processor or on what else it has an execution provider for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError, did_you_mean
from posewright.runtime.modelfile import INPUT, ModelInfo, read_info, require_kind


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


class OnnxEngine:
    """A model file loaded by onnxruntime.

    Args:
        path: a model file.
        device: one of :data:`DEVICES`, or "auto" for CUDA where it works and the processor elsewhere.
        threads: processor threads for one call; onnxruntime's own choice where None.
        kind: what the model has to be for.

    Raises:
        PosewrightError: where the file is not a whole model file of posewright's, is of another kind, or the device is not
            there.
    """

    def __init__(
        self, path: str | Path, device: str = "auto", threads: int | None = None, *, kind: str = "keypoints"
    ) -> None:
        self.path = Path(path)
        self.info: ModelInfo = read_info(self.path)
        require_kind(self.info, kind, self.path)
        self.device, self._session = open_session(self.path, device, threads)
        self.batch = self._check()

    def _check(self) -> int | None:
        """Hold the graph against what the file says of itself; return its batch size, None where that is free."""
        inputs, outputs = self._session.get_inputs(), {o.name for o in self._session.get_outputs()}
        width, height = self.info.input_size
        fix = "Write the model file again with posewright export"
        fits = len(inputs) == 1 and inputs[0].name == INPUT and inputs[0].type == "tensor(uint8)"
        if not fits or list(inputs[0].shape[1:]) != [height, width, 3]:
            what = f"its graph does not take '{INPUT}' as uint8 [B, {height}, {width}, 3], as its description says"
            raise PosewrightError(what, file=self.path, fix=fix)
        missing = [name for name in self.info.outputs if name not in outputs]
        if missing:
            what = f"its graph lacks the output '{missing[0]}' of its description"
            raise PosewrightError(what, file=self.path, fix=fix)
        batch = inputs[0].shape[0]
        return batch if isinstance(batch, int) else None

    def run(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Run the net on crops.

        onnxruntime's inference builds compute the whole graph whatever is asked for (microsoft/onnxruntime#16013); on
        the hourglass nets a file without maps is no faster, so that nothing is done about it here.

        Args:
            crops: ``uint8 [B, H, W, 3]`` RGB of the model's input size; any B, also where the file's own is fixed.
            outputs: names among those of the model file.

        Returns:
            The arrays, in the order asked for.
        """
        if self.batch is None or self.batch == len(crops):
            return self._call(crops, outputs)
        parts = []
        for start in range(0, len(crops), self.batch):
            part = crops[start : start + self.batch]
            filled = np.concatenate([part, np.zeros((self.batch - len(part), *part.shape[1:]), np.uint8)])
            parts.append([array[: len(part)] for array in self._call(filled, outputs)])
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _call(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        try:
            return self._session.run(outputs, {INPUT: crops})  # type: ignore[no-any-return]
        except Exception as error:  # see _start
            what = f"onnxruntime failed on {self.device}: {_first_line(error)}"
            raise PosewrightError(what, file=self.path) from None


def open_session(path: Path, device: str = "auto", threads: int | None = None) -> tuple[str, Any]:
    """Load any ONNX file with onnxruntime; see :class:`OnnxEngine`.

    Returns:
        The device that it runs on, and the session.
    """
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
        what = f"cannot be loaded by onnxruntime: {_first_line(error)}"
        raise PosewrightError(what, file=path, fix="Copy or export the model file again") from None
    if session.get_providers()[0] != wanted.provider:
        fix = f"Check the driver and its libraries ({wanted.package}), or take --device cpu"
        raise PosewrightError(f"onnxruntime could not start on {device}", fix=fix)
    return session


def _available() -> list[str]:
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return text.removeprefix("[ONNXRuntimeError] : ")[:300]
