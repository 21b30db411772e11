"""``posewright models`` tells what there is, and what of it is broken."""

from __future__ import annotations

import dataclasses

import pytest

from helpers.spots import SIZE, SPOTS, spot_model
from posewright.cli import main
from posewright.geometry import CropRule
from posewright.runtime.modelfile import ModelInfo

INFO = ModelInfo(
    SPOTS,
    CropRule(SIZE),
    4,
    "hourglass_s2_tiny",
    ("keypoints", "presence", "heatmaps"),
    training_data=("ten thousand spots", "more spots"),
    metrics={"PCK@0.2": {"value": 0.5123, "normaliser": "torso", "images": 500}, "speed": {"value": 7}},
    terms="For research only.",
)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.setattr("posewright.runtime.names.shipped_folders", lambda: [tmp_path])
    return tmp_path


def test_shipped_models_and_presets(shelf, capsys):
    spot_model(shelf / "spots.onnx", info=INFO)
    spot_model(shelf / "plain.onnx", info=dataclasses.replace(INFO, training_data=(), metrics={}, terms=""))
    (shelf / "broken.onnx").write_bytes(b"")
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    table, notes = out.split("Shipped models:")
    for word in ("spots", "96x64", "hourglass_s2_tiny", "PCK@0.2 0.512 (normaliser torso, images 500)", "speed 7"):
        assert word in table
    flat = " ".join(notes.split())
    assert "spots: trained on ten thousand spots; more spots. For research only." in flat
    assert "plain: No terms stated." in flat and "broken cannot be used:" in flat and "is empty" in flat
    assert "hourglass_s{N}" in notes
    assert out.splitlines()[-1] == "Next: posewright predict plain PICTURES -o out"


def test_nothing_shipped(shelf, capsys):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert "POSEWRIGHT_MODELS" in out and out.splitlines()[-1].startswith("Next: posewright train")
