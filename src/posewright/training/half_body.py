"""Crops around a part of an object, as when the rest of it lies outside the picture."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.keypoints import BOX_MARGIN
from posewright.geometry import keypoints_box
from posewright.skeleton import Skeleton

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Rng = np.random.Generator

LEAST = 3
"""Labelled keypoints that a part must have, and that must be left outside it."""
SMALLEST = 0.25
"""A part's box is never made smaller than this share of the object's: a few points in a row span no box to speak of."""

_UPPER = "head neck nose eye ear mouth chin face shoulder elbow wrist hand thorax chest sternum"
_LOWER = "pelvis hip knee ankle foot heel toe"


@lru_cache
def body_halves(skeleton: Skeleton) -> tuple[Indices, Indices] | None:
    """Upper and lower body, as indices of keypoints, where the names are those of a body and of nothing else; or None."""
    words = [set(re.split(r"[^a-z]+", name.lower())) for name in skeleton.keypoints]
    upper = np.array([bool(w & set(_UPPER.split())) for w in words])
    lower = np.array([bool(w & set(_LOWER.split())) for w in words])
    if not (upper ^ lower).all() or not (upper.any() and lower.any()):
        return None
    return np.flatnonzero(upper), np.flatnonzero(lower)


def random_part(keypoints: Array, skeleton: Skeleton, rng: Rng) -> Indices | None:
    """About half of an object's labelled keypoints that belong together.

    A body gives its upper or its lower half. Of another skeleton the links are followed from a random keypoint on; where
    they do not join half of the labelled keypoints (a face's do not), the half on one side of a random line is taken.

    Args:
        keypoints: ``[K, 3]`` (x, y, v) in pixels of any frame.

    Returns:
        Indices of labelled keypoints, or None where too few are labelled for a part.
    """
    labelled = np.flatnonzero(keypoints[:, 2] > 0)
    halves = body_halves(skeleton)
    if halves is not None:
        parts = [np.intersect1d(half, labelled) for half in halves]
        parts = [p for p in parts if LEAST <= len(p) <= len(labelled) - LEAST]
        return parts[int(rng.integers(len(parts)))] if parts else None
    if len(labelled) < 2 * LEAST:
        return None
    half = len(labelled) // 2
    walk = _walk(skeleton, int(rng.choice(labelled)), rng)
    joined = walk[np.isin(walk, labelled)]
    if len(joined) < half:
        angle = rng.uniform(0, 2 * np.pi)
        along = keypoints[labelled, :2] @ (np.cos(angle), np.sin(angle))
        joined = labelled[np.argsort(along, kind="stable")]
    return np.sort(joined[:half])


def part_box(keypoints: Array, box: Array, skeleton: Skeleton, rng: Rng) -> Array | None:
    """The box around a random part of an object (:func:`random_part`), or None where it has none.

    Args:
        keypoints: ``[K, 3]`` (x, y, v).
        box: the whole object's (x0, y0, x1, y1) in the same frame.
    """
    part = random_part(keypoints, skeleton, rng)
    if part is None:
        return None
    around = keypoints_box(keypoints[part], BOX_MARGIN)
    assert around is not None  # a part's keypoints are labelled
    least = SMALLEST * float((box[2:] - box[:2]).max())
    centre, half = (around[:2] + around[2:]) / 2, np.maximum(around[2:] - around[:2], least) / 2
    return np.concatenate([centre - half, centre + half])


def _walk(skeleton: Skeleton, start: int, rng: Rng) -> Indices:
    """All keypoints that links join to ``start``, depth first in random order: each beginning of the walk is connected."""
    neighbours: dict[int, set[int]] = {k: set() for k in range(len(skeleton))}
    for a, b in skeleton.links:
        neighbours[a].add(b)
        neighbours[b].add(a)
    seen: dict[int, None] = {}
    stack = [start]
    while stack:
        at = stack.pop()
        if at not in seen:
            seen[at] = None
            stack += [int(n) for n in rng.permutation(sorted(neighbours[at] - seen.keys()))]
    return np.array(list(seen), np.int64)
