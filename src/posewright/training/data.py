"""From settings to labelled pictures, and from those to batches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from posewright.annotations import Annotations, ReadOptions, read_annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.devices import choose_device
from posewright.skeleton import load_skeleton
from posewright.training.config import TrainConfig
from posewright.training.dataset import CropDataset, EpochSampler, collate, single_threaded
from posewright.training.prefetch import Prefetched

Loader = DataLoader[Any] | Prefetched


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
