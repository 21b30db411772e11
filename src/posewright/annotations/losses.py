"""What of a set a format has no place for, in the words that all writers share; each line follows "not carried over:"."""

from __future__ import annotations

import numpy as np

from posewright.annotations.tables import Annotations

ASPECTS = ("empty", "hidden", "splits", "groups", "crowds", "outlines", "areas", "tracks", "weights", "head sizes")
"""What :func:`lost` can be asked about."""


def lost(a: Annotations, *aspects: str) -> list[str]:
    """One line for each of the aspects that this set makes use of, in the order given.

    Args:
        aspects: some of :data:`ASPECTS`: what a format has no place for.
    """
    return [line for aspect in aspects if (line := _line(a, aspect))]


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
    }
    words = {"groups": "the groups of pictures", "tracks": "the tracks' numbers", "weights": "the objects' weights"}
    return words.get(aspect, f"the {aspect}") if used[aspect] else ""
