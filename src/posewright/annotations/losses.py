"""What of a set a format has no place for, in the words that all writers share; each line follows "not carried over:"."""

from __future__ import annotations

import numpy as np

from posewright.annotations.tables import Annotations
from posewright.sides import swaps_from_names
from posewright.skeleton import Normaliser, Skeleton
from posewright.skeletons import BUILTIN

ASPECTS = (
    "empty",
    "hidden",
    "splits",
    "groups",
    "crowds",
    "outlines",
    "areas",
    "tracks",
    "weights",
    "head sizes",
    "terms",
)
"""What :func:`lost` can be asked about."""
TEXT_FILES = ("links", "left-right pairs", "up-down pairs")
"""What the hourglass system's three text files keep of a skeleton."""


def lost(a: Annotations, *aspects: str) -> list[str]:
    """One line for each of the aspects that this set makes use of, in the order given.

    Args:
        aspects: some of :data:`ASPECTS`: what a format has no place for.
    """
    return [line for aspect in aspects if (line := _line(a, aspect))]


def lost_of_skeleton(skeleton: Skeleton, *kept: str, shipped: bool = True) -> list[str]:
    """One line on what of a skeleton cannot be told again from its keypoints' names; none where nothing is lost.

    Args:
        kept: what the format has a place for: "links", "left-right pairs", "up-down pairs".
        shipped: whether its reader takes a shipped skeleton for keypoints of the same names.
    """
    if shipped and skeleton in BUILTIN.values():
        return []
    says = {
        "links": bool(skeleton.links),
        "left-right pairs": set(skeleton.swaps) != set(swaps_from_names(skeleton.keypoints)),
        "up-down pairs": bool(skeleton.vertical_swaps),
        "sigmas": skeleton.sigmas is not None,
        "normaliser": skeleton.normaliser != Normaliser("box"),
    }
    lost = [name for name, used in says.items() if used and name not in kept]
    return [f"the skeleton's {', '.join(lost)}"] if lost else []


def _line(a: Annotations, aspect: str) -> str:
    if aspect == "empty":
        empty = len(a.images) - len(np.unique(a.image))
        return f"{empty} pictures without an object" if empty else ""
    if aspect == "hidden":
        hidden = int((a.keypoints[..., 2] == 1).sum())
        return f"that {hidden} keypoints are hidden: they count as visible" if hidden else ""
    if aspect == "outlines":
        outlined = sum(len(p) > 0 for p in a.polygons)
        return f"the outlines of {outlined} objects" if outlined else ""
    if aspect == "crowds":
        return f"{int(a.iscrowd.sum())} crowd regions" if a.iscrowd.any() else ""
    used = {
        "splits": bool(a.splits),
        "groups": any(im.group for im in a.images),
        "areas": bool((abs(a.area - (a.boxes[:, 2:] - a.boxes[:, :2]).prod(1)) > 1e-6 * (1 + a.area)).any()),
        "tracks": bool((a.track >= 0).any()),
        "weights": bool((a.weight != 1).any()),
        "head sizes": bool((~np.isnan(a.head_size)).any()),
        "terms": bool(a.terms),
    }
    words = {"groups": "the groups of pictures", "tracks": "the tracks' numbers", "weights": "the objects' weights"}
    words["terms"] = f"the terms of its pictures and labels: {a.terms}"
    return words.get(aspect, f"the {aspect}") if used[aspect] else ""
