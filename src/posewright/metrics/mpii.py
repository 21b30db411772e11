"""PCKh by the rules of MPII Human Pose (Andriluka et al., CVPR 2014), with the table that papers print.

- The length is the labelled head size, 0.6 times the diagonal of the head box; a person without one is left out.
- A joint is right where its distance is *below* 0.5 of that length.
- Every labelled joint counts, hidden or not. Pelvis and thorax do not.
- A group is the mean of its left and its right joint, and the mean that of the 14 joints, whatever number of labels each
  has; ``pooled`` is the share over all their labels instead, as some toolboxes print it. All in percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.metrics.pck import distances, normalised_distances
from posewright.skeletons import MPII_16

LEFT_OUT = ("pelvis", "thorax")
GROUPS = {
    "Head": ("head_top",),
    **{
        part.capitalize(): (f"left_{part}", f"right_{part}")
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    },
}
"""The columns of the table, and the joints in each."""


@dataclass(frozen=True)
class MpiiPckh:
    """What :func:`mpii_pckh` measured.

    Attributes:
        by_keypoint: percent of each of the 14 joints; NaN for one that is never labelled.
        n_by_keypoint: how often each is labelled.
        pooled: percent over all labels of the 14 joints.
        threshold: share of the head size.
        n_left_out: people with labelled joints but without a head size.
    """

    by_keypoint: dict[str, float]
    n_by_keypoint: dict[str, int]
    pooled: float
    threshold: float
    n_left_out: int

    @property
    def table(self) -> dict[str, float]:
        """Head, Shoulder, Elbow, Wrist, Hip, Knee, Ankle and Mean, in percent."""
        groups = {group: _mean([self.by_keypoint[name] for name in names]) for group, names in GROUPS.items()}
        return groups | {"Mean": _mean(list(self.by_keypoint.values()))}

    def rows(self) -> list[dict[str, Any]]:
        """:attr:`table` as the one row of a printed table."""
        return [{f"PCKh@{self.threshold:g}": "%"} | {name: f"{value:.1f}" for name, value in self.table.items()}]

    def conventions(self) -> list[str]:
        """What the figures mean, one sentence each."""
        lines = [
            f"PCKh@{self.threshold:g} by the MPII rules: percent with distance < {self.threshold:g} x head size (0.6 x the "
            "head box's diagonal), hidden joints too, without pelvis and thorax.",
            f"Groups are means of left and right, Mean is that of the 14 joints; over all their labels it is "
            f"{self.pooled:.1f}.",
        ]
        if self.n_left_out:
            lines.append(f"{self.n_left_out} people have no labelled head size and are left out of PCKh.")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The record that ``--json`` writes; figures that cannot be measured are null."""
        return {
            "name": "MPII PCKh",
            "threshold": self.threshold,
            "table": {name: _number(value) for name, value in self.table.items()},
            "by_keypoint": {name: _number(value) for name, value in self.by_keypoint.items()},
            "n_by_keypoint": self.n_by_keypoint,
            "pooled": _number(self.pooled),
            "n_left_out": self.n_left_out,
            "conventions": self.conventions(),
        }


def mpii_pckh(pred_xy: ArrayLike, truth: Annotations, threshold: float = 0.5) -> MpiiPckh:
    """PCKh by the MPII rules.

    Args:
        pred_xy: ``[N, K, 2]`` in source-picture pixels, one pose for each object of ``truth``; NaN where nothing was
            predicted, which is a miss.
        truth: the labels, with MPII's keypoints in any order and head sizes.
        threshold: share of the head size, 0.5 in the official table.

    Raises:
        PosewrightError: where the skeleton is not MPII's, or no labelled person has a head size.
    """
    names = truth.skeleton.keypoints
    missing = [name for name in MPII_16.keypoints if name not in names]
    if missing or len(names) != len(MPII_16):
        why = f"lacks '{missing[0]}'" if missing else f"has {len(names)} keypoints instead of {len(MPII_16)}"
        fix = "Choose --normaliser head for PCK by the head size on other skeletons"
        raise PosewrightError(f"PCKh by the MPII rules needs MPII's joints; '{truth.skeleton.name}' {why}", fix=fix)
    labels = truth.keypoints.copy()
    labels[np.asarray(truth.iscrowd)] = 0
    joints = [k for k, name in enumerate(names) if name not in LEFT_OUT]
    away = distances(np.asarray(pred_xy, float).reshape(*labels.shape[:2], 2), labels)[:, joints]
    people = ~np.isnan(away).all(1)
    if not (people & (truth.head_size > 0)).any():
        fix = "MPII's head boxes are in its own annotations; or choose another --normaliser"
        raise PosewrightError("no labelled person has a head size", file=truth.source or None, fix=fix)
    relative = normalised_distances(away, truth.head_size)
    counts = ~np.isnan(relative)
    with np.errstate(invalid="ignore"):
        right = (relative < threshold) & counts
    n = counts.sum(0)
    percent = 100 * right.sum(0) / np.where(n > 0, n, np.nan)
    return MpiiPckh(
        {names[k]: float(p) for k, p in zip(joints, percent, strict=True)},
        {names[k]: int(c) for k, c in zip(joints, n, strict=True)},
        float(100 * right.sum() / n.sum()),
        threshold,
        int((people & ~(truth.head_size > 0)).sum()),
    )


def _mean(values: list[float]) -> float:
    """The mean of those that were measured; NaN where none was."""
    measured: NDArray[np.float64] = np.array([v for v in values if not np.isnan(v)])
    return float(measured.mean()) if len(measured) else float("nan")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
