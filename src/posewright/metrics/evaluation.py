"""One evaluation: predictions against annotations, with every convention it was made under."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.metrics.average_precision import AveragePrecision, Detections, average_precision
from posewright.metrics.calibration import Uncertainty
from posewright.metrics.interval import FEW, caution, share_interval
from posewright.metrics.normalise import normaliser_lengths
from posewright.metrics.pck import PckResult, distances, normalised_distances, pck_of_distances
from posewright.metrics.reliability import CONVENTION, Reliability, reliability
from posewright.skeleton import Normaliser, Skeleton

Array = NDArray[np.float64]

CURVE_END = 0.5
"""PCK curves and the area under them run from 0 to this threshold."""


def default_thresholds(normaliser: Normaliser) -> tuple[float, ...]:
    """The thresholds reported unless told otherwise; 0.5 is customary by the head and in the hourglass system."""
    return (0.1, 0.2, 0.5) if normaliser.kind in ("head", "hourglass") else (0.05, 0.1, 0.2)


def usual_threshold(normaliser: Normaliser, thresholds: Sequence[float]) -> float:
    """Of the thresholds asked for, the one that a keypoint is called right by: 0.1 of a whole face or box, 0.2 of a part of
    the object; the middle one where that is not among them."""
    usual = 0.1 if normaliser.kind in ("outer_eye_corners", "box", "diagonal", "box_area") else 0.2
    return usual if usual in thresholds else sorted(thresholds)[len(thresholds) // 2]


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` measured.

    Attributes:
        skeleton, normaliser, thresholds: what was asked.
        n_images: pictures of the evaluated set, with or without objects.
        n_objects: objects with at least one keypoint that counts.
        n_missing: of these, objects for which nothing was predicted; misses at every threshold.
        n_left_out: of these, objects left out of every normalised figure for want of a normaliser's length.
        visible_only: whether hidden keypoints (v = 1) were left out.
        distance: ``[N, K]`` pixels, of all objects of the set: NaN where a keypoint does not count, infinite where it
            was not predicted.
        lengths: ``[N]`` pixels, NaN where left out.
        sizes: ``[N]`` pixels, the longer side of each object's box.
        pck: one result for each threshold.
        visible: ``[N, K]``: which keypoints are labelled visible.
        picture: ``[N]``: which picture each object is on.
        score: what was said of the keypoints against whether they were right; None where no scores were given.
        uncertainty: what the model said of its errors, against the labels; None where it said nothing.
        average_precision: COCO's AP and AR; None where the skeleton has no sigmas or no detections were given.
    """

    skeleton: Skeleton
    normaliser: Normaliser
    thresholds: tuple[float, ...]
    n_images: int
    n_objects: int
    n_missing: int
    n_left_out: int
    visible_only: bool
    distance: Array
    lengths: Array
    sizes: Array
    pck: tuple[PckResult, ...]
    visible: NDArray[np.bool_]
    picture: NDArray[np.int64]
    score: Reliability | None = None
    uncertainty: Uncertainty | None = None
    average_precision: AveragePrecision | None = None

    @property
    def normalised(self) -> Array:
        """``[N, K]`` distances over lengths."""
        return normalised_distances(self.distance, self.lengths)

    def curve(self, steps: int = 100) -> tuple[Array, Array]:
        """Thresholds from 0 to 0.5 and the PCK at each."""
        thresholds = np.linspace(0, CURVE_END, steps + 1)
        values = self.normalised
        values = np.sort(values[~np.isnan(values)])
        hits = np.searchsorted(values, thresholds, side="right")
        return thresholds, hits / len(values) if len(values) else np.full(steps + 1, np.nan)

    @property
    def metrics(self) -> dict[str, float]:
        """All figures over the whole set, by name; NaN where nothing counts.

        ``PCK@t`` is the share of all labelled keypoints (micro), ``mean_PCK@t`` the mean over keypoint names (macro),
        ``AUC@0.5`` the exact area under the PCK curve from 0 to 0.5 over 0.5, ``NME`` the mean over objects of the mean
        distance over the length; ``mean_error_px`` and ``median_error_px`` are over all predicted keypoints, those of
        objects without a length too. Where scores were given, ``score_ECE``, ``score_Brier`` and ``score_AUC`` of
        :mod:`posewright.metrics.reliability`. Of a model that tells its covariance or visibility, the figures of
        :attr:`posewright.metrics.calibration.Uncertainty.metrics` as well; where detections were given and the skeleton has
        sigmas, those of :attr:`posewright.metrics.average_precision.AveragePrecision.metrics`.
        """
        found: dict[str, float] = {f"PCK@{t:g}": r.total for t, r in zip(self.thresholds, self.pck, strict=True)}
        found |= {f"mean_PCK@{t:g}": r.mean for t, r in zip(self.thresholds, self.pck, strict=True)}
        normalised = self.normalised
        counted = normalised[~np.isnan(normalised)]
        found[f"AUC@{CURVE_END:g}"] = _mean(np.clip(1 - counted / CURVE_END, 0, None))
        found["NME"] = _mean(object_means(normalised))
        pixels = self.distance[np.isfinite(self.distance)]
        found["mean_error_px"] = _mean(pixels)
        found["median_error_px"] = float(np.median(pixels)) if len(pixels) else math.nan
        found |= self.score.figures if self.score else {}
        found |= self.average_precision.metrics if self.average_precision else {}
        return found | (self.uncertainty.metrics if self.uncertainty else {})

    @property
    def by_keypoint(self) -> dict[str, dict[str, float]]:
        """The same figures for each keypoint by name, with how many count: ``n`` in all, ``n_PCK`` with a length."""
        rows: dict[str, dict[str, float]] = {}
        for k, name in enumerate(self.skeleton.keypoints):
            row = {f"PCK@{t:g}": float(r.by_keypoint[k]) for t, r in zip(self.thresholds, self.pck, strict=True)}
            pixels = self.distance[:, k][np.isfinite(self.distance[:, k])]
            row["mean_error_px"] = _mean(pixels)
            row["median_error_px"] = float(np.median(pixels)) if len(pixels) else math.nan
            row["n"] = int((~np.isnan(self.distance[:, k])).sum())
            row["n_PCK"] = int(self.pck[0].n_by_keypoint[k])
            rows[name] = row | (self.uncertainty.by_keypoint[name] if self.uncertainty else {})
        return rows

    @property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """The 95 % interval of each threshold's PCK, see :func:`posewright.metrics.interval.share_interval`."""
        normalised = self.normalised
        counts = ~np.isnan(normalised)
        _, place = np.unique(self.picture, return_inverse=True)
        n = np.bincount(place, counts.sum(1))
        with np.errstate(invalid="ignore"):
            hits = [np.bincount(place, (normalised <= t).sum(1), len(n)) for t in self.thresholds]
        return tuple(share_interval(h, n) for h in hits)

    def cautions(self) -> list[str]:
        """What to say where the normalised figures are of few objects, or of none; nothing where they are not."""
        objects = int((~np.isnan(self.normalised)).any(1).sum())
        if not objects:
            what = f"Caution: no object has a length to normalise by ({describe(self.normaliser)}): there is no PCK, AUC or NME."
            return [f"{what} --normaliser box needs nothing but the box."]
        if objects >= FEW:
            return []
        t = usual_threshold(self.normaliser, self.thresholds)
        i = self.thresholds.index(t)
        return [caution(f"PCK@{t:g}", self.pck[i].total, *self.intervals[i], objects)]

    @property
    def n_keypoints(self) -> int:
        """Keypoints that count, with or without a length."""
        return int((~np.isnan(self.distance)).sum())

    def conventions(self) -> list[str]:
        """What the figures mean, one sentence each."""
        counted = (
            "visible keypoints (v = 2) count" if self.visible_only else "labelled keypoints count, hidden ones too"
        )
        lines = [
            f"PCK@t: share of all labelled keypoints within t x the normaliser (distance <= t x length); {counted}.",
            f"Normaliser: {describe(self.normaliser)}.",
            "Intervals of PCK: 95 %, Wilson's for the effective number of keypoints, since those of one picture go together.",
            f"AUC: area under the PCK curve from 0 to {CURVE_END:g}, over {CURVE_END:g}. NME: mean over objects of the mean "
            "distance over the normaliser. Mean of keypoints: each name weighs alike, however often it is labelled.",
        ]
        if self.n_left_out:
            why = "no head size is labelled"
            if self.normaliser.keypoints:
                why = "its two keypoints are not both labelled, or closer than a tenth of the box's longer side"
                if self.normaliser.kind == "head":
                    why = "neither a head size nor both of its keypoints are labelled"
            without = f"{self.n_left_out} of {self.n_objects} objects have no normaliser"
            lines.append(f"{without} and are left out of PCK and NME: {why}.")
        if self.n_missing:
            lines.append(f"{self.n_missing} of {self.n_objects} objects have no prediction and count as misses.")
        partial = int(np.isinf(self.distance).sum())
        if partial:
            lines.append(
                f"{partial} keypoints have no prediction: misses in PCK, absent from errors in px and from NME."
            )
        lines += [CONVENTION, self.score.claim()] if self.score else []
        lines += self.average_precision.conventions() if self.average_precision else []
        return lines + (self.uncertainty.conventions() if self.uncertainty else [])

    def to_json(self) -> dict[str, Any]:
        """The record that ``--json`` writes; figures that cannot be measured are null."""
        thresholds, values = self.curve()
        return {
            "n_images": self.n_images,
            "n_objects": self.n_objects,
            "metrics": _plain(self.metrics),
            "by_keypoint": {name: _plain(row) for name, row in self.by_keypoint.items()},
            "normaliser": str(self.normaliser),
            "n_keypoints": self.n_keypoints,
            "n_left_out": self.n_left_out,
            "n_missing": self.n_missing,
            "visible_only": self.visible_only,
            "skeleton": self.skeleton.name,
            "thresholds": list(self.thresholds),
            "intervals": {
                f"PCK@{t:g}": [_number(low), _number(high)]
                for t, (low, high) in zip(self.thresholds, self.intervals, strict=True)
            },
            "cautions": self.cautions(),
            "reliability": {"score": self.score.to_json()} if self.score else {},
            "conventions": self.conventions(),
            "curve": {"threshold": [round(float(t), 6) for t in thresholds], "PCK": [_number(v) for v in values]},
        }

    def dumps(self) -> str:
        """:meth:`to_json` as text."""
        return json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"

    def worst(self, count: int) -> list[int]:
        """Indices of the objects with the largest mean error relative to their size, worst first.

        An object without a length is judged by its box, of which the others' lengths are usually some share. Objects
        without any prediction are not among them: there is nothing to look at.
        """
        shares = self.lengths / self.sizes
        usual = float(np.nanmedian(shares)) if np.isfinite(shares).any() else 1.0
        lengths = np.where(np.isfinite(self.lengths), self.lengths, usual * self.sizes)
        means = object_means(self.distance / lengths[:, None], keep_empty=True)
        ranked = np.argsort(-np.where(np.isnan(means), -np.inf, means), kind="stable")
        return [int(i) for i in ranked[:count] if not np.isnan(means[i])]


def evaluate(
    pred_xy: ArrayLike,
    truth: Annotations,
    *,
    normaliser: Normaliser | None = None,
    thresholds: Sequence[float] | None = None,
    visible_only: bool = False,
    covariance: ArrayLike | None = None,
    tail: float | None = None,
    visibility: ArrayLike | None = None,
    detections: Detections | None = None,
    score: ArrayLike | None = None,
    score_at: float | None = None,
) -> Evaluation:
    """Measure predictions against annotations.

    Args:
        pred_xy: ``[N, K, 2]`` in source-picture pixels, one pose for each object of ``truth`` in its order; NaN where
            nothing was predicted.
        truth: the labels. Crowd regions are not counted.
        normaliser: what distances are divided by; the skeleton's own where None.
        thresholds: shares of that length; see :func:`default_thresholds`.
        visible_only: leave hidden keypoints (v = 1) out.
        covariance: ``[N, K, 3]`` (xx, xy, yy) in px^2 that the model told with them, NaN likewise.
        tail: of the law that its errors follow, see :mod:`posewright.metrics.calibration`; None for the normal one.
        visibility: ``[N, K]`` in 0..1 that the model told, NaN likewise.
        detections: all that was found on the pictures, for AP and AR where the skeleton has sigmas.
        score: ``[N, K]`` of the predictions, NaN likewise. Where some are outside 0..1 they claim no share, and are not held
            against one.
        score_at: the PCK threshold by which a keypoint is right, for that; see :func:`usual_threshold` where None.

    Raises:
        PosewrightError: where no labelled keypoint is left to measure by, or a threshold is not a number above 0.
    """
    normaliser = normaliser or truth.skeleton.normaliser
    wanted = tuple(thresholds) if thresholds else default_thresholds(normaliser)
    for t in wanted:
        if not 0 < t < math.inf:
            raise PosewrightError(f"a PCK threshold is a share above 0, not {t:g}")
    labels = truth.keypoints.copy()
    labels[np.asarray(truth.iscrowd)] = 0
    distance = distances(
        np.asarray(pred_xy, float).reshape(len(truth), len(truth.skeleton), 2), labels, visible_only=visible_only
    )
    counts = ~np.isnan(distance)
    objects = counts.any(1)
    if not objects.any():
        raise PosewrightError("no labelled keypoint to measure by", file=truth.source or None)
    lengths = normaliser_lengths(truth, truth.skeleton, normaliser)
    lengths = np.where(objects, lengths, np.nan)
    normalised = normalised_distances(distance, lengths)
    uncertainty = None
    if covariance is not None or visibility is not None:
        counted = np.where(counts[..., None], labels, 0)
        names, normal = truth.skeleton.keypoints, math.inf if tail is None else tail
        uncertainty = Uncertainty.measure(names, pred_xy, counted, covariance, normal, visibility)
    at = score_at or usual_threshold(normaliser, wanted)
    return Evaluation(
        truth.skeleton,
        normaliser,
        wanted,
        n_images=len(truth.images),
        n_objects=int(objects.sum()),
        n_missing=int((objects & ~np.isfinite(distance).any(1)).sum()),
        n_left_out=int((objects & np.isnan(lengths)).sum()),
        visible_only=visible_only,
        distance=distance,
        lengths=lengths,
        sizes=(truth.boxes[:, 2:] - truth.boxes[:, :2]).max(1, initial=0),
        pck=tuple(pck_of_distances(normalised, t) for t in wanted),
        visible=labels[..., 2] == 2,
        picture=truth.image,
        score=None if score is None else _score_reliability(np.asarray(score, float), normalised, at, normaliser),
        uncertainty=uncertainty,
        average_precision=None
        if detections is None or not truth.skeleton.sigmas
        else average_precision(detections, truth),
    )


def _score_reliability(score: Array, normalised: Array, at: float, normaliser: Normaliser) -> Reliability | None:
    """The scores ``[N, K]`` of what counts and was predicted against whether it was right."""
    said = np.where(np.isfinite(normalised), score, np.nan)
    seen = said[np.isfinite(said)]
    if not len(seen) or seen.min() < 0 or seen.max() > 1:
        return None
    with np.errstate(invalid="ignore"):
        return reliability(
            said, normalised <= at, "score", f"the share of keypoints right by PCK@{at:g} ({normaliser})"
        )


def describe(normaliser: Normaliser) -> str:
    """A normaliser in words."""
    words = {
        "box": "longer side of the object's box",
        "diagonal": "diagonal of the object's box",
        "box_area": "square root of the area of the object's box",
        "hourglass": "a tenth of the hourglass system's crop, 0.125 of the box's longer side (its PCK is at 0.5)",
        "fixed": f"{normaliser.length or 0:g} px of the picture",
    }
    if normaliser.kind == "head" and normaliser.keypoints is None:
        return "labelled head size"
    if normaliser.keypoints:
        a, b = normaliser.keypoints
        ends = f"distance from {a} to {b}"
        return f"labelled head size, else {ends}" if normaliser.kind == "head" else f"{normaliser.kind}, {ends}"
    return words[normaliser.kind]


def object_means(values: Array, keep_empty: bool = False) -> Array:
    """Mean of each row over its finite entries; rows that have none are dropped, or NaN with ``keep_empty``."""
    finite = np.isfinite(values)
    count = finite.sum(1)
    means = np.where(finite, values, 0).sum(1) / np.where(count > 0, count, np.nan)
    return means if keep_empty else means[count > 0]


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else math.nan


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


def _plain(row: dict[str, float]) -> dict[str, float | int | None]:
    return {name: value if isinstance(value, int) else _number(value) for name, value in row.items()}
