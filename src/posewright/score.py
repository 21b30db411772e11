"""What a calibrated score is: the share of such keypoints that are right, made of the decoded peak's height by a fitted curve.

With ``s`` the height, held to ``EDGE`` from 0 and 1, and ``c_k`` one number for each keypoint::

    score = sigmoid(rise * ln(s) - fall * ln(1 - s) + c_k)

which is beta calibration (Kull, Silva Filho and Flach, AISTATS 2017) with an offset for each keypoint, since a wrist and a hip
of one height are not right equally often. ``rise`` and ``fall`` are above 0: of one keypoint, the higher peak always has the
higher score. :mod:`posewright.metrics.score_fit` fits the numbers; the same formula stands in the model file's graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

EDGE = 1e-4
"""Heights nearer than this to 0 or 1 count as so near."""
HEIGHT, CALIBRATED = "the peak's height", "calibrated"
"""What a model's score is, in a few words."""


@dataclass(frozen=True)
class ScoreCurve:
    """The numbers of the module's formula, and what they were fitted to mean.

    Attributes:
        rise, fall: above 0.
        offset: ``c_k`` of each of the K keypoints.
        threshold: of the PCK by which a keypoint was right or wrong.
        normaliser: of that PCK, in words.
        data: what it was fitted to, in words.
        visible_only: whether hidden keypoints were left out.
    """

    rise: float
    fall: float
    offset: tuple[float, ...]
    threshold: float
    normaliser: str
    data: str = ""
    visible_only: bool = False

    def __post_init__(self) -> None:
        numbers = (self.rise, self.fall, self.threshold, *self.offset)
        if not all(map(math.isfinite, numbers)) or not min(self.rise, self.fall, self.threshold) > 0:
            raise ValueError("the numbers of a score's curve are finite; its slopes and its threshold are above 0")

    @property
    def meaning(self) -> str:
        """What "right" means, such as "PCK@0.2, torso (left_shoulder to right_hip)"."""
        return f"PCK@{self.threshold:g}, {self.normaliser}{', visible keypoints only' if self.visible_only else ''}"

    def apply(self, height: ArrayLike) -> NDArray[np.float64]:
        """Heights ``[..., K]`` of decoded peaks in 0..1 to scores of the same shape; NaN stays NaN."""
        s = np.clip(np.asarray(height, float), EDGE, 1 - EDGE)
        z = self.rise * np.log(s) - self.fall * np.log1p(-s) + np.array(self.offset)
        return np.asarray((1 + np.tanh(z / 2)) / 2)  # the sigmoid, without overflow

    def to_dict(self) -> dict[str, Any]:
        return {
            "rise": self.rise,
            "fall": self.fall,
            "offset": list(self.offset),
            "threshold": self.threshold,
            "normaliser": self.normaliser,
            "data": self.data,
            "visible_only": self.visible_only,
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], keypoints: int) -> ScoreCurve:
        """Read what :meth:`to_dict` wrote; KeyError, TypeError or ValueError where it is something else."""
        offset = tuple(float(c) for c in d["offset"])
        if len(offset) != keypoints:
            raise ValueError("a score's curve of other keypoints")
        rise, fall, threshold = (float(d[name]) for name in ("rise", "fall", "threshold"))
        words = str(d["normaliser"]), str(d.get("data", ""))
        return cls(rise, fall, offset, threshold, *words, bool(d.get("visible_only", False)))


def curve_meaning(curve: ScoreCurve | None) -> str:
    """What a model's score means, one sentence."""
    if curve is None:
        return "The score is the height of the decoded peak: the higher the surer, but no share of anything."
    return f"The score is calibrated: the share of such keypoints that are right by {curve.meaning}, on {curve.data}."
