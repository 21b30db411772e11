"""How far a share may be off because only so many pictures were looked at."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95
FEW = 30
"""With fewer objects than this, a figure comes with a word of caution."""
_BEYOND = 1.959964
"""Standard deviations of a normal distribution that hold ``LEVEL``."""


def share_interval(hits: ArrayLike, counts: ArrayLike) -> tuple[float, float]:
    """The 95 % interval of a share that was counted picture by picture.

    Keypoints of one picture stand or fall together, so that they say less than as many of different pictures. Wilson's
    interval (1927) is taken for the number of independent ones that would give the same variance between pictures (the
    effective sample size of Korn and Graubard, 1998), at most all of them; where all or none are hits, for the number of
    pictures. Unlike a bootstrap it does not claim certainty for ten hits out of ten.

    Args:
        hits, counts: ``[P]`` of each picture.

    Returns:
        (low, high); NaN where nothing was counted.
    """
    h, n = np.asarray(hits, float).ravel(), np.asarray(counts, float).ravel()
    h, n = h[n > 0], n[n > 0]
    pictures, total = len(n), float(n.sum())
    if not pictures:
        return math.nan, math.nan
    p = float(h.sum()) / total
    size = float(pictures)
    if pictures > 1 and 0 < p < 1:
        variance = float(((h - p * n) ** 2).sum()) * pictures / (pictures - 1) / total**2
        if variance > 0:
            size = min(p * (1 - p) / variance, total)
    return wilson(p, size)


def wilson(share: float, count: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of ``count`` independent trials."""
    z2 = _BEYOND**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = _BEYOND * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return max(centre - reach, 0.0), min(centre + reach, 1.0)


def caution(what: str, share: float, low: float, high: float, objects: int) -> str:
    """What stands beside a figure from few objects, one sentence."""
    were = "object was" if objects == 1 else "objects were"
    return (
        f"Caution: only {objects} {were} measured; {what} {share:.3f} may as well be anything from {low:.2f} to "
        f"{high:.2f} (95 % interval)."
    )
