"""Running a torch package (AOTInductor). It holds native code, which runs when it is loaded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.runtime.engines.base import Engine, first_line
from posewright.runtime.entries import AGAIN


class AotiEngine(Engine):
    """A torch package on the processor it was made on; ``threads`` are those of torch in the whole process."""

    name = "aoti"

    def _open(self, device: str, threads: int | None) -> None:
        import torch

        self._stay_on_processor(device)
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            self._model = torch._inductor.aoti_load_package(str(self.path))
        except Exception as error:  # its errors share no other base
            what = f"cannot be loaded by torch: {first_line(error)}"
            raise PosewrightError(what, file=self.path, fix=AGAIN) from None

    def _call(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        import torch

        try:
            with torch.inference_mode():
                found = self._model(torch.from_numpy(np.ascontiguousarray(crops)))
        except Exception as error:  # see _open
            raise self._failed(error) from None
        by_name = self._named(found)
        return [by_name[name].numpy() for name in outputs]
