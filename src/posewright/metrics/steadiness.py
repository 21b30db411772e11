"""How well an object was followed through a video: jitter, lag, frames lost, seconds until it is found again.

All take one row a frame, in order; NaN where nothing was reported or nothing is labelled. Lengths are pixels of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LOST_BELOW = 0.3
"""Intersection over union of the reported and the true box below which a frame does not show that the object is followed."""
LOST_AFTER = 10
"""Frames in a row that have to be so for the object to count as lost."""
FOUND_FROM = 0.5
"""Intersection over union from which it counts as found again."""


def jitter(xy: ArrayLike, truth: ArrayLike) -> float:
    """Root mean square of the error's second difference, over frames that follow on each other; NaN where none do.

    Shaking shows in it and nothing else: an error that is the same on each frame counts for nothing.

    Args:
        xy: ``[F, K, 2]`` reported.
        truth: ``[F, K, 2]``.
    """
    error = np.asarray(xy, float) - np.asarray(truth, float)
    second = error[2:] - 2 * error[1:-1] + error[:-2]
    squared = (second**2).sum(-1)
    return float(np.sqrt(np.nanmean(squared))) if np.isfinite(squared).any() else float("nan")


def lag(xy: ArrayLike, truth: ArrayLike, use: ArrayLike, most: float = 10.0, step: float = 0.05) -> float:
    """How many frames behind the truth, to a fraction, the report fits best; NaN where there is nothing to compare.

    The truth is moved later by each candidate, with straight lines between frames, and the mean distance compared. It means
    something on motion of a steady velocity only.

    Args:
        xy: ``[F, K, 2]`` reported.
        truth: ``[F, K, 2]``.
        use: ``[F]``, frames on which the velocity has been steady for long enough.
        most: largest shift tried, either way.
        step: between the shifts tried.
    """
    xy, truth, use = np.asarray(xy, float), np.asarray(truth, float), np.asarray(use, bool)
    frames = np.arange(len(truth))
    best, found = np.inf, float("nan")
    for shift in np.arange(-most, most + step / 2, step):
        at = frames - shift
        fits = use & (at >= 0) & (at <= len(truth) - 1)
        low = np.clip(np.floor(at).astype(int), 0, max(len(truth) - 2, 0))
        share = (at - low)[:, None, None]
        moved = truth[low] * (1 - share) + truth[np.minimum(low + 1, len(truth) - 1)] * share
        distance = np.linalg.norm(xy - moved, axis=-1)[fits]
        if np.isfinite(distance).any() and np.nanmean(distance) < best:
            best, found = float(np.nanmean(distance)), float(shift)
    return found


def steady(truth: ArrayLike, settle: int = 6, tolerance: float = 0.1) -> NDArray[np.bool_]:
    """``[F]``: frames before which the mean of the true points has moved alike for ``settle`` frames, and moves on so.

    Args:
        truth: ``[F, K, 2]``.
        settle: frames.
        tolerance: difference of two steps, as a share of the step, that still counts as alike.
    """
    centre = np.asarray(truth, float).mean(1)
    step = np.diff(centre, axis=0)
    length = np.linalg.norm(step, axis=1)
    alike = np.zeros(len(centre), bool)
    change = np.linalg.norm(np.diff(step, axis=0), axis=1)
    alike[1:-1] = change <= tolerance * np.maximum(length[1:], 1e-9)
    use = np.zeros(len(centre), bool)
    for i in range(settle, len(centre) - 2):
        use[i] = alike[i - settle + 1 : i + 2].all() and length[i - 1] > 0.05
    return use


@dataclass(frozen=True)
class Following:
    """Whether an object was followed.

    Attributes:
        lost: how often the box was elsewhere for ``LOST_AFTER`` frames in a row while the object was in view.
        returns: how often it came into view again.
        reacquired: seconds from each return until it was found; those never found are left out.
        missed: returns after which it was not found before it went again.
        false_alarms: share of the frames without the object on which one was reported; NaN where it never was away.
    """

    lost: int
    returns: int
    reacquired: tuple[float, ...]
    missed: int
    false_alarms: float


def following(
    overlap: ArrayLike, in_view: ArrayLike, there: ArrayLike, reported: ArrayLike, time: ArrayLike
) -> Following:
    """Count what went wrong with where an object was said to be.

    Args:
        overlap: ``[F]``, intersection over union of the reported box and the true one; 0 where nothing was reported.
        in_view: ``[F]``, whether most of the object can be seen.
        there: ``[F]``, whether any of it can.
        reported: ``[F]``, whether anything was reported.
        time: ``[F]`` in seconds.
    """
    overlap, time = np.asarray(overlap, float), np.asarray(time, float)
    in_view, there, reported = (np.asarray(a, bool) for a in (in_view, there, reported))
    run, lost = 0, 0
    for bad in in_view & ~(overlap >= LOST_BELOW):
        run = run + 1 if bad else 0
        lost += run == LOST_AFTER
    starts = [i for i in range(1, len(time)) if in_view[i] and not in_view[i - 1] and in_view[:i].any()]
    seconds, missed = [], 0
    for start in starts:
        end = start + int(np.argmin(np.r_[in_view[start:], False]))
        found = np.flatnonzero(overlap[start:end] >= FOUND_FROM)
        if len(found):
            seconds.append(float(time[start + found[0]] - time[start]))
        else:
            missed += 1
    away = ~there
    alarms = float(reported[away].mean()) if away.any() else float("nan")
    return Following(lost, len(starts), tuple(seconds), missed, alarms)
