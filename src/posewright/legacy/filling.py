"""Putting arrays from a file into a net, each checked against its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posewright.errors import PosewrightError
from posewright.models.base import HeatmapNet


class Filling:
    """Collects a net's weights and hands them over once all have come.

    Args:
        net: the net to fill.
        path: the file that the weights come from, for messages.
    """

    def __init__(self, net: HeatmapNet, path: Path) -> None:
        self.net, self.path = net, path
        self._wanted = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
        self._found: dict[str, Tensor] = {}

    def has(self, parameter: str) -> bool:
        """Whether the net has such a parameter or running value."""
        return parameter in self._wanted

    def put(self, parameter: str, array: NDArray[Any], source: str) -> None:
        """Give one parameter its values.

        Args:
            parameter: its name in the net.
            array: its values; kernels as the old systems keep them, ``[h, w, in, out]``.
            source: where it stood in the file.

        Raises:
            PosewrightError: where the shape is another, or a value is not finite.
        """
        value = torch.from_numpy(np.array(array, np.float32))
        if value.ndim == 4:
            value = value.permute(3, 2, 0, 1).contiguous()
        if parameter not in self._wanted:
            raise PosewrightError("has no place in a net of the settings asked for", file=self.path, record=source)
        wanted = self._wanted[parameter].shape
        if value.shape != wanted:
            shape = [wanted[i] for i in (2, 3, 1, 0)] if len(wanted) == 4 else list(wanted)
            raise PosewrightError(f"is {list(array.shape)} where the net has {shape}", file=self.path, record=source)
        if not torch.isfinite(value).all():
            raise PosewrightError("holds values that are no numbers", file=self.path, record=source)
        self._found[parameter] = value

    def finish(self) -> HeatmapNet:
        """The net with its new weights, in eval mode.

        Raises:
            PosewrightError: where something is left without. The readers name what a file lacks, in its own words; what
                remains are settings that somebody changed, such as another number of stages.
        """
        missing = sorted(self._wanted.keys() - self._found.keys())
        if missing:
            raise PosewrightError(f"has nothing for {listed(missing)} of the net asked for", file=self.path)
        self.net.load_state_dict(self._found, strict=False)
        return self.net.eval()


def listed(names: list[str], most: int = 4) -> str:
    """The first names of a list, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
