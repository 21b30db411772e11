"""What every training run goes through, whatever it makes: begun or resumed, trained to its best epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from posewright.annotations import Annotations
from posewright.console import hushed
from posewright.errors import PosewrightError
from posewright.models.devices import choose_device
from posewright.training.accumulation import steps_per_epoch
from posewright.training.callbacks import PCK, Bar, History
from posewright.training.data import read_data
from posewright.training.ending import wait_for_the_first
from posewright.training.memory import keep_freed_memory
from posewright.training.ranks import Place, check_devices, divide_threads, find_place
from posewright.training.run_config import RunConfig
from posewright.training.run_task import RunTask
from posewright.training.start import CountFrom
from posewright.training.trainer import trainer_for

CONFIG, CHECKPOINT, MODEL, LAST = "config.yaml", "model.safetensors", "model.onnx", "checkpoints/last.ckpt"
"""What a run's folder holds: its settings, the checkpoint, the model file, and what a resumed run goes on from."""

NOISY = ("lightning.pytorch", "lightning.fabric")

Config = TypeVar("Config", bound=RunConfig)


@dataclass(frozen=True)
class Watched:
    """The figure by which a run's best epoch is known; higher is better.

    Attributes:
        name: among what the task logs.
        label: what a person calls it.
        figures: all that the task logs at an epoch's end and the history keeps.
    """

    name: str = PCK
    label: str = "PCK"
    figures: tuple[str, ...] = ("val_loss", PCK)


@dataclass
class Begun(Generic[Config]):
    """A run before its net is made.

    Attributes:
        config: the settings; a resumed run's own.
        annotations: what to train on, split.
        place: which process of the run this is.
        folder: the run's.
        device: "cpu", "cuda" or "mps".
        state: what a resumed run goes on from, else None.
    """

    config: Config
    annotations: Annotations
    place: Place
    folder: Path
    device: str
    state: dict[str, Any] | None

    @property
    def steps_taken(self) -> int:
        return int(self.state["posewright"]["steps_taken"]) if self.state is not None else 0


def begin(config: Config, annotations: Annotations | None, resume: bool) -> Begun[Config]:
    """Find the run's place, settings, data and device, and seed it.

    Args:
        config: the settings as given.
        annotations: the labelled pictures; read from ``config.data`` where None.
        resume: go on from the folder's last checkpoint.

    Raises:
        PosewrightError: where the folder holds a run already, or none to go on with, or the data cannot be used.
    """
    place = find_place(config.devices, config.nodes)
    folder = Path(config.output)
    last = folder / LAST
    state = _read_last(last, config.kind) if resume else None
    if state is None and last.exists():
        raise PosewrightError(
            "holds a run already", file=folder, fix="Add --resume to go on with it, or give another -o"
        )
    if state is not None:
        given = config
        config = replace(
            type(config).from_dict(state["posewright"]["config"]),
            output=config.output,
            device=config.device,
            devices=config.devices,
            nodes=config.nodes,
        )
        unheeded = given.differing(config)
        if unheeded:
            print(f"a resumed run keeps its own settings; not heeded: {', '.join(unheeded)}")
    if annotations is None:
        annotations, skipped = read_data(config)
        for line in skipped:
            print(f"left out: {line}")
    else:
        annotations = annotations.with_validation(config.val_share, config.seed)
    device = choose_device(config.device)
    check_devices(place, device)
    divide_threads(place, config.threads)
    torch.manual_seed(config.seed)
    return Begun(config, annotations, place, folder, device, state)


def _read_last(path: Path, kind: str) -> dict[str, Any]:
    if not path.is_file():
        raise PosewrightError("there is no run to resume here", file=path, fix="Leave --resume out to start one")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state["posewright"]["steps_taken"]
    except Exception as error:
        raise PosewrightError(f"cannot be resumed from: {type(error).__name__}", file=path) from None
    own = state["posewright"].get("kind", "keypoints")
    if own != kind:
        command = {"keypoints": "train", "locator": "train-locator"}.get(own, own)
        raise PosewrightError(f"is of a run that trains {own}", file=path, fix=f"Use posewright {command} --resume")
    return state  # type: ignore[no-any-return]


def run_to_best(
    begun: Begun[Any],
    task: RunTask,
    train: Any,
    val: Any,
    watched: Watched,
    describe: Callable[[pl.Trainer], str],
    callbacks: Sequence[pl.Callback] = (),
) -> tuple[float, list[dict[str, float]]]:
    """Train through all epochs and fill the task with the weights of the best; returns in the first process only.

    Args:
        begun: the run, its settings settled.
        task: what to train; made for :func:`total_steps` steps.
        train, val: loaders.
        watched: the figure that makes an epoch the best.
        describe: the line that says what is being trained.
        callbacks: more of them, before all others.

    Returns:
        The best epoch's figure, and the history, one row an epoch.

    Raises:
        KeyboardInterrupt: where a person stopped it; all to go on with is saved.
    """
    config, folder, state = begun.config, begun.folder, begun.state
    if begun.device == "cpu":
        keep_freed_memory()
    history = History(folder, watched.figures)
    best = ModelCheckpoint(folder / "checkpoints", "best", watched.name, mode="max", save_on_train_epoch_end=True)
    first = CountFrom(config.init_epoch, task.steps // config.epochs)
    bar = Bar(task.steps, watched.label, watched.name)
    if state is None:
        train.sampler.set_epoch(config.init_epoch)
    with hushed(*NOISY):
        every = [*callbacks, first, bar, history, best]
        trainer = trainer_for(config, begun.device, folder, every, place=begun.place, watched=watched.name)
    if begun.place.first:
        folder.mkdir(parents=True, exist_ok=True)
        config.save(folder / CONFIG)
        print(describe(trainer))
    last = str(folder / LAST) if state is not None else None
    if state is not None:
        _check_same(state, task, folder / LAST)
    try:
        with hushed(*NOISY):
            trainer.fit(task, train, val, ckpt_path=last, weights_only=True)
    except SystemExit:
        if trainer.interrupted:  # which is how Lightning ends after Ctrl-C
            raise KeyboardInterrupt from None
        raise
    if not begun.place.first:
        wait_for_the_first()
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    task.load_state_dict(state["state_dict"])
    return float(best.best_model_score or 0.0), history.rows


def _check_same(state: Mapping[str, Any], task: RunTask, path: Path) -> None:
    """Raise a PosewrightError where a run's weights are those of another net than its settings stand for today."""
    there = {name: value.shape for name, value in state.get("state_dict", {}).items()}
    if any(there.get(name) != value.shape for name, value in task.state_dict().items()):
        what = "is of a run by another version of posewright, whose net was another"
        raise PosewrightError(what, file=path, fix="Train again into another folder")


def total_steps(config: RunConfig, train: Any) -> int:
    """Optimiser steps of a whole run with this training loader."""
    return steps_per_epoch(len(train), config.accumulate) * config.epochs
