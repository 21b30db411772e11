"""An evaluation's figures by what kind of keypoint or object they are of."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.metrics.evaluation import Evaluation

Mask = NDArray[np.bool_]

ALIKE = 1.1
"""Objects are of about one size where the largest is less than so many times the smallest."""
SIZE_PARTS, LEAST_IN_A_PART = 5, 8
"""Objects are parted by size into so many equal parts at most, of so many objects at least."""


def by_visibility(e: Evaluation) -> list[dict[str, Any]]:
    """A row for the keypoints labelled visible and one for the hidden ones; none where there is only one kind."""
    counts = ~np.isnan(e.distance)
    kinds = {"visible (v = 2)": counts & e.visible, "hidden (v = 1)": counts & ~e.visible}
    if not all(mask.any() for mask in kinds.values()):
        return []
    return [{"keypoints": name} | _figures(e, mask) for name, mask in kinds.items()]


def by_size(e: Evaluation) -> list[dict[str, Any]]:
    """A row for each of up to ``SIZE_PARTS`` parts of the objects, parted at quantiles of their box's longer side.

    None where there are too few objects for two parts, or all are of about one size.
    """
    counts = ~np.isnan(e.distance)
    objects = counts.any(1)
    parts = min(SIZE_PARTS, int(objects.sum()) // LEAST_IN_A_PART)
    if parts < 2:
        return []
    edges = np.unique(np.quantile(e.sizes[objects], np.linspace(0, 1, parts + 1)).round())
    if len(edges) < 3 or edges[-1] < ALIKE * edges[0]:
        return []
    place = np.clip(np.searchsorted(edges, e.sizes, side="right") - 1, 0, len(edges) - 2)
    rows = []
    for part, (low, high) in enumerate(itertools.pairwise(edges)):
        mine = objects & (place == part)
        if mine.any():
            row = {"longer side, px": f"{low:.0f} to {high:.0f}", "objects": int(mine.sum())}
            rows.append(row | _figures(e, counts & mine[:, None]))
    return rows


def _figures(e: Evaluation, mask: Mask) -> dict[str, Any]:
    """PCK and errors over the keypoints of a mask ``[N, K]``."""
    normalised = np.where(mask, e.normalised, np.nan)
    seen = normalised[~np.isnan(normalised)]
    pixels = e.distance[mask & np.isfinite(e.distance)]
    row: dict[str, Any] = {f"PCK@{t:g}": float((seen <= t).mean()) if len(seen) else None for t in e.thresholds}
    finite = seen[np.isfinite(seen)]
    row["median / normaliser"] = float(np.median(finite)) if len(finite) else None
    row["median px"] = f"{np.median(pixels):.2f}" if len(pixels) else None
    row["n"] = int(mask.sum())
    return row
