"""Records that are probably mistakes, told from the labels alone; no picture is opened.

The checks are blunt on purpose: each names a reason that a person can check with one look, and none of them drops
anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.statistics import picture_sizes
from posewright.annotations.tables import Annotations
from posewright.geometry import keypoints_box

Array = NDArray[np.float64]

OUTSIDE_PICTURE = 1.0
"""Pixels by which a labelled keypoint may lie outside its picture; rounding puts them there."""
OUTSIDE_BOX = 0.1
"""Share of the box's longer side by which a labelled keypoint may lie outside the box."""
LARGE, SMALL = 3.0, 0.5
"""A box more than ``LARGE`` or less than ``SMALL`` times as long as its keypoints' extent is odd, where most keypoints
are labelled and the ratio is also twice the set's median, or half of it."""
RARE = 0.05
"""An order of left and right that at most this share of the objects have is odd."""
CLEAR = 0.1
"""Share of the box's longer side by which a left and a right keypoint must be apart for their order to count."""


@dataclass(frozen=True)
class Suspicion:
    """One record that looks wrong.

    Attributes:
        image: index of the picture.
        object: index of the object; None where the whole picture is meant.
        kind: "picture", "outside the picture", "outside the box", "box too large", "box too small" or
            "left and right".
        what: what is odd about it, for people.
        degree: how odd; comparable within one kind only.
    """

    image: int
    object: int | None
    kind: str
    what: str
    degree: float


def suspicious(annotations: Annotations) -> list[Suspicion]:
    """All that looks wrong, kind by kind, the oddest first; crowds are not looked at."""
    found: list[Suspicion] = []
    for check in (_outside_picture, _outside_box, _odd_boxes, _mirrored, _crossed):
        found += sorted(check(annotations), key=lambda s: -s.degree)
    return found


def _looked_at(annotations: Annotations) -> NDArray[np.bool_]:
    """``[N, K]``: labelled keypoints of single objects."""
    return annotations.labelled & ~annotations.iscrowd[:, None]


def _names(annotations: Annotations, which: NDArray[np.bool_]) -> str:
    names = [annotations.skeleton.keypoints[k] for k in np.flatnonzero(which)]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _beyond(annotations: Annotations, low: Array, high: Array) -> Array:
    """``[N, K]``: by how many pixels each keypoint lies outside of ``[N, 2]`` corners; 0 inside and where unlabelled."""
    xy = annotations.keypoints[..., :2]
    over = np.maximum(low[:, None] - xy, xy - high[:, None]).max(2)
    return np.where(_looked_at(annotations) & (over > 0), over, 0.0)


def _outside_picture(annotations: Annotations) -> list[Suspicion]:
    sizes = picture_sizes(annotations)[annotations.image]
    over = _beyond(annotations, np.full_like(sizes, -0.5), np.nan_to_num(sizes, nan=np.inf) - 0.5)
    over[~np.isfinite(sizes).all(1)] = 0
    found = []
    for i in np.flatnonzero((over > OUTSIDE_PICTURE).any(1)):
        what = f"{_names(annotations, over[i] > OUTSIDE_PICTURE)}: up to {over[i].max():.0f} px outside the picture"
        found.append(Suspicion(int(annotations.image[i]), int(i), "outside the picture", what, float(over[i].max())))
    return found


def _outside_box(annotations: Annotations) -> list[Suspicion]:
    low, high = annotations.boxes[:, :2], annotations.boxes[:, 2:]
    over = _beyond(annotations, low, high) / (high - low).max(1, keepdims=True)
    found = []
    for i in np.flatnonzero((over > OUTSIDE_BOX).any(1)):
        what = f"{_names(annotations, over[i] > OUTSIDE_BOX)}: up to {over[i].max():.0%} of its side outside the box"
        found.append(Suspicion(int(annotations.image[i]), int(i), "outside the box", what, float(over[i].max())))
    return found


def _odd_boxes(annotations: Annotations) -> list[Suspicion]:
    """Boxes much larger or smaller than the keypoints in them."""
    seen = _looked_at(annotations)
    usable = np.flatnonzero((2 * seen.sum(1) > seen.shape[1]) & (seen.sum(1) >= 3))
    boxes = [keypoints_box(annotations.keypoints[i]) for i in usable]
    extent = np.array([max(b[2] - b[0], b[3] - b[1]) for b in boxes if b is not None])
    sides = (annotations.boxes[:, 2:] - annotations.boxes[:, :2]).max(1)
    ratio = sides[usable] / extent
    median = float(np.median(ratio)) if len(ratio) else 1.0
    found = []
    for i, r in zip(usable.tolist(), ratio.tolist()):
        large, small = r > max(LARGE, 2 * median), r < min(SMALL, median / 2)
        if large or small:
            what = f"the box is {r:.2g} times as long as the keypoints' extent; {median:.2g} times is usual here"
            kind = "box too large" if large else "box too small"
            found.append(Suspicion(int(annotations.image[i]), i, kind, what, r if large else 1 / r))
    return sorted(found, key=lambda s: (s.kind, -s.degree))


# -- left and right ---------------------------------------------------------------------------------------------------


def _sides(annotations: Annotations) -> Array:
    """``[N, P, 2]`` for each swap pair: from its second to its first keypoint, in the box's longer side; NaN where
    either is not labelled."""
    pairs = np.array(annotations.skeleton.swaps, int).reshape(-1, 2)
    xy = np.where(_looked_at(annotations)[..., None], annotations.keypoints[..., :2], np.nan)
    side = (annotations.boxes[:, 2:] - annotations.boxes[:, :2]).max(1)
    return (xy[:, pairs[:, 0]] - xy[:, pairs[:, 1]]) / side[:, None, None]


def _mirrored(annotations: Annotations) -> list[Suspicion]:
    """Objects whose left lies where nearly all others have their right.

    Says nothing where objects are seen from both sides, as people are: there no order is rare.
    """
    across = np.nan_to_num(_sides(annotations)[..., 0]).sum(1)
    clear = np.abs(across) > CLEAR
    reverse = across[clear] < 0
    share = float(reverse.mean()) if len(reverse) else 0.0
    odd, share = (across < 0, share) if share <= 0.5 else (across > 0, 1 - share)
    if share > RARE:
        return []
    what = f"left and right are the other way round than on {1 - share:.0%} of the objects"
    return [
        Suspicion(int(annotations.image[i]), int(i), "left and right", what, float(abs(across[i])))
        for i in np.flatnonzero(clear & odd)
    ]


def _crossed(annotations: Annotations) -> list[Suspicion]:
    """Objects on which a pair is in the opposite order to the object's other pairs, where that pair seldom is.

    Hips against shoulders, say; crossed ankles are no rarity and are not reported.
    """
    sides = _sides(annotations)
    if sides.shape[1] < 2:
        return []
    present = np.isfinite(sides).all(2)
    flat = np.nan_to_num(sides)
    others = flat.sum(1, keepdims=True) - flat
    reach = np.linalg.norm(others, axis=2)
    along = (flat * others).sum(2) / np.maximum(reach, 1e-12)
    # Both the pair and the others must be wide: of a body seen from the side, no order says anything.
    clear = np.minimum(np.abs(along), reach)
    decided = present & (clear > CLEAR)
    against = decided & (along < 0)
    share = against.sum(0) / np.maximum(decided.sum(0), 1)
    odd = against & (share <= RARE)
    degree = clear * -np.log10(np.maximum(share, 1e-6))
    names = annotations.skeleton.keypoints
    found = []
    for i in np.flatnonzero(odd.any(1)):
        worst = int(np.where(odd[i], degree[i], -1).argmax())
        a, b = annotations.skeleton.swaps[worst]
        what = f"{names[a]} and {names[b]} are crossed against the other pairs, as on {share[worst]:.1%} of the objects"
        found.append(Suspicion(int(annotations.image[i]), int(i), "left and right", what, float(degree[i, worst])))
    return found
