"""Does a teacher help a small student more than the same time spent on the labels alone?

    python benchmarks/distillation.py --data ../shared/data/lspet -o runs/distillation --minutes 10

Leeds Sports Pose Extended; its last 500 pictures are held out. For every seed one student is trained

- ``plain``: on the labels for about ``--minutes``;
- ``distilled``: begun with the weights of ``plain``, on labels and teacher for about ``--minutes-more``;
- ``longer``: on the labels for all the time that ``plain`` and ``distilled`` took together, the teacher's share included, with
  a schedule made for that length;
- ``continued`` (``--arms`` with it): ``plain`` begun again like ``distilled`` and for as long, but on the labels alone. It
  tells what the teacher gives from what a second run of the schedule gives;
- ``taught`` (likewise): random weights, with the teacher from the first epoch on, for the time of ``longer``.

An epoch of either kind is timed first, on an otherwise idle machine, and every run's length is counted in such epochs, whole
ones, rounded in favour of the runs without a teacher: what else the machine does later changes nothing. The table's minutes are
of that pace; ``results.json`` has the wall time besides. Every run keeps its best epoch by PCK on the held-out pictures, which
favours those with the most epochs, ``longer`` among them. The bootstrap draws pictures, the same for both sides, and averages
the seeds of a side; the seeds' own figures stand beside it. A benchmark that was broken off goes on where it was.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from comparing import history, train
from posewright.annotations import Annotations
from posewright.annotations.splits import spread_evenly
from posewright.errors import PosewrightError
from posewright.files import write_text
from posewright.metrics import Evaluation, evaluate, run_model
from posewright.metrics.bootstrap import paired_bootstrap
from posewright.runtime import load
from posewright.training.augment_config import AugmentConfig
from posewright.training.config import TrainConfig
from posewright.training.distill_config import DistillConfig
from posewright.training.fit import MODEL

CHECKOUT = Path(__file__).resolve().parents[1]
ARMS = ("plain", "distilled", "longer", "continued", "taught")
COMPARED = (
    ("plain", "distilled"),
    ("longer", "distilled"),
    ("continued", "distilled"),
    ("longer", "taught"),
    ("plain", "longer"),
)
THRESHOLD = 0.2


@dataclass(frozen=True)
class Args:
    """Measure what distillation gains."""

    data: Path
    """Folder of Leeds Sports Pose Extended."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/distillation")
    """Folder of all runs and of the results."""
    teacher: str = str(CHECKOUT / "zoo" / "weights" / "body.safetensors")
    """The teacher."""
    model: str = "hourglass_s1_mobile_nano"
    """The student's preset."""
    size: str = "128"
    """The student's input size."""
    minutes: float = 10.0
    """About how long plain trains."""
    minutes_more: float | None = None
    """About how long distilled trains after it, teacher included; as long as plain unless given."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One round of all arms for each."""
    arms: tuple[str, ...] = ("plain", "distilled", "longer")
    """Which runs to make; plain and distilled always."""
    lr: float = 2e-3
    """Highest learning rate of plain and longer."""
    lr_again: float = 1e-3
    """Highest learning rate of the runs that begin with the weights of plain."""
    objects: int = 0
    """Train on so many pictures only, evenly spread; 0 for all."""
    threads: int = 0
    """Threads of the training process; 0 leaves torch's choice."""
    distill: DistillConfig = field(default_factory=DistillConfig)
    """How the student learns from the teacher."""


def config_of(args: Args, seed: int, epochs: int, folder: Path) -> TrainConfig:
    """The settings that all runs share: those of the shipped body model, for a small student."""
    return TrainConfig(
        output=str(folder),
        model=args.model,
        init="none",
        input_size=args.size,
        margin=1.1,
        epochs=epochs,
        batch_size=32,
        lr=args.lr,
        seed=seed,
        threads=args.threads,
        augment=AugmentConfig(negative=0.08),
    )


def taught(config: TrainConfig, args: Args) -> TrainConfig:
    return replace(config, teacher=args.teacher, distill=args.distill)


@dataclass(frozen=True)
class Pace:
    """Seconds of a run: what every run takes but for its epochs, an epoch without a teacher and with one, and what a teacher
    takes before the first."""

    around: float
    plain: float
    distilled: float
    looking: float

    def run(self, epochs: int, teacher: bool) -> float:
        """A whole run."""
        return self.around + (self.looking + epochs * self.distilled if teacher else epochs * self.plain)


def pace(args: Args, labels: Annotations) -> Pace:
    """Time two runs of two epochs, and remember it."""
    kept = args.output / "pace.json"
    if kept.is_file():
        return Pace(**json.loads(kept.read_text()))
    found: dict[str, float] = {}
    for name in ("plain", "distilled"):
        config = config_of(args, 0, 2, args.output / f"pace_{name}")
        shutil.rmtree(config.output, ignore_errors=True)
        seconds = train(config if name == "plain" else taught(config, args), labels, export=True)
        first, second = (row["seconds"] for row in history(Path(config.output)))
        found[name] = second - first
        rest = max(seconds - 2 * found[name], 0.0)
        if name == "plain":
            found["around"] = rest
        else:
            found["looking"] = max(rest - found["around"], 0.0)
    write_text(kept, json.dumps(found, indent=1))
    return Pace(**found)


def train_all(args: Args, labels: Annotations) -> dict[str, dict[int, dict[str, Any]]]:
    """All runs of all seeds: where each is, its seconds and epochs."""
    speed = pace(args, labels)
    budget = 60 * args.minutes - speed.around
    short = max(1, math.ceil(budget / speed.plain))
    more = budget if args.minutes_more is None else 60 * args.minutes_more - speed.around
    again = max(1, math.floor((more - speed.looking) / speed.distilled))
    as_long = math.ceil((speed.looking + again * speed.distilled) / speed.plain)
    taken = f"{speed.distilled:.1f} s and {speed.looking:.1f} s before the first"
    print(f"an epoch takes {speed.plain:.1f} s, with the teacher {taken}: {short} and {again} epochs")
    runs: dict[str, dict[int, dict[str, Any]]] = {arm: {} for arm in ARMS if arm in {"plain", "distilled", *args.arms}}

    def run(arm: str, config: TrainConfig) -> None:
        seconds = speed.run(config.epochs, config.teacher is not None)
        took = {"seconds": round(seconds, 1), "wall seconds": round(train(config, labels, export=True), 1)}
        runs[arm][config.seed] = {"folder": config.output, "epochs": config.epochs, **took}

    for seed in args.seeds:
        folder = {arm: args.output / f"{arm}_{seed}" for arm in ARMS}
        run("plain", config_of(args, seed, short, folder["plain"]))
        warm = replace(config_of(args, seed, again, folder["distilled"]), init=str(folder["plain"]), lr=args.lr_again)
        run("distilled", taught(warm, args))
        if "longer" in runs:
            run("longer", config_of(args, seed, short + as_long, folder["longer"]))
        if "taught" in runs:
            epochs = max(1, again + math.floor(short * speed.plain / speed.distilled))
            run("taught", taught(config_of(args, seed, epochs, folder["taught"]), args))
        if "continued" in runs:
            run("continued", replace(warm, epochs=as_long, output=str(folder["continued"])))
    return {arm: found for arm, found in runs.items() if found}


def measure(folder: Path, truth: Annotations) -> Evaluation:
    """The exported model file on the held-out pictures."""
    predicted, measured = run_model(load(folder / MODEL, "cpu"), truth)
    return evaluate(predicted.xy, measured)


def main(args: Args) -> None:
    for arm in args.arms:
        if arm not in ARMS:
            raise PosewrightError(f"unknown arm '{arm}'", fix="Known: " + ", ".join(ARMS))
    sys.path.insert(0, str(CHECKOUT / "zoo"))
    from recipes import lspet

    labels = lspet(args.data)
    truth = labels.of_split("val")
    # Pictures of clutter have no object to be measured on.
    truth = truth.subset(np.isin(np.arange(len(truth.images)), truth.image))
    if args.objects:
        shown = np.flatnonzero([im.split == "train" for im in labels.images])
        chosen = shown[spread_evenly(len(shown), args.objects)]
        labels = labels.subset(np.sort(np.r_[chosen, np.flatnonzero([im.split == "val" for im in labels.images])]))
    args.output.mkdir(parents=True, exist_ok=True)
    asked = json.dumps(asdict(args), default=str, sort_keys=True, indent=1)
    settings = args.output / "settings.json"
    same = {k: v for k, v in json.loads(asked).items() if k not in ("seeds", "arms", "output", "data")}
    if settings.is_file() and any(json.loads(settings.read_text()).get(k) != v for k, v in same.items()):
        raise PosewrightError("holds runs made with other settings", file=args.output, fix="Give another -o")
    write_text(settings, asked)
    runs = train_all(args, labels)
    found = {arm: {seed: measure(Path(r["folder"]), truth) for seed, r in of.items()} for arm, of in runs.items()}
    report(args, runs, found, truth)


def report(
    args: Args, runs: dict[str, dict[int, dict[str, Any]]], found: dict[str, dict[int, Evaluation]], truth: Annotations
) -> None:
    """Print the tables and write ``results.json``."""
    console, result = Console(), {"teacher": args.teacher, "student": f"{args.model} {args.size}", "runs": runs}
    teacher, _ = run_model(load(Path(args.teacher).with_suffix(".onnx"), "cpu"), truth)
    above = evaluate(teacher.xy, truth).metrics
    table = Table("run", "epochs", "minutes", "PCK@0.1", "PCK@0.2", "PCK@0.2 of each seed")
    table.add_row("the teacher", "", "", f"{above['PCK@0.1']:.4f}", f"{above['PCK@0.2']:.4f}", "")
    figures: dict[str, Any] = {}
    for arm, of in found.items():
        each = [e.metrics for e in of.values()]
        rows = list(runs[arm].values())
        mean = {name: float(np.mean([m[name] for m in each])) for name in ("PCK@0.05", "PCK@0.1", "PCK@0.2", "AUC@0.5")}
        figures[arm] = {"mean": mean, "PCK@0.2 of each seed": [m["PCK@0.2"] for m in each]}
        spread = " ".join(f"{m['PCK@0.2']:.4f}" for m in each)
        minutes = np.mean([r["seconds"] for r in rows]) / 60
        epochs = "/".join(map(str, sorted({r["epochs"] for r in rows})))
        table.add_row(arm, epochs, f"{minutes:.1f}", f"{mean['PCK@0.1']:.4f}", f"{mean['PCK@0.2']:.4f}", spread)
    console.print(table)
    result |= {"figures": figures, "teacher's": {k: above[k] for k in ("PCK@0.1", "PCK@0.2")}, "differences": {}}
    table = Table("PCK", "difference", "95 % interval", "of each seed", "pictures")
    for a, b in COMPARED:
        if a not in found or b not in found:
            continue
        seeds = [s for s in found[a] if s in found[b]]
        sides = [np.stack([found[arm][s].normalised for s in seeds]) for arm in (a, b)]
        for threshold in (0.1, THRESHOLD):
            over = paired_bootstrap(*sides, truth.image, threshold)
            name = f"PCK@{threshold:g}"
            each = [found[b][s].metrics[name] - found[a][s].metrics[name] for s in seeds]
            shown = " ".join(f"{d:+.4f}" for d in each)
            interval = f"{over.low:+.4f} to {over.high:+.4f}"
            table.add_row(f"{b} - {a}, {name}", f"{over.difference:+.4f}", interval, shown, str(over.pictures))
            result["differences"][f"{b} - {a}, {name}"] = asdict(over) | {"of each seed": each}  # type: ignore[index]
    console.print(table)
    write_text(args.output / "results.json", json.dumps(result, indent=1) + "\n")
    print(f"{args.output / 'results.json'}")


if __name__ == "__main__":
    try:
        main(tyro.cli(Args))
    except PosewrightError as error:
        sys.exit(f"distillation: {error}")
