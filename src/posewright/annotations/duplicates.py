"""Pictures that are nearly the same, found by a perceptual hash."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations

BITS = 256
NEAR = 40
"""Hashes that differ in at most this many of 256 bits are taken for the same scene. Unrelated photographs differ in about
half of them; frames of one album or video that show the same moment in a few dozen at most."""


def difference_hash(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The difference hash of a picture: whether it grows brighter to the right, on a grid of 16 x 16.

    Args:
        picture: ``uint8 [H, W, 3]`` RGB.

    Returns:
        256 bits, packed: ``uint8 [32]``. Scaling and recompressing a picture change few of them.
    """
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (17, 16), interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, 1:] > small[:, :-1])


def hash_pictures(paths: Iterable[Path], progress: Callable[[int], None] | None = None) -> NDArray[np.uint8]:
    """The hashes ``[N, 32]`` of picture files."""
    from posewright.media.pictures import read_picture

    hashes = []
    for path in paths:
        hashes.append(difference_hash(read_picture(path)))
        if progress is not None:
            progress(1)
    return np.array(hashes, np.uint8).reshape(-1, BITS // 8)


def hamming(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many bits differ between each of ``a [N, 32]`` and each of ``b [M, 32]``: ``[N, M]``."""
    # The inner product of +-1 vectors counts equal minus different bits.
    signs = [np.unpackbits(h, axis=1).astype(np.float32) * 2 - 1 for h in (a, b)]
    return ((BITS - signs[0] @ signs[1].T) / 2).round().astype(np.int64)


def without_duplicates_of(
    annotations: Annotations, split: str = "val", near: int = NEAR, progress: Callable[[int], None] | None = None
) -> tuple[Annotations, list[str]]:
    """Drop pictures of the other splits that are nearly the same as one of ``split``.

    Returns:
        What is left, and the paths of the pictures dropped.
    """
    held = np.array([im.split == split for im in annotations.images], bool)
    hashes = hash_pictures((annotations.image_path(i) for i in range(len(held))), progress)
    keep = held.copy()
    others = np.flatnonzero(~held)
    for part in np.array_split(others, max(1, len(others) // 2000)):
        keep[part] = (hamming(hashes[part], hashes[held]) > near).all(1) if held.any() else True
    return annotations.subset(keep), [annotations.images[i].path for i in np.flatnonzero(~keep)]
