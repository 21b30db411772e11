"""The settings that every training run has, whatever kind of model it makes: data, net, schedule, optimiser, machine.

Free of torch, so that ``posewright train --help`` answers at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from posewright.errors import PosewrightError, did_you_mean
from posewright.training.settings_file import read_settings, settings_from, write_settings

if TYPE_CHECKING:
    from typing_extensions import Self

OPTIMISERS = ("adamw", "adam", "rmsprop", "sgd")
SCHEDULES = ("onecycle", "cosine", "exponential", "polynomial", "piecewise", "constant")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
DEVICES = ("auto", "cpu", "cuda", "mps")
CHOICES = {
    "optimiser": OPTIMISERS,
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
    "device": DEVICES,
}
"""The settings that are one of several words."""
USUAL_LR, SGD_FACTOR = 2e-3, 25.0
"""The learning rate for batches of about 32 where every layer has its batch norm, and how much higher it is for sgd."""
BELONGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "momentum": ("optimiser", ("sgd", "rmsprop")),
    "nesterov": ("optimiser", ("sgd",)),
    "lr_final": ("schedule", ("onecycle", "cosine", "exponential", "polynomial")),
    "lr_power": ("schedule", ("polynomial",)),
    "lr_milestones": ("schedule", ("piecewise",)),
    "lr_factors": ("schedule", ("piecewise",)),
}
"""Settings that say nothing but beside certain words of another one."""


def one_of(words: tuple[str, ...], *aliases: str) -> Any:
    """How the command line shows a setting that is one of several words.

    The words are checked by the dataclass, for settings from files and from Python as well, and with a guess at what was
    meant.
    """
    return tyro.conf.arg(metavar="{" + ",".join(words) + "}", aliases=list(aliases) or None)


AUTO, NONE = "auto", "none"
"""What a setting says that is left to the run, and ``init`` where a run starts from nothing."""
INPUT_SIZE = "256"


def crop_size(text: str) -> tuple[int, int]:
    """(height, width) in pixels of ``SIDE`` or ``HEIGHTxWIDTH``.

    Raises:
        PosewrightError: where the text is neither.
    """
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.isdigit() and int(p) > 0 for p in parts):
        raise PosewrightError(f"input size '{text}' is neither a number nor HEIGHTxWIDTH")
    return int(parts[0]), int(parts[-1])


@dataclass(frozen=True)
class RunConfig:
    """Settings of one training run of any kind."""

    kind: ClassVar[str]
    """Which kind of model it makes: one of :data:`posewright.runtime.modelfile.KINDS`."""
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = CHOICES
    belongs: ClassVar[Mapping[str, tuple[str, tuple[str, ...]]]] = BELONGS

    data: str = ""
    """Labels: a file or folder in any known format."""
    model: str = "auto"
    """A preset; `posewright models` lists them. auto: the start's where --init names one, else by the number of objects
    and the machine."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "runs/last"
    """The run's folder."""
    format: str | None = None
    """Format of the labels; found by itself unless given."""
    images: str | None = None
    """Folder of the pictures, where they do not lie beside the labels."""
    skeleton: str | None = None
    """Shipped skeleton's name or skeleton files, where the labels do not say."""
    category: str | None = None
    """Kind of object to read, where the labels hold several with keypoints of their own (COCO, CVAT)."""
    flags: Literal["labelled", "hidden"] | None = None
    """What a 1 in an LSP file's flags means, where the file does not tell."""
    skip_bad: bool = False
    """Leave bad records out and list them, instead of stopping at the first."""
    val_share: float = 0.1
    """Share of pictures held out for validation, where the data has no split of its own."""
    input_size: str = "auto"
    """Crop size: one number, or HEIGHTxWIDTH. auto: the start's where --init names one, else 256."""
    net: tuple[str, ...] = ()
    """Settings of the net in place of its preset's, such as channels=96 order=preact stages=4 background=true."""
    epochs: int = 0
    """Passes over the training objects; 0 chooses by their number."""
    init_epoch: int = 0
    """Number of the first epoch: the schedule and the count of epochs begin there."""
    batch_size: int = 0
    """Objects a step, over all devices together; 0 chooses by their number."""
    accumulate: int = 1
    """Batches whose gradients make one step."""
    optimiser: Annotated[str, one_of(OPTIMISERS, "--optimizer")] = "adamw"
    """What makes steps of gradients."""
    lr: float = 0.0
    """Highest learning rate; 0 chooses: 0.002 (sgd 0.05), a tenth of it for nets without batch norm."""
    weight_decay: float = 1e-3
    """Pull of the weights to 0, biases and norms spared: beside the gradient in adamw, part of it in the others."""
    momentum: float | None = None
    """Momentum of sgd (0.9 unless given) or rmsprop (0 unless given)."""
    nesterov: bool = False
    """Nesterov's momentum, for sgd."""
    schedule: Annotated[str, one_of(SCHEDULES)] = "onecycle"
    """Course of the learning rate."""
    warmup: float = 0.1
    """Share of the run during which the learning rate rises."""
    lr_final: float | None = None
    """Where the schedule ends, as a share of the highest learning rate; its own unless given."""
    lr_power: float = 1.0
    """Power of the polynomial schedule."""
    lr_milestones: tuple[float, ...] = (0.6, 0.85)
    """Where the piecewise schedule drops, as shares of the run."""
    lr_factors: tuple[float, ...] = (0.1, 0.01)
    """What it drops to at each, as shares of the highest learning rate."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""
    ema: float = 0.995
    """Decay of the running mean of the weights, which is what is validated and kept; 0 turns it off."""
    precision: Annotated[str, one_of(PRECISIONS)] = "auto"
    """Arithmetic of the forward and backward pass; auto takes bf16 where the device computes it natively."""
    device: Annotated[str, one_of(DEVICES)] = "auto"
    """Where to train."""
    devices: int = 0
    """Devices on each machine, with a process each; 0 takes the processes that torchrun or SLURM started, else one."""
    nodes: int = 0
    """Machines; 0 takes as many as torchrun or SLURM says, else one."""
    sync_batch_norm: bool = False
    """Batch norm over the objects of all devices, instead of over each device's own."""
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

    def __post_init__(self) -> None:
        for name, known in self.choices.items():
            if getattr(self, name) not in known:
                word = str(getattr(self, name))
                raise PosewrightError(f"unknown {name} '{word}'", fix=did_you_mean(word.lower(), known))
        if self.accumulate < 1:
            raise PosewrightError(f"accumulate must be at least 1, not {self.accumulate}")
        for name in ("epochs", "batch_size", "init_epoch", "threads", "seed"):
            if getattr(self, name) < 0:
                raise PosewrightError(f"{name} must not be below 0, and is {getattr(self, name)}")
        if self.epochs and self.init_epoch >= self.epochs:
            raise PosewrightError(f"init_epoch {self.init_epoch} leaves nothing of {self.epochs} epochs")
        if self.workers < -1:
            raise PosewrightError(f"workers must not be below -1, and is {self.workers}")
        self.require_above_0("lr_power", "checkpoint_minutes")
        self.require_not_below_0("lr", "weight_decay", "clip", "patience", "devices", "nodes")
        if not 0 < self.val_share < 1:
            raise PosewrightError(f"val_share must lie between 0 and 1, not {self.val_share}")
        if not 0 <= self.ema < 1 or not 0 <= self.warmup < 1:
            raise PosewrightError("ema and warmup must lie in 0..1, below 1")
        self._check_repertoire()
        self.size  # noqa: B018  raises where the text is no size

    def require_above_0(self, *names: str) -> None:
        """Raise for the first of these settings that is not above 0."""
        for name in names:
            if not getattr(self, name) > 0:
                raise PosewrightError(f"{name} must be above 0, not {getattr(self, name)}")

    def require_not_below_0(self, *names: str) -> None:
        """Raise for the first of these settings that is below 0."""
        for name in names:
            if getattr(self, name) < 0:
                raise PosewrightError(f"{name} must not be below 0")

    def _check_repertoire(self) -> None:
        """Raise where settings of optimiser, schedule and the like contradict each other, or would go unheeded."""
        for name, (chooser, choices) in self.belongs.items():
            default = type(self).__dataclass_fields__[name].default
            if getattr(self, name) != default and getattr(self, chooser) not in choices:
                raise PosewrightError(
                    f"{name} belongs to {chooser} {' or '.join(choices)}, not to {getattr(self, chooser)}",
                    fix=f"Leave it out, or use --{chooser} {choices[0]}",
                )
        if self.momentum is not None and not 0 <= self.momentum < 1:
            raise PosewrightError(f"momentum must lie in 0..1, below 1, not {self.momentum}")
        if self.nesterov and self.momentum == 0:
            raise PosewrightError("nesterov needs a momentum above 0")
        if self.lr_final is not None and not 0 <= self.lr_final <= 1:
            raise PosewrightError(f"lr_final is a share of the highest learning rate, 0..1, not {self.lr_final}")
        if self.lr_final == 0 and self.schedule == "exponential":
            raise PosewrightError("an exponential schedule never reaches 0", fix="Use --lr-final 0.001, say")
        if self.schedule == "piecewise":
            self._check_pieces()

    def _check_pieces(self) -> None:
        ends, factors = self.lr_milestones, self.lr_factors
        if not ends or len(ends) != len(factors):
            raise PosewrightError(
                f"{len(ends)} lr_milestones, but {len(factors)} lr_factors", fix="Give one factor to each milestone"
            )
        if any(a >= b for a, b in zip((self.warmup, *ends), (*ends, 1.0))):
            raise PosewrightError(
                f"lr_milestones must rise, from above the warm-up's {self.warmup:g} to below 1, "
                f"not {' '.join(map(str, ends))}"
            )
        if any(f < 0 for f in factors):
            raise PosewrightError("lr_factors must not be below 0")

    @property
    def highest_lr(self) -> float:
        """The highest learning rate, the optimiser's usual one as long as none is settled."""
        return self.lr or USUAL_LR * (SGD_FACTOR if self.optimiser == "sgd" else 1)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the crop in pixels; 256 x 256 as long as nothing else is settled."""
        return crop_size(INPUT_SIZE if self.input_size == AUTO else self.input_size)

    def differing(self, other: Self) -> list[str]:
        """Names of the settings that somebody gave here, and that are something else there."""
        plain, names = type(self)(), [f.name for f in dataclasses.fields(self)]
        return [n for n in names if getattr(self, n) not in (getattr(plain, n), getattr(other, n))]

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote, also by way of YAML or JSON; unknown settings are refused."""
        return settings_from(cls, d)

    def save(self, path: Path) -> None:
        """Write the settings as YAML."""
        write_settings(self, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file of settings.

        Raises:
            PosewrightError: where it is missing, is not YAML, or holds settings that are unknown or cannot be used.
        """
        return read_settings(cls, path)
