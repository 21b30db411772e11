"""The light pose machine beside the published ones: accuracy after the same time of training, and time to answer.

    python benchmarks/cpm_light.py --minutes 5

Draws hands, trains each contestant on them for the same wall time, and evaluates each exported file on the same held-out
pictures. How many pictures fit into the time is measured first; a net that cannot see all of them once is given as many as
it can, so that every learning-rate schedule runs its whole course. Times to answer are those of onnxruntime on one crop,
the contestants taking turns; the fastest says what the net costs, the median what the machine has left for it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro

from posewright.annotations import Annotations, read_annotations
from posewright.console import hushed
from posewright.geometry import CropRule
from posewright.metrics import evaluate, run_model
from posewright.models.devices import choose_device
from posewright.models.presets import build_net
from posewright.runtime import load
from posewright.synthetic import make_hand_set
from posewright.training.augment_config import AugmentConfig
from posewright.training.config import TrainConfig
from posewright.training.data import loaders
from posewright.training.fit import MODEL, NOISY, Run, fit
from posewright.training.nets import net_settings
from posewright.training.task import KeypointTask
from posewright.training.trainer import trainer_for
from turns import answer_times


@dataclass(frozen=True)
class Args:
    """Compare pose machines."""

    minutes: float = 5.0
    """Training time of each."""
    contestants: tuple[str, ...] = ("cpm_light", "cpm_hand", "cpm_hand_slim", "cpm_hand width=0.25")
    """Presets, each with settings of its net."""
    lr: float = 2e-3
    """Highest learning rate of nets with batch norm."""
    plain_lr: float = 2e-4
    """That of nets without."""
    pictures: int = 3000
    """Hands to draw; a fifth is held out."""
    difficulty: float = 0.05
    """Of the pictures, 0..1."""
    size: int = 128
    """Side of the crop."""
    batch_size: int = 16
    """Pictures a step."""
    probe: int = 4
    """Steps that are timed before training."""
    calls: int = 30
    """Timed answers of each."""
    data: Path | None = None
    """Folder of pictures drawn before, or to draw them into; a temporary one unless given."""
    device: str = "auto"
    """Where to train."""
    threads: int = 0
    """Of training and of onnxruntime; 0 leaves it to them."""
    seed: int = 0
    """Of pictures, weights and order."""


@dataclass
class Result:
    """What one contestant did."""

    parameters: int
    seen: int
    seconds: float
    pck: float
    file: Path


def settings(args: Args, contestant: str, folder: Path) -> TrainConfig:
    name, *net = contestant.split()
    config = TrainConfig(
        output=str(folder),
        model=name,
        net=tuple(net),
        init="none",
        input_size=str(args.size),
        margin=1.1,
        epochs=1,
        batch_size=args.batch_size,
        lr=args.lr,
        ema=0.98,
        device=args.device,
        threads=args.threads,
        seed=args.seed,
        augment=AugmentConfig(scale=0.12, rotation=15, shift=0.04, blur=0, cutout=0, negative=0.04),
    )
    with torch.device("meta"):
        normed = any(isinstance(m, torch.nn.BatchNorm2d) for m in build_net(net_settings(config), 1).modules())
    return config if normed else replace(config, lr=args.plain_lr)


def seconds_per_picture(config: TrainConfig, labels: Annotations, steps: int) -> float:
    """Of training, measured over some steps after the first."""
    rule = CropRule(config.size[::-1], config.margin)
    train, val = loaders(config, labels, rule, 0)
    net = build_net(net_settings(config), len(labels.skeleton)).to(memory_format=torch.channels_last)
    task = KeypointTask(net, config, val.dataset.annotations, steps)  # type: ignore[attr-defined]
    times = []
    task.on_train_batch_end = lambda *_: times.append(time.perf_counter())  # type: ignore[method-assign,assignment]
    with tempfile.TemporaryDirectory() as folder, hushed(*NOISY):
        trainer = trainer_for(config, choose_device(config.device), Path(folder), [], max_steps=steps + 1)
        trainer.limit_val_batches = 0
        trainer.fit(task, train)
    return (times[-1] - times[0]) / (len(times) - 1) / config.batch_size


def subset(labels: Annotations, objects: int, seed: int) -> Annotations:
    """All validation pictures and so many of the training ones with an object."""
    split = np.array([image.split for image in labels.images])
    with_object = np.unique(labels.image[split[labels.image] == "train"])
    kept = np.random.default_rng(seed).permutation(with_object)[:objects]
    return labels.subset(np.sort(np.concatenate([np.flatnonzero(split == "val"), kept])))


def train(args: Args, contestant: str, labels: Annotations, folder: Path) -> Result:
    config = settings(args, contestant, folder)
    each = seconds_per_picture(config, labels, args.probe)
    affordable = max(int(args.minutes * 60 / each), 4 * args.batch_size)
    there = len(labels.of_split("train"))
    epochs = max(round(affordable / there), 1)
    objects = min(there, affordable // epochs)
    print(
        f"\n{contestant}: {each * 1e3:.0f} ms a picture, so {epochs} epochs of {objects} pictures at lr {config.lr:g}"
    )
    run: Run = fit(replace(config, epochs=epochs), subset(labels, objects, args.seed))
    truth = labels.of_split("val")
    predicted, truth = run_model(load(run.folder), truth)
    pck = evaluate(predicted.xy, truth).metrics["PCK@0.2"]
    parameters = sum(p.numel() for p in run.checkpoint.net.parameters())
    return Result(parameters, epochs * objects, run.seconds, float(pck), run.folder / MODEL)


def main(args: Args) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        data = args.data or Path(temporary) / "hands"
        if not data.exists():
            side = (args.size * 5 // 4,) * 2
            make_hand_set(data, args.pictures, seed=args.seed, size=side, difficulty=args.difficulty)
        labels = read_annotations(data)
        found = {
            contestant: train(args, contestant, labels, Path(temporary) / f"run{i}")
            for i, contestant in enumerate(args.contestants)
        }
        times = answer_times({n: r.file for n, r in found.items()}, args.threads, rounds=5, calls=-(-args.calls // 5))
    print(f"\n{args.size} x {args.size}, {args.minutes:g} minutes each, {os.cpu_count()} cores")
    print("| net | M parameters | pictures seen | minutes | PCK@0.2 | fastest ms | median ms |")
    print("|---|---|---|---|---|---|---|")
    for name, r in found.items():
        fastest, median = min(times[name]) * 1e3, statistics.median(times[name]) * 1e3
        print(
            f"| {name} | {r.parameters / 1e6:.2f} | {r.seen} | {r.seconds / 60:.1f} | {r.pck:.3f} | "
            f"{fastest:.1f} | {median:.1f} |"
        )


if __name__ == "__main__":
    main(tyro.cli(Args))
