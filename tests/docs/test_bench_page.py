"""docs/bench.md: its commands are taken, and the columns that it explains are those of the table."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np

from posewright.cli import main
from posewright.cli.bench import Command as BenchCommand
from posewright.cli.export import Command as Export
from posewright.reports.bench import Bench, Benched
from posewright.runtime.timing import Timing

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "bench.md").read_text(encoding="utf-8")


def test_its_commands_are_taken(monkeypatch):
    taken = []
    for command in (Export, BenchCommand):
        monkeypatch.setattr(command, "run", lambda self: taken.append(self) or 0)
    lines = re.findall(r"^posewright ((?:export|bench) .*)$", PAGE, re.M)
    for line in lines:
        assert main(shlex.split(line)) == 0, line
    assert len(taken) == len(lines) == 3


def test_the_columns_it_explains_are_there():
    times = Timing(*np.ones((3, 4)))
    columns = list(Bench([Benched("a", "onnxruntime", "fp32", 1.0, times)], None, 1).rows()[0])
    named = re.findall(r"^- \*\*(.*?)\*\*:", PAGE.split("## Reading the table")[1], re.M)
    explained = [word for group in named for word in group.split(", ")]
    assert len(explained) == 4
    assert all(word in columns or word == "difference" for word in explained), (explained, columns)
