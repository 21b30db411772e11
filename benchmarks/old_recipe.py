"""How far the defaults of ``posewright train`` are ahead of the hourglass system's recipe: the same net, pictures and passes.

    python benchmarks/old_recipe.py --data ../shared/data/lspet -o runs/old_recipe --budgets 10 60

Leeds Sports Pose Extended, its last 500 pictures held out and their near-duplicates dropped. One net is trained with either
recipe from random weights, at each budget with a schedule made for it. A budget is the minutes in which the new recipe shows so
many pictures, measured first; the old one is shown as many, however long it takes. benchmarks/hourglass_recipe.py says what the
old recipe consists of, what of it is exact and what is not. Three rows each:

- ``old``: trained and decoded as there;
- ``old, read anew``: the same net, its crop and mean label shift known, peaks fitted below the cell: what training alone gave;
- ``new``: the defaults, with ``new, flip`` averaged with the mirrored crop.

Either side keeps its best epoch on the held-out pictures, as both systems do. Differences are PCK by the torso in percentage
points, with the paired bootstrap over pictures. A benchmark that was broken off goes on where it was.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from comparing import (
    OWN,
    Measured,
    Parts,
    bodies,
    difference,
    epochs_in,
    find,
    interval_text,
    keep_settings,
    markdown,
    mean_of,
    measured,
    net_of,
    paces,
    share_text,
    thinned,
    train,
)
from hourglass_recipe import BLACK, HourglassDataset, HourglassTask, hourglass_points, lowered, settings
from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.files import write_text
from posewright.models.devices import choose_device
from posewright.reports.tables import print_table
from posewright.training.config import TrainConfig

OLD_PARTS = Parts(HourglassDataset, HourglassTask, BLACK)
LINE = 0.10
"""By how much PCK@0.1 of the new recipe must be ahead at the longest budget."""
ROWS = ("old", "old, read anew", "new", "new, flip")


@dataclass(frozen=True)
class Args:
    """Compare the two recipes."""

    data: Path
    """Folder of Leeds Sports Pose Extended, or such a set packed with its splits."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/old_recipe")
    """Folder of all runs and of the results."""
    model: str = "hourglass_s1_tiny"
    """Preset of both."""
    net: tuple[str, ...] = ()
    """Settings of the net of both, such as order=conv_relu_bn."""
    size: str = "128"
    """Crop size of both."""
    budgets: tuple[float, ...] = (10.0, 60.0)
    """Minutes of the new recipe."""
    epochs: tuple[int, ...] = ()
    """Passes in place of the budgets' own number, one for each."""
    seeds: tuple[int, ...] = (0,)
    """A run of each recipe and budget for each."""
    objects: int = 0
    """Train on so many pictures only, evenly spread; 0 for all."""
    held: int = 0
    """Measure on so many of the held-out pictures; 0 for all."""
    device: str = "auto"
    """Where to train."""
    threads: int = 0
    """Threads of the training process; 0 leaves torch's choice."""
    workers: int = -1
    """Loader processes."""


def new_config(args: Args, folder: Path, epochs: int, seed: int) -> TrainConfig:
    """The defaults."""
    return TrainConfig(
        output=str(folder),
        model=args.model,
        net=args.net,
        init="none",
        input_size=args.size,
        epochs=epochs,
        batch_size=32,
        seed=seed,
        device=args.device,
        threads=args.threads,
        workers=args.workers,
    )


def main(args: Args) -> None:
    if args.epochs and len(args.epochs) != len(args.budgets):
        raise PosewrightError(f"{len(args.epochs)} numbers of epochs for {len(args.budgets)} budgets")
    shared = {k: getattr(args, k) for k in ("model", "net", "size", "objects", "held")}
    keep_settings(args.output, shared)
    labels = thinned(bodies(args.data), args.objects, args.held)
    objects = len(labels.of_split("train"))
    epochs = list(args.epochs)
    if not epochs:
        pace = paces({"new": (new_config(args, args.output, 1, 0), OWN)}, labels, args.output)["new"]
        epochs = [epochs_in(minutes, pace, objects) for minutes in args.budgets]
        print(f"the new recipe takes {1e3 * pace:.1f} ms a picture: {epochs} passes over {objects} pictures")
    done: list[dict[str, Any]] = []
    for minutes, passes in sorted(zip(args.budgets, epochs, strict=True)):
        found: dict[str, dict[int, Measured]] = {name: {} for name in ROWS}
        seconds: dict[str, list[float]] = {"old": [], "new": []}
        for seed in args.seeds:
            config = new_config(args, args.output / f"new_{passes}_{seed}", passes, seed)
            seconds["new"].append(train(config, labels))
            old = settings(replace(config, output=str(args.output / f"old_{passes}_{seed}")))
            seconds["old"].append(train(old, lowered(labels), OLD_PARTS))
            for name, one in measure(config, old, labels.of_split("val")).items():
                found[name][seed] = one
        done.append(report(minutes, passes, objects, found, seconds, labels.of_split("val")))
        write(args, done)
    last = done[-1]["differences"]["new - old"]["PCK@0.1"]
    met = "ahead of" if last["difference"] >= LINE else "short of"
    print(f"PCK@0.1 at the longest budget: {interval_text(last)} points, {met} the line of {100 * LINE:+.0f}")


def measure(new: TrainConfig, old: TrainConfig, truth: Annotations) -> dict[str, Measured]:
    """The four rows of one seed at one budget."""
    device, low = choose_device(new.device), lowered(truth)

    def found(config: TrainConfig, parts: Parts, on: Annotations, **how: Any) -> Callable[[], Any]:
        return lambda: find(net_of(Path(config.output)), on, parts.rule(config), device, **how)

    runs = {
        "old": found(old, OLD_PARTS, low, points=hourglass_points),
        "old, read anew": found(old, OLD_PARTS, low),
        "new": found(new, OWN, truth),
        "new, flip": found(new, OWN, truth, flip=True),
    }
    folders = {name: Path((old if name.startswith("old") else new).output) for name in runs}
    # Against the labels with their own boxes: lowered ones change the crop, not what is right.
    return {
        name: measured(folders[name], name.replace(", ", "-").replace(" ", "-"), truth, run)
        for name, run in runs.items()
    }


def report(
    minutes: float,
    epochs: int,
    objects: int,
    found: dict[str, dict[int, Measured]],
    seconds: dict[str, list[float]],
    truth: Annotations,
) -> dict[str, Any]:
    """One budget's figures."""
    against = {f"{name} - old": difference(found["old"], found[name], truth) for name in ROWS[1:]}
    return {
        "minutes": minutes,
        "epochs": epochs,
        "pictures shown": epochs * objects,
        "wall minutes": {side: [round(s / 60, 1) for s in of] for side, of in seconds.items()},
        "figures": {name: mean_of(of) for name, of in found.items()},
        "of each seed": {name: {str(s): m.metrics for s, m in of.items()} for name, of in found.items()},
        "differences": against,
    }


def write(args: Args, done: list[dict[str, Any]]) -> None:
    """The table on the terminal and in ``table.md``, and all figures in ``results.json``."""
    rows = []
    for one in done:
        for name in ROWS:
            figures = one["figures"][name]
            row = {"minutes": f"{one['minutes']:g}", "epochs": str(one["epochs"]), "recipe": name}
            row["wall minutes"] = f"{np.mean(one['wall minutes'][name[:3]]):.1f}"
            row |= {f"{p} %": share_text(figures[p]) for p in ("PCK@0.1", "PCK@0.2")}
            for threshold in ("PCK@0.1", "PCK@0.2"):
                against = one["differences"].get(f"{name} - old")
                row[f"{threshold} - old"] = interval_text(against[threshold]) if against else ""
            rows.append(row)
    net = " ".join((args.model, *args.net))
    caption = f"{net} at {args.size}, LSPET, {len(args.seeds)} seeds, PCK by torso; 95 % intervals over pictures"
    print_table(rows, caption)
    write_text(args.output / "table.md", f"{caption}\n\n{markdown(rows)}")
    write_text(args.output / "results.json", json.dumps({"net": net, "budgets": done}, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main(tyro.cli(Args))
    except PosewrightError as error:
        sys.exit(f"old_recipe: {error}")
