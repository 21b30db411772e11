"""The choices that benchmarks/ablation.py compares: one table, from a name to what an arm changes about the baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comparing import OWN, Parts
from posewright.errors import PosewrightError, did_you_mean
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.config import TrainConfig
from posewright.training.dataset import DRAWN, EMPTY, IGNORED, CropDataset
from posewright.training.perspective import CropMap

BASELINE = "baseline"


class UnlabelledEmpty(CropDataset):
    """Keypoints without a label are taught as empty maps, as both older systems do."""

    def _targets(self, keypoints: NDArray[np.float64], place: CropMap) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        points, state = super()._targets(keypoints, place)
        return points, np.where(state == IGNORED, EMPTY, state)


class OutsideIgnored(CropDataset):
    """Keypoints outside the crop teach nothing, instead of silence."""

    def _targets(self, keypoints: NDArray[np.float64], place: CropMap) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        points, state = super()._targets(keypoints, place)
        return points, np.where(state == DRAWN, state, IGNORED)


@dataclass(frozen=True)
class Arm:
    """One choice.

    Attributes:
        group: what it is a choice of.
        settings: fields of ``TrainConfig``; under "augment" and "distill", of theirs.
        net: settings of the net, added to the baseline's.
        parts: what stands in place of the package's own parts.
        reading: how the baseline's net is read anew, "flip" or a decoding; such an arm trains nothing.
        costs: a step takes another time than the baseline's: the arm gets as many passes as fit into the same time.
    """

    group: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    net: tuple[str, ...] = ()
    parts: Parts = OWN
    reading: str = ""
    costs: bool = False


def _augment(**changes: Any) -> dict[str, Any]:
    return {"augment": changes}


_STILL = {f.name: getattr(PLAIN, f.name) for f in dataclasses.fields(AugmentConfig)}
_COLOURS = ("colour", "hue", "saturation", "value", "contrast", "grey", "blur")

ARMS: dict[str, Arm] = {
    "sigma 1": Arm("target width", {"sigma": 1.0}),
    "sigma 2": Arm("target width", {"sigma": 2.0}),
    "sigma 2.5": Arm("target width", {"sigma": 2.5}),
    "unlabelled empty": Arm("visibility rule", parts=Parts(UnlabelledEmpty)),
    "outside ignored": Arm("visibility rule", parts=Parts(OutsideIgnored)),
    "argmax": Arm("decoding", reading="argmax"),
    "argmax, enlarged map": Arm("decoding", reading="argmax_resized"),
    "flip test": Arm("flip test", reading="flip"),
    "mse": Arm("loss", {"loss": "mse"}),
    "mae": Arm("loss", {"loss": "mae"}),
    "weighted mse": Arm("loss", {"loss": "weighted_mse"}),
    "huber 0.2": Arm("loss", {"loss": "huber"}),
    "adaptive wing": Arm("loss", {"loss": "adaptive_wing"}),
    "hard keypoints 7": Arm("loss", {"hard_keypoints": 7}),
    "no augmentation": Arm("augmentation", {"augment": _STILL}),
    "geometry halved": Arm("augmentation", _augment(scale=0.12, rotation=20.0, shift=0.03)),
    "geometry x 1.5": Arm("augmentation", _augment(scale=0.4, rotation=60.0, shift=0.09)),
    "no colour": Arm("augmentation", {"augment": dict.fromkeys(_COLOURS, 0.0)}),
    "colour x 1.5": Arm(
        "augmentation", _augment(colour=0.22, hue=8.0, saturation=0.45, value=0.45, contrast=0.45, grey=0.1, blur=0.15)
    ),
    "no cut-out": Arm("augmentation", _augment(cutout=0.0)),
    "cut-out 0.5": Arm("augmentation", _augment(cutout=0.5)),
    "half body 0.3": Arm("augmentation", _augment(half_body=0.3)),
    "perspective 20": Arm("augmentation", _augment(perspective=20.0)),
    "no mirror": Arm("augmentation", _augment(flip=0.0)),
    "no empty crops": Arm("augmentation", _augment(negative=0.0)),
    "margin 1.1": Arm("margin", {"margin": 1.1}),
    "margin 1.4": Arm("margin", {"margin": 1.4}),
    "preact": Arm("layer order", net=("order=preact",), costs=True),
    "conv relu bn": Arm("layer order", net=("order=conv_relu_bn",), costs=True),
    "no running mean": Arm("running mean", {"ema": 0.0}),
    "running mean 0.99": Arm("running mean", {"ema": 0.99}),
    "running mean 0.999": Arm("running mean", {"ema": 0.999}),
    "distilled": Arm("distillation", {"teacher": "?"}, costs=True),
    "input x 0.75": Arm("input size", {"input_size": 0.75}, costs=True),
    "input x 1.5": Arm("input size", {"input_size": 1.5}, costs=True),
    "batch 16": Arm("batch and rate", {"batch_size": 16}, costs=True),
    "batch 64": Arm("batch and rate", {"batch_size": 64}, costs=True),
    "rate 1e-3": Arm("batch and rate", {"lr": 1e-3}),
    "rate 4e-3": Arm("batch and rate", {"lr": 4e-3}),
    "cosine to 0.02": Arm("batch and rate", {"schedule": "cosine"}),
}
"""By name. Where the input size is a number it is a factor on the baseline's; the teacher is named on the command line."""


def arm(name: str) -> Arm:
    """Raises a PosewrightError where there is none of the name."""
    if name == BASELINE:
        return Arm(BASELINE)
    if name not in ARMS:
        raise PosewrightError(f"unknown arm '{name}'", fix=did_you_mean(name, ARMS))
    return ARMS[name]


def configured(base: TrainConfig, arms: Sequence[Arm], teacher: str) -> tuple[TrainConfig, Parts]:
    """The baseline's settings with the changes of some arms, the last one's where two say the same; and their parts."""
    parts, changes = OWN, {}
    for one in arms:
        changes |= {k: v for k, v in one.settings.items() if not isinstance(v, Mapping)}
        base = replace(base, net=(*base.net, *one.net))
        for name, inner in one.settings.items():
            if isinstance(inner, Mapping):
                base = replace(base, **{name: replace(getattr(base, name), **inner)})
        parts = one.parts if one.parts != OWN else parts
    if "teacher" in changes:
        changes["teacher"] = teacher
    if isinstance(changes.get("input_size"), float):
        # A whole number of 32 pixels, which every net with three halvings can take.
        changes["input_size"] = str(max(32, round(base.size[0] * changes["input_size"] / 32) * 32))
    return replace(base, **changes), parts
