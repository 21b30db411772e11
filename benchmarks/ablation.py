"""What each choice of training gives, on a proxy of about ten minutes a run: one arm a choice, everything else as the baseline.

    python benchmarks/ablation.py --data ../shared/data/lspet -o runs/ablation
    python benchmarks/ablation.py --data ../shared/data/lspet -o runs/ablation --confirm best3 --minutes 60

The baseline is ``posewright train`` as it is when nobody says otherwise, with a small net on Leeds Sports Pose Extended, whose
last 500 pictures are held out and their near-duplicates dropped. Arms are the table of benchmarks/ablation_arms.py.

Arms see the same number of passes, not the same wall time: what else the machine does then changes nothing, and a run can be
broken off and gone on with. The number is what fits into ``--minutes`` at the baseline's pace, measured first. Arms whose steps
take another time (input size, batch, layer order, a teacher) are timed beside the baseline in turns, and get the passes that fit
into the same time at their own pace.

A run is measured by its last epoch, since the best would be chosen by what it is measured on. Differences are PCK by the torso
against the baseline in percentage points, with the paired bootstrap over pictures; several seeds are averaged. The interval is
about the pictures: with one seed, a difference of a point can still be the seed's. The results are written after every run, and
the same command goes on where it was broken off, after the last finished epoch.

``--confirm best3`` then trains the baseline, the best arm of each of the three best groups, and these together, at another
length and on all pictures; other names than best3 are arms.

    python benchmarks/ablation.py --data ../shared/data/lspet --pack shards

packs the split set, for machines with another disk or a GPU: there, ``--data shards --device cuda``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from ablation_arms import ARMS, BASELINE, Arm, arm, configured
from comparing import (
    CHECKOUT,
    OWN,
    Measured,
    Parts,
    bodies,
    difference,
    draw_differences,
    epochs_in,
    find,
    interval_text,
    keep_settings,
    markdown,
    mean_of,
    measured,
    net_of,
    paces,
    points_text,
    share_text,
    thinned,
    train,
)
from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.files import write_text
from posewright.geometry import CropRule
from posewright.models.devices import choose_device
from posewright.reports.tables import print_table
from posewright.training.augment_config import AugmentConfig
from posewright.training.config import TrainConfig
from posewright.training.packing import PackConfig, pack

BEST = "best"
TOGETHER = "together"


@dataclass(frozen=True)
class Args:
    """Compare choices of training."""

    data: Path
    """Folder of Leeds Sports Pose Extended, or such a set packed with its splits."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/ablation")
    """Folder of all runs and of the results."""
    arms: tuple[str, ...] = tuple(ARMS)
    """Which arms; the baseline always."""
    minutes: float = 10.0
    """About how long the baseline trains on an idle machine."""
    epochs: int = 0
    """The baseline's passes, in place of those that fit into the minutes."""
    seeds: tuple[int, ...] = (0,)
    """A run of each arm for each; all arms' first seeds come first."""
    model: str = "hourglass_s1_nano"
    """Preset of all arms."""
    size: int = 128
    """Crop size of the baseline."""
    objects: int = 4000
    """Train on so many pictures, evenly spread; 0 for all."""
    held: int = 0
    """Measure on so many of the held-out pictures; 0 for all."""
    teacher: str = str(CHECKOUT / "zoo" / "weights" / "body.safetensors")
    """Teacher of the arm "distilled"; it must not know the held-out pictures either."""
    confirm: tuple[str, ...] = ()
    """best3 (or another number), or arms: train these at length, alone and together, in a folder of their own."""
    pack: Path | None = None
    """Only pack the split set into this folder, with room for every arm's crops."""
    device: str = "auto"
    """Where to train."""
    threads: int = 0
    """Threads of the training process; 0 leaves torch's choice."""
    workers: int = -1
    """Loader processes."""


def baseline(args: Args, epochs: int = 1, seed: int = 0) -> TrainConfig:
    """What ``posewright train`` does unless told otherwise."""
    return TrainConfig(
        model=args.model,
        init="none",
        input_size=str(args.size),
        epochs=epochs,
        batch_size=32,
        seed=seed,
        device=args.device,
        threads=args.threads,
        workers=args.workers,
    )


Trials = dict[str, list[Arm]]
"""By name: the arms whose changes a trial makes; none for the baseline."""


def folder_name(name: str, epochs: int, seed: int) -> str:
    return f"{''.join(c if c.isalnum() or c == '.' else '_' for c in name)}_{epochs}_{seed}"


def passes(args: Args, trials: Trials, labels: Annotations, folder: Path) -> dict[str, int]:
    """Epochs of each trial that trains."""
    runs: dict[str, tuple[TrainConfig, Parts]] = {BASELINE: (baseline(args), OWN)}
    for name, arms in trials.items():
        if any(a.costs for a in arms):
            runs[name] = configured(baseline(args), arms, args.teacher)
    if len(runs) == 1 and args.epochs:
        return dict.fromkeys(trials, args.epochs)
    pace = paces(runs, labels, folder)
    objects = len(labels.of_split("train"))
    usual = args.epochs or epochs_in(args.minutes, pace[BASELINE], objects)
    own = {name: max(1, round(usual * pace[BASELINE] / pace[name])) for name in runs}
    print(f"the baseline takes {1e3 * pace[BASELINE]:.1f} ms a picture: {usual} passes over {objects} pictures")
    for name in list(runs)[1:]:
        print(f"  {name}: {1e3 * pace[name]:.1f} ms, {own[name]} passes")
    return {name: own.get(name, usual) for name in trials}


def read(folder: Path, config: TrainConfig, parts: Parts, reading: str, truth: Annotations) -> Callable[[], Any]:
    """Runs the net of a trained folder on the held-out pictures, read in a way of its own where ``reading`` says one."""

    def run() -> Any:
        net = net_of(folder, best=False)
        if reading and reading != "flip":
            net.config = replace(net.config, decoding=reading)
        return find(net, truth, parts.rule(config), choose_device(config.device), flip=reading == "flip")

    return run


def run_trials(args: Args, trials: Trials, labels: Annotations, folder: Path) -> dict[str, Any]:
    """Train and measure all trials of all seeds; what is done is written after each."""
    truth = labels.of_split("val")
    readings = {name: arms[0].reading for name, arms in trials.items() if arms and arms[0].reading}
    trained = {BASELINE: [], **{name: arms for name, arms in trials.items() if name not in readings}}
    epochs = passes(args, trained, labels, folder)
    found: dict[str, dict[int, Measured]] = {name: {} for name in (BASELINE, *trials)}
    spent: dict[str, float] = {}
    result: dict[str, Any] = {}
    for seed in args.seeds:
        for name, arms in trained.items():
            config, parts = configured(baseline(args, epochs[name], seed), arms, args.teacher)
            place = folder / folder_name(name, epochs[name], seed)
            config = replace(config, output=str(place))
            print(f"\n{name}, seed {seed}", flush=True)
            spent[name] = train(config, labels, parts)
            found[name][seed] = measured(place, "plain", truth, read(place, config, parts, "", truth))
            if name == BASELINE:
                for other, reading in readings.items():
                    found[other][seed] = measured(place, reading, truth, read(place, config, parts, reading, truth))
            elif name == TOGETHER:
                flipped = found.setdefault(f"{TOGETHER}, flip test", {})
                flipped[seed] = measured(place, "flip", truth, read(place, config, parts, "flip", truth))
            result = with_earlier(collected(found, epochs, trials, spent, truth), folder / "results.json")
            write(args, folder, result)
    return result


def collected(
    found: dict[str, dict[int, Measured]],
    epochs: dict[str, int],
    trials: Trials,
    spent: dict[str, float],
    truth: Annotations,
) -> dict[str, Any]:
    """Figures and differences of all trials that there is something of."""
    rows: dict[str, Any] = {}
    for name, of in found.items():
        if not of:
            continue
        arms = trials.get(name) or []
        rows[name] = {
            "group": arms[0].group if len(arms) == 1 else "",
            "trains": name in epochs,
            "epochs": epochs.get(name, epochs[BASELINE]),
            "wall minutes": round(spent[name] / 60, 1) if name in spent else None,
            "figures": mean_of(of),
            "of each seed": {str(s): m.metrics for s, m in of.items()},
        }
        if name != BASELINE:
            rows[name]["against the baseline"] = difference(found[BASELINE], of, truth)
    return rows


def with_earlier(rows: dict[str, Any], results: Path) -> dict[str, Any]:
    """The rows with those of arms that an earlier call measured, in the table's order."""
    earlier = json.loads(results.read_text()) if results.is_file() else {}
    whole = earlier | rows
    return {name: whole[name] for name in (BASELINE, *ARMS, *whole) if name in whole}


def write(args: Args, folder: Path, rows: dict[str, Any]) -> None:
    """``results.json``, ``table.md`` and ``ablation.png``; only the last words go to the terminal."""
    write_text(folder / "results.json", json.dumps(rows, indent=1) + "\n")
    write_text(folder / "table.md", f"{caption(args)}\n\n{markdown(table(rows))}")
    draw_differences(
        [(name, row["against the baseline"]) for name, row in rows.items() if name != BASELINE],
        caption(args),
        folder / "ablation.png",
    )


def caption(args: Args) -> str:
    length = f"{args.epochs} passes" if args.epochs else f"about {args.minutes:g} minutes"
    seeds = f"{len(args.seeds)} seed" + ("s" if len(args.seeds) > 1 else "")
    return f"{args.model} at {args.size}, LSPET, {length}, {seeds}; points of PCK (torso), 95 % interval over pictures"


def table(rows: dict[str, Any]) -> list[dict[str, str]]:
    shown = []
    for name, row in rows.items():
        line = {"choice of": row["group"], "arm": name, "passes": str(row["epochs"])}
        line |= {f"{p} %": share_text(row["figures"][p]) for p in ("PCK@0.1", "PCK@0.2")}
        for p in ("PCK@0.1", "PCK@0.2"):
            against = row.get("against the baseline", {}).get(p)
            line[f"{p} against the baseline"] = interval_text(against) if against else ""
        each = row.get("against the baseline", {}).get("PCK@0.1", {}).get("of each seed", ())
        line["each seed"] = " ".join(map(points_text, each)) if len(each) > 1 else ""
        shown.append(line)
    return shown


def best_arms(rows: dict[str, Any], count: int) -> list[str]:
    """The best trained arm of each of the best groups, by PCK@0.1: arms of one group exclude each other.

    Raises:
        PosewrightError: where no trained arm came out above the baseline.
    """
    order = sorted(
        (name for name, row in rows.items() if name in ARMS and row["trains"]),
        key=lambda name: -rows[name]["against the baseline"]["PCK@0.1"]["difference"],
    )
    chosen: list[str] = []
    for name in order:
        above = rows[name]["against the baseline"]["PCK@0.1"]["difference"] > 0
        if above and len(chosen) < count and rows[name]["group"] not in {rows[c]["group"] for c in chosen}:
            chosen.append(name)
    if not chosen:
        raise PosewrightError(
            "no trained arm is above the baseline: nothing to confirm", fix="Name arms with --confirm"
        )
    return chosen


def to_confirm(words: Sequence[str], results: Path) -> Trials:
    """The trials that ``--confirm`` asks for: the arms alone, and all of them together where they are several."""
    if len(words) == 1 and words[0].startswith(BEST) and words[0][len(BEST) :].isdigit():
        if not results.is_file():
            raise PosewrightError(
                "has no results to choose from", file=results.parent, fix="Run it without --confirm first"
            )
        words = best_arms(json.loads(results.read_text()), int(words[0][len(BEST) :]))
        print("to confirm: " + ", ".join(words))
    trials: Trials = {name: [arm(name)] for name in words}
    trials.pop(BASELINE, None)
    trained = [a for of in trials.values() for a in of if not a.reading]
    return trials | ({TOGETHER: trained} if len(trained) > 1 else {})


def pack_split(args: Args, labels: Annotations) -> None:
    """The split set as shards that hold what the widest crops of any arm show."""
    assert args.pack is not None
    settings = [configured(baseline(args), [a], args.teacher)[0] for a in (Arm(BASELINE), *ARMS.values())]
    widest = {n: max(getattr(c.augment, n) for c in settings) for n in ("scale", "rotation", "shift", "perspective")}
    size, margin = max(c.size[0] for c in settings), max(c.margin for c in settings)
    done = pack(labels, args.pack, PackConfig(CropRule((size, size), margin), AugmentConfig(**widest)))
    print(
        f"{args.pack}: {done.objects} objects, {done.bytes / 1e6:.0f} MB. Next: the same command with --data {args.pack}"
    )


def main(args: Args) -> None:
    for name in args.arms:
        arm(name)
    if args.pack:
        return pack_split(args, bodies(args.data))
    shared = {k: getattr(args, k) for k in ("model", "size", "held", "teacher")}
    folder, objects, trials = args.output, args.objects, {name: [arm(name)] for name in args.arms if name != BASELINE}
    if args.confirm:
        trials = to_confirm(args.confirm, args.output / "results.json")
        length = f"{args.epochs}_passes" if args.epochs else f"{args.minutes:g}_minutes"
        folder, objects = args.output / f"confirmed_{length}", 0 if args.objects == Args.objects else args.objects
    keep_settings(folder, shared | {"objects": objects, "minutes": args.minutes, "epochs": args.epochs})
    rows = run_trials(args, trials, thinned(bodies(args.data), objects, args.held), folder)
    print_table(table(rows), caption(args))
    print(f"{folder}: results.json, table.md, ablation.png")
    return None


if __name__ == "__main__":
    try:
        main(tyro.cli(Args))
    except PosewrightError as error:
        sys.exit(f"ablation: {error}")
