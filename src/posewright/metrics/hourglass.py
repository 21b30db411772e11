"""The PCK of the hourglass system (tf.keras stacked hourglass, ``eval.py``), exactly, to compare with what it printed.

It is measured in cells of the heatmap, a quarter of the input, whose crop is 250 x ``scale_provided`` about the person:

- A label lies in cell ``int(t) + 1`` of each axis, t being its continuous place in the map (0 at the crop's edge, 64 at
  the other for an input of 256). Predictions are cells too.
- A joint is right where distance / (6.4 (H + W) / 2 / 256) is *below* ``score_threshold`` (0.5), H and W being the input's
  sides: 3.2 cells or 5 % of the crop's side for 256 x 256. The name notwithstanding, that is no confidence.
- A joint counts where both coordinates of its label's cell are above 1. Its visibility does not matter: hidden ones count,
  those right of or below the crop too. A joint whose x or y is 0 or less in the label file is not mapped and does not count.
- The figure is the share over all joints of all people together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.metrics.pck import PckResult

Array = NDArray[np.float64]

STRIDE = 4
MARGIN = 1.25
"""The crop's side over the box's longer side."""
NORMALISER = 6.4
"""Cells, for an input of 256 x 256."""
REFERENCE = 256


@dataclass(frozen=True)
class HourglassPck:
    """What :func:`hourglass_pck` measured.

    Attributes:
        result: the shares, over all joints and by keypoint.
        names: the K keypoints.
        input_size: (width, height) of the net's input in pixels.
        score_threshold: the factor on the length.
    """

    result: PckResult
    names: tuple[str, ...]
    input_size: tuple[int, int]
    score_threshold: float

    def rows(self) -> list[dict[str, Any]]:
        """One row a keypoint, then all of them."""
        r = self.result
        rows: list[dict[str, Any]] = [
            {"keypoint": name, "hourglass PCK": float(r.by_keypoint[k]), "n": int(r.n_by_keypoint[k])}
            for k, name in enumerate(self.names)
        ]
        return [*rows, {"keypoint": "all", "hourglass PCK": r.total, "n": r.n}]

    def conventions(self) -> list[str]:
        """What the figures mean, one sentence each."""
        width, height = self.input_size
        cells = self.score_threshold * hourglass_length(self.input_size)
        return [
            f"Hourglass PCK: the hourglass system's own, in heatmap cells of a {width} x {height} input: distance < "
            f"{cells:g} cells ({self.score_threshold:g} x 6.4 x {(width + height) / 2:g} / 256), each label's and prediction's "
            "cell being int(t) + 1.",
            "Hourglass PCK: a labelled joint counts where its cell is above 1 on both axes, hidden and outside the crop too.",
        ]

    def to_json(self) -> dict[str, Any]:
        """The record that ``--json`` writes; figures that cannot be measured are null."""
        rows = self.rows()
        return {
            "name": "hourglass PCK",
            "input_size": list(self.input_size),
            "score_threshold": self.score_threshold,
            "PCK": round(self.result.total, 6),
            "by_keypoint": {
                row["keypoint"]: None if np.isnan(row["hourglass PCK"]) else round(row["hourglass PCK"], 6)
                for row in rows[:-1]
            },
            "n": self.result.n,
            "conventions": self.conventions(),
        }


def hourglass_length(input_size: tuple[int, int] = (REFERENCE, REFERENCE)) -> float:
    """What the system divides distances by, in heatmap cells, for an input of (width, height) pixels."""
    return NORMALISER * (sum(input_size) / 2) / REFERENCE


def hourglass_pck_of_cells(
    pred: ArrayLike,
    truth: ArrayLike,
    *,
    input_size: tuple[int, int] = (REFERENCE, REFERENCE),
    score_threshold: float = 0.5,
) -> PckResult:
    """The system's PCK from heatmap cells.

    Args:
        pred: ``[N, K, 2]`` (x, y) in cells, the map's largest value; NaN where nothing was predicted, which is a miss.
        truth: ``[N, K, 2]`` (x, y) in cells, as the system's own mapping of labels leaves them (:func:`hourglass_cells`);
            NaN or a coordinate of at most 1 for a joint that does not count.
        input_size: (width, height) of the input in pixels.
        score_threshold: the factor on the length.
    """
    labels = np.asarray(truth, float)
    with np.errstate(invalid="ignore"):
        counts = (labels > 1).all(-1)
        away = np.linalg.norm(np.asarray(pred, float) - labels, axis=-1)
        right = counts & (away / hourglass_length(input_size) < score_threshold)
    n_by_keypoint, n = counts.sum(0), int(counts.sum())
    by_keypoint = right.sum(0) / np.where(n_by_keypoint > 0, n_by_keypoint, np.nan)
    return PckResult(float(right.sum() / n) if n else float("nan"), by_keypoint, n, n_by_keypoint)


def hourglass_cells(xy: ArrayLike, boxes: ArrayLike, input_size: tuple[int, int] = (REFERENCE, REFERENCE)) -> Array:
    """Points of the source picture as the system's heatmap cells, ``int(t) + 1``.

    Args:
        xy: ``[N, K, 2]`` in source-picture pixels; NaN stays NaN.
        boxes: ``[N, 4]`` in the same frame. The crop is the square of 1.25 times the longer side about the centre, which
            for boxes read from its annotations.json is the system's own; its side spans the map's width.
        input_size: (width, height) of the input in pixels.
    """
    box = np.asarray(boxes, float)
    side = MARGIN * (box[:, 2:] - box[:, :2]).max(1, initial=0)[:, None, None]
    cells = np.array(input_size, float) / STRIDE
    from_centre = np.asarray(xy, float) - ((box[:, :2] + box[:, 2:]) / 2)[:, None]
    return np.trunc(cells * (from_centre / side + 0.5)) + 1


def hourglass_pck(
    pred_xy: ArrayLike,
    truth: Annotations,
    *,
    input_size: tuple[int, int] = (REFERENCE, REFERENCE),
    score_threshold: float = 0.5,
    origin: int = 1,
    count_unlabelled: bool = False,
) -> HourglassPck:
    """The system's PCK of predictions in the source picture.

    They go through the mapping of the labels, so that a perfect prediction is at distance 0 as a perfect heatmap's is.

    Args:
        pred_xy: ``[N, K, 2]`` in source-picture pixels, one pose for each object of ``truth``; NaN where nothing was
            predicted, which is a miss.
        truth: the labels; crowds are not counted.
        input_size: (width, height) of the net's input in pixels.
        score_threshold: the factor on the length.
        origin: where the system's label file counts pixels from, for its rule about coordinates of 0 or less: 1 as its
            converters for COCO and MPII do, 0 for its other sets.
        count_unlabelled: count COCO's unlabelled joints as well: its converter writes them as (1, 1), and they count
            wherever a crop reaches beyond the picture's top left corner.

    Raises:
        PosewrightError: where no joint counts.
    """
    k = len(truth.skeleton)
    labels = hourglass_cells(truth.keypoints[..., :2], truth.boxes, input_size)
    unmapped = (truth.keypoints[..., :2] + origin <= 0).any(-1)
    labelled = np.ones(truth.labelled.shape, bool) if count_unlabelled else truth.labelled
    labels[unmapped | ~labelled | np.asarray(truth.iscrowd)[:, None]] = np.nan
    pred = hourglass_cells(np.asarray(pred_xy, float).reshape(-1, k, 2), truth.boxes, input_size)
    result = hourglass_pck_of_cells(pred, labels, input_size=input_size, score_threshold=score_threshold)
    if not result.n:
        raise PosewrightError("no joint counts in the hourglass system's PCK", file=truth.source or None)
    return HourglassPck(result, truth.skeleton.keypoints, input_size, score_threshold)
