"""What each preset costs: parameters, multiplications, and the time onnxruntime takes for one crop on one thread.

    python benchmarks/presets.py
    python benchmarks/presets.py --calls 30

The first prints what needs no running, which is the same on every machine. With ``--calls`` each net, untrained, is
exported as ``posewright export`` would, and run on one crop, the nets taking turns: the fastest call says what the net costs,
the median what the machine had left for it.
"""

from __future__ import annotations

import platform
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from posewright.models.describe import describe_net
from posewright.models.presets import build_net, preset
from turns import answer_times

PRESETS = (
    *(f"hourglass_s{n}{kind}" for n in (1, 2) for kind in ("_nano", "_tiny", "")),
    *(f"hourglass_s{n}" for n in (4, 8)),
    *(f"hourglass_s{n}_mobile{kind}" for n in (1, 2) for kind in ("_nano", "_tiny", "")),
    *(f"cpm_{name}" for name in ("light", "hand_v2", "hand", "hand_slim", "body", "body_slim")),
)


@dataclass(frozen=True)
class Args:
    """Say what presets cost."""

    presets: tuple[str, ...] = PRESETS
    """Which, by the names that posewright train --model takes."""
    size: int = 256
    """Side of the crop, a multiple of 32."""
    keypoints: int = 17
    """Keypoints that the net finds."""
    calls: int = 0
    """Timed answers of each; 0 measures no time."""
    threads: int = 1
    """Of onnxruntime."""


@dataclass(frozen=True)
class Cost:
    """Of one preset at one size: numbers learned, multiplications a crop, pixels of the crop a cell, stages."""

    parameters: int
    macs: int
    stride: int
    stages: int
    millions_of_bytes: float


def cost(name: str, size: int, keypoints: int) -> Cost:
    """What a preset costs; nothing is computed."""
    with torch.device("meta"):
        net = build_net(preset(name), keypoints)
    found = describe_net(net, (size, size))
    return Cost(found.parameters, found.macs, net.config.stride, net.config.stages, found.weight_bytes / 1e6)


def row(name: str, c: Cost) -> list[str]:
    """Cells of the table of docs/choosing-a-preset.md."""
    return [f"`{name}`", f"{c.parameters / 1e6:.2f}", f"{c.macs / 1e9:.2f}", f"{c.millions_of_bytes:.1f}",
            f"{c.stages}", f"{c.stride}"]  # fmt: skip


def model_files(args: Args, folder: Path) -> dict[str, Path]:
    """Untrained model files of the presets."""
    from posewright.export.exporting import export_onnx
    from posewright.geometry import CropRule
    from posewright.models.checkpoint import Checkpoint
    from posewright.skeleton import Skeleton

    skeleton = Skeleton("points", tuple(f"point_{i}" for i in range(args.keypoints)))
    files = {}
    for name in args.presets:
        net = build_net(preset(name), args.keypoints).eval()
        files[name] = folder / f"{name}.onnx"
        export_onnx(Checkpoint(net, skeleton, CropRule((args.size, args.size)), name), files[name])
    return files


def main(args: Args) -> None:
    head = ["preset", "M parameters", f"GMAC at {args.size}", "MB", "stages", "stride"]
    rows = [row(name, cost(name, args.size, args.keypoints)) for name in args.presets]
    if args.calls:
        head += ["fastest ms", "median ms"]
        with tempfile.TemporaryDirectory() as folder:
            times = answer_times(model_files(args, Path(folder)), args.threads, rounds=5, calls=-(-args.calls // 5))
        for cells, seconds in zip(rows, times.values(), strict=True):
            cells += [f"{min(seconds) * 1e3:.1f}", f"{statistics.median(seconds) * 1e3:.1f}"]
        print(
            f"{args.threads} thread, {args.calls} calls of each in turn, {platform.processor() or platform.machine()}\n"
        )
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for cells in rows:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(tyro.cli(Args))
