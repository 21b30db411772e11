"""Whether a net learns the same from a packed set as from its picture files: both, with the same seeds, on the same held-out
pictures.

    python benchmarks/pack_accuracy.py --data ../shared/data/lspet --skeleton body-14

Large pictures are reduced when they are packed, and encoded anew: with 64-pixel crops of LSPET most are. A difference below
the spread between seeds is no difference.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import tyro

from posewright.annotations import Annotations, ReadOptions, read_annotations
from posewright.geometry import CropRule
from posewright.metrics import evaluate
from posewright.reports.tables import print_table
from posewright.skeletons import load_skeleton
from posewright.training.config import TrainConfig
from posewright.training.dataset import CropDataset
from posewright.training.fit import LAST, fit
from posewright.training.heldout import look
from posewright.training.packing import PackConfig, pack

THRESHOLD = 0.2
EXPORT, CALIBRATE = "posewright.export.exporting.export_onnx", "posewright.training.fit.calibrate"
"""What comes after training and takes longer than it here: left out, since the nets alone are compared."""


@dataclass(frozen=True)
class Args:
    """Train from files and from shards."""

    data: Path
    """Labels with their pictures."""
    skeleton: str | None = None
    """Where the labels do not say."""
    objects: int = 400
    """Pictures to train on."""
    held: int = 200
    """Pictures to measure on."""
    size: int = 64
    """Side of the crop."""
    epochs: int = 10
    """Passes."""
    init: str = "body"
    """Weights to start from, as --init of posewright train."""
    ema: float = 0.9
    """As in posewright train: its default remembers longer than so short a run lasts, and would show the start's PCK."""
    lr: float = 2e-3
    """Highest learning rate."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the runs from files and from shards, one of each."""
    detail: float = 1.0
    """Of posewright pack."""
    model: str = "hourglass_s1_tiny"
    """Preset."""


def chosen(args: Args) -> Annotations:
    """Pictures spread evenly over the set, every so many of them held out: the same for every seed."""
    skeleton = load_skeleton(args.skeleton) if args.skeleton else None
    labels = read_annotations(args.data, options=ReadOptions(skeleton=skeleton, skip_bad=True))
    labels = labels.subset(np.linspace(0, len(labels.images) - 1, args.objects + args.held).astype(int))
    return labels.with_splits(args.held / (args.objects + args.held), 0)


def pck(net: Any, held: Annotations, rule: CropRule) -> float:
    """PCK by the skeleton's own normaliser, in pixels of the set's own pictures."""
    data = CropDataset(held, rule)
    found = look(net, data, range(len(data)), "cpu")
    xy = np.stack([data.rule.similarity(held.boxes[i]).inverse().apply(found.points[i, :, :2]) for i in data.objects])
    return evaluate(xy, held.objects(data.objects), thresholds=(THRESHOLD,)).metrics[f"PCK@{THRESHOLD:g}"]


def main(args: Args) -> None:
    labels = chosen(args)
    rule = CropRule((args.size, args.size))
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        done = pack(labels, folder / "shards", PackConfig(rule, detail=args.detail))
        sets = {"files": labels, "shards": read_annotations(folder / "shards")}
        print(f"{done.objects} objects packed, {done.reduced} of them reduced, {done.copied} kept as they were")
        held = {name: part.of_split("val") for name, part in sets.items()}
        figures = np.zeros((2, 2, len(args.seeds)))  # trained from, measured from, seed
        for number, seed in enumerate(args.seeds):
            for row, (name, part) in enumerate(sets.items()):
                config = TrainConfig(
                    model=args.model,
                    init=args.init,
                    input_size=str(args.size),
                    epochs=args.epochs,
                    lr=args.lr,
                    ema=args.ema,
                    seed=seed,
                    device="cpu",
                    threads=1,
                    output=str(folder / f"{name}{seed}"),
                )
                with patch(EXPORT), patch(CALIBRATE, return_value=[]):
                    run = fit(config, part)
                # The last epoch's weights: the best epoch would have been chosen by what is measured.
                state = torch.load(run.folder / LAST, map_location="cpu", weights_only=True)["state_dict"]
                own = {k.removeprefix("net."): v for k, v in state.items() if k.startswith("net.")}
                run.checkpoint.net.load_state_dict(own)
                figures[row, :, number] = [pck(run.checkpoint.net, h, run.checkpoint.rule) for h in held.values()]
                own_set, files = figures[row, row, number], figures[row, 0, number]
                print(
                    f"seed {seed}, from {name}: PCK@{THRESHOLD:g} {own_set:.4f}, on the files {files:.4f}", flush=True
                )
    rows: list[dict[str, Any]] = []
    for row, name in enumerate(sets):
        each = figures[row, row]
        cells = {f"seed {seed}": f"{value:.3f}" for seed, value in zip(args.seeds, each, strict=True)}
        spread = {"mean": f"{each.mean():.3f}", "spread": f"{each.std(ddof=1):.3f}" if len(each) > 1 else "–"}
        rows.append({"trained and validated from": name} | cells | spread)
    away = figures[1, 1] - figures[0, 0]
    cells = {f"seed {seed}": f"{value:+.3f}" for seed, value in zip(args.seeds, away, strict=True)}
    rows.append({"trained and validated from": "difference"} | cells | {"mean": f"{away.mean():+.3f}", "spread": ""})
    n = sum(int(h.labelled.any(1).sum()) for h in held.values()) // 2
    print_table(rows, f"PCK@{THRESHOLD:g} on {n} held-out objects after {args.epochs} epochs; spread over seeds.")
    across = float(np.abs(figures[1, 0] - figures[1, 1]).mean())
    print(f"The same nets measured on the files instead of the shards: {across:.3f} off on average.")


if __name__ == "__main__":
    main(tyro.cli(Args))
