"""How alike two poses are, wherever and however large they stand in their pictures, and what to change, in words.

The second pose is moved and scaled onto the first by least squares over the keypoints that both have; it is not turned, since
an arm that points elsewhere is the thing to notice, unless told to. Their OKS is then COCO's formula with the area of the
box around the first pose. Words come from limbs: where the end of an arm, a leg or a finger lies as seen from its root, and
how far its middle joint is bent. Left and right limbs are the person's own; directions are those of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.errors import PosewrightError
from posewright.metrics.oks import oks
from posewright.sides import side_of
from posewright.skeleton import Skeleton

Array = NDArray[np.float64]

USUAL_SIGMA = 0.0625
"""For skeletons without sigmas; the hourglass system takes it for every joint of MPII."""
FAR = 0.3
"""A limb's end is elsewhere where it lies further off than this share of the limb's length."""
BENT = 30.0
"""A joint is bent otherwise where its angle differs by more than this many degrees."""
LIMBS = {"arm": ("shoulder", "elbow", "wrist"), "leg": ("hip", "knee", "ankle")}
FINGERS = ("thumb", "index", "middle", "ring", "little")


@dataclass(frozen=True)
class LimbDifference:
    """One limb of the second pose against that of the first.

    Attributes:
        limb: such as "left arm".
        right, down: how far its end would have to move to the picture's right and down, in lengths of the limb.
        straighten: by how many degrees its middle joint would have to open.
    """

    limb: str
    right: float
    down: float
    straighten: float

    @property
    def advice(self) -> str:
        """What to change, such as "left arm higher"; empty where it is alike."""
        words = []
        if np.hypot(self.right, self.down) > FAR:
            larger = max(abs(self.right), abs(self.down))
            if abs(self.down) >= larger / 2:
                words.append("lower" if self.down > 0 else "higher")
            if abs(self.right) >= larger / 2:
                words.append(f"further to the {'right' if self.right > 0 else 'left'} of the picture")
        if abs(self.straighten) > BENT:
            words.append("straighter" if self.straighten > 0 else "more bent")
        return f"{self.limb} {' and '.join(words)}" if words else ""


@dataclass(frozen=True)
class PoseSimilarity:
    """What :func:`similarity` found.

    Attributes:
        oks: 0..1, over the keypoints that both poses have.
        by_keypoint: ``[K]``, the same for each; NaN where either pose lacks it.
        limbs: those that both poses have in full.
        aligned: ``[K, 2]``, the second pose in the frame of the first; NaN where it lacks a keypoint.
        sigmas: what was taken for the OKS.
    """

    skeleton: Skeleton
    oks: float
    by_keypoint: Array
    limbs: tuple[LimbDifference, ...]
    aligned: Array
    sigmas: tuple[float, ...]

    @property
    def feedback(self) -> list[str]:
        """What the second pose would have to change to be like the first, one limb an entry."""
        return [limb.advice for limb in self.limbs if limb.advice]

    def rows(self) -> list[dict[str, Any]]:
        """A table with one row a limb."""
        return [
            {
                "limb": limb.limb,
                "move right": f"{limb.right:+.2f}",
                "move down": f"{limb.down:+.2f}",
                "straighten": f"{limb.straighten:+.0f}°",
                "advice": limb.advice or "alike",
            }
            for limb in self.limbs
        ]

    def to_json(self) -> dict[str, Any]:
        """The record that ``--json`` writes; keypoints that either pose lacks are null."""
        each = zip(self.skeleton.keypoints, self.by_keypoint, strict=True)
        return {
            "oks": round(self.oks, 6),
            "by_keypoint": {name: None if np.isnan(value) else round(float(value), 6) for name, value in each},
            "limbs": [
                {
                    "limb": limb.limb,
                    "right": round(limb.right, 4),
                    "down": round(limb.down, 4),
                    "straighten": round(limb.straighten, 2),
                    "advice": limb.advice,
                }
                for limb in self.limbs
            ],
            "feedback": self.feedback,
            "sigmas": list(self.sigmas),
        }


def similarity(
    first: ArrayLike,
    second: ArrayLike,
    skeleton: Skeleton,
    *,
    turn: bool = False,
    sigmas: Sequence[float] | None = None,
) -> PoseSimilarity:
    """Compare two poses.

    Args:
        first: ``[K, 2]`` in pixels of its picture, the pose to be like; NaN for a keypoint that it lacks.
        second: ``[K, 2]`` in pixels of its own picture, likewise.
        skeleton: names the keypoints.
        turn: turn the second pose onto the first as well.
        sigmas: K of them; the skeleton's own where None, :data:`USUAL_SIGMA` where it has none.

    Raises:
        PosewrightError: where the poses share fewer than two keypoints, or those of one lie all in one place.
    """
    k = len(skeleton)
    a, b = (np.asarray(pose, float).reshape(k, 2) for pose in (first, second))
    chosen = tuple(sigmas or skeleton.sigmas or (USUAL_SIGMA,) * k)
    both = np.isfinite(a).all(1) & np.isfinite(b).all(1)
    if both.sum() < 2:
        raise PosewrightError(f"the poses share {int(both.sum())} keypoints; at least two are needed")
    for pose in (a, b):
        if not np.ptp(pose[both], axis=0).any():
            raise PosewrightError("all keypoints of a pose lie in one place")
    aligned = _aligned(a, b, both, turn)
    area = float(np.prod(np.maximum(np.ptp(a[both], axis=0), 1.0)))
    points = np.concatenate([np.nan_to_num(a), 2.0 * both[:, None]], 1)
    each = np.full(k, np.nan)
    for i in np.flatnonzero(both):
        alone = points * (np.arange(k) == i)[:, None]
        each[i] = oks(aligned[None], alone[None], [area], chosen)[0, 0]
    total = float(oks(aligned[None], points[None], [area], chosen)[0, 0])
    limbs = tuple(
        _limb(name, a[list(joints)], aligned[list(joints)])
        for name, joints in limbs_of(skeleton).items()
        if both[list(joints)].all()
    )
    return PoseSimilarity(skeleton, total, each, limbs, aligned, chosen)


def limbs_of(skeleton: Skeleton) -> dict[str, tuple[int, int, int]]:
    """The arms, legs and fingers of a skeleton: (root, middle joint, end) by name; empty where it has none."""
    names = {name: i for i, name in enumerate(skeleton.keypoints)}
    found: dict[str, tuple[int, int, int]] = {}
    for side in ("left", "right"):
        own = {name: i for name, i in names.items() if side_of(name) == side}
        for limb, parts in LIMBS.items():
            places = [[i for name, i in own.items() if part in name.lower()] for part in parts]
            if all(len(place) == 1 for place in places):
                root, middle, end = (place[0] for place in places)
                found[f"{side} {limb}"] = root, middle, end
    for finger in FINGERS:
        joints = [names.get(f"{finger}_{number}") for number in (1, 2, 4)]
        if None not in joints:
            root, middle, end = (int(j) for j in joints if j is not None)
            found["thumb" if finger == "thumb" else f"{finger} finger"] = root, middle, end
    return found


def _aligned(a: Array, b: Array, both: NDArray[np.bool_], turn: bool) -> Array:
    """``b`` moved and scaled onto ``a``, by least squares over the keypoints that both have."""
    centre_a, centre_b = a[both].mean(0), b[both].mean(0)
    p, q = ((pose[both] - centre) @ np.array([1, 1j]) for pose, centre in ((a, centre_a), (b, centre_b)))
    factor = factor_onto(p, q, turn)
    moved = ((b - centre_b) @ np.array([1, 1j])) * factor
    return np.stack([moved.real, moved.imag], 1) + centre_a


def factor_onto(p: NDArray[np.complex128], q: NDArray[np.complex128], turn: bool) -> NDArray[np.complex128]:
    """The factor ``[...]`` that scales ``q`` onto ``p`` by least squares, and turns it where that is asked for.

    Args:
        p, q: ``[..., K]``, x + iy about their means, 0 where a point does not count.
    """
    across, own, other = (q.conj() * p).sum(-1), (np.abs(q) ** 2).sum(-1), (np.abs(p) ** 2).sum(-1)
    # As complex numbers one factor scales and turns; its real part alone is the best scale without a turn.
    factor = across / np.maximum(own, 1e-12)
    if turn:
        return np.asarray(factor)
    # Opposed poses would fit best at no size at all: then each is measured by its own spread.
    spread = np.sqrt(other / np.maximum(own, 1e-12))
    return np.where(factor.real > spread / 2, factor.real, spread).astype(complex)


def _limb(name: str, a: Array, b: Array) -> LimbDifference:
    """What one limb ``[3, 2]`` (root, middle, end) of the second pose lacks to be like that of the first."""
    length = max(float(np.linalg.norm(np.diff(a, axis=0), axis=1).sum()), 1e-9)
    right, down = ((a[2] - a[0]) - (b[2] - b[0])) / length
    return LimbDifference(name, float(right), float(down), _angle(a) - _angle(b))


def _angle(limb: Array) -> float:
    """The inner angle at the middle joint in degrees, 180 where the limb is straight or of no length."""
    one, other = limb[0] - limb[1], limb[2] - limb[1]
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(np.clip(one @ other / lengths, -1, 1)))) if lengths else 180.0
