"""From settings to labelled pictures, and from those to batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from posewright.annotations import Annotations, ReadOptions, read_annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule, Similarity, picture_box
from posewright.machine import cores
from posewright.models.devices import choose_device
from posewright.skeletons import load_skeleton
from posewright.training.config import TrainConfig
from posewright.training.dataset import CropDataset, EpochSampler, ShareSampler, collate, single_threaded
from posewright.training.hard_list import read_hard
from posewright.training.on_device import DeviceBatches, Store, store_for
from posewright.training.perspective import CropMap
from posewright.training.plan import batch_for
from posewright.training.prefetch import Prefetched
from posewright.training.ranks import ALONE, Place
from posewright.training.reach import check_packed
from posewright.training.recipes import as_they_are
from posewright.training.run_config import RunConfig

Loader = DataLoader[Any] | Prefetched | DeviceBatches


def read_data(config: RunConfig) -> tuple[Annotations, list[str]]:
    """The annotations that the settings name, split into train and val; and what was left out."""
    if not config.data:
        raise PosewrightError("no data given", fix="Use --data FILE or FOLDER")
    options = ReadOptions(
        skeleton=load_skeleton(config.skeleton) if config.skeleton else None,
        images=Path(config.images) if config.images else None,
        skip_bad=config.skip_bad,
        flags=config.flags,
        category=config.category,
    )
    annotations = read_annotations(config.data, config.format, options).require_pictures(
        options.bad if config.skip_bad else None
    )
    return annotations.with_validation(config.val_share, config.seed), options.skipped


def loader_processes(config: RunConfig, place: Place = ALONE) -> int:
    """Loader processes of each device: as asked for, else none for a processor; for GPUs half the machine's cores, divided
    among them, and at most eight each."""
    if config.workers >= 0:
        return config.workers
    return max(1, min(8, cores() // 2 // place.local_ranks)) if choose_device(config.device) == "cuda" else 0


def _weights(
    config: TrainConfig, annotations: Annotations, train: CropDataset, batch: int
) -> NDArray[np.float64] | None:
    """How often a pass shows each item of the training set: the labels' own weights, times those of the list that ``--hard``
    names; None where all are 1."""
    own = train.annotations.weight[train.objects]
    if config.hard is None:
        if (own == 1).all():
            return None
        if own.sum() < batch:
            what = f"its objects' weights leave {own.sum():g} of them a pass, less than a batch of {batch}"
            raise PosewrightError(what, file=annotations.source or None, fix="Take a smaller --batch-size")
        return own
    trained = np.array([im.split == "train" for im in annotations.images], bool)[annotations.image]
    weights = read_hard(config.hard, annotations)[trained]
    # Unlabelled pictures, behind the labelled ones, are in no list.
    weights = np.concatenate([weights, np.ones(len(train.annotations) - len(weights))])[train.objects] * own
    if weights.sum() < batch:
        what = f"its weights leave {weights.sum():.0f} objects a pass, which is less than a batch of {batch}"
        raise PosewrightError(what, file=config.hard, fix="Give more weight, or a smaller --batch-size")
    return weights


def _check_reach(train: CropDataset, val: CropDataset, place: Place) -> None:
    """Say where a packed set holds less around its objects than the crops can show; plain crops must be whole.

    Raises:
        PosewrightError: where they are not.
    """
    plain = CropMap(Similarity.identity())
    drawn = train.drawing(plain).similarity.inverse().apply(picture_box(*train.drawn.size).reshape(2, 2)).ravel()
    lines = check_packed(train.annotations, train.rule, train.augment, train.objects, drawn)
    lines += check_packed(val.annotations, val.rule, None, val.objects)
    if place.first:
        for line in dict.fromkeys(lines):
            print(line)


def loaders(
    config: TrainConfig,
    annotations: Annotations,
    rule: CropRule,
    start: int = 0,
    place: Place = ALONE,
    train: CropDataset | None = None,
) -> tuple[Loader, Loader]:
    """One process's training and validation loaders.

    Args:
        start: training goes on after so many optimiser steps.
        place: which process this is; it gets its part of each training batch, and its share of the validation objects.
        train: the training samples; crops of the train split where None.

    Raises:
        PosewrightError: where there is too little data, or a batch does not divide among the processes.
    """
    if train is None:
        train = CropDataset(annotations.of_split("train"), rule, config.augment, config.seed)
    val = CropDataset(annotations.of_split("val"), rule)
    source = annotations.source or config.data or "the data"
    for name, dataset in (("training", train), ("validation", val)):
        if len(dataset) == 0:
            fix = "Label more pictures, or hold out more with --val-share" if name == "validation" else None
            raise PosewrightError(f"has no {name} object with a labelled keypoint", file=source, fix=fix)
        if len(dataset) < place.ranks:
            raise PosewrightError(f"has {len(dataset)} {name} objects for {place.ranks} devices", file=source)
    _check_reach(train, val, place)
    batch = min(config.batch_size or batch_for(len(train), place.ranks), len(train))
    weights = _weights(config, annotations, train, batch)
    device = choose_device(config.device)
    where = f"cuda:{place.local_rank}" if device == "cuda" else device
    store = store_for(config, train, where)
    if store is None or not _filled(store, where, config):
        return sampled(config, train, val, batch, weights, start, place)
    if place.first:
        print(f"the training pictures lie on {device}: {store.bytes / 1e6:,.0f} MB")
    recipes, whole = sampled(config, store.dataset, val, batch, weights, start, place, collate, as_they_are)
    return DeviceBatches(recipes, store), whole


def _filled(store: Store, where: str, config: TrainConfig) -> bool:
    """Fill a store; False where its pictures are not what the labels say, which the loader does not mind."""
    try:
        store.fill(where)
    except PosewrightError as error:
        if config.device_data == "on":
            raise
        print(f"{error.what}: training pictures are loaded batch by batch")
        return False
    return True


def sampled(
    config: RunConfig,
    train: Dataset[Any],
    val: Dataset[Any],
    batch: int,
    weights: NDArray[np.float64] | None = None,
    start: int = 0,
    place: Place = ALONE,
    collate: Callable[[Any], Any] = collate,
    collate_train: Callable[[Any], Any] | None = None,
) -> tuple[Loader, Loader]:
    """One process's loaders of two sets of samples.

    Args:
        batch: samples a step, over all processes.
        weights: how often a pass shows each training sample; once where None.
        start, place: as for :func:`loaders`.
        collate: what makes one batch of samples.
        collate_train: the same for training samples, where they want another.

    Raises:
        PosewrightError: where a batch does not divide among the processes, or an epoch has too few of them.
    """
    part, count, held = place.share(batch), len(train), len(val)  # type: ignore[arg-type]
    sampler = EpochSampler(
        count, config.seed, batch, start, place.rank, place.ranks, weights, accumulate=config.accumulate
    )
    mine = ShareSampler(held, place.rank, place.ranks)
    if config.accumulate > sampler.steps:
        what = f"accumulate is {config.accumulate}, and an epoch has {sampler.steps} batches of {batch}"
        raise PosewrightError(what, fix="Take a smaller --accumulate or --batch-size")
    workers = loader_processes(config, place)
    common: dict[str, Any] = {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "worker_init_fn": single_threaded if workers else None,
        # A forked process inherits OpenCV's and OpenMP's locks in whatever state they are, and may wait for ever.
        "multiprocessing_context": "spawn" if workers else None,
        "pin_memory": torch.cuda.is_available(),
    }
    made: list[DataLoader[Any]] = [
        DataLoader(train, part, sampler=sampler, drop_last=True, collate_fn=collate_train or collate, **common),
        DataLoader(val, min(part, len(mine)), sampler=mine, collate_fn=collate, **common),
    ]
    first, second = made if workers else (Prefetched(loader) for loader in made)
    return first, second
