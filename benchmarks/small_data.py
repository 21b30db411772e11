"""What starting from shipped weights gains on a few dozen labelled frames: with and without, the same steps, several seeds.

``python benchmarks/small_data.py --seeds 3`` trains each of the three sets (39 mice, 100 flies, 60 bees) from random weights
and from each start, and measures what it held out by blocks of frames that were taken together. Data: ``POSEWRIGHT_DATA``, or
``../shared/data`` beside the checkout.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro

from posewright.annotations import Annotations, ReadOptions, read_annotations
from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.files import write_text
from posewright.metrics import evaluate, parse_normaliser
from posewright.reports.tables import print_table
from posewright.training.augment_config import AugmentConfig
from posewright.training.config import TrainConfig
from posewright.training.dataset import CropDataset
from posewright.training.fit import LAST, fit
from posewright.training.heldout import look

HERE = Path(__file__).resolve()
DATA = Path(os.environ.get("POSEWRIGHT_DATA") or HERE.parents[2] / "shared" / "data") / "formats"


def in_blocks(labels: Annotations, blocks: list[str]) -> Annotations:
    """The set with a group for each image, and the wider boxes that these figures have always been measured with."""
    images = [replace(im, group=block) for im, block in zip(labels.images, blocks, strict=True)]
    return replace(labels, images=images, boxes=boxes_from_keypoints(labels.keypoints, 1.4), area=None)


def mouse(_: Path) -> Annotations:
    """DeepLabCut's open field: one video; blocks of six frames."""
    labels = read_annotations(DATA / "deeplabcut" / "openfield")
    return in_blocks(labels, [f"block {i // 6}" for i in range(len(labels))])


def fly(folder: Path) -> Annotations:
    """DeepPoseKit's flies, which come inside an HDF5 file; blocks of ten frames."""
    labels = read_annotations(DATA / "deepposekit" / "fly.h5", options=ReadOptions(extract=folder / "pictures"))
    return in_blocks(labels, [f"block {i // 10}" for i in range(len(labels))])


def bee(_: Path) -> Annotations:
    """Bees from several videos: frames of one bee are a block."""
    labels = read_annotations(DATA / "bees")
    return in_blocks(labels, [im.path.split("_f")[0] for im in labels.images])


SETS: dict[str, Callable[[Path], Annotations]] = {"mouse": mouse, "fly": fly, "bee": bee}


@dataclass(frozen=True)
class Args:
    """Train small sets with and without start weights.

    examples:
      python benchmarks/small_data.py --seeds 3 -o small_data.json
      python benchmarks/small_data.py --sets mouse --starts none hand body --objects 20
    """

    sets: tuple[str, ...] = tuple(SETS)
    """Which of mouse, fly and bee."""
    starts: tuple[str, ...] = ("none", "hand")
    """What to start from: none, or anything that --init takes."""
    seeds: int = 3
    """Runs of each; a seed decides weights, order, augmentation and which blocks are held out."""
    epochs: int = 0
    """Passes; 0 for as many as `posewright train` would make."""
    input_size: str = "128"
    """Crop size."""
    held_out: float = 0.3
    """Share of the frames to measure on, whole blocks."""
    objects: int = 0
    """Train on this many frames only; 0 for all that are left."""
    freeze: tuple[str, ...] = ()
    """Parts to freeze in runs with a start."""
    device: str = "auto"
    """Where to train."""
    threads: int = 1
    """Threads of the training process."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("small_data.json")
    """Figures of every run."""


def measure(run: Any, held: Annotations) -> dict[str, float]:
    """PCK by box, and the mean error in pixels of the picture, on held-out frames, after the last epoch: the best one would
    have been chosen by what is measured."""
    state = torch.load(run.folder / LAST, map_location="cpu", weights_only=True)["state_dict"]
    run.checkpoint.net.load_state_dict({k.removeprefix("net."): v for k, v in state.items() if k.startswith("net.")})
    data = CropDataset(held, run.checkpoint.rule)
    found = look(run.checkpoint.net, data, range(len(data)), "cpu")
    xy = np.stack([data.rule.similarity(held.boxes[i]).inverse().apply(found.points[i, :, :2]) for i in data.objects])
    result = evaluate(
        xy, held.objects(data.objects), normaliser=parse_normaliser("box", held.skeleton), thresholds=(0.1, 0.2)
    )
    away = np.linalg.norm(xy - held.keypoints[data.objects, :, :2], axis=2)[held.labelled[data.objects]]
    return {"PCK@0.1": result.metrics["PCK@0.1"], "PCK@0.2": result.metrics["PCK@0.2"], "mean px": float(away.mean())}


def main(args: Args) -> None:
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for name, seed in itertools.product(args.sets, range(args.seeds)):
            labels = SETS[name](folder / f"{name}_{seed}").with_splits(args.held_out, seed)
            held = labels.of_split("val")
            if args.objects:
                held_or_kept = np.array([im.split == "val" for im in labels.images])
                kept = np.random.default_rng(seed).permutation(np.flatnonzero(~held_or_kept))[: args.objects]
                held_or_kept[kept] = True
                labels = labels.subset(held_or_kept)
            for start in args.starts:
                config = TrainConfig(
                    model="hourglass_s1_tiny",
                    init=start,
                    freeze=args.freeze if start != "none" else (),
                    input_size=args.input_size,
                    epochs=args.epochs,
                    seed=seed,
                    device=args.device,  # type: ignore[arg-type]
                    threads=args.threads,
                    output=str(folder / f"{name}_{start}_{seed}"),
                    # The bees have no names to tell left and right by; no set is mirrored, so that the figures stay comparable.
                    augment=AugmentConfig(flip=0)
                    if name == "bee"
                    else AugmentConfig(rotation=180, rotation_share=1, flip=0),
                )
                run = fit(config, labels)
                trained = len(labels) - len(held)
                row = {"set": name, "start": start, "seed": seed, "trained on": trained, "held out": len(held)}
                row |= measure(run, held) | {"seconds": run.seconds}
                runs.append(row)
                print(json.dumps(row), flush=True)
                write_text(args.output, json.dumps(runs, indent=1) + "\n")
    table(runs, args)


def table(runs: list[dict[str, Any]], args: Args) -> None:
    """Mean and spread over seeds."""
    rows = []
    for name, start in itertools.product(args.sets, args.starts):
        of = [r for r in runs if (r["set"], r["start"]) == (name, start)]
        row: dict[str, Any] = {"set": name, "start": start, "frames": of[0]["trained on"]}
        for figure in ("PCK@0.1", "PCK@0.2", "mean px"):
            values = np.array([r[figure] for r in of])
            row[figure] = f"{values.mean():.3f} ± {values.std(ddof=1) if len(values) > 1 else 0:.3f}"
        rows.append(row | {"seconds": round(float(np.mean([r["seconds"] for r in of])))})
    print_table(
        rows, f"Held-out frames, {args.seeds} seeds; PCK as a share of the box's longer side, errors in picture pixels."
    )


if __name__ == "__main__":
    main(tyro.cli(Args))
