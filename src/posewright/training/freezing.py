"""Parts of a net that training leaves alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import lightning.pytorch as pl
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from posewright.errors import PosewrightError, did_you_mean
from posewright.models.base import HeatmapNet
from posewright.training.start import Taken


@dataclass(frozen=True)
class Frozen:
    """What of a net is frozen.

    Attributes:
        modules: names, within the net, of the modules that are frozen with all they hold.
        parameters, of_parameters: how many numbers that is, and how many the net has.
    """

    modules: tuple[str, ...]
    parameters: int
    of_parameters: int


def freeze(net: HeatmapNet, wanted: Sequence[str], taken: Taken | None = None) -> Frozen:
    """Freeze parts of a net: their weights take no gradient. :class:`KeepFrozen` keeps their batch norms still.

    Args:
        net: changed in place.
        wanted: parts that the net's family names (``net.parts``: "trunk" and "stages" in every family), names of modules
            ("stacks.0"), or patterns of them ("heads.*.feature").
        taken: what the net took over; parts that are new must not be frozen. None where the weights are known to be good.

    Raises:
        PosewrightError: where a part is unknown or new, or nothing would be left to train.
    """
    modules = [name for name, _ in net.named_modules() if name]
    found: list[str] = []
    for part in wanted:
        matches = list(net.parts.get(part, ())) or [m for m in modules if fnmatchcase(m, part)]
        if not matches:
            known = {*net.parts, *(m for m in modules if m.count(".") < 2)}
            close = did_you_mean(part, known)
            fix = close if close.startswith("Did") else f"Its parts: {', '.join(net.parts)}"
            raise PosewrightError(f"--freeze: {net.config.family} has no part '{part}'", fix=fix)
        new = next((n for n in taken.new if _inside(n, matches)), None) if taken is not None else None
        if new is not None:
            raise PosewrightError(
                f"--freeze {part}: its {new} is new, with random weights", fix="Freeze only what the start fills"
            )
        found += matches
    frozen = 0
    for name, parameter in net.named_parameters():
        if _inside(name, found):
            parameter.requires_grad_(False)
            frozen += parameter.numel()
    whole = sum(p.numel() for p in net.parameters())
    if frozen == whole:
        raise PosewrightError(f"--freeze {' '.join(wanted)} leaves nothing to train", fix="Freeze less, such as trunk")
    return Frozen(tuple(dict.fromkeys(found)), frozen, whole)


def _inside(name: str, modules: Sequence[str]) -> bool:
    return any(name == m or name.startswith(f"{m}.") for m in modules)


class KeepFrozen(pl.Callback):
    """Keeps the batch norms of frozen modules in eval mode, whatever switches the net back to training."""

    def __init__(self, frozen: Frozen) -> None:
        self.frozen = frozen

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        for module in norms(pl_module.net, self.frozen.modules):
            module.eval()


def norms(net: nn.Module, modules: Sequence[str]) -> list[nn.Module]:
    """The layers with running figures inside some modules of a net."""
    return [m for name, m in net.named_modules() if isinstance(m, _NormBase) and _inside(name, modules)]
