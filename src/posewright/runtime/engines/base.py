"""What every engine has in common: the file's description, and batches of any size on files of a fixed one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError, did_you_mean
from posewright.runtime.modelfile import INPUT, ModelInfo, read_info, require_kind

REWRITE = "Write the model file again with posewright export"


class Engine(ABC):
    """Runs a model file on crops.

    Args:
        path: a model file, or the folder of a model in parts.
        device: what to run on, as the engine names it, or "auto".
        threads: processor threads for one call; the engine's own choice where None.
        kind: what the model has to be for.
        exact: compute in single precision, where the engine would take a lower one for speed.

    Attributes:
        path: as given.
        info: what the file says of itself.
        device: what it runs on.
        computes: what it computes in, apart from what the file itself has in int8: "fp32", "bf16" or "fp16".
        batch: the one batch size that the file takes; None where any.

    Raises:
        PosewrightError: where the file is not a whole model file of posewright's, is of another kind, does not fit its own
            description, or the device is not there.
    """

    name = ""
    """As in ``load(engine=...)``."""

    def __init__(
        self,
        path: str | Path,
        device: str = "auto",
        threads: int | None = None,
        *,
        kind: str = "keypoints",
        exact: bool = False,
    ) -> None:
        if threads is not None and threads < 1:
            raise PosewrightError(f"threads must be at least 1, not {threads}")
        self.path = Path(path)
        self.info: ModelInfo = read_info(self.path)
        require_kind(self.info, kind, self.path)
        self.device, self.exact, self.computes = device, exact, "fp32"
        self.batch: int | None = None
        self._open(device, threads)

    @abstractmethod
    def _open(self, device: str, threads: int | None) -> None:
        """Load the file, set ``device``, ``batch`` and ``computes``, and hold its graph against its description: see
        :meth:`_check`.
        """

    @abstractmethod
    def _call(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Run the net on crops of a batch size that the file takes."""

    def run(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        """Run the net on crops.

        Args:
            crops: ``uint8 [B, H, W, 3]`` RGB of the model's input size; any B, also where the file's own is fixed.
            outputs: names among those of the model file.

        Returns:
            The arrays, in the order asked for.
        """
        if self.batch is None or self.batch == len(crops):
            return self._fitting(self._call(crops, outputs), outputs, len(crops))
        parts = []
        for start in range(0, len(crops), self.batch):
            part = crops[start : start + self.batch]
            filled = np.concatenate([part, np.zeros((self.batch - len(part), *part.shape[1:]), np.uint8)])
            found = self._fitting(self._call(filled, outputs), outputs, self.batch)
            parts.append([array[: len(part)] for array in found])
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _fitting(
        self, found: list[NDArray[np.float32]], outputs: Sequence[str], batch: int
    ) -> list[NDArray[np.float32]]:
        """What the net returned, refused where it is not what the file's description says."""
        k, (width, height), stride = len(self.info.skeleton), self.info.input_size, self.info.stride
        cells = (height // stride, width // stride)
        for name, array in zip(outputs, found, strict=True):
            shape = array.shape
            fits = {
                "keypoints": shape == (batch, k, 3),
                "covariance": shape == (batch, k, 3),
                "visibility": shape == (batch, k),
                "presence": shape == (batch,),
                "heatmaps": len(shape) == 5 and shape[0] == batch and shape[2] in (k, k + 1) and shape[3:] == cells,
                "boxes": len(shape) == 3 and shape[0] == batch and shape[2] == 5,
            }
            if array.dtype.kind != "f" or not fits[name]:
                what = f"returns {name} of another kind than its description says: {array.dtype} {list(shape)}"
                raise PosewrightError(what, file=self.path, fix=REWRITE)
        return found

    def _check(self, name: str, shape: Sequence[object], uint8: bool, outputs: Sequence[str]) -> None:
        """Refuse a graph that is not what the file says of itself.

        Args:
            name, shape, uint8: its input, whose first side is the batch, and whether that takes ``uint8``.
            outputs: the names of what it returns.
        """
        width, height = self.info.input_size
        if name != INPUT or not uint8 or list(shape[1:]) != [height, width, 3]:
            what = f"its graph does not take '{INPUT}' as uint8 [B, {height}, {width}, 3], as its description says"
            raise PosewrightError(what, file=self.path, fix=REWRITE)
        missing = [each for each in self.info.outputs if each not in outputs]
        if missing:
            what = f"its graph lacks the output '{missing[0]}' of its description"
            raise PosewrightError(what, file=self.path, fix=REWRITE)

    def _stay_on_processor(self, device: str) -> None:
        """Set ``device`` for an engine that knows no other."""
        if device not in ("auto", "cpu"):
            what = f"unknown device '{device}': {self.name} runs on the processor here"
            raise PosewrightError(what, fix=did_you_mean(device, ["auto", "cpu"]))
        self.device = "cpu"

    def _check_count(self, outputs: int) -> None:
        """Refuse a file that numbers its outputs, where they are not as many as it says."""
        if outputs != len(self.info.outputs):
            what = f"returns {outputs} outputs, and {len(self.info.outputs)} by its description"
            raise PosewrightError(what, file=self.path, fix=REWRITE)

    def _named(self, found: Sequence[Any]) -> dict[str, Any]:
        """What a file returned that numbers its outputs, by their names."""
        self._check_count(len(found))
        return dict(zip(self.info.outputs, found, strict=True))

    def _failed(self, error: Exception) -> PosewrightError:
        """The one line for an engine that failed while it ran."""
        return PosewrightError(f"{self.name} failed on {self.device}: {first_line(error)}", file=self.path)


def first_line(error: Exception) -> str:
    """The first line of an engine's message, at a bearable length."""
    lines = str(error).strip().removeprefix("[ONNXRuntimeError] : ").splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
