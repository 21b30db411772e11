"""COCO's average precision and recall over object keypoint similarity, for any skeleton that has sigmas.

The rules are those of the official tool (pycocotools, ``COCOeval`` with ``iouType="keypoints"``), to the last quirk:

- A picture's 20 highest scores count. From the highest down, each detection takes the labelled object of the highest OKS
  that is free and at least at the threshold, for each of the thresholds 0.5, 0.55, ..., 0.95.
- Crowds, objects without a labelled keypoint and objects of another size than asked for are ignored: they are not to be
  found, and a detection that can take no other object may take them, which makes it neither right nor wrong. Any number of
  detections may take the same crowd.
- Of an object without labelled keypoints, the distances are those to its box grown by its own width and height on each side.
- A detection without an object is wrong, unless the box around its keypoints is of another size than asked for.
- Precision is made monotonous from the right and read off at the recalls 0, 0.01, ..., 1; AP is its mean over these and
  over the thresholds, AR the mean over the thresholds of the largest recall.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.metrics.oks import oks

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST_DETECTIONS = 20
"""Detections of one picture that count."""
SIZES = {"all": (0.0, 1e5**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e5**2)}
"""Ranges of an object's area in px^2, both ends inside. COCO labels no keypoints of small people."""
CORNER = 0.5
"""COCO's boxes count from the picture's corner, its keypoints from the first pixel's centre; the official tool compares
the two as they stand."""


@dataclass(frozen=True)
class Detections:
    """All detections on a set's pictures, whether they belong to a labelled object or not.

    Attributes:
        image: ``[D]``, index into the set's images; those of one picture in the order that breaks ties of their scores.
        xy: ``[D, K, 2]`` in source-picture pixels; 0, 0 for a keypoint that was not predicted, as in COCO results.
        score: ``[D]``, higher is surer.
    """

    image: NDArray[np.int64]
    xy: Array
    score: Array


@dataclass(frozen=True)
class AveragePrecision:
    """What :func:`average_precision` measured.

    Attributes:
        precision: ``[10, 101, 3]`` at every OKS threshold, recall and size (:data:`SIZES`); NaN where no object counts.
        recall: ``[10, 3]``, the largest; NaN likewise.
        n_objects: objects to be found, of any size.
        n_ignored: crowds and objects without a labelled keypoint.
        n_detections: detections that took part, at most 20 a picture.
        n_pictures: with or without objects.
        sigmas: one for each keypoint, that the OKS was measured by.
    """

    precision: Array
    recall: Array
    n_objects: int
    n_ignored: int
    n_detections: int
    n_pictures: int
    sigmas: tuple[float, ...]

    @property
    def metrics(self) -> dict[str, float]:
        """The ten figures of the official summary by their usual names, in 0..1; NaN where the official tool says -1."""
        p, r = self.precision, self.recall
        at = {50: 0, 75: 5}
        medium, large = list(SIZES).index("medium"), list(SIZES).index("large")
        return {
            "AP": float(p[..., 0].mean()),
            "AP50": float(p[at[50], :, 0].mean()),
            "AP75": float(p[at[75], :, 0].mean()),
            "AP_M": float(p[..., medium].mean()),
            "AP_L": float(p[..., large].mean()),
            "AR": float(r[:, 0].mean()),
            "AR50": float(r[at[50], 0]),
            "AR75": float(r[at[75], 0]),
            "AR_M": float(r[:, medium].mean()),
            "AR_L": float(r[:, large].mean()),
        }

    def conventions(self) -> list[str]:
        """What the figures mean, one sentence each."""
        counts = f"{self.n_detections} detections on {self.n_pictures} pictures for {self.n_objects} objects"
        return [
            "AP, AR: COCO's, over OKS thresholds 0.50 to 0.95 in steps of 0.05, the 20 highest scores of a picture, "
            "_M for areas of 32^2 to 96^2 px^2, _L above.",
            "AP, AR: OKS by the labels' areas (else their boxes') and sigmas of "
            f"{min(self.sigmas):.3g} to {max(self.sigmas):.3g}.",
            f"AP, AR: {counts}; {self.n_ignored} crowds and objects without a labelled keypoint are ignored.",
        ]

    def __str__(self) -> str:
        return ", ".join(f"{name} {'–' if math.isnan(v) else f'{v:.3f}'}" for name, v in self.metrics.items())


@dataclass(frozen=True)
class _Picture:
    """One picture's detections, the highest score first, against its objects; T thresholds, A sizes.

    Attributes:
        score: ``[D]``.
        right: ``[A, T, D]``: took an object.
        ignored: ``[A, T, D]``: is neither right nor wrong.
    """

    score: Array
    right: Mask
    ignored: Mask


def average_precision(
    detections: Detections, truth: Annotations, sigmas: Sequence[float] | None = None
) -> AveragePrecision:
    """COCO's average precision and recall.

    Args:
        detections: all that was found on the pictures of ``truth``.
        truth: the labels, crowds and objects without labelled keypoints included; their ``area`` is that of COCO.
        sigmas: K of them; the skeleton's own where None.

    Raises:
        PosewrightError: where there are no sigmas, or not one for each keypoint.
    """
    sigmas = truth.skeleton.sigmas if sigmas is None else sigmas
    if sigmas is None:
        what = f"skeleton '{truth.skeleton.name}' has no sigmas, which OKS and AP need"
        raise PosewrightError(what, fix="Give one for each keypoint, or a single one for all")
    if len(sigmas) != len(truth.skeleton) or not all(0 < s < math.inf for s in sigmas):
        raise PosewrightError(f"sigmas must be {len(truth.skeleton)} numbers above 0, one for each keypoint")
    ignored = ~truth.usable
    within = np.stack([(truth.area >= low) & (truth.area <= high) for low, high in SIZES.values()])
    counts = within & ~ignored

    found = _by_picture(detections.image, len(truth.images))
    objects = _by_picture(truth.image, len(truth.images))
    pictures = []
    for i in _official_order(truth):
        if len(found[i]):
            pictures.append(_match(detections, found[i], truth, objects[i], ~counts[:, objects[i]], sigmas))
    precision = np.full((len(THRESHOLDS), len(RECALLS), len(SIZES)), np.nan)
    recall = np.full((len(THRESHOLDS), len(SIZES)), np.nan)
    score = np.concatenate([np.zeros(0), *(p.score for p in pictures)])
    order = np.argsort(-score, kind="stable")
    none = np.zeros((len(SIZES), len(THRESHOLDS), 0), bool)
    right = np.concatenate([none, *(p.right for p in pictures)], axis=2)[..., order]
    neither = np.concatenate([none, *(p.ignored for p in pictures)], axis=2)[..., order]
    for size, n in enumerate(counts.sum(1)):
        if n == 0:
            continue
        for t in range(len(THRESHOLDS)):
            used = ~neither[size, t]
            precision[t, :, size], recall[t, size] = _curve(right[size, t], used, int(n))
    return AveragePrecision(
        precision,
        recall,
        n_objects=int((~ignored).sum()),
        n_ignored=int(ignored.sum()),
        n_detections=len(score),
        n_pictures=len(truth.images),
        sigmas=tuple(sigmas),
    )


def _by_picture(image: NDArray[Any], count: int) -> list[NDArray[np.int64]]:
    """For each of ``count`` pictures the rows on it, in their order."""
    order = np.argsort(image, kind="stable")
    return np.split(order, np.cumsum(np.bincount(image, minlength=count))[:-1]) if count else []


def _official_order(truth: Annotations) -> list[int]:
    """The pictures by rising id, in which the official tool goes through them: equal scores of two pictures stay so."""
    ids = truth.image_ids
    places = list(range(len(ids)))
    same_kind = len({isinstance(i, str) for i in ids}) < 2
    return sorted(places, key=lambda i: ids[i]) if same_kind else places  # type: ignore[arg-type,return-value]


def _similarities(xy: Array, truth: Annotations, objects: NDArray[np.int64], sigmas: Sequence[float]) -> Array:
    """``[D, G]``: OKS, for objects without labelled keypoints by the distance to their grown box."""
    similarity = oks(xy, truth.keypoints[objects], truth.area[objects], sigmas)
    for place in np.flatnonzero(~truth.labelled[objects].any(1)):
        g = objects[place]
        low, high = truth.boxes[g, :2] + CORNER, truth.boxes[g, 2:] + CORNER
        low, high = low - (high - low), high + (high - low)
        away = np.maximum(0, low - xy) + np.maximum(0, xy - high)
        spread = 2 * (truth.area[g] + np.spacing(1)) * (2 * np.asarray(sigmas, float)) ** 2
        similarity[:, place] = np.exp(-(away**2).sum(-1) / spread).mean(-1)
    return similarity


def _match(
    detections: Detections,
    found: NDArray[np.int64],
    truth: Annotations,
    objects: NDArray[np.int64],
    ignore: Mask,
    sigmas: Sequence[float],
) -> _Picture:
    """Give one picture's detections their objects.

    Args:
        found: which detections are on the picture, objects: which objects ``[G]``.
        ignore: ``[A, G]``, which objects are not to be found at each size.
    """
    found = found[np.argsort(-detections.score[found], kind="stable")][:MOST_DETECTIONS]
    xy = detections.xy[found]
    shape = (len(SIZES), len(THRESHOLDS), len(found))
    right, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    if len(objects):
        similarity = _similarities(xy, truth, objects, sigmas)
        crowd = np.asarray(truth.iscrowd)[objects]
        free = np.ones((*shape[:2], len(objects)), bool)
        least = np.minimum(THRESHOLDS, 1 - 1e-10)[None, :, None]
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        for d, similar in enumerate(similarity):
            fits = free & (similar >= least)
            wanted = fits & ~ignore[:, None]
            # An object to be found goes before one to be ignored, then the most similar; of equals, the last.
            fits = np.where(wanted.any(2, keepdims=True), wanted, fits)
            value = np.where(fits, similar, -np.inf)[..., ::-1]
            taken = len(objects) - 1 - value.argmax(2)
            right[..., d] = fits.any(2)
            ignored[..., d] = right[..., d] & ignore[rows, taken]
            free[rows, columns, taken] &= ~right[..., d] | crowd[taken]
    extent = np.prod(xy.max(1) - xy.min(1), axis=1)
    elsewhere = np.stack([(extent < low) | (extent > high) for low, high in SIZES.values()])
    return _Picture(detections.score[found], right, ignored | (~right & elsewhere[:, None]))


def _curve(right: Mask, used: Mask, n: int) -> tuple[Array, float]:
    """Precision at every recall of :data:`RECALLS`, and the largest recall.

    Args:
        right, used: ``[D]``, the highest score first: is right, is right or wrong.
        n: how many objects were to be found.
    """
    precision = np.zeros(len(RECALLS))
    if not len(right):
        return precision, 0.0
    hits = np.cumsum(right & used)
    wrong = np.cumsum(~right & used)
    recall = hits / n
    best = np.maximum.accumulate((hits / (hits + wrong + np.spacing(1)))[::-1])[::-1]
    place = np.searchsorted(recall, RECALLS, side="left")
    reached = place < len(best)
    precision[reached] = best[place[reached]]
    return precision, float(recall[-1])
