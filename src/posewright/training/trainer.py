"""Lightning's trainer of a run: arithmetic, running mean of weights, checkpoints, logs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from posewright.errors import PosewrightError
from posewright.training.callbacks import WithinEpoch, running_mean
from posewright.training.config import TrainConfig


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
