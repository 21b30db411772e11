"""Training on a graphics card: pictures a second of posewright's ways beside a textbook loop on the same card, in turn.

    python benchmarks/train_gpu.py                    # hourglass_s2 and its mobile-tiny form, batches of 64
    python benchmarks/train_gpu.py --profile          # and what bounds the fastest way
    python benchmarks/train_gpu.py --device cpu --batch 4 --presets hourglass_s1_nano --size 64 --steps 2 --rounds 1

- textbook: plain PyTorch in fp32, NCHW, Adam, mean squared error, crops and target maps made by a DataLoader's processes.
- loader: posewright's step (bf16, channels_last, targets on the card) fed by its loader's processes.
- on the device: the same fed from pictures that lie on the card (``--device-data on``).
- compiled: besides, the net through torch.compile; and with CUDA graphs (mode "reduce-overhead").
- one batch: the compiled step on one batch that never changes: what is left if feeding it cost nothing.

Each way's step is the bare one, without Lightning, so that feeding is all that differs. The share of the limit is that of the
card's own rate in products of matrices, three multiplications with addition for each of the net's forward pass.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from posewright.annotations import Annotations
from posewright.geometry import CropRule
from posewright.models.describe import describe_net
from posewright.models.presets import build_net, preset
from posewright.synthetic import make_hand_set
from posewright.training.config import TrainConfig
from posewright.training.data import loaders
from posewright.training.optimisers import build_optimiser
from posewright.training.task import KeypointTask
from train_cpu import PlainCrops
from turns import in_turn, machine, matrix_rate, table

WAYS = ("textbook", "loader", "on the device", "compiled", "compiled, CUDA graphs", "one batch")


@dataclass(frozen=True)
class Args:
    """Time training on a graphics card."""

    presets: tuple[str, ...] = ("hourglass_s2", "hourglass_s2_mobile_tiny")
    """Presets."""
    ways: tuple[str, ...] = WAYS
    """Which ways."""
    device: str = "cuda"
    """Where: cuda, or cpu to try the script out."""
    size: int = 256
    """Side of the crop."""
    batch: int = 64
    """Pictures a step."""
    steps: int = 40
    """Steps of each way a round."""
    rounds: int = 3
    """Rounds that count."""
    workers: int = 8
    """Loader processes of the ways that load."""
    pictures: int = 2000
    """Generated pictures to train on."""
    profile: bool = False
    """Print what the fastest way spends its time on."""


def batches(loader: Any, device: str) -> Iterator[Any]:
    """Batches without end, on the device."""
    for epoch in itertools.count():
        if hasattr(loader.sampler, "set_epoch"):
            loader.sampler.set_epoch(epoch)
        for batch in loader:
            if isinstance(batch, dict):
                yield {name: value.to(device, non_blocking=True) for name, value in batch.items()}
            else:
                yield [value.to(device, non_blocking=True) for value in batch]


class Way:
    """One way of training: a net, its optimiser and what feeds it."""

    def __init__(self, kind: str, name: str, args: Args, labels: Annotations) -> None:
        self.kind, self.args, self.device = kind, args, args.device
        self.plain = kind == "textbook"
        workers = 0 if args.device == "cpu" else args.workers
        on_device = kind not in ("textbook", "loader")
        config = TrainConfig(
            model=name, epochs=1000, input_size=str(args.size), batch_size=args.batch, device=args.device, workers=workers,
            device_data="on" if on_device else "off",
        )  # fmt: skip
        k = len(labels.skeleton)
        net = build_net(preset(name, activation=None if self.plain else "sigmoid"), k).to(args.device).train()
        if self.plain:
            self.net, self.optimizer = net, torch.optim.Adam(net.parameters(), 5e-4)
            shared: dict[str, Any] = {"shuffle": True, "drop_last": True, "num_workers": workers}
            spawned = {"persistent_workers": True, "multiprocessing_context": "spawn"} if workers else {}
            data = PlainCrops(labels, args.size)
            loader = torch.utils.data.DataLoader(
                data, args.batch, pin_memory=args.device == "cuda", **shared, **spawned
            )
        else:
            net = net.to(memory_format=torch.channels_last)
            loader, val = loaders(config, labels, CropRule((args.size, args.size)))  # type: ignore[assignment]
            self.task = KeypointTask(net, config, val.dataset.annotations, 1000).to(args.device)  # type: ignore[attr-defined]
            self.optimizer = build_optimiser(net.parameters(), config)
            if kind.startswith("compiled") or kind == "one batch":
                net.stage_maps = torch.compile(  # type: ignore[method-assign]
                    net.stage_maps, mode="reduce-overhead" if "graphs" in kind else None
                )
        self.feed = batches(loader, args.device)
        if kind == "one batch":
            self.feed = itertools.repeat(next(self.feed))

    def step(self) -> None:
        """One step, not waited for."""
        self.optimizer.zero_grad(set_to_none=True)
        batch = next(self.feed)
        if self.plain:
            image, target = batch
            maps = self.net.stage_maps(image)
            loss = torch.stack([torch.nn.functional.mse_loss(stage, target) for stage in maps]).sum()
        else:
            if "graphs" in self.kind:
                torch.compiler.cudagraph_mark_step_begin()
            with torch.autocast(self.device, torch.bfloat16):
                loss = self.task.losses(batch)["loss"]
        loss.backward()
        self.optimizer.step()

    def __call__(self) -> list[float]:
        """Seconds of a round's steps together: a card works on while its program prepares the next step."""
        wait: Callable[[], None] = torch.cuda.synchronize if self.device == "cuda" else lambda: None
        wait()
        start = time.perf_counter()
        for _ in range(self.args.steps):
            self.step()
        wait()
        return [time.perf_counter() - start]


def compare(name: str, args: Args, labels: Annotations, rates: dict[str, float]) -> None:
    """Measure one preset and print its table."""
    macs = describe_net(build_net(preset(name), len(labels.skeleton)), (args.size, args.size)).macs
    ways = {kind: Way(kind, name, args, labels) for kind in args.ways}
    times = in_turn(ways, args.rounds)
    speeds = {kind: args.steps * args.batch / statistics.median(seconds) for kind, seconds in times.items()}
    print(f"\n{name}, {macs / 1e9:.2f} GMAC\n")
    rows = []
    for kind, speed in speeds.items():
        share = 3 * macs * speed / rates["fp32" if kind == "textbook" else "bf16"]
        ratio = f"{speed / speeds['textbook']:.2f}" if "textbook" in speeds else "-"
        rows.append([kind, f"{speed:,.0f}", ratio, f"{share:.0%}"])
    table(["", "pictures a second", "x textbook", "of the limit"], rows)
    if args.profile:
        fed = {kind: speed for kind, speed in speeds.items() if kind != "one batch"}
        profile(ways[max(fed, key=lambda kind: fed[kind])], args)


def profile(way: Way, args: Args) -> None:
    """Where a way's time goes, by operation."""
    from torch.profiler import ProfilerActivity

    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if args.device == "cuda" else [])]
    with torch.profiler.profile(activities=kinds) as found:
        way()
    order = "self_cuda_time_total" if args.device == "cuda" else "self_cpu_time_total"
    print(f"\n{way.kind}, {args.steps} steps")
    print(found.key_averages().table(sort_by=order, row_limit=15, max_name_column_width=60))


def main(args: Args) -> None:
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; --device cpu tries the script out")
    card = torch.cuda.get_device_name() if args.device == "cuda" else "no card"
    if args.device == "cuda":
        torch.backends.cudnn.benchmark = True
    print(f"{card}; {machine()}; torch {torch.__version__}")
    sides = (4096, 8192) if args.device == "cuda" else (512, 1024)
    rates = {kind: matrix_rate(kind, args.device, sides) for kind in ("fp32", "bf16")}
    words = ", ".join(f"{kind} {rate / 1e12:.2f}" for kind, rate in rates.items())
    print(f"products of matrices, million millions of multiplications with addition a second: {words}")
    print(
        f"batches of {args.batch} at {args.size}x{args.size}, {args.workers} loader processes; medians of {args.rounds} rounds"
    )
    with tempfile.TemporaryDirectory() as folder:
        labels = make_hand_set(Path(folder) / "data", args.pictures, val_share=0.1)
        for name in args.presets:
            compare(name, args, labels, rates)


if __name__ == "__main__":
    main(tyro.cli(Args))
