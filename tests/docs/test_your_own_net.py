"""The page on nets of one's own works as it stands there, and ten lines are enough for a known family."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import posewright
from helpers.discs import draw_discs
from posewright.annotations import get_format
from posewright.models.checkpoint import load_checkpoint
from posewright.models.presets import FAMILIES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "your-own-net.md"
BLOCKS = dict(re.findall(r"<!-- tested: (\w+) -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S))


@pytest.fixture
def here(tmp_path, monkeypatch):
    get_format("coco").write(draw_discs(tmp_path, count=12), tmp_path / "labels.json")
    monkeypatch.chdir(tmp_path)
    # As if nobody else had registered anything, and nothing is left registered.
    monkeypatch.setattr("posewright.models.presets.FAMILIES", dict(FAMILIES))
    monkeypatch.setattr("posewright.training.nets.FAMILIES", posewright.models.presets.FAMILIES)
    return tmp_path


def test_ten_lines_make_and_train_a_net(here, capsys):
    code = BLOCKS["preset"]
    assert len([line for line in code.splitlines() if line]) <= 10
    exec(compile(code, PAGE.name, "exec"), {})
    assert re.search(r"PCK@0.2 [01]\.\d+, \d+ parameters in 2 stages", capsys.readouterr().out)
    checkpoint = load_checkpoint(here / "runs/mine/model.safetensors")
    assert (checkpoint.preset, checkpoint.net.config.width, checkpoint.net.config.stages) == ("cpm", 0.125, 2)
    assert "width=0.125" in checkpoint.training["config"]["net"]


def test_a_family_of_ones_own_goes_the_whole_road(here, capsys, monkeypatch):
    (here / "sketch_of_the_page.py").write_text(BLOCKS["family"], encoding="utf-8")
    monkeypatch.syspath_prepend(here)
    importlib.import_module("sketch_of_the_page")
    assert capsys.readouterr().out.splitlines()[-1] == str(Path("runs/sketch/model.onnx"))
    assert load_checkpoint(here / "runs/sketch/model.safetensors").net.config.channels == 16
    poses = posewright.load(here / "runs/sketch")(here / "000.png")
    assert poses.xy.shape == (1, 3, 2)
