"""COCO's run-length masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def decode_rle(mask: Mapping[str, Any]) -> NDArray[np.uint8]:
    """A run-length mask as a picture.

    Args:
        mask: ``{"size": [height, width], "counts": ...}``; the counts are lengths of runs of 0 and 1 in turn, down the
            columns, as a list or in COCO's compressed text.

    Returns:
        ``uint8 [H, W]`` of 0 and 1.

    Raises:
        ValueError: where the runs do not fill the picture.
    """
    try:
        height, width = (int(side) for side in mask["size"])
        counts = mask["counts"]
        runs = _decompressed(counts) if isinstance(counts, (str, bytes)) else [int(run) for run in counts]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"is no run-length mask ({type(error).__name__}: {error})") from None
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"has runs of {sum(runs)} pixels in all for {width} x {height}")
    values = np.arange(len(runs), dtype=np.uint8) % 2
    return np.repeat(values, runs).reshape(width, height).T.copy()


def encode_rle(mask: NDArray[Any]) -> dict[str, Any]:
    """A picture ``[H, W]``, the object where it is not 0, as a run-length mask with a list of counts."""
    flat = np.asarray(mask).T.ravel() != 0
    starts = np.flatnonzero(np.diff(flat, prepend=False))
    return {"size": list(np.shape(mask)), "counts": np.diff(starts, prepend=0, append=len(flat)).tolist()}


def _decompressed(text: str | bytes) -> list[int]:
    """COCO's text of runs: groups of five bits from the lowest on, and from the fourth run on differences to the last but one."""
    data = text.encode("ascii", "replace") if isinstance(text, str) else text
    runs: list[int] = []
    at = 0
    while at < len(data):
        value = shift = 0
        more = True
        while more:
            bits = data[at] - 48
            value |= (bits & 0x1F) << shift
            more = bool(bits & 0x20)
            at, shift = at + 1, shift + 5
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
