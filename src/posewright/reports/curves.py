"""The history of training runs: our ``metrics.csv``, any Lightning CSV log, and the hourglass system's ``val.txt``."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.files import read_text

Array = NDArray[np.float64]

FIGURES = {"val_pck": "PCK", "val_ap50": "AP"}
"""The figures that make an epoch the best, by name: what a person calls them. A run has one of them."""
FILES = ("metrics.csv", "val.txt")
"""What is looked for in a run's folder."""
_EPOCH = re.compile(r"Epoch\s+(\d+)\s*:\s*(\S+)")


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        name: what a chart calls it.
        file: where it was read from.
        epoch: ``[E]`` whole numbers, counted from 1, ascending.
        series: name to ``[E]``; NaN for an epoch without that figure. ``val_pck``, ``val_ap50``, ``val_loss``,
            ``train_loss``, ``lr`` and ``seconds`` are the names with a meaning.
        note: what the figures' convention is, where it is not ours.
    """

    name: str
    file: Path
    epoch: Array
    series: dict[str, Array]
    note: str = ""

    def best(self) -> int | None:
        """The row of the highest validation figure, else of the lowest validation or training loss; None without any."""
        for name, sign in (*((name, 1) for name in FIGURES), ("val_loss", -1), ("train_loss", -1)):
            values = self.series.get(name)
            if values is not None and np.isfinite(values).any():
                return int(np.argmax(np.where(np.isfinite(values), sign * values, -np.inf)))
        return None

    @property
    def figure(self) -> str:
        """Which of :data:`FIGURES` the run has; PCK where it has none."""
        return next((name for name in FIGURES if np.isfinite(self.series.get(name, np.nan)).any()), "val_pck")

    def at(self, name: str, row: int | None) -> float:
        """One figure, NaN where it is missing; a row of -1 is the last epoch."""
        values = self.series.get(name)
        return math.nan if values is None or row is None else float(values[row])


def read_run(path: str | Path) -> Run:
    """Read one run's history.

    Args:
        path: a run's folder, with ``metrics.csv`` or the hourglass system's ``val.txt`` in it, or such a file.

    Raises:
        PosewrightError: where there is no such file, there are several, or one cannot be read; with the line.
    """
    path = Path(path)
    if not path.exists():
        raise PosewrightError("does not exist", file=path)
    file = _history_in(path) if path.is_dir() else path
    text = read_text(file)
    lines = text.splitlines()
    if not any(line.strip() for line in lines):
        raise PosewrightError("is empty", file=file, fix="The run has not finished its first epoch")
    if file.suffix.lower() == ".csv":
        return _read_csv(lines, file, path)
    return _read_val_txt(lines, file, path)


def read_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Read several runs; those of one name are told apart by the folder above, or by a number."""
    runs = [read_run(path) for path in paths]
    for rename in (
        lambda run, i: f"{run.file.resolve().parent.parent.name}/{run.name}",
        lambda run, i: f"{run.name} ({i})",
    ):
        names = [run.name for run in runs]
        runs = [replace(r, name=rename(r, i)) if names.count(r.name) > 1 else r for i, r in enumerate(runs, 1)]
    return runs


def summary(run: Run) -> dict[str, Any]:
    """A run as one row of a table: its best epoch and what was measured there."""
    best = run.best()
    row: dict[str, Any] = {"run": run.name, "epochs": int(run.epoch[-1])}
    what = FIGURES[run.figure]
    row |= {"best epoch": None if best is None else int(run.epoch[best]), f"best {what}": run.at(run.figure, best)}
    row |= {
        f"last {what}": run.at(run.figure, -1),
        "val loss": run.at("val_loss", best),
        "train loss": run.at("train_loss", best),
    }
    if math.isfinite(run.at("seconds", -1)):
        row["minutes"] = f"{run.at('seconds', -1) / 60:.1f}"
    return {k: v for k, v in row.items() if v is not None and v == v}  # NaN is not equal to itself


def draw_curves(paths: Sequence[str | Path], target: str | Path) -> Path:
    """Read runs and draw their curves in one chart; return its path."""
    from posewright.reports.plots import training_curves

    return training_curves(read_runs(paths), target)


def _history_in(folder: Path) -> Path:
    for name in FILES:
        if (folder / name).is_file():
            return folder / name
    found = [f for name in FILES for f in sorted(folder.rglob(name))]
    if not found:
        fix = "A run's folder is what `posewright train -o` was given"
        raise PosewrightError(f"holds neither {FILES[0]} nor {FILES[1]}", file=folder, fix=fix)
    if len(found) > 1:
        names = ", ".join(str(f.relative_to(folder).parent) for f in found[:3])
        raise PosewrightError(f"holds {len(found)} runs ({names}, ...)", file=folder, fix="Name each one")
    return found[0]


def _run(name: str, file: Path, rows: dict[int, dict[str, float]], first: int, note: str = "") -> Run:
    """A run from its rows by epoch; ``first`` is what the file calls the first epoch."""
    epochs = sorted(rows)
    names = list(dict.fromkeys(n for epoch in epochs for n in rows[epoch]))
    series = {n: np.array([rows[e].get(n, math.nan) for e in epochs]) for n in names}
    return Run(name, file, np.array(epochs, float) + 1 - first, series, note)


def _name(file: Path, given: Path) -> str:
    """The run folder's name; ``runs/a/metrics.csv``, ``runs/a/version_0/metrics.csv`` and ``runs/a`` are all "a"."""
    if given.is_dir():
        return given.resolve().name
    folder = file.resolve().parent
    while re.fullmatch(r"version_\d+|csv|logs|lightning_logs", folder.name) and folder.parent != folder:
        folder = folder.parent
    return folder.name if file.name in FILES and folder.name else file.stem


def _read_csv(lines: list[str], file: Path, given: Path) -> Run:
    reader = csv.DictReader(lines)
    fields = [f.strip() for f in reader.fieldnames or []]
    if "epoch" not in fields:
        raise PosewrightError(
            "has no column 'epoch'",
            file=file,
            record="line 1",
            fix="A training run's metrics.csv begins epoch,step,...",
        )
    reader.fieldnames = fields
    rows: dict[int, dict[str, float]] = {}
    for row in reader:
        record = f"line {reader.line_num}"
        if None in row:
            raise PosewrightError(f"has more values than the {len(fields)} columns", file=file, record=record)
        values = {k: _number(v, k, file, record) for k, v in row.items() if v is not None and v.strip()}
        epoch = values.pop("epoch", math.nan)
        if not (epoch >= 0 and epoch % 1 == 0):
            raise PosewrightError("has no epoch, a whole number from 0", file=file, record=record)
        # A Lightning log has one row for training and one for validation of the same epoch.
        rows.setdefault(int(epoch), {}).update(values)
    if not rows:
        raise PosewrightError("has no epoch yet", file=file, fix="Wait until the run has finished one")
    for values in rows.values():
        if "train_loss" not in values and "train_loss_epoch" in values:
            values["train_loss"] = values.pop("train_loss_epoch")
    return _run(_name(file, given), file, rows, first=0)


def _number(text: str, column: str, file: Path, record: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise PosewrightError(
            f"column '{column}' holds '{text[:40]}', not a number", file=file, record=record
        ) from None


def _read_val_txt(lines: list[str], file: Path, given: Path) -> Run:
    """The hourglass system's log: ``model:...;dataset:...``, then ``Epoch 0:0.0390...`` for each epoch."""
    head = dict(part.partition(":")[::2] for part in lines[0].strip().split(";"))
    if "model" not in head:
        fix = "posewright curves reads metrics.csv and the hourglass system's val.txt (model:...;dataset:...)"
        raise PosewrightError("is no training history", file=file, record="line 1", fix=fix)
    rows: dict[int, dict[str, float]] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        match = _EPOCH.fullmatch(line.strip())
        if not match:
            raise PosewrightError(f"'{line.strip()[:40]}' is not 'Epoch N:PCK'", file=file, record=f"line {number}")
        rows[int(match.group(1))] = {"val_pck": _number(match.group(2), "PCK", file, f"line {number}")}
    if not rows:
        raise PosewrightError("has no epoch yet", file=file, fix="Wait until the run has finished one")
    name = " ".join(p for p in (head["model"], head.get("dataset", "")) if p)
    return _run(name, file, rows, first=0, note="PCK of the hourglass system: 0.5 x a tenth of the crop")
