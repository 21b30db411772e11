"""``posewright curves``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Command:
    """Draw the training curves of one or several runs in one chart, and list their best epochs.

    A run is a folder that `posewright train` wrote, any Lightning metrics.csv, or the hourglass system's val.txt.

    examples:
      posewright curves runs/last
      posewright curves runs/small runs/big logs/000/val.txt -o compare.png
    """

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")]
    """Run folders, metrics.csv files or val.txt files."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("curves.png")
    """The chart: .png, .svg, .pdf, .jpg or .webp."""

    def run(self) -> int:
        from posewright.errors import PosewrightError
        from posewright.reports.curves import read_runs, summary
        from posewright.reports.plots import check_ending, training_curves
        from posewright.reports.tables import print_table

        if not self.runs:
            raise PosewrightError("no run given", fix="Name run folders, such as runs/last")
        check_ending(self.output)
        runs = read_runs(self.runs)
        training_curves(runs, self.output)
        ranks = [run.at(run.figure, run.best()) for run in runs]
        ranks = [rank if math.isfinite(rank) else -math.inf for rank in ranks]
        first = max(range(len(runs)), key=ranks.__getitem__)
        notes = " ".join(f"{run.name}: {run.note}." for run in runs if run.note)
        print_table([summary(run) for run in runs], notes, strong=[first] if len(runs) > 1 else [])
        print(f"Drawn to {self.output}.")
        folder = runs[first].file.parent
        if (folder / "model.onnx").is_file():
            print(f"Next: posewright evaluate {folder} DATA")
        else:
            print(f"Next: posewright train --data DATA -o runs/next, then posewright curves {folder} runs/next")
        return 0
