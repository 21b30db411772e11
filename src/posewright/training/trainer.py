"""Lightning's trainer of a run: arithmetic, processes, running mean of weights, checkpoints, logs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy

from posewright.errors import PosewrightError
from posewright.training.batch_norm import AverageBatchNorms
from posewright.training.callbacks import PCK, WithinEpoch, running_mean
from posewright.training.ending import PlainTermination
from posewright.training.ranks import ALONE, Place
from posewright.training.run_config import RunConfig


def choose_precision(name: str, device: str) -> Any:
    """Lightning's name of the arithmetic: bf16 where the device computes it natively, fp32 elsewhere."""
    has = torch.cpu.get_capabilities() if device == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    if name == "auto":
        if device == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = bool(has.get("avx512_bf16") or has.get("amx_bf16"))
        name = "bf16" if native else "fp32"
    # A processor without fp16 arithmetic imitates it, at a hundredth of the speed.
    if name == "fp16" and device != "cuda" and not (has.get("avx512_fp16") or has.get("amx_fp16")):
        raise PosewrightError(
            f"fp16 training needs a CUDA device, or a processor that computes in fp16; {device} here does not",
            fix="Use --precision bf16 or fp32",
        )
    return {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}[name]


def _processes(place: Place) -> dict[str, Any]:
    """Arguments of Lightning's trainer for the processes of a run: distributed data parallel where there are several."""
    if place.ranks == 1:
        return {"devices": 1}
    # Buffers are equal on all processes already (batch_norm.py). Sending them before each forward pass would also want
    # equally many passes everywhere, and the shares of the validation set differ.
    strategy = DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)
    return {"devices": place.local_ranks, "num_nodes": place.nodes, "strategy": strategy}


def _environment(place: Place) -> list[Any]:
    """The plugin that tells Lightning who started the processes."""
    if place.ranks == 1:
        return []
    if place.launcher == "slurm":
        return [SLURMEnvironment(auto_requeue=False)]  # a requeued job would start without --resume
    return [TorchElasticEnvironment() if place.launcher == "torchrun" else LightningEnvironment()]


def trainer_for(
    config: RunConfig,
    device: str,
    folder: Path,
    callbacks: list[Callback],
    max_steps: int = -1,
    place: Place = ALONE,
    watched: str = PCK,
) -> pl.Trainer:
    """Lightning's trainer of a run, with the running mean of weights and the checkpoints that a resumed run needs.

    Args:
        callbacks: those of the caller. They come before the checkpoints', so that each checkpoint holds what they kept.
        max_steps: stop after so many steps; -1 for all epochs.
        place: which process of the run this is.
        watched: the figure whose rest ends a run with patience; higher is better.
    """
    every: dict[str, Any] = {"enable_version_counter": False, "dirpath": folder / "checkpoints", "filename": "last"}
    precision = choose_precision(config.precision, device)
    # Asked for fp16 on a processor by name, Lightning takes bf16 instead.
    on_cpu = precision == "16-mixed" and device == "cpu"
    plugins = [*_environment(place), *([MixedPrecision(precision, device)] if on_cpu else [])]
    return pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device, device),
        **_processes(place),
        precision=None if on_cpu else precision,
        plugins=plugins,
        accumulate_grad_batches=config.accumulate,
        max_epochs=config.epochs,
        max_steps=max_steps,
        gradient_clip_val=config.clip or None,
        callbacks=[
            *([PlainTermination()] if place.ranks > 1 else []),
            *([AverageBatchNorms()] if place.ranks > 1 and not config.sync_batch_norm else []),
            *([running_mean(config.ema)] if config.ema else []),
            *([EarlyStopping(watched, patience=config.patience, mode="max")] if config.patience else []),
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
