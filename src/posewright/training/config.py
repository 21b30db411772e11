"""Every setting of a run that trains a keypoint model: one source for defaults, ``--help``, the YAML beside each run and its
checkpoint.

Free of torch, so that ``posewright train --help`` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from posewright.errors import PosewrightError
from posewright.training.augment_config import AugmentConfig
from posewright.training.distill_config import DistillConfig
from posewright.training.run_config import BELONGS, CHOICES, RunConfig, one_of

DEVICE_DATA = ("auto", "on", "off")
LOSSES = ("bce", "mse", "mae", "weighted_mse", "smooth_l1", "huber", "adaptive_wing")


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """Settings of one training run."""

    kind: ClassVar = "keypoints"
    choices: ClassVar = CHOICES | {"loss": LOSSES, "device_data": DEVICE_DATA}
    belongs: ClassVar = {"huber_delta": ("loss", ("huber",)), **BELONGS}

    init: str = "auto"
    """Weights to start from: a checkpoint, a run's folder or a shipped name; none for random ones. auto: for a small set a
    shipped model whose terms are free, where one fits."""
    freeze: tuple[str, ...] = ()
    """Parts that keep the start's weights: trunk, stages, a module such as stacks.0, or a pattern such as heads.*.feature."""
    margin: float = 1.25
    """Factor on an object's box before it is cropped."""
    visibility: bool = False
    """Learn whether each keypoint can be seen, too, from labels that tell hidden keypoints from visible ones."""
    hard: str | None = None
    """List of hard objects, as `posewright mine` writes it, to show those more often."""
    loss: Annotated[str, one_of(LOSSES)] = "bce"
    """Distance of maps to targets; docs/training.md has the formulas."""
    huber_delta: float = 0.2
    """Error at which the huber loss turns from squared to straight; maps go from 0 to 1."""
    hard_keypoints: int = 0
    """The last stage learns only from this many keypoints of each object, those it does worst; 0 for all."""
    stage_weights: tuple[float, ...] = ()
    """How much each stage counts in the loss, such as 0.5 1; alike unless given."""
    sigma: float = 1.5
    """Standard deviation of a target's gaussian, in heatmap cells."""
    threshold: float = 0.2
    """The PCK threshold that is watched: a share of the skeleton's own normaliser."""
    device_data: Annotated[str, one_of(DEVICE_DATA)] = "auto"
    """Keep the training pictures on the device and make the crops there; auto does so on a graphics card with room."""
    teacher: str | None = None
    """Learn from this model, too: a checkpoint, a run's folder, a shipped name, or any ONNX file with heat maps or keypoints."""
    unlabelled: str | None = None
    """Folder of pictures without labels, on which the teacher alone is learned from."""
    qat: bool = False
    """Go on with a trained net, named with --init, as its int8 file will compute it, and write that file too."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Augmentation."""
    distill: DistillConfig = field(default_factory=DistillConfig)
    """How to learn from the teacher."""

    @property
    def highest_lr(self) -> float:
        """As for every run; a tenth of it where a trained net only gets used to int8."""
        return self.lr or super().highest_lr / (10 if self.qat else 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_above_0("sigma", "threshold", "margin", "huber_delta")
        self.require_not_below_0("hard_keypoints")
        if any(w < 0 for w in self.stage_weights) or (self.stage_weights and not any(self.stage_weights)):
            raise PosewrightError("stage_weights must not be below 0, nor all be 0")
        if self.teacher is None and (self.unlabelled or self.distill != DistillConfig()):
            name = "unlabelled" if self.unlabelled else "distill"
            raise PosewrightError(f"{name} says nothing without a teacher", fix="Add --teacher MODEL")
