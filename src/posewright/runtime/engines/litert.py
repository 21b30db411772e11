"""Running a LiteRT (TensorFlow Lite) file on the processor, with XNNPACK."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.runtime.engines.base import Engine, first_line
from posewright.runtime.entries import AGAIN
from posewright.runtime.modelfile import INPUT
from posewright.silence import ERR, OUT, native_silence


class LiteRtEngine(Engine):
    """A model file loaded by ai-edge-litert; the only device is "cpu". Its batch size is that of the file."""

    name = "litert"

    def _open(self, device: str, threads: int | None) -> None:
        self._stay_on_processor(device)
        try:
            # It says on stderr which delegate it takes.
            with native_silence(OUT, ERR):
                from ai_edge_litert.interpreter import Interpreter

                self._interpreter = Interpreter(model_path=str(self.path), num_threads=threads)
                self._interpreter.allocate_tensors()
                self._run = self._interpreter.get_signature_runner()
                inputs, outputs = self._run.get_input_details(), self._run.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise PosewrightError(
                f"cannot be loaded by LiteRT: {first_line(error)}", file=self.path, fix=AGAIN
            ) from None
        taken = inputs.get(INPUT, {"shape": [0], "dtype": None})
        shape = [int(side) for side in taken["shape"]]
        self._check(INPUT if list(inputs) == [INPUT] else "", shape, taken["dtype"] is np.uint8, list(outputs))
        self.batch = shape[0]
        self._busy = threading.Lock()  # an interpreter runs one thing at a time

    def _call(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        with self._busy:
            try:
                found = self._run(**{INPUT: np.ascontiguousarray(crops)})
            except (ValueError, RuntimeError) as error:
                raise self._failed(error) from None
            return [np.asarray(found[name], np.float32) for name in outputs]
