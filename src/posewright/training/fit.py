"""One training run from settings to a folder that holds its checkpoint, its model file, its curves and all to resume it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from posewright.annotations import Annotations
from posewright.console import hushed
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.base import HeatmapNet
from posewright.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from posewright.models.devices import choose_device
from posewright.models.presets import build_net, preset
from posewright.training.callbacks import Bar, History
from posewright.training.config import TrainConfig
from posewright.training.data import loaders, read_data
from posewright.training.losses import LOSSES
from posewright.training.memory import keep_freed_memory
from posewright.training.presence import calibrate_presence, presence_scores
from posewright.training.task import KeypointTask
from posewright.training.trainer import trainer_for

CONFIG, CHECKPOINT, MODEL, LAST = "config.yaml", "model.safetensors", "model.onnx", "checkpoints/last.ckpt"

NOISY = ("lightning.pytorch", "lightning.fabric")


@dataclass
class Run:
    """What a finished training run left behind.

    Attributes:
        folder: the run's folder.
        checkpoint: the net with the best validation PCK, and all that belongs to it.
        pck: its PCK on the validation split.
        seconds: wall time of the training loop, over all resumptions.
    """

    folder: Path
    checkpoint: Checkpoint
    pck: float
    seconds: float


def fit(config: TrainConfig, annotations: Annotations | None = None, *, resume: bool = False, terms: str = "") -> Run:
    """Train, and write checkpoint, model file and curves into the run's folder.

    Args:
        config: the settings.
        annotations: the labelled pictures; read from ``config.data`` where None.
        resume: go on from the folder's last checkpoint, as if the run had never stopped.
        terms: terms of the training data, kept in checkpoint and model file.

    Raises:
        PosewrightError: where data, settings or checkpoint cannot be used, or the loss is no longer a number.
    """
    folder = Path(config.output)
    last = folder / LAST
    state = _read_last(last) if resume else None
    if state is None and last.exists():
        raise PosewrightError(
            "holds a run already", file=folder, fix="Add --resume to go on with it, or give another -o"
        )
    if state is not None:
        config = replace(
            TrainConfig.from_dict(state["posewright"]["config"]), output=config.output, device=config.device
        )
    if annotations is None:
        annotations, skipped = read_data(config)
        for line in skipped:
            print(f"left out: {line}")
    else:
        annotations = annotations.with_validation(config.val_share, config.seed)
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    net_config = preset(
        config.model,
        order=config.order,
        poolings=config.poolings,
        channels=config.channels,
        activation=LOSSES[config.loss][1],
    )
    net: HeatmapNet = build_net(net_config, len(annotations.skeleton)).to(memory_format=torch.channels_last)
    height, width = config.size
    net.check_size(height, width)
    rule = CropRule((width, height), config.margin)
    start = state["posewright"]["steps_taken"] if state is not None else 0
    train, val = loaders(config, annotations, rule, start)
    steps = len(train) * config.epochs
    task = KeypointTask(net, config, val.dataset.annotations, steps, train.dataset.annotations)  # type: ignore[attr-defined]
    device = choose_device(config.device)
    if device == "cpu":
        keep_freed_memory()
    history = History(folder)
    best = ModelCheckpoint(folder / "checkpoints", "best", "val_pck", mode="max", save_on_train_epoch_end=True)
    with hushed(*NOISY):
        trainer = trainer_for(config, device, folder, [Bar(steps, config.threshold), history, best])
    folder.mkdir(parents=True, exist_ok=True)
    config.save(folder / CONFIG)
    _describe(config, net, train, val, trainer, device)
    with hushed(*NOISY):
        trainer.fit(task, train, val, ckpt_path=str(last) if state is not None else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    return _finish(config, folder, task, best, history, annotations, rule, val, device, terms)


def finished_run(folder: Path) -> Run:
    """What a run that is over left in its folder.

    Raises:
        PosewrightError: where its checkpoint is missing or cannot be used.
    """
    checkpoint = load_checkpoint(folder / CHECKPOINT)
    figures = [m["value"] for name, m in checkpoint.metrics.items() if name.startswith("PCK@")]
    return Run(folder, checkpoint, float(figures[0]), float(checkpoint.training["seconds"]))


def _describe(config: TrainConfig, net: HeatmapNet, train: Any, val: Any, trainer: pl.Trainer, device: str) -> None:
    size = "x".join(map(str, config.size))
    count = sum(p.numel() for p in net.parameters())
    print(
        f"{config.model} ({count / 1e6:.2f} M parameters, {size}) on {device} in {trainer.precision}: "
        f"{len(train.dataset)} objects to train on, {len(val.dataset)} to validate, {config.epochs} epochs of {len(train)} steps"
    )


def _read_last(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise PosewrightError("there is no run to resume here", file=path, fix="Leave --resume out to start one")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state["posewright"]["steps_taken"]
    except Exception as error:
        raise PosewrightError(f"cannot be resumed from: {type(error).__name__}", file=path) from None
    return state


def _finish(
    config: TrainConfig,
    folder: Path,
    task: KeypointTask,
    best: ModelCheckpoint,
    history: History,
    annotations: Annotations,
    rule: CropRule,
    val: Any,
    device: str,
    terms: str,
) -> Run:
    """Take the best epoch's weights, calibrate presence, and write what the run is for."""
    from posewright.export.onnx import export_onnx
    from posewright.reports.curves import draw_curves

    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    task.load_state_dict(state["state_dict"])
    net = task.net.to("cpu").eval()
    score = float(best.best_model_score or 0.0)
    seconds = history.rows[-1]["seconds"]
    objects = len(annotations.of_split("train"))
    checkpoint = Checkpoint(
        net,
        annotations.skeleton,
        rule,
        config.model,
        training={
            "config": config.to_dict(),
            "data": str(annotations.source or config.data),
            "objects": objects,
            "epochs": len(history.rows),
            "seconds": seconds,
            "history": history.rows,
        },
        metrics={
            f"PCK@{config.threshold:g}": {
                "value": round(score, 5),
                "normaliser": str(annotations.skeleton.normaliser),
                "data": f"{len(val.dataset)} validation objects, best of {len(history.rows)} epochs",
            }
        },
        terms=terms,
    )
    fitted = calibrate_presence(*presence_scores(net, val.dataset.annotations, rule, config, device))
    if fitted is not None:
        checkpoint.presence = fitted
    save_checkpoint(checkpoint, folder / CHECKPOINT)
    export_onnx(checkpoint, folder / MODEL)
    draw_curves([folder], folder / "curves.png")
    return Run(folder, checkpoint, score, seconds)
