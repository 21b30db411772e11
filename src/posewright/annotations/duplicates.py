"""Pictures that are nearly the same, found by a perceptual hash."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError

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


def hash_pictures(annotations: Annotations, progress: Callable[[int], None] | None = None) -> NDArray[np.uint8]:
    """The hashes ``[N, 32]`` of a set's pictures."""
    from posewright.media.labelled import picture_of

    hashes = []
    for i in range(len(annotations.images)):
        hashes.append(difference_hash(picture_of(annotations, i)))
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
    hashes = hash_pictures(annotations, progress)
    keep = held.copy()
    others = np.flatnonzero(~held)
    for part in np.array_split(others, max(1, len(others) // 2000)):
        keep[part] = (hamming(hashes[part], hashes[held]) > near).all(1) if held.any() else True
    return annotations.subset(keep), [annotations.images[i].path for i in np.flatnonzero(~keep)]


# -- a whole set ------------------------------------------------------------------------------------------------------

_BLOCK = 1000
"""Pictures whose hashes are compared with all others at once: a few dozen megabytes for a set of ten thousand."""


@dataclass(frozen=True)
class Hashed:
    """The pictures of a set as they were found on disk.

    Attributes:
        images: ``[M]`` indices of those that could be read.
        hashes: ``[M, 32]``, see :func:`difference_hash`.
        sizes: ``[M, 2]`` their width and height in pixels.
        unreadable: why each of the others could not be, by index.
    """

    images: NDArray[np.int64]
    hashes: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    unreadable: dict[int, PosewrightError]


def hash_images(annotations: Annotations, progress: Callable[[int], None] | None = None) -> Hashed:
    """Read every picture of a set, several at a time; one that cannot be read stops nothing.

    Args:
        annotations: the set.
        progress: called with 1 after each picture.
    """
    from concurrent.futures import ThreadPoolExecutor

    from posewright.media.labelled import picture_of

    def look(i: int) -> tuple[NDArray[np.uint8], tuple[int, int]] | PosewrightError:
        try:
            picture = picture_of(annotations, i)
        except PosewrightError as error:
            return error
        return difference_hash(picture), (picture.shape[1], picture.shape[0])

    wanted = range(len(annotations.images))
    hashes, sizes, read, unreadable = [], [], [], {}
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        for i, seen in zip(wanted, pool.map(look, wanted)):
            if isinstance(seen, PosewrightError):
                unreadable[i] = seen
            else:
                read.append(i)
                hashes.append(seen[0])
                sizes.append(seen[1])
            if progress is not None:
                progress(1)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt must not wait for the pictures still queued
    return Hashed(
        np.array(read, np.int64),
        np.array(hashes, np.uint8).reshape(-1, BITS // 8),
        np.array(sizes, np.int64).reshape(-1, 2),
        unreadable,
    )


def clusters(hashes: NDArray[np.uint8], near: int = NEAR) -> NDArray[np.int64]:
    """Which pictures belong together, ``[M]`` cluster numbers from 0: those joined by a chain of near-duplicates."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    label = np.arange(len(hashes), dtype=np.int64)
    for start in range(0, len(hashes), _BLOCK):
        a, b = np.nonzero(hamming(hashes[start : start + _BLOCK], hashes[start:]) <= near)
        # Joining the clusters found so far block by block keeps the graph small where thousands of frames look alike.
        pairs = np.unique(np.stack([label[a + start], label[b + start]]), axis=1)
        graph = coo_array((np.ones(pairs.shape[1], bool), (pairs[0], pairs[1])), shape=(len(hashes),) * 2)
        label = connected_components(graph, directed=False)[1][label].astype(np.int64)
    return np.unique(label, return_inverse=True)[1].reshape(-1).astype(np.int64)


@dataclass(frozen=True)
class Twin:
    """A picture of a later split (train, val, test in this order) that is nearly the same as one of an earlier.

    Attributes:
        image: index of the picture.
        other: index of the nearest one in an earlier split.
        bits: how many of 256 bits of their hashes differ.
    """

    image: int
    other: int
    bits: int


def across_splits(annotations: Annotations, hashed: Hashed, near: int = NEAR) -> list[Twin]:
    """The pictures that are nearly the same as one in an earlier split, the most alike first."""
    rank = {"train": 0, "val": 1, "test": 2}
    place = np.array([rank.get(annotations.images[i].split or "", -1) for i in hashed.images], int)
    twins = []
    for later in (1, 2):
        mine, earlier = np.flatnonzero(place == later), np.flatnonzero((place >= 0) & (place < later))
        if not len(earlier):
            continue
        for start in range(0, len(mine), _BLOCK):
            rows = mine[start : start + _BLOCK]
            bits = hamming(hashed.hashes[rows], hashed.hashes[earlier])
            nearest = bits.argmin(1)
            for row, column, apart in zip(rows, nearest, bits.min(1)):
                if apart <= near:
                    twins.append(Twin(int(hashed.images[row]), int(hashed.images[earlier[column]]), int(apart)))
    return sorted(twins, key=lambda t: (t.bits, t.image))
