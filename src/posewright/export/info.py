"""What the model file of a checkpoint says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from posewright.export.deploy import outputs_of
from posewright.models.checkpoint import ORIGINS, Checkpoint
from posewright.runtime.modelfile import ModelInfo


def trained_on(training: Mapping[str, Any]) -> tuple[str, ...]:
    """One line for each set behind a checkpoint, by what it notes of its training: its own, its start weights', its teacher's."""
    data = [f"{training['data']}: {training.get('objects', '?')} objects"] if training.get("data") else []
    for kind, words in ORIGINS.items():
        origin = training.get(kind) or {}
        data += [f"{before} ({words} '{origin['name']}')" for before in origin.get("data", ())]
    return tuple(data)


def model_info(
    checkpoint: Checkpoint, outputs: tuple[str, ...] | None = None, precision: str = "fp32", flip: bool = False
) -> ModelInfo:
    """What the model file of a checkpoint says about itself; ``outputs`` are all that it can have where None."""
    return ModelInfo(
        skeleton=checkpoint.skeleton,
        crop=checkpoint.rule,
        stride=checkpoint.net.config.stride,
        preset=checkpoint.preset,
        outputs=outputs_of(checkpoint) if outputs is None else outputs,
        training_data=trained_on(checkpoint.training),
        metrics=checkpoint.metrics,
        terms=checkpoint.terms,
        covariance_tail=None if checkpoint.covariance is None else checkpoint.covariance.tail,
        label_shift=checkpoint.net.config.label_shift,
        decoding=checkpoint.net.config.decoding,
        calibrated=checkpoint.score_curve is not None,
        calibration=checkpoint.score_curve.meaning if checkpoint.score_curve else "",
        score_curve=checkpoint.score_curve,
        precision=precision,
        flip=flip,
    )
