"""``posewright export --precision``: from a checkpoint and labels to a smaller file that every command takes."""

from __future__ import annotations

import json

import pytest

from helpers.discs import draw_discs
from helpers.untrained import fresh
from posewright.annotations.coco_write import write
from posewright.cli import main
from posewright.export import exporting
from posewright.models.checkpoint import save_checkpoint
from posewright.runtime.modelfile import read_info


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A checkpoint and labelled pictures in two splits."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "discs").mkdir()
    write(draw_discs(tmp_path / "discs"), tmp_path / "discs" / "labels.json")
    save_checkpoint(fresh("hourglass_s1_nano", (64, 64), channels=16, activation="sigmoid"), tmp_path / "m.safetensors")
    return tmp_path


def test_an_int8_file_is_a_model_like_any_other(place, capsys, monkeypatch):
    monkeypatch.setattr(exporting, "AIM", 1.0)  # a net with random weights loses much to any rounding
    options = ["--precision", "int8", "--data", "discs/labels.json", "--max-loss", "100"]
    assert main(["export", "m.safetensors", *options]) == 0
    said = capsys.readouterr().out
    assert "Seen: 16 objects of labels.json to calibrate on, 6 others to check." in said
    assert "MB, int8." in said
    assert "On 6 objects of labels.json: " in said
    assert "int8: " in said and "but those that draw the maps." in said
    assert "Next: posewright predict m-int8.onnx" in said
    info = read_info("m-int8.onnx")
    assert (info.precision, info.skeleton.name) == ("int8", "discs")
    assert main(["predict", "m-int8.onnx", "discs/000.png", "-o", "out"]) == 0
    assert len(json.loads((place / "out" / "000.jsonl").read_text().splitlines()[0])["poses"]) == 1
    assert main(["evaluate", "m-int8.onnx", "discs/labels.json", "--json", "e.json", "--worst", "0"]) == 0
    assert json.loads((place / "e.json").read_text())["n_objects"] == 6


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--precision", "int8"], "int8 has to see training pictures to be written. Give it some: --data LABELS"),
        (["--precision", "int8", "--data", "none.json"], "none.json: does not exist"),
        (["--max-loss", "1"], "--max-loss is for fp16 and int8; in fp32 nothing is lost"),
        (["--precision", "int8", "--max-loss", "-1"], "--max-loss is in points of PCK, 0 to 100, not -1"),
    ],
)
def test_one_line_for_what_cannot_be_done(options, what, place, capsys):
    before = set(place.iterdir())
    assert main(["export", "m.safetensors", *options]) == 2
    said = capsys.readouterr().err
    assert what in said and said.count("\n") == 1
    assert set(place.iterdir()) == before


def test_a_cut_off_picture_among_those_to_calibrate_on(place, capsys):
    path = place / "discs" / "001.png"
    path.write_bytes(path.read_bytes()[:300])
    before = set(place.iterdir())
    assert main(["export", "m.safetensors", "--precision", "int8", "--data", "discs/labels.json"]) == 2
    said = capsys.readouterr().err
    assert "001.png" in said and said.count("\n") == 1
    assert set(place.iterdir()) == before
