"""Which order of convolution, batch norm and ReLU trains best, everything else being equal.

    python benchmarks/layer_orders.py --data ../shared/data/lspet --skeleton body-14

Trains the same preset with each order for the same number of epochs on the same pictures and seed, and prints the held-out
PCK of the last epoch (running mean of the weights) and the time of a training step. The rounds go in turn over the seeds.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from posewright.annotations import ReadOptions, read_annotations
from posewright.annotations.splits import spread_evenly
from posewright.models.presets import ORDERS
from posewright.skeletons import load_skeleton
from posewright.training.config import TrainConfig
from posewright.training.fit import fit


@dataclass(frozen=True)
class Args:
    """Compare the orders."""

    data: Path
    """Labels with their pictures."""
    skeleton: str | None = None
    """Where the labels do not say."""
    model: str = "hourglass_s1_nano"
    """Preset."""
    size: int = 128
    """Side of the crop."""
    poolings: int = 3
    """How often each hourglass halves its maps."""
    objects: int = 4000
    """Pictures used for training, evenly spread; 400 others are held out."""
    epochs: int = 5
    """Passes over them."""
    seeds: tuple[int, ...] = (0,)
    """Runs of each order."""
    loss: str = "bce"
    """As for posewright train."""


def main(args: Args) -> None:
    options = ReadOptions(skeleton=load_skeleton(args.skeleton) if args.skeleton else None, skip_bad=True)
    labels = read_annotations(args.data, options=options)
    chosen = spread_evenly(len(labels.images), args.objects + 400)
    labels = labels.subset(chosen)
    labels = replace(labels, images=[replace(im, split=None) for im in labels.images])
    labels = labels.with_splits(400 / len(labels.images), seed=0)
    found: dict[str, list[tuple[float, float]]] = {order: [] for order in ORDERS}
    with tempfile.TemporaryDirectory() as folder:
        for seed in args.seeds:
            for order in ORDERS:
                config = TrainConfig(
                    output=str(Path(folder) / f"{order}{seed}"),
                    model=args.model,
                    init="none",
                    net=(f"order={order}", f"poolings={args.poolings}"),
                    input_size=str(args.size),
                    epochs=args.epochs,
                    loss=args.loss,  # type: ignore[arg-type]
                    seed=seed,
                )
                run = fit(config, labels)
                last = run.checkpoint.training["history"][-1]
                found[order].append((last["val_pck"], last["seconds"] / last["step"] * 1e3))
    for order, rows in found.items():
        pcks, steps = zip(*rows, strict=True)
        each = ", ".join(f"{p:.3f}" for p in pcks)
        print(f"{order:<13} PCK@0.2 {statistics.mean(pcks):.3f} ({each}), {statistics.median(steps):.0f} ms a step")


if __name__ == "__main__":
    main(tyro.cli(Args))
