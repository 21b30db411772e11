"""How the tests pack the pictures of :mod:`helpers.scenes`, and compare crops of the parts with crops of the files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from posewright.annotations import Annotations
from posewright.geometry import CropRule
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.dataset import IGNORED, CropDataset
from posewright.training.packing import PackConfig

RULE = CropRule((64, 48))
GEOMETRY = replace(PLAIN, scale=0.25, rotation=40, shift=0.06, flip=0.5)
LOSSLESS = PackConfig(RULE, GEOMETRY, lossless="png", backgrounds=0.2)


def crops(a: Annotations, rule: CropRule, augment: AugmentConfig | None, epochs: int = 1, seed: int = 0):
    data = CropDataset(a, rule, augment, seed, negatives=0.0)
    return data, [data[epoch, i] for epoch in range(epochs) for i in range(len(data))]


def apart(one, other) -> np.ndarray:
    return np.abs(one["image"].numpy().astype(int) - other["image"].numpy().astype(int))


def moved(one, other) -> float:
    """The largest distance along an axis between labelled keypoints of two samples, in crop pixels."""
    return float((one["points"] - other["points"])[one["state"] != IGNORED].abs().max())
