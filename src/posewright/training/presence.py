"""Is the object there at all: a curve from the mean keypoint score to a probability, fitted after training."""

from __future__ import annotations

import numpy as np
import torch

from posewright.annotations import Annotations
from posewright.geometry import CropRule
from posewright.models.base import HeatmapNet
from posewright.models.heatmaps import decode
from posewright.training.config import TrainConfig
from posewright.training.dataset import CropDataset


def presence_scores(
    net: HeatmapNet, annotations: Annotations, rule: CropRule, config: TrainConfig, device: str, most: int = 400
) -> tuple[np.ndarray, np.ndarray]:
    """Mean keypoint scores ``[N]`` of crops with and without the object, and which is which ``[N]`` bool."""
    keep = np.random.default_rng(config.seed).permutation(len(annotations))[:most]
    plain = CropDataset(annotations, rule, negatives=0.5, seed=config.seed + 1)
    net = net.to(device)
    scores, present = [], []
    for item in sorted(int(k) for k in keep if k < len(plain)):
        sample = plain[item]
        with torch.inference_mode():
            maps = net(sample["image"][None].to(device))[:, -1, : net.keypoints].float()
            scores.append(decode(maps, net.config.stride)[..., 2].mean().item())
        present.append(bool(sample["present"]))
    net.to("cpu")
    return np.array(scores), np.array(present)


def calibrate_presence(scores: np.ndarray, present: np.ndarray) -> tuple[float, float] | None:
    """Fit ``presence = sigmoid(a * mean score + b)`` to crops with and without the object.

    Args:
        scores: ``[N]`` mean keypoint score of each crop.
        present: ``[N]`` bool.

    Returns:
        (a, b) of the logistic regression (both kinds weighing alike, with a weak pull to a flat curve so that crops which
        separate perfectly do not give an infinitely steep one), or None where one kind is missing.
    """
    from scipy.optimize import minimize

    if present.all() or not present.any():
        return None
    sign = np.where(present, 1.0, -1.0)
    weight = np.where(present, 0.5 / present.sum(), 0.5 / (~present).sum())

    def objective(p: np.ndarray) -> float:
        return float((weight * np.logaddexp(0, -sign * (p[0] * scores + p[1]))).sum() + 1e-4 * (p[0] / 10) ** 2)

    a, b = minimize(objective, (10.0, -3.0)).x
    return (float(a), float(b)) if a > 0 else None
