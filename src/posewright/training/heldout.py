"""What a trained net finds on held-out crops, and what is fitted to that before the net is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posewright.annotations import Annotations
from posewright.console import progress_bar
from posewright.metrics.calibration import roc_auc
from posewright.models.base import HeatmapNet
from posewright.models.checkpoint import Checkpoint
from posewright.models.peaks import map_spread, peak_cells, read_maps
from posewright.training.covariance import fit_covariance
from posewright.training.dataset import DRAWN, CropDataset, collate
from posewright.training.presence import fit_presence, presence_figures

BATCH = 16
MOST_POSITIVE, MOST_WITH_NEGATIVES = 3000, 600
"""So many held-out objects are looked at, at most."""


@dataclass(frozen=True)
class HeldOut:
    """What a net found on N crops.

    Attributes:
        picture: ``[N]``, which picture each crop is of.
        present: ``[N]``: whether the crop is around an object.
        points: ``[N, K, 3]`` (x, y, score) in crop pixels.
        error: ``[N, K, 2]`` found minus true, in crop pixels; NaN where the truth is not known or outside the crop.
        spread: ``[N, K, 3]``, of :func:`posewright.models.peaks.map_spread`.
        visible: ``[N, K]``: the labels' 1 hidden, 2 visible, 0 not known.
        seen: ``[N, K]``: the logit that each keypoint can be seen, read at its peak; None for a net without visibility.
    """

    picture: NDArray[np.int64]
    present: NDArray[np.bool_]
    points: NDArray[np.float64]
    error: NDArray[np.float64]
    spread: NDArray[np.float64]
    visible: NDArray[np.uint8]
    seen: NDArray[np.float64] | None


def look(net: HeatmapNet, dataset: CropDataset, items: Sequence[int], device: str) -> HeldOut:
    """Run a net on some crops of a set."""
    columns: dict[str, list[Tensor]] = {}
    training, home = net.training, next(net.parameters()).device
    net = net.to(device).eval()
    with torch.inference_mode(), progress_bar("measuring", len(items)) as advance:
        for start in range(0, len(items), BATCH):
            batch = collate([dataset[int(i)] for i in items[start : start + BATCH]])
            maps, visibility = net.outputs(batch["image"].to(device))
            last = net.activate(maps)[:, -1, : net.keypoints].float()
            points = net.points(last)
            cells = peak_cells(last, points[..., :2], net.config)
            found = {"index": batch["index"], "present": batch["present"], "visible": batch["visible"]}
            found |= {"points": points, "spread": map_spread(last, cells)}
            off = points[..., :2].cpu() - batch["points"]
            found["error"] = torch.where((batch["state"] == DRAWN)[..., None], off, torch.full_like(off, torch.nan))
            if visibility is not None:
                found["seen"] = read_maps(visibility[:, -1].float(), cells)
            for name, value in found.items():
                columns.setdefault(name, []).append(value.cpu())
            advance(len(batch["index"]))
    net.to(home).train(training)
    whole: dict[str, Any] = {name: torch.cat(parts).numpy() for name, parts in columns.items()}
    index = whole.pop("index")
    floats = {name: whole[name].astype(np.float64) for name in ("points", "error", "spread")}
    return HeldOut(
        picture=dataset.annotations.image[index],
        present=whole["present"],
        visible=whole["visible"],
        seen=whole["seen"].astype(np.float64) if "seen" in whole else None,
        **floats,
    )


def calibrate(checkpoint: Checkpoint, annotations: Annotations, seed: int = 0, device: str = "cpu") -> list[str]:
    """Fit presence and covariance to held-out pictures, and measure them and the visibility.

    Args:
        checkpoint: its ``presence``, ``covariance`` and ``metrics`` are set.
        annotations: pictures that the net was not trained on.
        seed: of the negative crops, and of the halves of the pictures that covariance is fitted to and measured on.
        device: where to run the net.

    Returns:
        What was measured, and what could not be and why, one sentence each.
    """
    net, rule = checkpoint.net, checkpoint.rule
    lines = []
    mixed = CropDataset(annotations, rule, negatives=0.5, seed=seed + 1)
    order = np.random.default_rng(seed).permutation(len(mixed))
    found = look(net, mixed, np.sort(order[:MOST_WITH_NEGATIVES]).tolist(), device)
    scores = found.points[..., 2].mean(1)
    curve = fit_presence(scores, found.present)
    if curve is None:
        there, empty = int(found.present.sum()), int((~found.present).sum())
        why = f"the held-out pictures give {there} crops with the object, {empty} without"
        lines.append(f"Presence is not calibrated: {why}, or no higher scores with it.")
    else:
        checkpoint.presence = curve
        figures, line = presence_figures(scores, found.present)
        checkpoint.metrics |= figures
        lines.append(line)
    plain = CropDataset(annotations, rule)
    found = look(net, plain, np.sort(order[:MOST_POSITIVE]).tolist(), device)
    fitted = fit_covariance(found.error, found.points[..., 2], found.spread, found.picture, net.config.stride, seed)
    if fitted.covariance is None:
        lines.append(f"No covariance: {fitted.line}")
    else:
        checkpoint.covariance = fitted.covariance
        checkpoint.metrics |= fitted.metrics
        lines.append(fitted.line)
    if found.seen is not None:
        figures, line = visibility_figures(found.seen, found.visible)
        checkpoint.metrics |= figures
        lines.append(line)
    return lines


def visibility_figures(seen: NDArray[np.float64], visible: NDArray[np.uint8]) -> tuple[dict[str, Any], str]:
    """Accuracy and AUC of visibility logits ``[N, K]`` against labels ``[N, K]`` (1 hidden, 2 visible, 0 not known)."""
    known = visible > 0
    said, true = seen[known], visible[known] == 2
    if true.all() or not true.any():
        return {}, "Visibility cannot be measured: the held-out labels have only one kind of keypoint."
    of = f"{int(known.sum())} validation keypoints, {int((~true).sum())} of them hidden"
    accuracy, auc = float(((said > 0) == true).mean()), roc_auc(said, true)
    usual = max(float(true.mean()), 1 - float(true.mean()))
    figures = {
        "visibility_accuracy": {"value": round(accuracy, 4), "data": of, "always the commoner kind": round(usual, 4)},
        "visibility_AUC": {"value": round(auc, 4), "data": of},
    }
    return figures, f"Visibility: {accuracy:.3f} right (the commoner kind alone {usual:.3f}), AUC {auc:.3f}, on {of}."
