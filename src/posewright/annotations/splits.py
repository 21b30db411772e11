"""Parting a set into train, val and test, so that what belongs together stays together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.duplicates import clusters, hash_images
from posewright.annotations.stretches import stretches
from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError, did_you_mean

NAMES = ("train", "val", "test")
KEYS = ("picture", "video", "person", "folder", "similar")
"""What may keep pictures together; :func:`groups_of` says how each is told."""


def spread_evenly(count: int, most: int) -> NDArray[np.int64]:
    """Up to ``most`` of ``count`` places in a row, as far from each other as can be, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))


def parse_shares(text: str) -> tuple[float, ...]:
    """Shares of train, val and, where given, test: ``"0.9,0.1"`` or ``"0.8,0.1,0.1"``.

    Raises:
        PosewrightError: where they are not two or three numbers of at least 0 that add up to 1.
    """
    fix = "Write the shares of train, val and, if you like, test, as 0.9,0.1 or 0.8,0.1,0.1"
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise PosewrightError(f"split '{text}' is not numbers", fix=fix) from None
    if not 2 <= len(shares) <= 3:
        raise PosewrightError(f"split '{text}' has {len(shares)} shares", fix=fix)
    if not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise PosewrightError(f"split '{text}' does not add up to 1", fix=fix)
    return shares


def parse_keys(text: str) -> tuple[str, ...]:
    """What keeps pictures together, with commas: ``"folder"``, ``"video,similar"``.

    Raises:
        PosewrightError: where one is not in :data:`KEYS`.
    """
    keys = tuple(part.strip() for part in text.split(","))
    for key in keys:
        if key not in KEYS:
            raise PosewrightError(f"pictures cannot be split by '{key}'", fix=did_you_mean(key, KEYS))
    return keys


def groups_of(
    annotations: Annotations, by: Sequence[str] = ("picture",), progress: Callable[[int], None] | None = None
) -> NDArray[np.int64]:
    """Which pictures must fall into one split, ``[M]`` group numbers from 0.

    Pictures that share a group in the labels, and frames of one video, always stay together. Beyond that, by

    - "picture": nothing more;
    - "video": that as well, but an error where no picture is of a video or has a group;
    - "person": a track id that occurs on them;
    - "folder": the folder they lie in;
    - "similar": a chain of near-duplicates by perceptual hash, for which every picture is read.

    Args:
        annotations: the set.
        by: one or several of :data:`KEYS`; pictures that any of them joins stay together.
        progress: called with 1 for each picture read, for "similar".

    Raises:
        PosewrightError: where the labels do not tell what is asked for, or a picture cannot be read.
    """
    images, source = annotations.images, annotations.source or None
    links: list[tuple[int, int]] = []
    own = [("group", im.group) if im.group else ("video", im.path) if im.frame is not None else None for im in images]
    links += _joined(own)
    links += _joined([im.path if im.frame is not None else None for im in images])
    if "video" in by and not any(own):
        what = "names no video or group of any picture"
        raise PosewrightError(what, file=source, fix="Split by folder or by similar")
    if "person" in by:
        tracked = np.flatnonzero(annotations.track >= 0)
        if not len(tracked):
            raise PosewrightError("has no track ids to tell persons by", file=source, fix="Split by folder or similar")
        first: dict[int, int] = {}
        for i in tracked.tolist():
            image = int(annotations.image[i])
            links.append((first.setdefault(int(annotations.track[i]), image), image))
    if "folder" in by:
        links += _joined([im.path.rpartition("/")[0] for im in images])
    if "similar" in by:
        hashed = hash_images(annotations, progress)
        if hashed.unreadable:
            raise next(iter(hashed.unreadable.values()))
        links += _joined(clusters(hashed.hashes).tolist())
    return _components(len(images), links)


def _joined(keys: Iterable[Hashable]) -> list[tuple[int, int]]:
    """Each picture with the first of the same key; None joins nothing."""
    first: dict[Hashable, int] = {}
    return [(first.setdefault(key, i), i) for i, key in enumerate(keys) if key is not None]


def _components(count: int, links: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array(links, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def assign_splits(
    annotations: Annotations, shares: Sequence[float], groups: NDArray[np.int64], seed: int = 0
) -> Annotations:
    """The set with every picture in a split, whole groups at a time; splits it had are replaced.

    Large groups are placed first, each where most is missing, in an order by ``seed`` among equals: the shares come out
    as close as the groups allow.

    Args:
        annotations: the set.
        shares: of train, val and perhaps test; they add up to 1.
        groups: ``[M]`` group number of each picture, see :func:`groups_of`.
        seed: of the order.

    Raises:
        PosewrightError: where there are fewer groups than splits.
    """
    count = np.bincount(groups)
    used = [s for s, share in enumerate(shares) if share > 0]
    if len(count) < len(used):
        what = f"has {len(count)} groups of pictures that stay together, for {len(used)} splits"
        raise PosewrightError(what, file=annotations.source or None, fix="Split by something finer (--split-by)")
    order = np.random.default_rng(seed).permutation(len(count))
    order = order[np.argsort(-count[order], kind="stable")]
    missing = np.array([shares[s] * len(groups) for s in used])
    place = np.zeros(len(count), np.int64)
    empty = set(range(len(used)))
    for step, group in enumerate(order):
        # The last groups go where there is nothing yet: no split that was asked for may end empty.
        among = sorted(empty) if len(empty) >= len(order) - step else list(range(len(used)))
        place[group] = among[int(missing[among].argmax())]
        missing[place[group]] -= count[group]
        empty.discard(int(place[group]))
    names = [NAMES[used[p]] for p in place]
    return replace(annotations, images=[replace(im, split=names[g]) for im, g in zip(annotations.images, groups)])


def split_in_time(annotations: Annotations, shares: Sequence[float]) -> Annotations:
    """The set with its pictures in splits by their order alone, for sets that are one group: train first, test last.

    Args:
        annotations: at least as many pictures as splits.
        shares: of train, val and perhaps test; they add up to 1.
    """
    part = stretches(annotations.images, shares).tolist()
    return replace(annotations, images=[replace(im, split=NAMES[p]) for im, p in zip(annotations.images, part)])


def one_split(annotations: Annotations, split: str, file: str | Path | None = None) -> Annotations:
    """One split of a set.

    Args:
        file: where the set came from, for the message; its own source unless given.

    Raises:
        PosewrightError: where it has no such split, saying which it has.
    """
    if split not in annotations.splits:
        there = f"its splits are {', '.join(sorted(annotations.splits))}" if annotations.splits else "it has no splits"
        raise PosewrightError(
            f"has no split '{split}'; {there}", file=file or annotations.source or None, fix="Take --split all"
        )
    return annotations.of_split(split)
