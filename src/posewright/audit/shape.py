"""What the other labels of a set say of a pose, without any picture: is a keypoint where the others want it, and are left and
right the way round that poses of this kind have them.

Both are learned from the set itself. An object is judged by what was learned from the others (in :data:`FOLDS` parts), so
that a wrong label does not speak for itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations

Array = NDArray[np.float64]

FOLDS = 3
LIMIT = 3.0
"""Coordinates further out, in the pose's own size, are drawn in to this: a quadratic form would know no bounds there."""
TAIL = 3.0
"""Degrees of freedom of the law that keypoints follow around where the others want them."""


def parts_of(labels: Annotations, seed: int = 0) -> NDArray[np.int64]:
    """``[N]``: which of the parts each object is in; those of one group or picture share one."""
    names = [im.group or im.path for im in labels.images]
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    drawn = np.random.default_rng(seed).permutation(max(len(number), 1)) % FOLDS
    return drawn[[number[names[i]] for i in labels.image.tolist()]] if len(labels) else np.zeros(0, np.int64)


def _others(keypoints: Array, k: int) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Centre ``[N, 2]`` and size ``[N]`` of each pose without keypoint ``k``, and which poses have enough others."""
    seen = keypoints[..., 2] > 0
    seen[:, k] = False
    count = np.maximum(seen.sum(1), 1)
    centre = np.where(seen[..., None], keypoints[..., :2], 0).sum(1) / count[:, None]
    squared = np.where(seen, ((keypoints[..., :2] - centre[:, None]) ** 2).sum(2), 0).sum(1) / count
    return centre, np.sqrt(np.maximum(squared, 1e-12)), seen.sum(1) >= 2


@dataclass(frozen=True)
class Wanted:
    """Where each keypoint is to be expected by the object's other keypoints.

    Attributes:
        place: ``[N, K, 2]`` in pixels of the picture, NaN where fewer than two others are labelled.
        spread: ``[N, K]`` the standard deviation of a coordinate, likewise.
    """

    place: Array
    spread: Array


def _view(keypoints: Array, k: int) -> tuple[Array, Array, Array, Array, NDArray[np.bool_]]:
    """What a regression of keypoint ``k`` on the others sees of poses: inputs, target, the others' centre and size, and which
    poses have enough others."""
    centre, size, enough = _others(keypoints, k)
    z = np.clip((keypoints[..., :2] - centre[:, None]) / size[:, None, None], -LIMIT, LIMIT)
    flags = (keypoints[..., 2] > 0).astype(float)
    inputs, target = np.where(flags[..., None] > 0, z, 0), z[:, k]
    inputs[:, k] = flags[:, k] = 0
    return np.concatenate([inputs.reshape(len(z), -1), flags, np.ones((len(z), 1))], 1), target, centre, size, enough


def wanted_places(labels: Annotations, parts: NDArray[np.int64]) -> tuple[Wanted, Wanted]:
    """Where the keypoints are wanted: by the others as they are labelled, and as they would be with all pairs exchanged.

    A linear regression (with a ridge) of each keypoint on the others, in the others' own centre and size, over the set and
    its mirror image.
    """
    keypoints, k_all = labels.keypoints, len(labels.skeleton)
    partner = np.array(labels.skeleton.flip_order())
    exchanged = keypoints[:, partner]
    mirrored = exchanged * np.array([-1.0, 1.0, 1.0])
    found = [Wanted(np.full((len(labels), k_all, 2), np.nan), np.full((len(labels), k_all), np.nan)) for _ in range(2)]
    for k in range(k_all):
        x, target, _, _, enough = (np.concatenate(both) for both in zip(_view(keypoints, k), _view(mirrored, k)))
        labelled = np.concatenate([keypoints[:, k, 2], mirrored[:, k, 2]]) > 0
        of = np.where(enough & labelled & np.tile(~labels.iscrowd, 2), np.tile(parts, 2), -1)
        grams = [(x[of == part].T @ x[of == part], x[of == part].T @ target[of == part]) for part in range(FOLDS)]
        asked = [_view(view, k) for view in (keypoints, exchanged)]
        for part in range(FOLDS):
            learn = (of >= 0) & (of != part)
            if learn.sum() < 2:
                continue
            curve, slope = (sum(grams[p][n] for p in range(FOLDS) if p != part) for n in range(2))
            weights = np.linalg.solve(curve + np.diag([1.0] * (x.shape[1] - 1) + [1e-6]), slope)
            # The median: a few wrong labels must not widen it.
            off = np.median(np.abs(x[learn] @ weights - target[learn])) / 0.6745
            for wanted, (rows, _, centre, size, usable) in zip(found, asked):
                mine = usable & (parts == part)
                wanted.place[mine, k] = (rows[mine] @ weights) * size[mine, None] + centre[mine]
                wanted.spread[mine, k] = max(off, 0.02) * size[mine]
    return found[0], found[1]


class Reach:
    """How far keypoints are from what they belong to, in the size of the pose without them.

    Distances are at most :data:`LIMIT`: beyond that, one is as impossible as the other.
    """

    def __init__(self, labels: Annotations) -> None:
        self.keypoints, self.labelled, self.links = labels.keypoints, labels.labelled, labels.skeleton.links
        sizes = [_others(labels.keypoints, k)[1:] for k in range(len(labels.skeleton))]
        self.size = np.stack([size for size, _ in sizes], 1)
        self.enough = np.stack([enough for _, enough in sizes], 1)

    def links_at(self, at: Array) -> Array:
        """``[N, K]``: from each keypoint, if it were at ``at`` ``[N, K, 2]``, to the farthest of the labelled ones it is linked
        with; 0 where there is none. A limb may be seen shortened, but never longer than it is."""
        far = np.zeros(self.labelled.shape)
        for a, b in self.links:
            for k, j in ((a, b), (b, a)):
                length = np.linalg.norm(at[:, k] - self.keypoints[:, j, :2], axis=1)
                far[:, k] = np.maximum(far[:, k], np.where(self.labelled[:, j], length, 0))
        return self._short(far)

    def between(self, at: Array, there: Array) -> Array:
        """``[N, K]``: distances of places ``[N, K, 2]``; 0 where one of them is not known."""
        return self._short(np.nan_to_num(np.linalg.norm(at - there, axis=2)))

    def _short(self, length: Array) -> Array:
        return np.where(self.enough, np.minimum(length / self.size, LIMIT), 0.0)


def log_density(at: Array, wanted: Wanted) -> Array:
    """Logarithm of the bivariate Student density of points ``[..., 2]``, over that at its own centre; 0 where not known."""
    with np.errstate(invalid="ignore"):
        squared = ((at - wanted.place) ** 2).sum(-1) / wanted.spread**2
        return np.nan_to_num(-(TAIL + 2) / 2 * np.log1p(squared / TAIL))
