"""The family of nets beside the source systems' presets: accuracy on held-out bodies against time a picture and size.

    python benchmarks/pareto.py latency -o runs/pareto
    python benchmarks/pareto.py family --data ../shared/data/lspet -o runs/pareto --epochs 40

``latency`` times candidate nets, untrained, and says which of them take about 1, 2, 4, 8 and 16 ms; it needs no data.
``family`` trains nets, measures and times them, and draws what they reach. Nets are written as preset, @, crop size and settings,
such as "hourglass_s1_nano@128 channels=48"; without ``--nets`` they are those of the table FAMILY and the source presets.

Every net sees the same pictures equally often, under the defaults of ``posewright train``. With ``--teacher`` our nets learn from
that model as well; the source presets never do. A net that was trained elsewhere (zoo/gpu_session.py) takes part where its
``model.safetensors`` lies in its run's folder, NET_EPOCHS_SEED such as "hourglass_s1_nano@96_40_0".

Times are those of onnxruntime on one crop, picture in and keypoints out, on two threads; the nets take turns, and the table has
median and fastest. Training that was broken off goes on after its last finished epoch.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from comparing import (
    DONE,
    OWN,
    Measured,
    bodies,
    find,
    keep_settings,
    markdown,
    mean_of,
    measured,
    net_of,
    share_text,
    thinned,
    train,
)
from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.files import whole_file, write_text
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint
from posewright.models.describe import describe_net
from posewright.models.devices import choose_device
from posewright.models.presets import build_net
from posewright.reports.tables import print_table
from posewright.skeletons import load_skeleton
from posewright.training.config import TrainConfig
from posewright.training.distill_config import DistillConfig
from posewright.training.fit import CHECKPOINT
from posewright.training.nets import net_settings
from turns import answer_times, machine

TARGETS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Milliseconds a picture that the family is made for."""
CANDIDATES = (
    *("hourglass_s1_nano@96 channels=16", "hourglass_s1_nano@128 channels=16", "hourglass_s1_nano@96 channels=32"),
    *("hourglass_s1_mobile_nano@96 channels=32", "hourglass_s1_nano@128 channels=32", "hourglass_s1_nano@96"),
    *(
        "hourglass_s1_mobile_nano@128 channels=32",
        "hourglass_s1_nano@160 channels=32",
        "hourglass_s1_nano@128 channels=48",
    ),
    *(
        "hourglass_s1_mobile_nano@128",
        "hourglass_s1_nano@128",
        "hourglass_s2_nano@96",
        "hourglass_s2_nano@128 channels=32",
    ),
    *("hourglass_s2_nano@128", "hourglass_s1_nano@160", "hourglass_s1_nano@192", "hourglass_s1_mobile_nano@192"),
    *(
        "hourglass_s1_tiny@96",
        "hourglass_s1_tiny@128 channels=96",
        "hourglass_s1_mobile_tiny@128",
        "hourglass_s1_tiny@128",
    ),
    *("hourglass_s2_nano@192", "hourglass_s2_mobile_tiny@128", "hourglass_s2_tiny@128 channels=96"),
    *(
        "hourglass_s2_tiny@128",
        "hourglass_s1_tiny@160",
        "hourglass_s1_tiny@192",
        "hourglass_s2_tiny@160 channels=96",
        "hourglass_s2_tiny@160",
    ),
    *("hourglass_s2_mobile_tiny@192", "hourglass_s1_mobile_tiny@192", "hourglass_s1_nano@256"),
)
"""Nets that might stand on the front."""
SOURCES = (
    *("hourglass_s2_mobile_tiny@192 order=conv_relu_bn", "hourglass_s2_mobile_tiny@256 order=conv_relu_bn"),
    *("hourglass_s2_mobile@256 order=conv_relu_bn", "hourglass_s2@256 order=conv_relu_bn"),
)
"""The published nets of the hourglass system, layers in its own order."""
FAMILY: dict[float, tuple[str, ...]] = {
    1.0: ("hourglass_s1_nano@96", "hourglass_s1_mobile_nano@128"),
    2.0: ("hourglass_s1_nano@160", "hourglass_s2_nano@128", "hourglass_s1_mobile_tiny@128"),
    4.0: ("hourglass_s1_tiny@128", "hourglass_s2_mobile_tiny@128"),
    8.0: ("hourglass_s1_tiny@160", "hourglass_s2_tiny@128"),
    16.0: ("hourglass_s1_tiny@192", "hourglass_s2_tiny@160", "hourglass_s2_mobile_tiny@192"),
}
"""For each target the nets to train: of those that ``latency`` found near it, the ones with the most to learn by, plain and
depthwise."""
KEYPOINTS = 14


@dataclass(frozen=True)
class Net:
    """A net as it is written: preset, crop size, settings."""

    preset: str
    size: str
    settings: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Net:
        """Raises a PosewrightError where the text is no net."""
        name, *settings = text.split()
        preset, at, size = name.partition("@")
        if not at or not preset or not size:
            raise PosewrightError(
                f"'{text}' is no net", fix="Write preset@size settings, such as hourglass_s1_nano@128"
            )
        net = cls(preset, size, tuple(settings))
        net_settings(net.onto(TrainConfig()))
        return net

    def __str__(self) -> str:
        return " ".join((f"{self.preset}@{self.size}", *self.settings))

    def onto(self, config: TrainConfig) -> TrainConfig:
        return replace(config, model=self.preset, input_size=self.size, net=self.settings)

    @property
    def folder(self) -> str:
        return str(self).replace(" ", "_").replace("=", "-")


@dataclass(frozen=True)
class Timing:
    """How long answers take."""

    calls: int = 5
    """Answers of each net in a round."""
    rounds: int = 12
    """Rounds that count."""
    cores: int = 2
    """Threads of onnxruntime."""


@dataclass(frozen=True)
class Latency:
    """Time candidate nets, untrained."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/pareto")
    """Folder for latency.json."""
    nets: tuple[str, ...] = CANDIDATES
    """Which."""
    timing: tyro.conf.OmitArgPrefixes[Timing] = field(default_factory=Timing)


@dataclass(frozen=True)
class Family:
    """Train, measure, time and draw."""

    data: Path
    """Folder of Leeds Sports Pose Extended, or such a set packed with its splits."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/pareto")
    """Folder of all runs and of the results."""
    nets: tuple[str, ...] = tuple(net for of in FAMILY.values() for net in of)
    """Which nets of ours."""
    sources: tuple[str, ...] = SOURCES
    """Which of the source systems' nets."""
    epochs: int = 40
    """Passes of every net."""
    seeds: tuple[int, ...] = (0,)
    """Runs of each net."""
    teacher: str | None = None
    """Checkpoint that our nets learn from besides the labels."""
    lr: float = 2e-3
    """Highest learning rate of all nets."""
    objects: int = 0
    """Train on so many pictures only, evenly spread; 0 for all."""
    held: int = 0
    """Measure on so many of the held-out pictures; 0 for all."""
    train: bool = True
    """Train what is not trained yet; --no-train reports what is there."""
    device: str = "auto"
    """Where to train."""
    threads: int = 0
    """Threads of the training process; 0 leaves torch's choice."""
    workers: int = -1
    """Loader processes."""
    timing: tyro.conf.OmitArgPrefixes[Timing] = field(default_factory=Timing)
    distill: DistillConfig = field(default_factory=DistillConfig)
    """How to learn from the teacher."""


# -- time ----------------------------------------------------------------------------------------------------------------


def model_file(net: Any, size: str, file: Path) -> Path:
    """The net of body-14 as a model file; made where there is none yet."""
    from posewright.export.exporting import export_onnx

    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        height, width = TrainConfig(input_size=size).size
        export_onnx(Checkpoint(net.eval(), load_skeleton("body-14"), CropRule((width, height)), file.stem), file)
    return file


def answers(files: Mapping[str, Path], timing: Timing) -> dict[str, tuple[float, float]]:
    """Median and fastest answer in ms of model files, by name."""
    times = answer_times(files, timing.cores, rounds=timing.rounds, calls=timing.calls)
    return {name: (1e3 * statistics.median(of), 1e3 * min(of)) for name, of in times.items()}


def size_of(net: Net) -> tuple[float, float]:
    """Millions of parameters and of multiplications a crop; nothing is computed."""
    config = net.onto(TrainConfig())
    with torch.device("meta"):
        built = build_net(net_settings(config), KEYPOINTS)
    found = describe_net(built, config.size)
    return found.parameters / 1e6, found.macs / 1e6


def nearest(times: Mapping[str, tuple[float, float]], count: int = 3) -> dict[float, list[str]]:
    """For each target the nets whose fastest answer is within a factor of the root of two, the nearest first."""
    found = {}
    for target in TARGETS:
        away = {name: abs(math.log2(fastest / target)) for name, (_, fastest) in times.items()}
        found[target] = sorted((n for n in away if away[n] <= 0.5), key=lambda n: away[n])[:count]
    return found


def latency(args: Latency) -> None:
    nets = {str(net): net for net in map(Net.parse, args.nets)}
    args.output.mkdir(parents=True, exist_ok=True)
    untrained = {}
    for name, net in nets.items():
        torch.manual_seed(0)
        built = build_net(net_settings(net.onto(TrainConfig())), KEYPOINTS)
        untrained[name] = model_file(built, net.size, args.output / "timed" / f"{net.folder}.onnx")
    times = answers(untrained, args.timing)
    rows = []
    for name, (median, fastest) in sorted(times.items(), key=lambda item: item[1][1]):
        parameters, macs = size_of(nets[name])
        row = {"net": name, "fastest ms": f"{fastest:.2f}", "median ms": f"{median:.2f}"}
        rows.append(row | {"M parameters": f"{parameters:.3f}", "M multiplications": f"{macs:.0f}"})
    near = nearest(times)
    print_table(rows, f"{machine()}; onnxruntime, {args.timing.cores} threads")
    for target, names in near.items():
        print(f"{target:g} ms: " + ("; ".join(names) or "none"))
    found = {"machine": machine(), "rows": rows, "near": {f"{t:g}": names for t, names in near.items()}}
    write_text(args.output / "latency.json", json.dumps(found, indent=1) + "\n")


# -- accuracy ------------------------------------------------------------------------------------------------------------


def config_of(args: Family, net: Net, seed: int, *, taught: bool) -> TrainConfig:
    config = TrainConfig(
        output=str(args.output / f"{net.folder}_{args.epochs}_{seed}{'_taught' if taught else ''}"),
        init="none",
        epochs=args.epochs,
        batch_size=32,
        lr=args.lr,
        seed=seed,
        device=args.device,
        threads=args.threads,
        workers=args.workers,
    )
    return net.onto(replace(config, teacher=args.teacher, distill=args.distill) if taught else config)


def family(args: Family) -> None:
    keep_settings(args.output, {k: getattr(args, k) for k in ("objects", "held", "lr")})
    labels = thinned(bodies(args.data), args.objects, args.held)
    truth = labels.of_split("val")
    contestants = [(net, args.teacher is not None, "ours") for net in map(Net.parse, dict.fromkeys(args.nets))]
    contestants += [(net, False, "source preset") for net in map(Net.parse, args.sources)]
    found: dict[str, dict[str, Any]] = {}
    for seed in args.seeds:
        for net, taught, side in contestants:
            config = config_of(args, net, seed, taught=taught)
            folder = Path(config.output)
            if not (folder / DONE).is_file() and not (folder / CHECKPOINT).is_file() and not args.train:
                continue
            if not (folder / CHECKPOINT).is_file() or (folder / "checkpoints").is_dir():
                print(f"\n{net}, seed {seed}", flush=True)
                train(config, labels)
            name = f"{net}{', taught' if taught else ''}"
            row = found.setdefault(name, {"net": net, "side": side, "folder": folder, "plain": {}, "flip": {}})
            row["plain"][seed] = measure(config, truth, flip=False)
            row["flip"][seed] = measure(config, truth, flip=True)
    if not found:
        raise PosewrightError("nothing is trained yet", file=args.output, fix="Leave --no-train out")
    report(args, found)


def measure(config: TrainConfig, truth: Annotations, *, flip: bool) -> Measured:
    folder, device = Path(config.output), choose_device(config.device)
    return measured(
        folder,
        "flip" if flip else "plain",
        truth,
        lambda: find(net_of(folder), truth, OWN.rule(config), device, flip=flip),
    )


def report(args: Family, found: dict[str, dict[str, Any]]) -> None:
    """Time all nets, and write ``results.json``, ``table.md`` and ``pareto.png``."""
    files = {
        name: model_file(net_of(row["folder"]), row["net"].size, row["folder"] / "timed.onnx")
        for name, row in found.items()
    }
    times = answers(files, args.timing)
    rows, points = [], []
    for name, (median, fastest) in sorted(times.items(), key=lambda item: item[1][0]):
        parameters, macs = size_of(found[name]["net"])
        plain, flip = (mean_of(found[name][how]) for how in ("plain", "flip"))
        row = {"net": name, "": found[name]["side"], "median ms": f"{median:.2f}", "fastest ms": f"{fastest:.2f}"}
        row |= {"M parameters": f"{parameters:.3f}", "G multiplications": f"{macs / 1e3:.3f}"}
        row |= {f"{p} %": share_text(plain[p]) for p in ("PCK@0.1", "PCK@0.2")}
        row |= {f"{p} %, flip": share_text(flip[p]) for p in ("PCK@0.1", "PCK@0.2")}
        rows.append(row)
        of_each = {str(s): m.metrics for s, m in found[name]["plain"].items()}
        points.append(
            {"net": name, "side": found[name]["side"], "ms": median, "fastest": fastest, "parameters": parameters}
            | {"figures": plain, "flip": flip, "of each seed": of_each}
        )
    caption = (
        f"LSPET, {args.epochs} passes, {len(args.seeds)} seeds, PCK by torso; {machine()}, {args.timing.cores} threads"
    )
    print_table(rows, caption)
    write_text(args.output / "table.md", f"{caption}\n\n{markdown(rows)}")
    write_text(args.output / "results.json", json.dumps({"caption": caption, "nets": points}, indent=1) + "\n")
    draw(points, caption, args.output / "pareto.png")
    print(f"{args.output}: results.json, table.md, pareto.png")


def front(points: Sequence[Mapping[str, Any]], measure: str) -> list[Mapping[str, Any]]:
    """The nets than which none is both faster and better, fastest first."""
    best, kept = -math.inf, []
    for point in sorted(points, key=lambda p: (p["ms"], -p["figures"][measure])):
        if point["figures"][measure] > best:
            best = point["figures"][measure]
            kept.append(point)
    return kept


def draw(points: Sequence[Mapping[str, Any]], title: str, target: Path) -> None:
    """PCK against milliseconds, the front as a line, a dot's area its number of parameters."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(13, 5.5))
    for axes, name in zip(panels, ("PCK@0.1", "PCK@0.2"), strict=True):
        on_front = front(points, name)
        axes.plot([p["ms"] for p in on_front], [100 * p["figures"][name] for p in on_front], color="#2a7f4f", zorder=1)
        for side, colour in (("ours", "#2a7f4f"), ("source preset", "#b03a2e")):
            of = [p for p in points if p["side"] == side]
            area = [25 + 60 * math.sqrt(p["parameters"]) for p in of]
            y = [100 * p["figures"][name] for p in of]
            axes.scatter([p["ms"] for p in of], y, s=area, color=colour, alpha=0.8, label=side, zorder=2)
        for point in on_front + [p for p in points if p["side"] != "ours"]:
            text = point["net"].replace("hourglass_", "").replace("order=conv_relu_bn", "").strip()
            axes.annotate(
                text, (point["ms"], 100 * point["figures"][name]), (4, -10), textcoords="offset points", fontsize=7
            )
        low, high = (math.log2(f(p["ms"] for p in points)) for f in (min, max))
        ticks = [2.0**e for e in range(math.floor(low), math.ceil(high) + 1)]
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xlim(ticks[0] / 1.1, ticks[-1] * 1.6)
        axes.set_xlabel("ms a picture (median)")
        axes.set_ylabel(f"{name}, %")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, loc="upper left")
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    with whole_file(target) as temporary:
        figure.savefig(temporary, dpi=130, format=target.suffix[1:])
    pyplot.close(figure)


def main(args: Latency | Family) -> None:
    if isinstance(args, Latency):
        latency(args)
    else:
        family(args)


if __name__ == "__main__":
    try:
        main(tyro.extras.subcommand_cli_from_dict({"latency": Latency, "family": Family}, description=__doc__))
    except PosewrightError as error:
        sys.exit(f"pareto: {error}")
