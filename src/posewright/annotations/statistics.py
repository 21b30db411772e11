"""What a labelled set holds, in figures: counts, shares by keypoint, sizes, the mean pose. No picture is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations

Array = NDArray[np.float64]


def parts(annotations: Annotations) -> dict[str, Annotations]:
    """The set by split ("train", "val", "test", then "no split" for the rest), and "all" last where there are several.

    A set without any split is one part, "all".
    """
    own = [name for name in ("train", "val", "test") if name in annotations.splits]
    found: dict[str, Annotations] = {name: annotations.of_split(name) for name in own}
    rest = annotations.subset(np.array([im.split is None for im in annotations.images], bool))
    if rest.images:
        found["no split" if found else "all"] = rest
    if len(found) > 1:
        found["all"] = annotations
    return found


def count_rows(annotations: Annotations) -> list[dict[str, Any]]:
    """One row a part: pictures, those without an object, objects, keypoints by visibility."""
    rows = []
    for name, part in parts(annotations).items():
        v = part.keypoints[..., 2]
        rows.append(
            {
                "part": name,
                "images": len(part.images),
                "without object": len(part.images) - len(set(part.image.tolist())),
                "objects": len(part),
                "visible keypoints": int((v == 2).sum()),
                "hidden": int((v == 1).sum()),
                "not labelled": int((v == 0).sum()),
            }
        )
    return rows


def keypoint_rows(annotations: Annotations) -> list[dict[str, Any]]:
    """One row a keypoint, then all: the shares of objects on which it is visible, hidden and not labelled.

    Crowds, which stand for many objects, do not count. NaN where there is no object.
    """
    v = annotations.keypoints[~annotations.iscrowd][..., 2]
    shares = np.stack([(v == value).mean(0) if len(v) else np.full(v.shape[1], np.nan) for value in (2, 1, 0)])
    names = ("visible", "hidden", "not labelled")
    rows: list[dict[str, Any]] = [
        {"keypoint": keypoint, **dict(zip(names, shares[:, k].tolist()))}
        for k, keypoint in enumerate(annotations.skeleton.keypoints)
    ]
    return [*rows, {"keypoint": "all", **dict(zip(names, shares.mean(1).tolist()))}]


# -- sizes ------------------------------------------------------------------------------------------------------------

QUANTILES = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "most": 1.0}


def picture_sizes(annotations: Annotations) -> Array:
    """``[M, 2]`` width and height of the pictures in pixels; NaN where the labels do not say."""
    sizes = np.array([(im.width, im.height) for im in annotations.images], float).reshape(-1, 2)
    return np.where(sizes > 0, sizes, np.nan)


def box_shares(annotations: Annotations) -> Array:
    """``[N]``: the longer side of each box over the longer side of its picture; NaN where that is not known."""
    sides = annotations.boxes[:, 2:] - annotations.boxes[:, :2]
    return sides.max(1) / picture_sizes(annotations)[annotations.image].max(1)


def size_rows(annotations: Annotations) -> list[dict[str, Any]]:
    """Quantiles of the pictures' and the boxes' sides in pixels, of the boxes against their pictures, of their shape."""
    sides = annotations.boxes[:, 2:] - annotations.boxes[:, :2]
    pictures = picture_sizes(annotations)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = sides.prod(1) / pictures[annotations.image].prod(1)
        measured: dict[str, tuple[Array, int]] = {
            "picture, longer side (px)": (pictures.max(1), 0),
            "picture, shorter side (px)": (pictures.min(1), 0),
            "objects on a picture": (np.bincount(annotations.image, minlength=len(pictures)).astype(float), 0),
            "box, longer side (px)": (sides.max(1), 0),
            "box, shorter side (px)": (sides.min(1), 0),
            "box, width / height": (sides[:, 0] / sides[:, 1], 2),
            "box / picture, longer sides": (box_shares(annotations), 2),
            "box / picture, areas": (area, 3),
        }
    rows = []
    for name, (values, digits) in measured.items():
        values = values[np.isfinite(values)]
        if len(values):
            found = np.quantile(values, list(QUANTILES.values()))
            rows.append({"size": name, **{q: f"{x:.{digits}f}" for q, x in zip(QUANTILES, found)}})
    return rows


# -- the mean pose ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MeanPose:
    """Where each keypoint lies in its box on average.

    Attributes:
        xy: ``[K, 2]``, origin at the box's centre, unit its longer side; NaN for a keypoint that is never labelled.
        covariance: ``[K, 3]`` (xx, xy, yy) in the square of that unit.
        count: ``[K]`` objects that it was taken over.
    """

    xy: Array
    covariance: Array
    count: NDArray[np.int64]


def in_boxes(annotations: Annotations) -> Array:
    """Keypoints ``[N, K, 2]`` as :class:`MeanPose` places them; NaN where not labelled."""
    low, high = annotations.boxes[:, None, :2], annotations.boxes[:, None, 2:]
    placed = (annotations.keypoints[..., :2] - (low + high) / 2) / (high - low).max(2, keepdims=True)
    return np.where(annotations.labelled[..., None], placed, np.nan)


def mean_pose(annotations: Annotations) -> MeanPose:
    """The mean over all labelled objects, aligned by their boxes; crowds do not count."""
    xy = in_boxes(annotations)[~annotations.iscrowd]
    seen = np.isfinite(xy[..., 0])
    count = seen.sum(0)
    with np.errstate(invalid="ignore"):
        mean = np.where(seen[..., None], xy, 0).sum(0) / count[:, None]
        x, y = np.moveaxis(np.where(seen[..., None], xy - mean, 0), 2, 0)
        covariance = np.stack([x * x, x * y, y * y], 2).sum(0) / count[:, None]
    return MeanPose(mean, covariance, count)


def unusualness(annotations: Annotations, mean: MeanPose) -> Array:
    """``[N]``: how far each pose is from the mean one, its keypoints' root mean square distance over the usual one.

    About 1 for an ordinary pose; NaN where less than half of the keypoints are labelled.
    """
    squared = ((in_boxes(annotations) - mean.xy) ** 2).sum(2)
    usual = np.maximum(mean.covariance[:, 0] + mean.covariance[:, 2], 1e-12)
    seen = np.isfinite(squared)
    with np.errstate(invalid="ignore"):
        result = np.sqrt(np.where(seen, squared / usual, 0).sum(1) / seen.sum(1))
    return np.where(2 * seen.sum(1) >= seen.shape[1], result, np.nan)
