"""Models side by side: accuracy, time, size and memory, one row a model, as a table, a CSV file and a chart."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posewright.files import write_text
from posewright.metrics.bootstrap import PckDifference
from posewright.metrics.comparison import UNCLEAR, verdict_on
from posewright.metrics.figure import Agreement, Figure
from posewright.runtime.timing import BATCH, Timing


@dataclass(frozen=True)
class Benched:
    """What was found of one model.

    Attributes:
        name: as it was asked for.
        engine, precision: what ran it, and what its weights are stored in.
        megabytes: on disk.
        timing: against the others.
        value: its accuracy; None without labels.
        difference: to the first model, with its interval; None for the first, and where none can be given.
        agreement: with the first model; None with labels, and for the first.
        cold: seconds until its first result in a fresh process; None where not measured.
        memory: peak of that process in MB; None where not measured.
    """

    name: str
    engine: str
    precision: str
    megabytes: float
    timing: Timing
    value: float | None = None
    difference: PckDifference | None = None
    agreement: Agreement | None = None
    cold: float | None = None
    memory: float | None = None

    @property
    def milliseconds(self) -> float:
        """Of the net at a batch of 1, the median."""
        return float(np.median(self.timing.one))


@dataclass(frozen=True)
class Bench:
    """Models side by side; the first is what the others are compared with.

    Attributes:
        models: in the order asked for.
        figure: what accuracy was measured by; None without labels.
        threads: processor threads that each had.
    """

    models: Sequence[Benched]
    figure: Figure | None
    threads: int

    def rows(self) -> list[dict[str, Any]]:
        """The table for the terminal, one row a model."""
        return [self._row(model) for model in self.models]

    def _row(self, model: Benched) -> dict[str, Any]:
        row: dict[str, Any] = {"model": model.name, "engine": model.engine, "weights": model.precision}
        digits = 4 if self.figure is not None and self.figure.kind == "nme" else 3
        if self.figure is not None:
            row[self.figure.name] = _fixed(model.value, digits)
            row["difference"], row["from"], row["to"] = self._difference(model, digits)
        else:
            found = model.agreement
            row["agrees"] = _fixed(None if found is None else found.share, 3)
            row["median px"] = _fixed(None if found is None else found.median, 2)
        timing = model.timing
        return row | {
            "ms": _fixed(np.median(timing.one), 2),
            "p95": _fixed(np.percentile(timing.one, 95), 2),
            f"ms, {BATCH}": _fixed(np.median(timing.many), 2),
            f"p95, {BATCH}": _fixed(np.percentile(timing.many, 95), 2),
            "ms, whole": _fixed(np.median(timing.whole), 2),
            "threads": self.threads,
            "start s": _fixed(model.cold, 2),
            "MB": _fixed(model.megabytes, 2),
            "RAM MB": _fixed(model.memory, 0),
        }

    def _difference(self, model: Benched, digits: int) -> tuple[str | None, str | None, str | None]:
        if model is self.models[0]:
            return None, None, None
        found = model.difference
        if found is not None:
            return tuple(f"{x:+.{digits}f}" for x in (found.difference, found.low, found.high))  # type: ignore[return-value]
        first = self.models[0].value
        if first is None or model.value is None:
            return None, None, None
        return f"{model.value - first:+.{digits}f}", None, None

    def records(self) -> list[dict[str, Any]]:
        """The same with all digits and units in the names, for a file."""
        records = []
        for model in self.models:
            record: dict[str, Any] = {"model": model.name, "engine": model.engine, "precision": model.precision}
            if self.figure is not None:
                first, found = self.models[0].value, model.difference
                apart = None if first is None or model.value is None else model.value - first
                record |= {
                    "figure": self.figure.name,
                    "value": model.value,
                    "difference": apart,
                    "difference_low": found and found.low,
                    "difference_high": found and found.high,
                    "pictures": found and found.pictures,
                }
            else:
                seen = model.agreement
                record |= {"agrees": seen and seen.share, "median_px": seen and seen.median}
            for name, values in (
                ("ms_batch_1", model.timing.one),
                (f"ms_batch_{BATCH}", model.timing.many),
                ("ms_end_to_end", model.timing.whole),
            ):
                record |= {name: float(np.median(values)), f"{name}_p95": float(np.percentile(values, 95))}
            record |= {
                "rounds": len(model.timing.one),
                "threads": self.threads,
                "cold_start_s": model.cold,
                "MB_on_disk": model.megabytes,
                "MB_peak_memory": model.memory,
            }
            records.append(record)
        return records

    def write_csv(self, path: str | Path) -> Path:
        """Write :meth:`records`; return the path."""
        records, text = self.records(), io.StringIO()
        writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([{name: _plain(value) for name, value in record.items()} for record in records])
        return write_text(path, text.getvalue())

    def write_plot(self, path: str | Path) -> Path:
        """Draw accuracy against latency; return the path."""
        from posewright.reports.plots import accuracy_by_latency

        points = []
        for model in self.models:
            if self.figure is not None:
                value = model.value
            else:
                value = 1.0 if model.agreement is None else model.agreement.share
            points.append((_short(model.name), model.milliseconds, math.nan if value is None else value))
        words = "agreement with the first" if self.figure is None else self.figure.name
        return accuracy_by_latency(
            points, path, figure=words, lower=self.figure is not None and self.figure.kind == "nme"
        )

    def summary(self) -> list[str]:
        """What the others are against the first, one sentence each."""
        first, lines = self.models[0], []
        for model in self.models[1:]:
            words = [f"{_factor(first.milliseconds / model.milliseconds)} the speed"]
            words.append(f"{100 * model.megabytes / first.megabytes:.0f} % of the size")
            if model.difference is not None and self.figure is not None:
                verdict = verdict_on(model.difference)
                if self.figure.kind == "nme" and verdict != UNCLEAR:  # a longer distance is no better
                    verdict = {"better": "worse", "worse": "better"}[verdict]
                if verdict == UNCLEAR:
                    verdict = "no clear difference"
                words.append(f"{self.figure.name}: {verdict} ({model.difference})")
            lines.append(f"{model.name} against {first.name}: {', '.join(words)}.")
        return lines

    def conventions(self) -> list[str]:
        """What the figures mean, one sentence each."""
        rounds = len(self.models[0].timing.one)
        lines = [
            f"ms: milliseconds a picture of the net alone, median of {rounds} rounds in which the models took turns; p95: 95 % "
            f"of the rounds were no slower; with {BATCH}: at a batch of {BATCH}; whole: from pixels to pose, at a batch of 1.",
            "start s: load and first result in a fresh process, Python's own start left "
            "out; RAM MB: most that such a process ever held, Python and libraries included. Both are medians of several.",
        ]
        return [*([self.figure.sentence()] if self.figure else []), *lines]


def _fixed(value: float | None, digits: int) -> str | None:
    return None if value is None or not math.isfinite(value) else f"{float(value):.{digits}f}"


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def _factor(value: float) -> str:
    return f"{value:.2f} x"


def _short(name: str) -> str:
    """A model's name without the folders it lies in."""
    return name.rstrip("/").rpartition("/")[2]
