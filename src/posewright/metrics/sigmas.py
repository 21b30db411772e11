"""OKS sigmas from pictures that several people labelled: how far apart they put one keypoint, in sizes of the object.

COCO's convention: ``sigma_k^2 = E[d^2 / s^2]``, with ``d`` the distance of a label from the truth (along both axes together)
and ``s^2`` the object's area (cocodataset.org, keypoint evaluation). The truth is not known, so ``d^2`` is one annotator's
variance: of R labels of one keypoint, the sum of squared distances from their mean over R - 1. Two annotators that are D apart
give ``D^2 / 2``.

Gross errors, such as left and right mixed up, are no spread. With normal spread the sum of squares of R labels, times
``2 / (sigma s)^2``, follows the chi-squared distribution of ``2 (R - 1)`` degrees of freedom. A keypoint of an object whose
sum is beyond what ``OUTSIDE`` of them reach is left out, and the others' mean is divided by what such a cut takes away from a
normal spread; both are repeated until they agree, from a start that half of the labels may spoil, the median.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.json_file import is_number, load_json
from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.metrics.oks import assign, mean_distances
from posewright.skeleton import Skeleton

Array = NDArray[np.float64]

OUTSIDE = 0.001
"""Share of normally spread labels that is taken for gross errors."""
LEAST = 10
"""Objects with a keypoint labelled repeatedly, below which its sigma is not told from the others'."""
SAME_OBJECT = 0.5
"""Labels of one object lie at most this share of its box's longer side apart, on average over the keypoints."""
RESAMPLES, LEVEL = 1000, 0.95
COPIED = 0.5
"""Where a larger share of the repeats lies at the very same place, somebody has started from another's labels."""


@dataclass(frozen=True)
class Sigmas:
    """What :func:`estimate_sigmas` found.

    Attributes:
        skeleton: names the K keypoints.
        sigma: ``[K]``; NaN for a keypoint with fewer than ``LEAST`` repeats.
        plain: ``[K]``, the same with the gross errors left in.
        low, high: ``[K]``, the 95 % interval (bootstrap over objects).
        n: ``[K]`` objects on which the keypoint was labelled repeatedly, gross errors not among them.
        gross: ``[K]`` objects left out for one.
        objects: those that several files have.
        unmatched: of each file, objects that no other has.
        copied: share of the repeats at the very same place.
        files: how many.
    """

    skeleton: Skeleton
    sigma: Array
    plain: Array
    low: Array
    high: Array
    n: NDArray[np.int64]
    gross: NDArray[np.int64]
    objects: int
    unmatched: tuple[int, ...]
    copied: float
    files: int

    @property
    def filled(self) -> tuple[float, ...]:
        """One for each keypoint; the median of the others where there are too few repeats."""
        usual = float(np.nanmedian(self.sigma))
        return tuple(round(float(usual if np.isnan(s) else s), 5) for s in self.sigma)

    def rows(self) -> list[dict[str, Any]]:
        """The table: one row a keypoint."""
        return [
            {
                "keypoint": name,
                "sigma": _text(self.sigma[k]),
                "95 % interval": f"{_text(self.low[k])} to {_text(self.high[k])}" if self.n[k] >= LEAST else "–",
                "with gross errors": _text(self.plain[k]),
                "objects": int(self.n[k]),
                "gross errors": int(self.gross[k]),
            }
            for k, name in enumerate(self.skeleton.keypoints)
        ]

    def statements(self) -> list[str]:
        """What was found and by which conventions, one sentence each."""
        lines = [
            f"{self.objects} objects were labelled in two or more of {self.files} files; without a partner: "
            f"{', '.join(map(str, self.unmatched))}.",
            "sigma^2: mean of d^2 / area, d^2 being one annotator's variance (both axes together: two labels D apart give "
            "D^2 / 2), area the mean of the labels' areas. OKS takes 2 sigma, as COCO's does.",
            f"Gross errors: what {OUTSIDE:g} of normally spread labels reach; left out of sigma, and corrected for.",
        ]
        few = [name for name, n in zip(self.skeleton.keypoints, self.n, strict=True) if n < LEAST]
        if few:
            lines.append(f"Fewer than {LEAST} repeats of {', '.join(few)}: the median of the others stands for them.")
        if self.copied > COPIED:
            lines.append(
                f"Warning: {self.copied:.0%} of the repeats lie at the very same place: these labels were not made "
                "independently, and the sigmas are too small."
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """The record of a sigmas file; ``skeleton`` is the labels' own, with these sigmas."""
        names = self.skeleton.keypoints
        return {
            "sigmas": dict(zip(names, self.filled, strict=True)),
            "skeleton": {**self.skeleton.to_dict(), "sigmas": list(self.filled)},
            "interval": {n: [_number(a), _number(b)] for n, a, b in zip(names, self.low, self.high, strict=True)},
            "n": dict(zip(names, self.n.tolist(), strict=True)),
            "gross_errors": dict(zip(names, self.gross.tolist(), strict=True)),
            "conventions": self.statements(),
        }

    def dumps(self) -> str:
        """:meth:`to_json` as text."""
        return json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"


def estimate_sigmas(sets: Sequence[Annotations], seed: int = 0) -> Sigmas:
    """Estimate OKS sigmas from labels of the same pictures.

    Pictures are the same where their paths are, or else their file names. Objects of one picture are matched to those of the
    first file that has it, one to one, the nearest first.

    Args:
        sets: two or more, of the same keypoints in any order. Crowds do not count.
        seed: of the bootstrap.

    Raises:
        PosewrightError: where the keypoints differ, no object was labelled twice, or no keypoint often enough.
    """
    if len(sets) < 2:
        raise PosewrightError("sigmas are estimated from two or more label files of the same pictures")
    skeleton = sets[0].skeleton
    points, areas, unmatched = _repeats(sets)
    labelled = points[..., 2] > 0
    repeats = labelled.sum(1)
    counts = repeats >= 2
    if not counts.any():
        fix = "The pictures must have the same paths or file names in all of them"
        raise PosewrightError("no keypoint was labelled twice in these files", file=sets[1].source or None, fix=fix)
    xy = np.where(labelled[..., None], points[..., :2], 0)
    mean = xy.sum(1) / np.maximum(repeats, 1)[..., None]
    away = np.where(labelled, ((points[..., :2] - mean[:, None]) ** 2).sum(-1), 0).sum(1)
    square = np.where(counts, away / areas[:, None], np.nan)
    freedom = np.where(counts, 2.0 * (repeats - 1), np.nan)
    k = len(skeleton)
    found = {name: np.full(k, np.nan) for name in ("sigma", "plain", "low", "high")}
    n, gross = np.zeros(k, np.int64), np.zeros(k, np.int64)
    rng = np.random.default_rng(seed)
    for i in range(k):
        s, f = square[counts[:, i], i], freedom[counts[:, i], i]
        keep, expected = _without_gross(s, f)
        n[i], gross[i] = int(keep.sum()), int((~keep).sum())
        if n[i] < LEAST:
            continue
        s_kept, e = s[keep], expected[keep]
        found["sigma"][i] = math.sqrt(2 * s_kept.sum() / e.sum())
        found["plain"][i] = math.sqrt(2 * s.sum() / f.sum())
        drawn = rng.integers(0, n[i], (RESAMPLES, n[i]))
        again = np.sqrt(2 * s_kept[drawn].sum(1) / e[drawn].sum(1))
        found["low"][i], found["high"][i] = np.quantile(again, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if not (found["sigma"] > 0).any():
        most = int(counts.sum(0).max())
        what = f"the keypoint labelled twice most often is so on {most} objects; {LEAST} that differ are needed"
        raise PosewrightError(what, file=sets[0].source or None, fix="Label more pictures twice")
    copied = float((square[counts] == 0).mean())
    found["sigma"] = np.where(found["sigma"] > 0, found["sigma"], np.nan)
    return Sigmas(
        skeleton, **found, n=n, gross=gross, objects=len(points), unmatched=unmatched, copied=copied, files=len(sets)
    )


def parse_sigmas(text: str, skeleton: Skeleton) -> tuple[float, ...]:
    """What ``--sigmas`` says, one for each keypoint: one number, K of them with commas, or a file of :meth:`Sigmas.dumps`.

    Raises:
        PosewrightError: where it is none of these, or is of other keypoints.
    """
    if Path(text).suffix.lower() == ".json":
        return _sigmas_file(Path(text), skeleton)
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise PosewrightError(
            f"sigmas '{text}' are not numbers", fix="Write them like 0.05 or 0.026,0.025,..."
        ) from None
    if not all(0 < value < float("inf") for value in values):
        raise PosewrightError(f"sigmas '{text}': each must be above 0")
    if len(values) not in (1, len(skeleton)):
        raise PosewrightError(f"--sigmas has {len(values)} numbers; give one, or {len(skeleton)} for '{skeleton.name}'")
    return tuple(values) if len(values) > 1 else tuple(values * len(skeleton))


def _sigmas_file(path: Path, skeleton: Skeleton) -> tuple[float, ...]:
    """The sigmas that `posewright sigmas` wrote, for a skeleton with any of its keypoints in any order."""
    record = load_json(path)
    values = record.get("sigmas") if isinstance(record, dict) else None
    if not isinstance(values, dict) or not all(is_number(v) and 0 < v < float("inf") for v in values.values()):
        raise PosewrightError("holds no sigmas by keypoint", file=path, fix="posewright sigmas -o writes such a file")
    missing = [name for name in skeleton.keypoints if name not in values]
    if missing:
        raise PosewrightError(f"has no sigma of '{missing[0]}', which '{skeleton.name}' has", file=path)
    return tuple(float(values[name]) for name in skeleton.keypoints)


def _without_gross(square: Array, freedom: Array) -> tuple[NDArray[np.bool_], Array]:
    """Which sums of squares are no gross errors, and what each of these would be on average, in units of sigma^2 / 2."""
    from scipy.stats import chi2

    if not len(square):
        return np.zeros(0, bool), np.zeros(0)
    limit = chi2.ppf(1 - OUTSIDE, freedom)
    # The mean of a chi-squared variable that is known to lie below the limit.
    expected = freedom * chi2.cdf(limit, freedom + 2) / (1 - OUTSIDE)
    apart = square > 0  # copies of another's label say nothing about where to start
    variance = float(np.median((2 * square / chi2.median(freedom))[apart])) if apart.any() else 0.0
    keep = np.ones(len(square), bool)
    for _ in range(50):
        now = 2 * square <= limit * variance
        if (now == keep).all() and _ > 0:
            break
        keep = now
        variance = float(2 * square[keep].sum() / expected[keep].sum()) if keep.any() else 0.0
    return keep, expected


def _repeats(sets: Sequence[Annotations]) -> tuple[Array, Array, tuple[int, ...]]:
    """Objects that several sets have: points ``[M, R, K, 3]`` in the first set's order of keypoints, v = 0 where a set lacks
    it; mean areas ``[M]``; and how many objects of each set no other has."""
    skeleton = sets[0].skeleton
    orders = [_order(skeleton, other) for other in sets]
    of_picture: dict[Any, dict[int, int]] = {}
    for r, names in enumerate(_names(sets)):
        for image, name in enumerate(names):
            of_picture.setdefault(name, {})[r] = image
    points: list[Array] = []
    areas: list[float] = []
    matched = [0] * len(sets)
    for images in of_picture.values():
        if len(images) < 2:
            continue
        first, *others = images
        base = sets[first]
        mine = np.flatnonzero((base.image == images[first]) & base.usable)
        shape = (len(mine), len(sets), len(skeleton), 3)
        found, area = np.zeros(shape), np.full((len(mine), len(sets)), np.nan)
        found[:, first], area[:, first] = base.keypoints[mine][:, orders[first]], base.area[mine]
        for r in others:
            other = sets[r]
            theirs = np.flatnonzero((other.image == images[r]) & other.usable)
            if not len(mine) or not len(theirs):
                continue
            labels = other.keypoints[theirs][:, orders[r]]
            for i, d in _pairs(found[:, first], base.boxes[mine], base.area[mine], labels):
                found[i, r], area[i, r] = labels[d], other.area[theirs[d]]
        several = (~np.isnan(area)).sum(1) >= 2
        for r in range(len(sets)):
            matched[r] += int((several & ~np.isnan(area[:, r])).sum())
        points += list(found[several])
        areas += np.nanmean(area[several], 1).tolist() if several.any() else []
    left = tuple(int(s.usable.sum()) - m for s, m in zip(sets, matched, strict=True))
    return np.array(points).reshape(-1, len(sets), len(skeleton), 3), np.maximum(np.array(areas), 1e-9), left


def _pairs(truth: Array, boxes: Array, area: Array, labels: Array) -> list[tuple[int, int]]:
    """Which of the other's labels ``[D, K, 3]`` are of the same objects as ``[G, K, 3]``."""
    xy = np.where(labels[..., 2:] > 0, labels[..., :2], np.nan)
    longer = (boxes[:, 2:] - boxes[:, :2]).max(1)
    chosen, away = assign(xy, truth, boxes, area, None), mean_distances(xy, truth, longer)
    return [(g, int(d)) for g, d in enumerate(chosen) if d >= 0 and away[d, g] <= SAME_OBJECT]


def _order(skeleton: Skeleton, other: Annotations) -> list[int]:
    """For each keypoint of the first set, its place in another."""
    names = other.skeleton.keypoints
    if sorted(names) != sorted(skeleton.keypoints):
        strange = sorted(set(names) ^ set(skeleton.keypoints))[0]
        what = f"has other keypoints than the first file; one that only one of them has is '{strange}'"
        raise PosewrightError(what, file=other.source or None)
    return [names.index(name) for name in skeleton.keypoints]


def _names(sets: Sequence[Annotations]) -> list[list[Any]]:
    """What each picture of each set is called: its path and frame where the sets share any, else its file name."""
    full = [[(im.path, im.frame) for im in s.images] for s in sets]
    if all(set(full[0]) & set(other) for other in full[1:]):
        return full  # type: ignore[return-value]
    short = [[(PurePosixPath(path).name, frame) for path, frame in names] for names in full]
    for s, names in zip(sets, short, strict=True):
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)[0]
            what = f"has two pictures called '{twice}', and its paths are not those of the other files"
            raise PosewrightError(what, file=s.source or None)
    return short  # type: ignore[return-value]


def _text(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "–"


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
