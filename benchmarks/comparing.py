"""What the benchmarks of training settings share: pictures, runs that go on after a kill, pace, measuring, differences.

A run lies in its own folder. It is trained once; broken off, it goes on after the last epoch that it finished. What was
measured lies beside it, so that a report can be made again at any time from the runs that are there.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from posewright.annotations import Annotations, read_annotations
from posewright.annotations.splits import spread_evenly
from posewright.errors import PosewrightError
from posewright.files import whole_file, write_text
from posewright.geometry import CropRule
from posewright.media.shards import is_packed
from posewright.metrics import evaluate, paired_bootstrap
from posewright.models.base import HeatmapNet
from posewright.models.checkpoint import load_checkpoint
from posewright.models.devices import choose_device
from posewright.models.heatmaps import moved
from posewright.training.config import TrainConfig
from posewright.training.data import loaders
from posewright.training.dataset import CropDataset, collate
from posewright.training.fit import CHECKPOINT, LAST, fit
from posewright.training.task import KeypointTask

CHECKOUT = Path(__file__).resolve().parents[1]
DONE, SPENT, MEASURED = "done.json", "spent.json", "measured"
THRESHOLDS = (0.1, 0.2)
MEASURES = ("PCK@0.05", "PCK@0.1", "PCK@0.2", "AUC@0.5", "NME")

# -- pictures ------------------------------------------------------------------------------------------------------------


def bodies(data: Path) -> Annotations:
    """Leeds Sports Pose Extended with a held-out part: its folder, or such a set after ``posewright pack``."""
    if is_packed(data):
        labels = read_annotations(data)
        if not {"train", "val"} <= labels.splits:
            raise PosewrightError("has no train and val splits", file=data, fix="Pack it with --pack of this benchmark")
        return labels
    sys.path.insert(0, str(CHECKOUT / "zoo"))
    from recipes import lspet_parted

    return lspet_parted(data)


def thinned(labels: Annotations, train: int = 0, held: int = 0) -> Annotations:
    """So many pictures of either split, evenly spread; 0 for all. Held-out pictures without an object are left out."""
    kept = []
    shown = np.isin(np.arange(len(labels.images)), labels.image)
    for split, count in (("train", train), ("val", held)):
        there = np.array([im.split == split for im in labels.images], bool)
        own = np.flatnonzero(there & shown if split == "val" else there)
        kept.append(own if not count else own[spread_evenly(len(own), count)])
    return labels.subset(np.sort(np.concatenate(kept)))


# -- runs ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """What a run takes in place of the package's own parts, where no setting says it.

    Attributes:
        dataset: makes the training samples.
        task: makes targets, loss and optimiser.
        border: what lies outside the picture, 0..255.
    """

    dataset: type[CropDataset] | None = None
    task: type[KeypointTask] | None = None
    border: int | None = None

    def rule(self, config: TrainConfig) -> CropRule:
        height, width = config.size
        plain = CropRule((width, height), config.margin)
        return plain if self.border is None else replace(plain, border=self.border)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Runs within the block are made of these parts."""

        def own(*given: Any, **named: Any) -> Any:
            bound = inspect.signature(loaders).bind(*given, **named)
            asked = bound.arguments
            if self.border is not None:
                asked["rule"] = replace(asked["rule"], border=self.border)
            if asked.get("train") is None and self.dataset is not None:
                config, labels = asked["config"], asked["annotations"].of_split("train")
                asked["train"] = self.dataset(labels, asked["rule"], config.augment, config.seed)
            return loaders(*bound.args, **bound.kwargs)

        with patch("posewright.training.fit.loaders", own):
            if self.task is None:
                yield
                return
            with patch("posewright.training.fit.KeypointTask", self.task):
                yield


OWN = Parts()


def train(config: TrainConfig, labels: Annotations, parts: Parts = OWN, *, export: bool = False) -> float:
    """Train in the settings' folder, unless that has been done.

    Args:
        export: also fit the presence and write the model file, as a run of ``posewright train`` does.

    Returns:
        Wall time of all attempts, seconds.
    """
    folder = Path(config.output)
    if (folder / DONE).is_file():
        return float(json.loads((folder / DONE).read_text())["seconds"])
    if folder.exists() and not (folder / LAST).is_file():
        shutil.rmtree(folder)  # broken off before its first checkpoint
    spent = folder / SPENT
    before = json.loads(spent.read_text())["seconds"] if spent.is_file() else 0.0
    started = time.monotonic()
    try:
        with parts.in_place(), contextlib.nullcontext() if export else _nets_alone():
            fit(config, labels, resume=(folder / LAST).is_file())
    except BaseException:
        if folder.exists():
            write_text(spent, json.dumps({"seconds": before + time.monotonic() - started}))
        raise
    seconds = before + time.monotonic() - started
    write_text(folder / DONE, json.dumps({"seconds": seconds}))
    return seconds


@contextlib.contextmanager
def _nets_alone() -> Iterator[None]:
    """Leave out what follows training and changes no weight."""
    with (
        patch("posewright.export.exporting.export_onnx"),
        patch("posewright.training.fit.calibrate", return_value=[]),
    ):
        yield


def history(folder: Path) -> list[dict[str, float]]:
    """The run's rows, one an epoch."""
    lines = (folder / "metrics.csv").read_text().splitlines()
    names = lines[0].split(",")
    return [dict(zip(names, map(float, line.split(",")), strict=True)) for line in lines[1:]]


def net_of(folder: Path, *, best: bool = True) -> HeatmapNet:
    """A finished run's net: that of its best epoch, or of its last one (the running mean of weights, where there is one).

    The best epoch is chosen on the held-out pictures, which favours restless runs where it is measured on them, too.
    """
    net = load_checkpoint(folder / CHECKPOINT).net
    if not best:
        state = torch.load(folder / LAST, map_location="cpu", weights_only=True)["state_dict"]
        net.load_state_dict({k.removeprefix("net."): v for k, v in state.items() if k.startswith("net.")})
    return net.eval()


# -- pace ----------------------------------------------------------------------------------------------------------------


def paces(
    runs: Mapping[str, tuple[TrainConfig, Parts]],
    labels: Annotations,
    folder: Path,
    *,
    batches: int = 8,
    rounds: int = 2,
) -> dict[str, float]:
    """Seconds of training an object in each of some runs, its share of loading and of a teacher included.

    The runs take turns, some batches of each a round; the fastest epoch counts, since whatever else the machine does only
    slows one down. On a graphics card, where validating and saving take a good part of an epoch, they are whole epochs. What was
    measured is kept, and only what is missing is measured.
    """
    kept = folder / "pace.json"
    found: dict[str, list[float]] = json.loads(kept.read_text()) if kept.is_file() else {}
    for turn in range(rounds):
        for name, (config, parts) in runs.items():
            if len(found.get(name, ())) > turn:
                continue
            place = folder / "pace"
            shutil.rmtree(place, ignore_errors=True)
            batch = config.batch_size or 32
            short = replace(config, output=str(place), epochs=3, batch_size=batch, checkpoint_minutes=60.0)
            whole = choose_device(config.device) == "cuda"
            few = labels if whole else thinned(labels, batches * batch, 8)
            with parts.in_place(), _nets_alone():
                fit(short, few)
            ends = [row["seconds"] for row in history(place)]
            objects = max(len(few.of_split("train")) // batch, 1) * batch
            found.setdefault(name, []).append(min(np.diff(ends)) / objects)
            write_text(kept, json.dumps(found, indent=1) + "\n")
            shutil.rmtree(place)
    return {name: min(found[name]) for name in runs}


def epochs_in(minutes: float, seconds: float, objects: int) -> int:
    """Whole passes over so many objects in a time, at so many seconds an object."""
    return max(1, round(60 * minutes / (seconds * objects)))


# -- measuring -----------------------------------------------------------------------------------------------------------

Points = Callable[[HeatmapNet, torch.Tensor, dict[str, Any]], torch.Tensor]
"""(net, maps ``[B, K, h, w]`` of the last stage, batch) to points ``[B, K, 2]`` in picture pixels."""


def plain_points(net: HeatmapNet, maps: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
    """As the net's own settings decode."""
    return moved(net.points(maps)[..., :2].cpu(), batch["inverse"])


@dataclass(frozen=True)
class Measured:
    """A net on the held-out pictures.

    Attributes:
        normalised: ``[N, K]`` distances over the skeleton's own normaliser, NaN where a keypoint does not count.
        metrics: figures by name.
    """

    normalised: NDArray[np.float64]
    metrics: dict[str, float]


def find(
    net: HeatmapNet,
    truth: Annotations,
    rule: CropRule,
    device: str,
    *,
    flip: bool = False,
    points: Points = plain_points,
) -> NDArray[np.float64]:
    """Run a net on every object in its labelled box: ``[N, K, 2]`` in picture pixels, NaN where it was not run.

    Args:
        flip: average the maps with those of the mirrored crop, as ``posewright.Predictor`` does.
        points: how maps become points.
    """
    data = CropDataset(truth, rule)
    mirror = torch.tensor(truth.skeleton.flip_order())
    xy = np.full((len(truth), len(truth.skeleton), 2), np.nan)
    net = net.to(device).eval()
    with torch.inference_mode():
        for start in range(0, len(data), 32):
            batch = collate([data[i] for i in range(start, min(start + 32, len(data)))])
            maps = _last_maps(net, batch["image"].to(device))
            if flip:
                other = _last_maps(net, batch["image"].flip(2).to(device))
                maps = (maps + other.flip(-1)[:, mirror]) / 2
            xy[batch["index"].numpy()] = points(net, maps, dict(batch)).cpu().numpy()
    net.to("cpu")
    return xy


def _last_maps(net: HeatmapNet, image: torch.Tensor) -> torch.Tensor:
    return net.activate(net.logits(image)[:, -1:])[:, 0, : net.keypoints].float()


def measured(folder: Path, name: str, truth: Annotations, run: Callable[[], NDArray[np.float64]]) -> Measured:
    """What ``run`` finds, against the labels; kept in the folder under a name, and read from there the next time."""
    kept = folder / f"{MEASURED}-{name}.npz"
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as file:
            return Measured(file["normalised"], json.loads(str(file["metrics"])))
    found = evaluate(run(), truth)
    metrics = {name: float(found.metrics[name]) for name in MEASURES if name in found.metrics}
    with whole_file(kept) as temporary, Path(temporary).open("wb") as stream:
        np.savez_compressed(stream, normalised=found.normalised, metrics=json.dumps(metrics))
    return Measured(found.normalised, metrics)


def difference(a: Mapping[int, Measured], b: Mapping[int, Measured], truth: Annotations) -> dict[str, dict[str, Any]]:
    """b - a of the seeds that both have, by threshold, with the interval of the paired bootstrap over pictures."""
    seeds = sorted(set(a) & set(b))
    if not seeds:
        return {}
    sides = [np.stack([side[s].normalised for s in seeds]) for side in (a, b)]
    found = {}
    for threshold in THRESHOLDS:
        name = f"PCK@{threshold:g}"
        each = [b[s].metrics[name] - a[s].metrics[name] for s in seeds]
        found[name] = asdict(paired_bootstrap(*sides, truth.image, threshold)) | {"of each seed": each}
    return found


def mean_of(runs: Mapping[int, Measured]) -> dict[str, float]:
    """Mean figures over seeds."""
    return {name: float(np.mean([m.metrics[name] for m in runs.values()])) for name in MEASURES}


# -- what a benchmark's folder holds -----------------------------------------------------------------------------------------


def keep_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write down what all runs of a folder share.

    Raises:
        PosewrightError: where it holds runs made with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept, asked = folder / "settings.json", json.dumps(settings, indent=1, sort_keys=True, default=str)
    if kept.is_file():
        before, now = json.loads(kept.read_text()), json.loads(asked)
        other = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
        if other:
            what = "holds runs made with other settings: " + ", ".join(f"{k} {before.get(k)}" for k in other)
            raise PosewrightError(what, file=folder, fix="Give another -o, or the same settings")
    write_text(kept, asked + "\n")


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a table in Markdown; an empty cell where a row has no such column."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row.get(c, "")) for c in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def points_text(value: float) -> str:
    """A difference of two shares in percentage points."""
    return f"{100 * value:+.1f}"


def interval_text(d: Mapping[str, Any]) -> str:
    """Such as "+1.2 (-0.3 to +2.6)", in percentage points."""
    return f"{points_text(d['difference'])} ({points_text(d['low'])} to {points_text(d['high'])})"


def share_text(value: float) -> str:
    """A share as a percentage with one decimal."""
    return "" if not math.isfinite(value) else f"{100 * value:.1f}"


def draw_differences(rows: Sequence[tuple[str, Mapping[str, Mapping[str, Any]]]], title: str, target: Path) -> None:
    """Bars with 95 % intervals, one line an arm, for each threshold a panel; percentage points."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in rows if row[1]][::-1]
    if not rows:
        return
    figure, panels = pyplot.subplots(1, len(THRESHOLDS), figsize=(10, 1.4 + 0.27 * len(rows)), sharey=True)
    for axes, threshold in zip(panels, THRESHOLDS, strict=True):
        of = [found[f"PCK@{threshold:g}"] for _, found in rows]
        value, low, high = (100 * np.array([d[k] for d in of]) for k in ("difference", "low", "high"))
        colours = [
            "#2a7f4f" if lo > 0 else "#b03a2e" if hi < 0 else "#9a9a9a" for lo, hi in zip(low, high, strict=True)
        ]
        axes.barh(range(len(rows)), value, color=colours, height=0.7)
        axes.hlines(range(len(rows)), low, high, color="black", linewidth=1)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_xlabel(f"PCK@{threshold:g}, percentage points against the baseline")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(rows)), [name for name, _ in rows])
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    with whole_file(target) as temporary:
        figure.savefig(temporary, dpi=130, format=target.suffix[1:])
    pyplot.close(figure)
