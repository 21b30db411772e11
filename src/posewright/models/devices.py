"""Where a net can run on this machine."""

from __future__ import annotations

import torch

from posewright.errors import PosewrightError


def choose_device(name: str) -> str:
    """ "cpu", "cuda" or "mps" for a ``--device``.

    Raises:
        PosewrightError: where the device is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(d for d in ("cuda", "mps", "cpu") if there[d])
    if not there[name]:
        raise PosewrightError(f"device '{name}' is not available here", fix="Use --device auto")
    return name
