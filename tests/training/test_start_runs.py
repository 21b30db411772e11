"""Whole runs from a start: frozen parts, kept settings, later epochs, and going on after a power cut."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers.discs import DISCS
from helpers.runs import small_run
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from posewright.models.presets import build_net, preset
from posewright.skeleton import Skeleton
from posewright.training.config import TrainConfig
from posewright.training.data import loaders
from posewright.training.fit import fit
from posewright.training.task import KeypointTask


@pytest.fixture(autouse=True)
def no_model_file(monkeypatch):
    """These runs are looked at, not run: leave out the export, which takes longer than they do."""
    monkeypatch.setattr("posewright.export.exporting.export_onnx", lambda checkpoint, path: None)
    monkeypatch.setattr("posewright.reports.curves.draw_curves", lambda folders, path: None)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A checkpoint to start from: two discs only, other terms, batch norms that have seen something."""
    torch.manual_seed(3)
    net = build_net(preset("hourglass_s1_nano", channels=16, activation="sigmoid"), 2)
    with torch.no_grad():
        net.train()
        net.logits(torch.randint(0, 255, (4, 64, 64, 3), dtype=torch.uint8))
    path = tmp_path_factory.mktemp("start") / "model.safetensors"
    two = Skeleton("two", DISCS.keypoints[:2])
    training = {"data": "two discs"}
    save_checkpoint(
        Checkpoint(net.eval(), two, CropRule((64, 64)), "hourglass_s1_nano", training=training, terms="For research."),
        path,
    )
    return path


def fine_tune(path: Path, folder: Path, discs, **changes):
    config = small_run(init=str(path), model="auto", net=(), input_size="auto", output=str(folder), **changes)
    return fit(config, discs, terms="Own pictures.")


@pytest.mark.parametrize("ema", [0.9, 0.0])
def test_frozen_parts_come_out_bit_for_bit_as_they_went_in(discs, started, tmp_path, capsys, ema):
    run = fine_tune(started, tmp_path / "run", discs, freeze=("trunk", "stacks"), ema=ema)
    before, after = (
        load_checkpoint(started).net.state_dict(),
        load_checkpoint(run.folder / "model.safetensors").net.state_dict(),
    )
    still = [k for k in after if k.startswith(("stem", "stacks"))]
    assert any(k.endswith("running_mean") for k in still)
    assert all(torch.equal(before[k], after[k]) for k in still)
    assert not torch.equal(before["heads.0.feature.conv.weight"], after["heads.0.feature.conv.weight"])
    said = capsys.readouterr().out
    assert f"starting from {started}" in said
    assert "channels of 2 of 3 keypoints" in said
    assert "frozen: stem, stacks" in said


def test_terms_data_and_settings_of_the_start_are_kept(discs, started, tmp_path):
    run = fine_tune(started, tmp_path / "run", discs, epochs=1)
    found = load_checkpoint(run.folder / "model.safetensors")
    assert found.terms == f"Own pictures. Start weights ({started}): For research."
    assert found.training["start"] == {"name": str(started), "data": ["two discs"], "terms": "For research."}
    saved = TrainConfig.load(run.folder / "config.yaml")
    assert (saved.model, saved.net, saved.input_size) == ("hourglass_s1_nano", ("channels=16",), "64x64")
    again = fine_tune(run.folder / "model.safetensors", tmp_path / "again", discs, epochs=1)
    assert again.checkpoint.training["start"]["data"][1:] == ["two discs"]
    assert again.checkpoint.terms.count("For research.") == 1


def test_a_start_without_weights_to_freeze(discs, tmp_path):
    with pytest.raises(PosewrightError, match=r"would keep random weights.*--init"):
        fit(small_run(freeze=("trunk",), output=str(tmp_path / "run")), discs)
    assert not (tmp_path / "run").exists()


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def test_counting_from_a_later_epoch(discs, tmp_path):
    """Epochs 3 and 4 of five: the numbers, the learning rates and the samples of a whole run's last two."""
    whole = rows(fit(small_run(output=str(tmp_path / "whole"), epochs=5), discs).folder)
    late = rows(fit(small_run(output=str(tmp_path / "late"), epochs=5, init_epoch=3), discs).folder)
    for name in ("epoch", "step", "lr"):
        assert [r[name] for r in late] == [r[name] for r in whole[3:]], name
    with pytest.raises(PosewrightError, match="init_epoch 5 leaves nothing of 5 epochs"):
        small_run(epochs=5, init_epoch=5)


def test_a_later_epoch_shows_its_own_samples(discs, tmp_path, monkeypatch):
    seen: dict[int, list[list[int]]] = {}
    real = KeypointTask.training_step

    def watched(self, batch, batch_idx):
        seen.setdefault(self.current_epoch, []).append(batch["image"].long().sum((1, 2, 3)).tolist())
        return real(self, batch, batch_idx)

    monkeypatch.setattr(KeypointTask, "training_step", watched)
    fit(small_run(output=str(tmp_path / "whole"), epochs=3), discs)
    whole = {k: list(v) for k, v in seen.items()}
    seen.clear()
    fit(small_run(output=str(tmp_path / "late"), epochs=3, init_epoch=2), discs)
    assert seen == {2: whole[2]}


class PowerCut(Exception):
    pass


@pytest.mark.parametrize("kind", ["frozen", "late", "hard", "qat"])
def test_a_stopped_run_goes_on_exactly(discs, started, tmp_path, kind, monkeypatch):
    """Stopped within an epoch and resumed, with each of these, it ends where an uninterrupted run ends."""
    changes = {
        "frozen": {"freeze": ("trunk",)}, "late": {"init_epoch": 1}, "hard": {"hard": str(tmp_path / "hard.csv")},
        "qat": {"qat": True},
    }[kind]  # fmt: skip
    (tmp_path / "hard.csv").write_text("image,object,weight\n001.png,0,3\n002.png,0,2.5\n")
    whole = fine_tune(started, tmp_path / "whole", discs, **changes)
    steps = len(loaders(whole_config(whole), discs, CropRule((64, 64)))[0])
    stop, real = int(steps * (1.5 if kind != "late" else 2.5)), KeypointTask.training_step

    def cut(self, batch, batch_idx):
        if self.steps_taken == stop:
            raise PowerCut
        return real(self, batch, batch_idx)

    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(KeypointTask, "training_step", cut)
        fine_tune(started, tmp_path / "cut", discs, checkpoint_minutes=1e-6, **changes)
    at = torch.load(tmp_path / "cut" / "checkpoints" / "last.ckpt", weights_only=True)["posewright"]["steps_taken"]
    assert at % steps, "it was to be stopped within an epoch"
    moved = started.rename(tmp_path / "gone.safetensors")  # a resumed run needs its start no longer
    try:
        resumed = fit(small_run(output=str(tmp_path / "cut")), discs, resume=True, terms="Own pictures.")
    finally:
        moved.rename(started)
    a, b = rows(whole.folder), rows(resumed.folder)
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        for name in ("epoch", "step", "train_loss", "val_loss", "val_pck", "lr"):
            assert y[name] == pytest.approx(x[name], rel=1e-6, abs=1e-6), (name, x["epoch"])
    one, other = whole.checkpoint.net.state_dict(), resumed.checkpoint.net.state_dict()
    assert all(torch.allclose(one[k], other[k], atol=1e-6) for k in one)
    assert resumed.checkpoint.terms == whole.checkpoint.terms


def whole_config(run) -> TrainConfig:
    return replace(TrainConfig.load(run.folder / "config.yaml"), output="")
