"""How a student learns from a teacher. Free of torch, like all settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

from posewright.errors import PosewrightError, did_you_mean


@dataclass(frozen=True)
class DistillConfig:
    """How a student learns from its teacher; only with ``--teacher``."""

    alpha: float = 0.5
    """The teacher's share of the loss, the rest being the labels'; what only one of the two knows is learned from it alone."""
    target: Literal["heatmaps", "response", "features"] = "heatmaps"
    """What is compared: the heat maps, where they respond at all (attention), or the last features."""
    weight: float = 1.0
    """Factor on the teacher's loss for response and features, whose unit is not that of the labels' loss."""
    stages: tuple[int, ...] = ()
    """The teacher's stage for each stage of the student, counted from 1; the last of as many equal parts unless given."""
    map: tuple[str, ...] = ()
    """The teacher's keypoint for the student's, as STUDENT,TEACHER pairs or a file with one pair a line; others match by name."""
    sigma: float | None = None
    """Standard deviation of the teacher's peaks in its own cells; a checkpoint says it, others are taken to use the student's."""
    boxes: Literal["teacher", "whole"] = "teacher"
    """Crops of unlabelled pictures: around what the teacher finds with a presence above a half, or always the whole picture."""
    views: int = 0
    """Augmented views of each object, used in turn over the epochs; 0 makes a new one every epoch."""
    once: bool = False
    """The teacher looks at each object once, before training, and what it found is moved along with every augmented view."""
    cache: str | None = None
    """Folder that keeps the teacher's outputs from one run to the next; needs --distill.once or .views, or no augmentation."""
    cache_type: Literal["uint8", "fp16"] = "uint8"
    """How the folder stores a cell."""
    pixels: Literal["0..1", "-1..1", "0..255", "imagenet"] = "0..1"
    """What a foreign ONNX teacher with a floating-point input expects of its pixels."""
    bgr: bool = False
    """A foreign ONNX teacher expects BGR."""

    def __post_init__(self) -> None:
        for name in ("target", "boxes", "cache_type", "pixels"):
            words, word = get_args(get_type_hints(type(self))[name]), getattr(self, name)
            if word not in words:
                raise PosewrightError(f"unknown distill.{name} '{word}'", fix=did_you_mean(str(word), words))
        if not 0 <= self.alpha <= 1:
            raise PosewrightError(f"distill.alpha is a share from 0 to 1, not {self.alpha}")
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise PosewrightError(f"distill.weight must be above 0, not {self.weight}")
        if self.sigma is not None and not self.sigma > 0:
            raise PosewrightError(f"distill.sigma must be above 0, not {self.sigma}")
        if self.views < 0:
            raise PosewrightError(f"distill.views must not be below 0, not {self.views}")
        if (self.cache or self.once) and self.target == "features":
            name = "cache" if self.cache else "once"
            raise PosewrightError("features are too large to be kept", fix=f"Leave --distill.{name} out")
        if self.once and self.views:
            raise PosewrightError("distill.once sees no augmented views", fix="Leave --distill.views out")
