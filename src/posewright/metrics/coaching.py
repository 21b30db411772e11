"""Comparing a motion with one to be learned from, frame by frame, while it happens or afterwards.

Each pose is compared with the poses of the reference by OKS after alignment (:mod:`posewright.metrics.similarity`); dynamic time
warping says which moment of the reference is meant (:mod:`posewright.metrics.warping`). Words are given once a limb has been
off in the same way for a while: a single frame is more often the model's mistake than the person's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.errors import PosewrightError
from posewright.metrics.similarity import USUAL_SIGMA, PoseSimilarity, factor_onto, similarity
from posewright.metrics.warping import Warp, resampled
from posewright.skeleton import Skeleton

Array = NDArray[np.float64]

RATE = 15.0
"""Frames a second at which motions are compared."""
UNSEEN = 0.5
"""Cost of a frame without a pose: says neither yes nor no."""
LASTING = 0.4
"""Seconds for which a limb has to be off in the same way until it is spoken of."""


@dataclass(frozen=True)
class Moment:
    """One frame against its moment of the reference.

    Attributes:
        time: seconds.
        reference: frame of the reference, at :data:`RATE`; -1 where there is no pose.
        reference_time: seconds; NaN likewise.
        oks: 0..1 after alignment; NaN likewise.
        feedback: what to change, one limb an entry, as it has been for :data:`LASTING` seconds.
        found: the comparison in full; None likewise.
    """

    time: float
    reference: int
    reference_time: float
    oks: float
    feedback: tuple[str, ...] = ()
    found: PoseSimilarity | None = field(default=None, repr=False, compare=False)


class Coach:
    """Compares poses with a reference motion.

    Args:
        reference: ``[F, K, 2]`` in pixels; NaN where a keypoint is not known.
        times: ``[F]`` in seconds.
        skeleton: names the keypoints.
        turn: poses are turned onto the reference, too, not only moved and scaled.
        mirror: poses are mirrored first, left and right exchanged, for who follows as in a mirror.

    Raises:
        PosewrightError: where the reference has no pose with two keypoints.
    """

    def __init__(
        self, reference: ArrayLike, times: ArrayLike, skeleton: Skeleton, *, turn: bool = False, mirror: bool = False
    ) -> None:
        self.reference, self.times = resampled(reference, times, RATE)
        self.skeleton, self.turn, self.mirror = skeleton, turn, mirror
        if not (np.asarray(np.isfinite(self.reference).all(2)).sum(1) >= 2).any():
            raise PosewrightError("the reference has no pose with two keypoints or more")
        self._sigmas = np.asarray(skeleton.sigmas or (USUAL_SIGMA,) * len(skeleton))
        self._flip = np.array(skeleton.flip_order())
        self._warp = Warp()
        self._poses: list[tuple[float, Array | None]] = []
        self._recent: deque[tuple[float, frozenset[str]]] = deque()

    def step(self, time: float, pose: ArrayLike | None) -> Moment:
        """Compare a frame with what is likely the same moment of the reference; for live use.

        Args:
            time: seconds.
            pose: ``[K, 2]`` in pixels, NaN where a keypoint is not known; None without a pose.
        """
        seen = self._seen(pose)
        self._poses.append((time, seen))
        place = self._warp.push(self._costs(seen))
        return self._moment(time, seen, place)

    def review(self) -> list[Moment]:
        """All frames so far, each with its moment of the reference in the light of all of them; for files."""
        self._recent.clear()
        path = self._warp.path()
        return [self._moment(time, seen, int(at)) for (time, seen), at in zip(self._poses, path)]

    # -- one frame -----------------------------------------------------------------------------------------------------

    def _seen(self, pose: ArrayLike | None) -> Array | None:
        if pose is None:
            return None
        xy = np.array(pose, float).reshape(len(self.skeleton), 2)
        known = np.isfinite(xy).all(1)
        if known.sum() < 2 or not np.ptp(xy[known], axis=0).any():
            return None
        if self.mirror:
            xy = xy[self._flip] * (-1, 1)
        return xy

    def _costs(self, pose: Array | None) -> Array:
        """``[R]``: 1 - OKS against each pose of the reference, after alignment."""
        if pose is None:
            return np.full(len(self.reference), UNSEEN)
        return 1 - aligned_oks(self.reference, pose, self._sigmas, self.turn, UNSEEN)

    def _moment(self, time: float, pose: Array | None, place: int) -> Moment:
        found = None
        if pose is not None:
            try:
                found = similarity(self.reference[place], pose, self.skeleton, turn=self.turn)
            except PosewrightError:
                found = None  # the reference lacks a pose there
        said = frozenset(found.feedback) if found else frozenset()
        if found is None:
            self._recent.clear()
            return Moment(time, -1, float("nan"), float("nan"))
        self._recent.append((time, said))
        while self._recent and time - self._recent[0][0] > LASTING:
            self._recent.popleft()
        long_enough = time - self._recent[0][0] >= 0.75 * LASTING
        lasting = frozenset.intersection(*(words for _, words in self._recent)) if long_enough else frozenset()
        order = tuple(words for words in found.feedback if words in lasting)
        return Moment(time, place, float(self.times[place]), found.oks, order, found)


def aligned_oks(references: Array, pose: Array, sigmas: Array, turn: bool = False, unknown: float = 0.0) -> Array:
    """OKS of a pose with many others, moved and scaled onto each by least squares, as :func:`similarity` has it.

    Args:
        references: ``[R, K, 2]``; NaN where a keypoint is not known.
        pose: ``[K, 2]`` likewise.
        sigmas: ``[K]``.
        turn: turn it onto them as well.
        unknown: what stands where two share fewer than two keypoints.

    Returns:
        ``[R]`` in 0..1.
    """
    both = np.asarray(np.isfinite(references).all(2)) & np.asarray(np.isfinite(pose).all(1))
    count = both.sum(1)
    a = np.where(both[..., None], references, 0.0)
    b = np.where(both[..., None], pose, 0.0)
    many = np.maximum(count, 1)[:, None]
    p, q = ((x - x.sum(1, keepdims=True) / many[..., None]) @ np.array([1, 1j]) * both for x in (a, b))
    away = np.abs(q * factor_onto(p, q, turn)[:, None] - p) ** 2
    high = np.where(both[..., None], references, -np.inf).max(1)
    low = np.where(both[..., None], references, np.inf).min(1)
    with np.errstate(invalid="ignore"):
        area = np.maximum(high - low, 1.0).prod(1)
    spread2 = 2 * (np.where(count > 0, area, 1.0)[:, None] + np.spacing(1)) * (2 * sigmas) ** 2
    found = (np.exp(-away / spread2) * both).sum(1) / many[:, 0]
    usable = (count >= 2) & p.any(1) & q.any(1)
    return np.where(usable, found, unknown)
