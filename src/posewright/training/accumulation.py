"""Several batches to one optimiser step: the arithmetic of it.

A step's gradient is the mean over its batches. An epoch whose number of batches is no multiple of ``accumulate`` ends with a
step of fewer, so that every epoch begins with a whole one.
"""

from __future__ import annotations


def steps_per_epoch(batches: int, accumulate: int) -> int:
    """Optimiser steps in an epoch of so many batches."""
    return -(-batches // accumulate)


def batches_before(step: int, batches: int, accumulate: int) -> int:
    """How many batches come before an optimiser step (from 0), over all epochs of ``batches`` each."""
    epoch, within = divmod(step, max(steps_per_epoch(batches, accumulate), 1))
    return epoch * batches + within * accumulate


def batches_in_step(batch: int, batches: int, accumulate: int) -> int:
    """How many batches make the step that a batch (from 0) of an epoch of ``batches`` belongs to."""
    return min(accumulate, batches - batch // accumulate * accumulate)


def ends_step(batch: int, batches: int, accumulate: int) -> bool:
    """Whether the optimiser steps after this batch (from 0) of an epoch of ``batches``."""
    return (batch + 1) % accumulate == 0 or batch + 1 == batches
