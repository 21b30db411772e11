"""Which way round poses of a set have their left and right, by their shape and by which sides are labelled at all.

A pose is seen upright in a frame of its own, which no exchange of left and right changes. Its coordinates there are, for each
pair, the half difference of left and right and their middle; then whatever has no side; and for each keypoint whether it is
labelled (of somebody in profile, the far arm often is not). A mirror image with the sides renamed must mean the same: of the
products of two coordinates only those that it leaves as they are count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations
from posewright.audit.exchanges import Exchange
from posewright.audit.statistics import fit_logistic

Array = NDArray[np.float64]

LIMIT = 3.0
"""Coordinates further out, in the pose's own size, are drawn in to this: a quadratic form would know no bounds there."""
MOST_DIMENSIONS = 28
"""Coordinates that a mirror image leaves as they are, and those that it turns round: at most so many of each; more are reduced
to their principal components."""
MOST_ROWS = 16_000
"""Poses that each sense is fitted to, at most."""
RIDGE = 0.04
"""For each feature: many of them learn less of few poses."""
CHUNK = 8192


class SwapSense:
    """How much likelier poses would be with left and right exchanged, by the labels alone.

    The logarithm of a pose's density is taken for a quadratic form of its coordinates, fitted for each set of pairs so that it
    tells the set's poses from the same poses with these pairs exchanged: noise-contrastive estimation (Gutmann and
    Hyvarinen, 2010), in which all that an exchange leaves as it is drops out.

    Args:
        labels: the set.
        parts: ``[N]`` see :func:`posewright.audit.shape.parts_of`; no object is judged by what its own part taught.
        seed: of the poses that are learned from, where there are more than :data:`MOST_ROWS`.
    """

    def __init__(self, labels: Annotations, parts: NDArray[np.int64], seed: int = 0) -> None:
        self._parts, self._seed = parts, seed
        self._pairs = np.array(labels.skeleton.swaps, dtype=int).reshape(-1, 2)
        self._single = np.setdiff1d(np.arange(len(labels.skeleton)), self._pairs)
        self._partner = np.array(labels.skeleton.flip_order())
        self._seen = labels.labelled
        self._usable = ~labels.iscrowd & (self._seen.sum(1) >= 3)
        self._pose = self._upright(labels.keypoints)
        both = np.concatenate([self._pose, -self._pose[:, self._partner].conj()])
        self._usual = _mean(both)
        self._base = [np.zeros(0), np.zeros(0)]
        self._axes: list[Array | None] = [None, None]
        self._base, self._axes = self._reduced()

    def log_ratio(self, exchange: Exchange) -> Array:
        """``[N]``: logarithm of how much likelier each pose would be with these pairs exchanged; 0 where that changes nothing."""
        rng, ratio = np.random.default_rng(self._seed), np.zeros(len(self._pose))
        for part in range(int(self._parts.max(initial=0)) + 1):
            weights = self._fit(exchange, part, rng)
            mine = np.flatnonzero(self._parts == part)
            for rows in np.split(mine, range(CHUNK, len(mine), CHUNK)):
                ratio[rows] = -self._change(rows, exchange) @ weights
        return ratio

    def _fit(self, exchange: Exchange, part: int, rng: np.random.Generator) -> Array:
        learn = np.flatnonzero(self._usable & (self._parts != part))
        if len(learn) > MOST_ROWS:
            learn = rng.choice(learn, MOST_ROWS, replace=False)
        rows = self._change(learn, exchange)
        # What an exchange does not change teaches nothing.
        rows = rows[np.abs(rows).max(1, initial=0) > 1e-9]
        weights = np.zeros(rows.shape[1])
        moved = np.abs(rows).max(0, initial=0) > 1e-9
        if moved.any():
            weights[moved] = fit_logistic(rows[:, moved], ridge=RIDGE * moved.sum())
        return weights

    def _change(self, rows: NDArray[np.int64], exchange: Exchange) -> Array:
        """``[n, F]``: the products as they are, less those with the pairs exchanged."""
        pose, seen = self._pose[rows].copy(), self._seen[rows].copy()
        before = self._coordinates(pose, seen)
        for a, b in exchange.pairs:
            changed = np.flatnonzero(seen[:, a] | seen[:, b] if exchange.lone else seen[:, a] & seen[:, b])
            pose[changed[:, None], [a, b]] = pose[changed[:, None], [b, a]]
            seen[changed[:, None], [a, b]] = seen[changed[:, None], [b, a]]
        after = self._coordinates(pose, seen)
        return np.concatenate([_products(old) - _products(new) for old, new in zip(before, after, strict=True)], 1)

    # -- coordinates ------------------------------------------------------------------------------------------------

    def _upright(self, keypoints: Array) -> NDArray[np.complex128]:
        """``[N, K]``: places x + iy from the middle of the labelled keypoints, in their size, turned so that the middles of
        the pairs stand as they do on the average; NaN where not labelled."""
        seen = self._seen
        count = np.maximum(seen.sum(1), 1)
        z = np.where(seen, keypoints[..., 0] + 1j * keypoints[..., 1], np.nan)
        z = z - (np.where(seen, z, 0).sum(1) / count)[:, None]
        size = np.sqrt(np.maximum((np.abs(np.where(seen, z, 0)) ** 2).sum(1) / count, 1e-12))
        z = z / size[:, None]
        # An exchange leaves a middle where it is, also that of a pair of which one is labelled.
        known = np.where(seen, z, z[:, self._partner])
        middle = (known + known[:, self._partner]) / 2
        there = np.isfinite(middle)
        turn = np.ones(len(z), complex)
        for _ in range(8):
            # Of the set and its mirror image together the mean is upright.
            usual = 1j * _mean(middle * turn[:, None]).imag
            towards = np.where(there, middle.conj() * usual, 0).sum(1)
            turn = np.where(np.abs(towards) > 1e-6, towards / np.maximum(np.abs(towards), 1e-6), 1)
        z = z * turn[:, None]
        return np.clip(z.real, -LIMIT, LIMIT) + 1j * np.clip(z.imag, -LIMIT, LIMIT)

    def _coordinates(self, pose: NDArray[np.complex128], seen: NDArray[np.bool_]) -> list[Array]:
        """``[n, D]`` those that a mirror image with the sides renamed leaves as they are, and those whose sign it changes."""
        z = np.where(seen, pose, self._usual)
        (a, b), s = self._pairs.T, self._single
        apart, middle, flags = (z[:, a] - z[:, b]) / 2, (z[:, a] + z[:, b]) / 2, seen.astype(float)
        same = [apart.real, middle.imag, z[:, s].imag, (flags[:, a] + flags[:, b]) / 2, flags[:, s]]
        turned = [apart.imag, middle.real, z[:, s].real, flags[:, a] - flags[:, b]]
        found = []
        for columns, base, axes in zip((same, turned), self._base, self._axes, strict=True):
            u = np.concatenate(columns, 1)
            u = u - base if len(base) else u
            found.append(u if axes is None else u @ axes)
        found[0] = np.concatenate([np.ones((len(z), 1)), found[0]], 1)
        return found

    def _reduced(self) -> tuple[list[Array], list[Array | None]]:
        """What is usual of each coordinate, and the directions in which poses differ most, the pose or its exchange."""
        everybody = self._coordinates(self._pose, self._seen)
        everybody[0] = everybody[0][:, 1:]
        base = [everybody[0].mean(0) if len(self._pose) else np.zeros(everybody[0].shape[1]), np.zeros(0)]
        # The differences of left and right change their sign in an exchange: 0 must stay the middle of both ways.
        base[0][: len(self._pairs)] = 0
        axes: list[Array | None] = []
        for u, middle in zip(everybody, (base[0], 0.0), strict=True):
            if u.shape[1] <= MOST_DIMENSIONS:
                axes.append(None)
                continue
            _, vectors = np.linalg.eigh((u - middle).T @ (u - middle))
            axes.append(vectors[:, -MOST_DIMENSIONS:])
        return base, axes


def _mean(z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Mean over the first axis of what is there; 0 where nothing is."""
    there = np.isfinite(z)
    return np.where(there, z, 0).sum(0) / np.maximum(there.sum(0), 1)


def _products(u: Array) -> Array:
    first, second = np.triu_indices(u.shape[1])
    return u[:, first] * u[:, second]
