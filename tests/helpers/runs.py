"""Settings of the smallest training run that the tests make."""

from __future__ import annotations

from typing import Any

from posewright.training.augment_config import AugmentConfig
from posewright.training.config import TrainConfig


def small_run(**changes: Any) -> TrainConfig:
    """A net of 16 channels at 64 x 64 from random weights, three epochs in batches of four, on one thread."""
    settings: dict[str, Any] = {
        "model": "hourglass_s1_nano",
        "net": ("channels=16",),
        "init": "none",
        "input_size": "64",
        "epochs": 3,
        "batch_size": 4,
        "workers": 0,
        "threads": 1,
        "precision": "fp32",
        "device": "cpu",
        "lr": 2e-3,
        "ema": 0.9,
        "augment": AugmentConfig(rotation=10, negative=0.1),
    }
    return TrainConfig(**(settings | changes))
