"""Every setting of a training run: one source for defaults, ``--help``, the YAML beside each run and its checkpoint.

Free of torch, so that ``posewright train --help`` answers at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from posewright.errors import PosewrightError, did_you_mean
from posewright.training.augment_config import AugmentConfig


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run."""

    data: str = ""
    """Labels: a file or folder in any known format."""
    model: str = "hourglass_s1_tiny"
    """A preset; `posewright models` lists them."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "runs/last"
    """The run's folder."""
    format: str | None = None
    """Format of the labels; found by itself unless given."""
    images: str | None = None
    """Folder of the pictures, where they do not lie beside the labels."""
    skeleton: str | None = None
    """Shipped skeleton's name or skeleton files, where the labels do not say."""
    skip_bad: bool = False
    """Leave bad records out and list them, instead of stopping at the first."""
    val_share: float = 0.1
    """Share of pictures held out for validation, where the data has no split of its own."""
    input_size: str = "256"
    """Crop size: one number, or HEIGHTxWIDTH."""
    margin: float = 1.25
    """Factor on an object's box before it is cropped."""
    order: Literal["conv_bn_relu", "preact", "conv_relu_bn"] | None = None
    """Order of convolution, batch norm and ReLU; the preset's own unless given."""
    poolings: int | None = None
    """How often an hourglass halves its maps; the preset's own unless given."""
    channels: int | None = None
    """Width of the net; the preset's own unless given."""
    epochs: int = 60
    """Passes over the training objects."""
    batch_size: int = 32
    """Objects a step."""
    loss: Literal["bce", "mse", "weighted_mse"] = "bce"
    """Distance of maps to targets: cross-entropy of each cell, squared error, or squared error weighted to the peaks."""
    sigma: float = 1.5
    """Standard deviation of a target's gaussian, in heatmap cells."""
    lr: float = 2e-3
    """Highest learning rate."""
    weight_decay: float = 1e-3
    """AdamW's weight decay."""
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    """Course of the learning rate."""
    warmup: float = 0.1
    """Share of the run during which the learning rate rises."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""
    ema: float = 0.995
    """Decay of the running mean of the weights, which is what is validated and kept; 0 turns it off."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the forward and backward pass; auto takes bf16 where the device computes it natively."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train."""
    workers: int = -1
    """Loader processes; 0 loads on a thread of the training process, -1 takes processes only to feed a GPU."""
    threads: int = 0
    """Threads of the training process; 0 leaves torch's choice. Equal thread counts give equal runs."""
    seed: int = 0
    """Seed of weights, order and augmentation."""
    patience: int = 0
    """Stop after this many epochs without a better PCK; 0 never stops early."""
    checkpoint_minutes: float = 5.0
    """Save what a resumed run needs at least this often."""
    threshold: float = 0.2
    """The PCK threshold that is watched: a share of the skeleton's own normaliser."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Augmentation."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise PosewrightError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("sigma", "lr", "threshold", "margin"):
            if not getattr(self, name) > 0:
                raise PosewrightError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("weight_decay", "clip", "patience"):
            if getattr(self, name) < 0:
                raise PosewrightError(f"{name} must not be below 0")
        if not 0 < self.val_share < 1:
            raise PosewrightError(f"val_share must lie between 0 and 1, not {self.val_share}")
        if not 0 <= self.ema < 1 or not 0 <= self.warmup < 1:
            raise PosewrightError("ema and warmup must lie in 0..1, below 1")
        self.size  # noqa: B018  raises where the text is no size

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the crop in pixels."""
        parts = self.input_size.lower().split("x")
        if len(parts) > 2 or not all(p.isdigit() and int(p) > 0 for p in parts):
            raise PosewrightError(f"input size '{self.input_size}' is neither a number nor HEIGHTxWIDTH")
        return int(parts[0]), int(parts[-1])

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> TrainConfig:
        """Read what :meth:`to_dict` wrote; unknown settings are refused."""
        values = dict(d)
        known = {f.name for f in dataclasses.fields(cls)}
        for key in values:
            if key not in known:
                raise PosewrightError(f"unknown setting '{key}'", fix=did_you_mean(str(key), known))
        augment = values.get("augment") or {}
        if isinstance(augment, Mapping):
            shapes = {f.name for f in dataclasses.fields(AugmentConfig)}
            for key in augment:
                if key not in shapes:
                    raise PosewrightError(f"unknown setting 'augment.{key}'", fix=did_you_mean(str(key), shapes))
            values["augment"] = AugmentConfig(**augment)
        return cls(**values)

    def save(self, path: Path) -> None:
        """Write the settings as YAML."""
        import yaml

        from posewright.files import write_text

        write_text(path, yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """Read a YAML file of settings.

        Raises:
            PosewrightError: where it is missing, is not YAML, or holds settings unknown here.
        """
        import yaml

        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise PosewrightError(error.strerror or "cannot be read", file=path) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise PosewrightError(f"is not YAML: {str(error).splitlines()[0]}", file=path) from None
        if not isinstance(values, dict):
            raise PosewrightError("holds no settings", file=path)
        try:
            return cls.from_dict(values)
        except PosewrightError as error:
            raise PosewrightError(error.what, file=path, fix=error.fix) from None
        except TypeError as error:
            raise PosewrightError(f"a setting has the wrong type: {error}", file=path) from None
