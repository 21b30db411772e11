"""Every setting of a run that trains a locator. Free of torch, like all settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from posewright.errors import PosewrightError
from posewright.training.augment_config import SceneAugment
from posewright.training.run_config import RunConfig


@dataclass(frozen=True)
class LocatorConfig(RunConfig):
    """Settings of one run that trains a locator."""

    kind: ClassVar = "locator"

    model: str = "locator"
    """A preset: locator, locator_small, or locator_fine for small objects."""
    init: str = "none"
    """Weights to start from: a locator's or keypoint model's checkpoint, run folder or shipped name; none for random ones. A
    keypoint model's features become the locator's: it finds what the model knows from a fraction of the training."""
    input_size: str = "256"
    """What a whole picture is fitted into: one number, or HEIGHTxWIDTH; multiples of 32, or of what the
    keypoint model takes whose features are read."""
    net: tuple[str, ...] = ()
    """Settings of the net in place of its preset's, such as channels=36 stride=4 depth=1."""
    epochs: int = 0
    """Passes over the training pictures; 0 chooses by their number."""
    batch_size: int = 0
    """Pictures a step, over all devices together; 0 chooses by their number."""
    patience: int = 0
    """Stop after this many epochs without a better AP; 0 never stops early."""
    most: int = 50
    """Boxes that the model file tells of a picture, at most."""
    least_side: float = 4.0
    """Objects whose box has a shorter side in the input, in pixels, are neither learned nor held against the net."""
    false_boxes: float = 0.1
    """The score threshold is chosen so that no more false boxes a picture are found on the validation pictures."""
    heat_weight: float = 1.0
    """How much the centres count in the loss."""
    box_weight: float = 1.0
    """How much the boxes around them count in the loss."""
    overlap_weight: float = 0.5
    """How much it counts to know how good a box is."""
    augment: SceneAugment = field(default_factory=SceneAugment)
    """Augmentation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_above_0("heat_weight", "box_weight", "overlap_weight")
        self.require_not_below_0("least_side", "false_boxes")
        if self.most < 1:
            raise PosewrightError(f"most must be at least 1, not {self.most}")
