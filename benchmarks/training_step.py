"""What Lightning and loading add to a training step, in ms a picture.

    python benchmarks/training_step.py

Three ways of training the same net on the same generated pictures, in turn, several rounds: the bare step on one batch
that is already in memory (a textbook loop: forward, loss, backward, AdamW), the same loop fed by posewright's loader, and
posewright's own ``fit`` road (Lightning, logging, clipping, running mean of weights). The medians are compared.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import tyro

from posewright.geometry import CropRule
from posewright.models.presets import build_net, preset
from posewright.synthetic import make_hand_set
from posewright.training.config import TrainConfig
from posewright.training.data import loaders
from posewright.training.memory import keep_freed_memory
from posewright.training.task import KeypointTask
from posewright.training.trainer import choose_precision, trainer_for


@dataclass(frozen=True)
class Args:
    """Measure the training step."""

    model: str = "hourglass_s2"
    """Preset."""
    size: int = 256
    """Side of the crop."""
    batch_sizes: tuple[int, ...] = (4, 16)
    """Pictures a step."""
    precisions: tuple[str, ...] = ("bf16", "fp32")
    """Arithmetic."""
    steps: int = 6
    """Steps a round, after one that does not count."""
    rounds: int = 3
    """Rounds in turn."""
    ema: float = 0.995
    """Running mean of weights in `fit`; 0 turns it off."""
    keep_memory: bool = True
    """Keep freed memory in the process, as `fit` does; for all three ways."""


class Clock(pl.Callback):
    """Times every step after the first, from the end of one to the end of the next: loading included."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.times.append(time.perf_counter())


def textbook(task: KeypointTask, batches: Any, steps: int, precision: str) -> list[float]:
    """Seconds a step of a plain loop."""
    optimizer = torch.optim.AdamW(task.net.parameters(), 1e-4)
    marks = []
    for batch in itertools.islice(batches, steps + 1):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = task.losses(batch)["loss"]
        loss.backward()
        optimizer.step()
        marks.append(time.perf_counter())
    return [b - a for a, b in itertools.pairwise(marks)]


def main(args: Args) -> None:
    rule = CropRule((args.size, args.size))
    if args.keep_memory:
        keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        labels = make_hand_set(Path(folder) / "data", 400, val_share=0.05)
        for precision, batch in itertools.product(args.precisions, args.batch_sizes):
            config = TrainConfig(
                model=args.model,
                epochs=1000,
                input_size=str(args.size),
                batch_size=batch,
                precision=precision,
                ema=args.ema,
            )  # type: ignore[arg-type]
            times: dict[str, list[float]] = {"one batch in memory": [], "loader": [], "fit": []}
            for turn in range(args.rounds):
                train, val = loaders(replace(config, seed=turn), labels, rule)
                net = build_net(preset(args.model, activation="sigmoid"), len(labels.skeleton))
                task = KeypointTask(net.to(memory_format=torch.channels_last), config, val.dataset.annotations, 1000)
                still = next(iter(train))
                times["one batch in memory"] += textbook(task, itertools.repeat(still), args.steps, precision)
                times["loader"] += textbook(task, iter(train), args.steps, precision)
                clock = Clock()
                trainer = trainer_for(
                    config, "cpu", Path(folder) / f"run{precision}{batch}{turn}", [clock], max_steps=args.steps + 1
                )
                trainer.fit(task, train)
                times["fit"] += [b - a for a, b in itertools.pairwise(clock.times)]
            medians = {name: statistics.median(t) * 1e3 / batch for name, t in times.items()}
            bare = medians["one batch in memory"]
            row = ", ".join(f"{name} {ms:.1f} ms ({ms / bare - 1:+.1%})" for name, ms in medians.items())
            print(
                f"{args.model} {args.size}x{args.size} {choose_precision(precision, 'cpu')}, batch {batch}, a picture: {row}"
            )


if __name__ == "__main__":
    main(tyro.cli(Args))
