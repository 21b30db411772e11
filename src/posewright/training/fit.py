"""One training run from settings to a folder that holds its checkpoint, its model file, its curves and all to resume it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from posewright.annotations import Annotations, ReadOptions, read_annotations
from posewright.console import hushed
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.base import HeatmapNet
from posewright.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from posewright.models.heatmaps import decode
from posewright.models.presets import build_net, preset
from posewright.skeleton import load_skeleton
from posewright.training.callbacks import Bar, History, WithinEpoch, running_mean
from posewright.training.config import TrainConfig
from posewright.training.dataset import CropDataset, EpochSampler, collate, single_threaded
from posewright.training.losses import LOSSES
from posewright.training.memory import keep_freed_memory
from posewright.training.prefetch import Prefetched
from posewright.training.task import KeypointTask, calibrate_presence

Loader = DataLoader[Any] | Prefetched
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


def read_data(config: TrainConfig) -> tuple[Annotations, list[str]]:
    """The annotations that the settings name, split into train and val; and what was left out."""
    if not config.data:
        raise PosewrightError("no data given", fix="Use --data FILE or FOLDER")
    options = ReadOptions(
        skeleton=load_skeleton(config.skeleton) if config.skeleton else None,
        images=Path(config.images) if config.images else None,
        skip_bad=config.skip_bad,
    )
    annotations = read_annotations(config.data, config.format, options).require_pictures(
        options.bad if config.skip_bad else None
    )
    return annotations.with_validation(config.val_share, config.seed), options.skipped


def choose_device(name: str) -> str:
    """ "cpu", "cuda" or "mps" for a ``--device``.

    Raises:
        PosewrightError: where the device is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(d for d in ("cuda", "mps", "cpu") if there[d])
    if not there[name]:
        raise PosewrightError(f"device '{name}' is not available here", fix="Use --device auto")
    return name


def choose_precision(name: str, device: str) -> Any:
    """Lightning's name of the arithmetic: bf16 where the device computes it natively, fp32 elsewhere."""
    if name == "auto":
        if device == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
            native = device == "cpu" and bool(has.get("avx512_bf16") or has.get("amx_bf16"))
        name = "bf16" if native else "fp32"
    if name == "fp16" and device != "cuda":
        raise PosewrightError("fp16 training needs a CUDA device", fix="Use --precision bf16 or fp32")
    return {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}[name]


def loader_processes(config: TrainConfig) -> int:
    """Loader processes: as asked for, else none for a processor, and half the cores, at most eight, for a GPU."""
    if config.workers >= 0:
        return config.workers
    return min(8, (os.cpu_count() or 2) // 2) if choose_device(config.device) == "cuda" else 0


def loaders(config: TrainConfig, annotations: Annotations, rule: CropRule, start: int = 0) -> tuple[Loader, Loader]:
    """The training and validation loaders; training goes on after ``start`` steps."""
    train = CropDataset(annotations.of_split("train"), rule, config.augment, config.seed)
    val = CropDataset(annotations.of_split("val"), rule)
    source = annotations.source or config.data or "the data"
    for name, dataset in (("training", train), ("validation", val)):
        if len(dataset) == 0:
            raise PosewrightError(f"has no {name} object with a labelled keypoint", file=source)
    batch = min(config.batch_size, len(train))
    sampler = EpochSampler(len(train), config.seed, batch, start)
    workers = loader_processes(config)
    common: dict[str, Any] = {
        "num_workers": workers,
        "collate_fn": collate,
        "persistent_workers": workers > 0,
        "worker_init_fn": single_threaded if workers else None,
        # A forked process inherits OpenCV's and OpenMP's locks in whatever state they are, and may wait for ever.
        "multiprocessing_context": "spawn" if workers else None,
        "pin_memory": torch.cuda.is_available(),
    }
    made: list[DataLoader[Any]] = [
        DataLoader(train, batch, sampler=sampler, drop_last=True, **common),
        DataLoader(val, min(config.batch_size, len(val)), shuffle=False, **common),
    ]
    first, second = made if workers else (Prefetched(loader) for loader in made)
    return first, second


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


def _read_last(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise PosewrightError("there is no run to resume here", file=path, fix="Leave --resume out to start one")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state["posewright"]["steps_taken"]
    except Exception as error:
        raise PosewrightError(f"cannot be resumed from: {type(error).__name__}", file=path) from None
    return state


def trainer_for(
    config: TrainConfig, device: str, folder: Path, callbacks: list[Callback], max_steps: int = -1
) -> pl.Trainer:
    """Lightning's trainer of a run, with the running mean of weights and the checkpoints that a resumed run needs.

    Args:
        callbacks: those of the caller. They come before the checkpoints', so that each checkpoint holds what they kept.
        max_steps: stop after so many steps; -1 for all epochs.
    """
    every: dict[str, Any] = {"enable_version_counter": False, "dirpath": folder / "checkpoints", "filename": "last"}
    return pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device, device),
        devices=1,
        precision=choose_precision(config.precision, device),
        max_epochs=config.epochs,
        max_steps=max_steps,
        gradient_clip_val=config.clip or None,
        callbacks=[
            *([running_mean(config.ema)] if config.ema else []),
            *([EarlyStopping("val_pck", patience=config.patience, mode="max")] if config.patience else []),
            *callbacks,
            ModelCheckpoint(**every, save_on_train_epoch_end=True),
            WithinEpoch(
                **every, train_time_interval=timedelta(minutes=config.checkpoint_minutes), save_on_train_epoch_end=False
            ),
        ],
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        default_root_dir=folder,
    )


def _describe(config: TrainConfig, net: HeatmapNet, train: Any, val: Any, trainer: pl.Trainer, device: str) -> None:
    size = "x".join(map(str, config.size))
    count = sum(p.numel() for p in net.parameters())
    print(
        f"{config.model} ({count / 1e6:.2f} M parameters, {size}) on {device} in {trainer.precision}: "
        f"{len(train.dataset)} objects to train on, {len(val.dataset)} to validate, {config.epochs} epochs of {len(train)} steps"
    )


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


def presence_scores(
    net: HeatmapNet, annotations: Annotations, rule: CropRule, config: TrainConfig, device: str, most: int = 400
) -> tuple[np.ndarray, np.ndarray]:
    """Mean keypoint scores ``[N]`` of crops with and without the object, and which is which ``[N]`` bool."""
    keep = np.random.default_rng(config.seed).permutation(len(annotations))[:most]
    plain = CropDataset(annotations, rule, negatives=0.5, seed=config.seed + 1)
    net = net.to(device)
    scores, present = [], []
    for item in sorted(int(k) for k in keep if k < len(plain)):
        sample = plain[item]
        with torch.inference_mode():
            maps = net(sample["image"][None].to(device))[:, -1, : net.keypoints].float()
            scores.append(decode(maps, net.config.stride)[..., 2].mean().item())
        present.append(bool(sample["present"]))
    net.to("cpu")
    return np.array(scores), np.array(present)
