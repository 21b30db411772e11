"""What a person may give for a model, and what they are told when there is none."""

from __future__ import annotations

import os

import pytest

from helpers.spots import spot_model
from posewright.errors import PosewrightError
from posewright.runtime.names import VARIABLE, find_checkpoint, find_model, shipped_folders, shipped_models


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Two folders of shipped models; the first wins where both have one."""
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (first / "fly.onnx", second / "fly.onnx", second / "bee.onnx"):
        spot_model(path)
    (second / "bee.safetensors").write_bytes(b"weights")
    (second / "bee.json").write_text("{}")
    monkeypatch.setenv(VARIABLE, f"{first}{os.pathsep}{second}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(call, spec) -> str:
    with pytest.raises(PosewrightError) as caught:
        call(spec)
    return str(caught.value)


def test_names_come_from_the_folders_in_order(shelf):
    found = shipped_models()
    assert found["fly"].model == shelf / "first" / "fly.onnx" and found["fly"].checkpoint is None
    assert found["bee"].checkpoint == shelf / "second" / "bee.safetensors"
    assert find_model("bee") == shelf / "second" / "bee.onnx"
    assert find_checkpoint("bee") == shelf / "second" / "bee.safetensors"
    assert "shipped without its checkpoint" in complaint(find_checkpoint, "fly")


def test_a_source_checkout_has_its_zoo(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    parts = [folder.parts[-2:] for folder in shipped_folders()]
    assert ("posewright", "weights") in parts and ("zoo", "weights") in parts


def test_files_runs_and_checkpoints(shelf):
    run = shelf / "runs" / "a"
    spot_model(run / "model.onnx")
    (run / "model.safetensors").write_bytes(b"weights")
    model, checkpoint = run / "model.onnx", run / "model.safetensors"
    assert find_model(run) == find_model(model) == find_model(checkpoint) == model
    assert find_checkpoint(run) == find_checkpoint(checkpoint) == find_checkpoint(model) == checkpoint
    model.unlink()
    assert f"Make one: posewright export {checkpoint}" in complaint(find_model, checkpoint)
    assert f"holds no model.onnx. If it is a run, make one: posewright export {run}" in complaint(find_model, run)


def test_a_folder_called_like_a_model_does_not_hide_it(shelf):
    (shelf / "bee").mkdir()
    assert find_model("bee") == shelf / "second" / "bee.onnx"
    spot_model(shelf / "bee" / "model.onnx")
    assert find_model("bee").parts[-2:] == ("bee", "model.onnx")


def test_what_is_not_there(shelf, monkeypatch):
    assert complaint(find_model, "fli").endswith("no shipped model 'fli'. Did you mean 'fly'?")
    assert "Known: bee, " in complaint(find_model, "elephant")
    assert complaint(find_model, "nothing.onnx") == "nothing.onnx: does not exist"
    assert "does not exist" in complaint(find_model, "runs/none")
    assert "does not exist" in complaint(find_checkpoint, "none.safetensors")
    lonely = spot_model(shelf / "lonely.onnx")
    assert "no checkpoint lies beside it" in complaint(find_checkpoint, lonely)
    monkeypatch.setattr("posewright.runtime.names.shipped_folders", list)
    assert f"set {VARIABLE}" in complaint(find_model, "fly")
