"""A training step on the processor: posewright beside a textbook PyTorch loop and the same net in tf.keras, in turn.

    python benchmarks/train_cpu.py --keras-python ENVIRONMENT/bin/python
    python benchmarks/train_cpu.py --presets hourglass_s2_mobile_tiny --rounds 2 --steps 3

- posewright: its own road, as ``posewright train`` goes: loader, augmentation, bf16 where the processor has it, clipping,
  running mean of the weights, logging. Once with the very layers of the tf.keras net (order conv_relu_bn), which is what the
  ratios are of, and once as the preset has them (conv_bn_relu).
- textbook: the same net in plain PyTorch, fp32, NCHW, Adam, mean squared error, a plain DataLoader that reads, crops and draws.
- tf.keras: the same net written in Keras (keras_hourglass.py), ``train_on_batch`` of one batch in memory: it is spared the
  loading. Without XLA, as the older system runs it; ``--keras-jit both`` tries XLA too, and takes the faster.

The nets must have equally many parameters, or nothing is measured. The share of the limit is that of the cores' rate in
products of matrices, three multiplications with addition for each of the net's forward pass.
"""

from __future__ import annotations

import sys
import tempfile
import time
import types
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import lightning.pytorch as pl
import numpy as np
import torch
import tyro
from torch import nn
from torch.utils.data import DataLoader, Dataset

from posewright.annotations import Annotations
from posewright.console import hushed
from posewright.geometry import CropRule
from posewright.media.labelled import picture_of
from posewright.models.describe import describe_net
from posewright.models.hourglass import Separable
from posewright.models.presets import build_net, preset
from posewright.synthetic import make_hand_set
from posewright.training.config import TrainConfig
from posewright.training.course import NOISY
from posewright.training.data import loaders
from posewright.training.memory import keep_freed_memory
from posewright.training.task import KeypointTask
from posewright.training.trainer import choose_precision, trainer_for
from turns import Helper, clocked, in_turn, machine, matrix_rate, median_ms, table

KERAS_ORDER = "conv_relu_bn"
MEAN = np.array([0.4404, 0.4440, 0.4327], np.float32)


@dataclass(frozen=True)
class Args:
    """Time training on the processor."""

    presets: tuple[str, ...] = ("hourglass_s2", "hourglass_s2_mobile", "hourglass_s2_tiny", "hourglass_s2_mobile_tiny")
    """Hourglass presets."""
    size: int = 256
    """Side of the crop."""
    batch: int = 4
    """Pictures a step."""
    steps: int = 6
    """Steps of each way a round."""
    rounds: int = 5
    """Rounds that count."""
    threads: int = 0
    """Threads of each way; 0 for as many as torch takes by itself."""
    keras_python: str | None = None
    """Interpreter of an environment that has TensorFlow; without it tf.keras is left out."""
    keras_jit: str = "off"
    """tf.keras with XLA: on, off as in the older system, or both to take the faster. XLA compiles each net for minutes."""
    precision: str = "auto"
    """posewright's arithmetic."""
    pictures: int = 200
    """Generated pictures to train on."""


class Clock(pl.Callback):
    """Marks the end of every step."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.marks.append(time.perf_counter())


class Ours:
    """posewright's own training of one net, some steps at a time."""

    def __init__(self, name: str, order: str | None, args: Args, labels: Annotations, folder: Path) -> None:
        self.config = TrainConfig(
            model=name, epochs=1000, input_size=str(args.size), batch_size=args.batch, precision=args.precision
        )  # type: ignore[arg-type]
        self.labels, self.rule, self.folder, self.steps = labels, CropRule((args.size, args.size)), folder, args.steps
        net = build_net(preset(name, order=order, activation="sigmoid"), len(labels.skeleton))
        self.parameters = trainable(net)
        self.macs = describe_net(net, (args.size, args.size)).macs
        self.net, self.turn = net.to(memory_format=torch.channels_last), 0

    def __call__(self) -> list[float]:
        self.turn += 1
        clock = Clock()
        with hushed(*NOISY):
            train, val = loaders(replace(self.config, seed=self.turn), self.labels, self.rule)
            task = KeypointTask(self.net, self.config, val.dataset.annotations, 1000)  # type: ignore[attr-defined]
            trainer = trainer_for(self.config, "cpu", self.folder / str(self.turn), [clock], max_steps=self.steps + 1)
            trainer.fit(task, train)
        return [b - a for a, b in zip(clock.marks, clock.marks[1:])]


class PlainCrops(Dataset[Any]):
    """Crops as a textbook makes them: read, cut, resize, scale, draw every map."""

    def __init__(self, labels: Annotations, size: int) -> None:
        self.labels, self.size = labels.of_split("train"), size

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        a, cells = self.labels, self.size // 4
        picture = picture_of(a, int(a.image[index]))
        x0, y0, x1, y1 = a.boxes[index].round().astype(int).clip(0)
        crop = cv2.resize(picture[y0 : y1 + 1, x0 : x1 + 1], (self.size, self.size))
        image = (np.asarray(crop, np.float32) / 255 - MEAN).transpose(2, 0, 1)
        target = np.zeros((a.keypoints.shape[1], cells, cells), np.float32)
        rows, columns = np.mgrid[:cells, :cells]
        for k, (x, y, v) in enumerate(a.keypoints[index]):
            if v > 0:
                u, w = (x - x0) / max(x1 - x0, 1) * cells, (y - y0) / max(y1 - y0, 1) * cells
                target[k] = np.exp(-((columns - u) ** 2 + (rows - w) ** 2) / 2)
        return torch.from_numpy(image), torch.from_numpy(target)


class Textbook:
    """A plain loop in fp32."""

    def __init__(self, name: str, args: Args, labels: Annotations) -> None:
        self.net = build_net(preset(name, order=KERAS_ORDER), len(labels.skeleton)).train()
        for module in self.net.modules():
            if isinstance(module, Separable):  # both convolutions one after the other, as they would be written down
                module.forward = types.MethodType(nn.Sequential.forward, module)  # type: ignore[method-assign]
        self.parameters = trainable(self.net)
        self.optimizer = torch.optim.Adam(self.net.parameters(), 5e-4)
        self.loader = DataLoader(PlainCrops(labels, args.size), args.batch, shuffle=True, drop_last=True)
        self.batches, self.steps = iter(self.loader), args.steps

    def step(self) -> None:
        batch = next(self.batches, None)
        if batch is None:
            self.batches = iter(self.loader)
            batch = next(self.batches)
        image, target = batch
        self.optimizer.zero_grad()
        loss = torch.stack([nn.functional.mse_loss(maps, target) for maps in self.net.stage_maps(image)]).sum()
        loss.backward()
        self.optimizer.step()

    def __call__(self) -> list[float]:
        return clocked(self.step, self.steps)


def trainable(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def compare(name: str, args: Args, labels: Annotations, folder: Path, rates: dict[str, float]) -> None:
    """Measure one preset and print its table."""
    same = Ours(name, KERAS_ORDER, args, labels, folder / "same")
    own = Ours(name, None, args, labels, folder / "own")
    plain = Textbook(name, args, labels)
    ways: dict[str, Any] = {"posewright, same layers": same, "posewright, the preset": own, "textbook PyTorch": plain}
    counts = {"posewright": same.parameters, "textbook PyTorch": plain.parameters}
    helper, words = None, ""
    if args.keras_python:
        config: Any = same.net.config
        settings = {
            "do": "train", "size": args.size, "keypoints": len(labels.skeleton), "stacks": config.stacks,
            "channels": config.channels, "mobile": config.mobile, "batch": args.batch, "jit": args.keras_jit,
            "threads": torch.get_num_threads(),
        }  # fmt: skip
        helper = Helper(args.keras_python, "keras_hourglass.py", settings)
        counts["tf.keras"] = helper.ready["parameters"]
        ways["tf.keras"] = lambda: helper.ask({"count": args.steps})
        words = f"; tf.keras {helper.ready['version']}, {'XLA' if helper.ready['jit'] else 'without XLA'}"
    try:
        if len(set(counts.values())) > 1:
            sys.exit(f"{name}: not the same net: {counts}")
        times = in_turn(ways, args.rounds)
    finally:
        if helper is not None:
            helper.__exit__(None, None, None)
    medians = {way: median_ms(seconds, args.batch) for way, seconds in times.items()}
    arithmetic = "bf16" if "bf16" in choose_precision(args.precision, "cpu") else "fp32"
    print(f"\n{name}, {same.parameters:,} parameters in all three, {same.macs / 1e9:.2f} GMAC{words}\n")
    rows = []
    for way, ms in medians.items():
        ours = way.startswith("posewright")
        kind = arithmetic if ours else "fp32"
        macs = own.macs if way.endswith("preset") else same.macs
        ratios = [
            f"{medians[other] / ms:.2f}" if other in medians else "-" for other in ("textbook PyTorch", "tf.keras")
        ]
        share = 3 * macs / (ms / 1e3) / rates[kind]
        spread = f"{float(np.quantile(times[way], 0.1)) * 1e3 / args.batch:.1f}"
        rows.append([way, kind, f"{ms:.1f}", spread, *ratios, f"{share:.0%}"])
    table(["", "in", "ms a picture", "lowest tenth", "x textbook", "x tf.keras", "of the cores' limit"], rows)


def main(args: Args) -> None:
    if args.threads:
        torch.set_num_threads(args.threads)
    keep_freed_memory()
    print(f"{machine()}; torch {torch.__version__}, {torch.get_num_threads()} threads a way")
    rates = {kind: matrix_rate(kind) for kind in ("fp32", "bf16")}
    words = ", ".join(f"{kind} {rate / 1e9:.0f}" for kind, rate in rates.items())
    print(f"products of matrices, thousand millions of multiplications with addition a second: {words}")
    print(f"batches of {args.batch} at {args.size}x{args.size}; {args.rounds} rounds of {args.steps} steps; medians")
    with tempfile.TemporaryDirectory() as folder:
        labels = make_hand_set(Path(folder) / "data", args.pictures, val_share=0.1)
        for name in args.presets:
            compare(name, args, labels, Path(folder) / name, rates)


if __name__ == "__main__":
    main(tyro.cli(Args))
