"""How long models take: side by side in one process, and started fresh in one of their own.

Timed one after the other, models get whatever else the machine was doing meanwhile, and the differences between them are
differences of the hour. Here they take turns: each round runs every one of them once, and the order moves on by one each time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from posewright.runtime.predictor import Predictor

Array = NDArray[np.float64]

BATCH = 8
"""The larger of the two batches that are timed."""
Shown = tuple[NDArray[np.uint8], NDArray[np.float64] | None]
"""A picture ``uint8 [H, W, 3]`` RGB and the box ``[4]`` of the object on it, or None for the whole picture."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds a picture of one model, one entry a round.

    Attributes:
        one, many: of the net alone, at a batch of 1 and of :data:`BATCH`.
        whole: from a picture's pixels to its pose, at a batch of 1: cutting out, net, mapping back.
    """

    one: Array
    many: Array
    whole: Array


def in_turn(
    models: Sequence[Predictor],
    shown: Sequence[Shown],
    rounds: int,
    *,
    flip: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[Timing]:
    """Time models against each other, each once a round.

    Args:
        models: all loaded.
        shown: what they are run on, one after the other.
        rounds: how often each is timed at each batch size; one more, to warm up, does not count.
        flip: average with the mirrored picture.
        progress: called with 1 after each round.
    """
    times = np.empty((len(models), 3, rounds + 1))
    for turn in range(rounds + 1):
        batch = [shown[(turn * BATCH + i) % len(shown)] for i in range(BATCH)]
        for place in range(len(models)):
            which = (turn + place) % len(models)
            times[which, 0, turn], times[which, 2, turn] = _timed(models[which], batch[:1], flip)
            times[which, 1, turn], _ = _timed(models[which], batch, flip)
        if progress and turn:
            progress(1)
    return [Timing(*(1000 * part[:, 1:])) for part in times]


def _timed(model: Predictor, shown: Sequence[Shown], flip: bool) -> tuple[float, float]:
    """Seconds a picture of the net alone, and of everything."""
    pictures = [picture for picture, _ in shown]
    boxes = [None if box is None else [box] for _, box in shown]
    net, start = model.spent["net"], perf_counter()
    model.predict_batch(pictures, boxes, flip=flip, batch_size=len(shown))
    return (model.spent["net"] - net) / len(shown), (perf_counter() - start) / len(shown)


def peak_memory() -> float | None:
    """The most memory that this process ever held, in MB; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():  # what getrusage says on Linux counts what the parent held before this process became its own
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1e6 if sys.platform == "darwin" else largest * 1024 / 1e6
