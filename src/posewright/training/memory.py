"""Keeping the memory of one training step for the next, on processors.

A step on a processor asks for and gives back large blocks many times. glibc hands blocks above its threshold (32 MiB at
most) straight back to the system, which must fill each with zeros anew: ``hourglass_s2`` at batch 16 then spends a third
of its time there (``benchmarks/training_step.py --keep-memory False`` shows it).
"""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_LARGEST = 2**31 - 1
"""``mallopt`` takes an int."""


def keep_freed_memory() -> bool:
    """Ask the C library not to return freed memory to the system; True where it agreed (glibc only).

    For the rest of the process: its resident size then stays near its peak.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    pad = 64 * 2**20
    return all(mallopt(k, v) == 1 for k, v in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _LARGEST), (_M_TOP_PAD, pad)))
