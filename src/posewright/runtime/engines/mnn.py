"""Running an MNN file on the processor."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.runtime.engines.base import Engine
from posewright.runtime.entries import AGAIN
from posewright.runtime.modelfile import INPUT
from posewright.silence import native_silence


class MnnEngine(Engine):
    """A model file loaded by MNN; the only device is "cpu"."""

    name = "mnn"

    def _open(self, device: str, threads: int | None) -> None:
        self._stay_on_processor(device)
        with native_silence():
            import MNN

            try:
                # MNN fetches every output that it is told of here, and gives nothing at all where one is not there.
                self._net = MNN.nn.load_module_from_file(
                    str(self.path),
                    [INPUT],
                    list(self.info.outputs),
                    precision_mode=MNN.expr.PrecisionMode.High if self.exact else MNN.expr.PrecisionMode.Normal,
                    thread_num=threads or min(os.cpu_count() or 1, 4),
                )
            except Exception:  # of no kind of its own, and without words worth repeating
                self._net = None
        if self._net is None:
            raise PosewrightError("cannot be loaded by MNN", file=self.path, fix=AGAIN)
        self._expr = MNN.expr
        self._busy = threading.Lock()
        told = self._net.get_info()
        names, taken = told["inputNames"], told["inputs"]
        shape, uint8 = (taken[0].shape, taken[0].dtype == MNN.expr.uint8) if len(taken) == 1 else ([0], False)
        self._check(names[0] if len(names) == 1 else "", shape, uint8, told["outputNames"])
        # A graph of any batch says 1, as one of a batch of 1 does: running it tells them apart.
        self.batch = None if shape[0] == 1 and self._takes(2) else int(shape[0])
        if self.batch is not None and not self._takes(self.batch):
            raise PosewrightError("does not compute what its description says", file=self.path, fix=AGAIN)

    def _takes(self, batch: int) -> bool:
        """Whether it runs on so many crops."""
        width, height = self.info.input_size
        with native_silence():
            found = self._forward(np.zeros((batch, height, width, 3), np.uint8))
        return len(found) == len(self.info.outputs) and all(len(each) == batch for each in found)

    def _forward(self, crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        crops = np.ascontiguousarray(crops)
        with self._busy:
            # The axes are those of the ONNX graph that the file was made of: MNN is to leave them in their order.
            image = self._expr.const(crops, list(crops.shape), self._expr.NCHW, self._expr.uint8)
            return [np.array(each.read(), np.float32) for each in self._net.forward([image])]

    def _call(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        found = dict(zip(self.info.outputs, self._forward(crops), strict=False))
        if len(found) < len(self.info.outputs):
            raise PosewrightError(f"MNN failed on a batch of {len(crops)}", file=self.path)
        return [found[name] for name in outputs]
