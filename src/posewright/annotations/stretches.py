"""Parting pictures that are all of one group, such as the frames of a single video, into stretches of time.

Neighbouring frames look alike, so that parting them by chance would show a net nearly every picture that it is measured on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.images import Image


def in_time(images: Sequence[Image]) -> list[int]:
    """The images' indices in the order of their paths, numbers in them by size (``img9`` before ``img10``), and frames."""

    def key(i: int) -> tuple[list[tuple[bool, int, str]], int]:
        words = re.split(r"(\d+)", images[i].path)
        numbers = [(word.isdecimal(), int(word) if word.isdecimal() else 0, word) for word in words]
        return numbers, images[i].frame or 0

    return sorted(range(len(images)), key=key)


def stretches(images: Sequence[Image], shares: Sequence[float]) -> NDArray[np.int64]:
    """Which share each image falls to, ``[M]``: the first of them to the first share, the last to the last.

    Every share above 0 gets an image at least.

    Args:
        images: M of them, at least as many as there are shares above 0.
        shares: they add up to 1.
    """
    counts = [max(1, round(share * len(images))) if share > 0 else 0 for share in shares]
    largest = int(np.argmax(shares))
    counts[largest] = 0
    while sum(counts) >= len(images):  # leave one for the largest share
        counts[int(np.argmax(counts))] -= 1
    counts[largest] = len(images) - sum(counts)
    part = np.zeros(len(images), np.int64)
    part[in_time(images)] = np.repeat(np.arange(len(shares)), counts)
    return part
