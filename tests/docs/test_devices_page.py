"""docs/devices.md: its crop is the crop rule, its commands are taken, its files are there, and what is not built says so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from posewright.cli import COMMANDS, main
from posewright.cli.export import Command as Export
from posewright.cli.train import Command as Train
from posewright.geometry import CropRule, picture_box

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "devices.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("box", [None, (10.0, 20.0, 200.0, 90.0), (-30.0, 5.0, 12.5, 300.0)])
def test_its_formulas_are_the_crop_rule(box):
    rule = CropRule((96, 128), margin=1.3)
    similarity = rule.letterbox(640, 480) if box is None else rule.similarity(box)
    x0, y0, x1, y1 = picture_box(640, 480) if box is None else box
    names = {"max": max, "m": 1.0 if box is None else rule.margin, "w": 96, "h": 128}
    names |= {"x0": x0, "y0": y0, "x1": x1, "y1": y1}
    lines = re.search(r"```\n(   width.*?)```", PAGE, re.S).group(1).splitlines()
    assert len(lines) <= 15
    for line in lines[:3]:
        exec(line.split("#")[0].strip(), names)
    matrix = [[names["scale"], 0, names["dx"]], [0, names["scale"], names["dy"]]]
    np.testing.assert_allclose(matrix, similarity.matrix, atol=1e-9)


def test_its_commands_are_taken(monkeypatch):
    taken = []
    for command in (Export, Train):
        monkeypatch.setattr(command, "run", lambda self: taken.append(self) or 0)
    lines = re.findall(r"^posewright (.*)$", PAGE, re.M)
    for line in lines:
        assert main(shlex.split(line)) == 0, line
    assert len(taken) == len(lines) >= 2
    assert set(re.findall(r"`posewright ([a-z-]+)", PAGE)) <= set(COMMANDS)


def test_its_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert links and all((DOCS / link).exists() for link in links)


def test_what_was_not_built_says_so():
    headings = re.findall(r"^## (.*)$", PAGE, re.M)[1:]
    assert len(headings) == 4 and all(h.endswith("(not built here)") for h in headings)
