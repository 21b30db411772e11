"""Running an ExecuTorch program, as phones and boards do; its Python package brings torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.runtime.engines.base import Engine, first_line
from posewright.runtime.entries import AGAIN
from posewright.runtime.modelfile import INPUT

BYTE = 0
"""ExecuTorch's number for ``uint8``."""


class ExecuTorchEngine(Engine):
    """An ExecuTorch program on the processor; it chooses its threads itself."""

    name = "executorch"

    def _open(self, device: str, threads: int | None) -> None:
        from executorch.runtime import Runtime

        self._stay_on_processor(device)
        if threads is not None:
            what = "ExecuTorch chooses its threads itself"
            raise PosewrightError(what, file=self.path, fix="Leave the number of threads out")
        try:
            self._program = Runtime.get().load_program(str(self.path))
            self._method = self._program.load_method("forward")
            takes = self._method.metadata.input_tensor_meta(0)
        except Exception as error:  # its errors share no other base
            what = f"cannot be loaded by ExecuTorch: {first_line(error)}"
            raise PosewrightError(what, file=self.path, fix=AGAIN) from None
        self._check_count(self._method.metadata.num_outputs())
        self._check(INPUT, list(takes.sizes()), takes.dtype() == BYTE, self.info.outputs)
        self.batch = int(takes.sizes()[0])

    def _call(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        import torch

        try:
            found = self._method.execute([torch.from_numpy(np.ascontiguousarray(crops))])
        except Exception as error:  # see _open
            raise self._failed(error) from None
        by_name = self._named(found)
        # The program writes into the same memory each time.
        return [by_name[name].numpy().copy() for name in outputs]
