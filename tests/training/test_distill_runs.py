"""Whole runs with a teacher: what they leave, how they go on, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers.teaching import RULE, SMALL
from posewright.errors import PosewrightError
from posewright.export.info import trained_on
from posewright.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from posewright.models.presets import build_net, preset
from posewright.skeleton import Skeleton
from posewright.training.config import TrainConfig
from posewright.training.distill import DistillTask
from posewright.training.distill_config import DistillConfig
from posewright.training.fit import fit


@pytest.fixture(autouse=True)
def unexported(monkeypatch):
    """Runs here end with their checkpoint; exporting takes longer than all the rest and is tested elsewhere."""
    monkeypatch.setattr("posewright.export.exporting.export_onnx", lambda *_: None)
    monkeypatch.setattr("posewright.reports.curves.draw_curves", lambda *_: None)
    monkeypatch.setattr("posewright.training.fit.calibrate", lambda *_: [])


def test_a_run_with_a_teacher(discs, big, wild, tmp_path):
    config = replace(SMALL, output=str(tmp_path / "run"), teacher=str(big), unlabelled=str(wild[0]))
    run = fit(config, discs, terms="free")
    checkpoint = load_checkpoint(run.folder / "model.safetensors")
    assert checkpoint.training["config"]["teacher"] == str(big)
    assert checkpoint.terms == f"free Teacher ({big}): ask first"
    known = load_checkpoint(big).training.get("data")
    told = {"name": str(big), "data": [known] if known else [], "terms": "ask first"}
    assert checkpoint.training["teacher"] == told
    assert trained_on({"data": "mine", "objects": 3, "teacher": told | {"data": ["theirs"]}}) == (
        "mine: 3 objects",
        f"theirs (teacher '{big}')",
    )
    for name in ("last", "best"):
        state = torch.load(run.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        weights = state["state_dict"]
        assert all(k.startswith("net.") for k in weights), [k for k in weights if not k.startswith("net.")]
        count = sum(v.numel() for k, v in weights.items())
        assert count == sum(v.numel() for v in checkpoint.net.state_dict().values())
        averaged = [k for k in state if "averag" in k and isinstance(state[k], dict)]
        assert all("teacher" not in k for a in averaged for k in state[a])
    assert TrainConfig.load(run.folder / "config.yaml").teacher == str(big)


@pytest.mark.parametrize("distill", [{"target": "features"}, {"once": True}], ids=["features", "once"])
def test_a_resumed_run_goes_on_exactly(distill, discs, big, wild, tmp_path, monkeypatch):
    config = replace(
        SMALL, output=str(tmp_path / "whole"), teacher=str(big), unlabelled=str(wild[0]), checkpoint_minutes=1e-9,
        distill=DistillConfig(**distill),
    )  # fmt: skip
    fit(config, discs)
    real, steps = DistillTask.losses, []

    def stops(self, batch):
        steps.append(1)
        if self.training and self.steps_taken == 3:
            raise RuntimeError("power cut")
        return real(self, batch)

    monkeypatch.setattr(DistillTask, "losses", stops)
    broken = replace(config, output=str(tmp_path / "broken"))
    with pytest.raises(RuntimeError, match="power cut"):
        fit(broken, discs)
    monkeypatch.setattr(DistillTask, "losses", real)
    fit(TrainConfig(output=str(tmp_path / "broken"), device="cpu"), discs, resume=True)
    one, other = (load_checkpoint(tmp_path / n / "model.safetensors").net.state_dict() for n in ("whole", "broken"))
    assert all(torch.allclose(one[k], other[k], atol=1e-6) for k in one)


def test_resuming_with_another_teacher_is_refused(discs, big, tmp_path):
    mine = shutil.copyfile(big, tmp_path / "mine.safetensors")
    config = replace(SMALL, epochs=1, output=str(tmp_path / "run"), teacher=str(mine))
    fit(config, discs)
    checkpoint = load_checkpoint(mine)
    torch.nn.init.normal_(checkpoint.net.predictors()[-1].weight)
    save_checkpoint(checkpoint, mine)
    with pytest.raises(PosewrightError, match="not the one this run began with"):
        fit(TrainConfig(output=str(tmp_path / "run"), device="cpu"), discs, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": "nowhere/t.safetensors"}, "does not exist"),
        ({"distill": DistillConfig(stages=(1, 2))}, "--distill.stages names 2 stages, the student has 1"),
        ({"distill": DistillConfig(stages=(3,))}, "names stage 3, the teacher has 2"),
        ({"distill": DistillConfig(map=("top,crown",))}, "has no keypoint 'crown'"),
        ({"unlabelled": "nowhere"}, "nowhere: does not exist"),
    ],
)
def test_bad_input_leaves_no_run_behind(discs, big, tmp_path, change, message):
    config = replace(SMALL, output=str(tmp_path / "run"), **{"teacher": str(big), **change})
    with pytest.raises(PosewrightError, match=message) as caught:
        fit(config, discs)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_something_else(discs, tmp_path):
    hand = Skeleton("hand", ("wrist", "thumb"))
    net = build_net(preset("hourglass_s1_nano", channels=16), 2).eval()
    path = save_checkpoint(Checkpoint(net, hand, RULE, "hourglass_s1_nano"), tmp_path / "hand.safetensors")
    config = replace(SMALL, output=str(tmp_path / "run"), teacher=str(path))
    with pytest.raises(PosewrightError, match=r"'hand' shares no keypoint name with 'discs'.*--distill\.map"):
        fit(config, discs)


def test_settings_that_need_a_teacher():
    with pytest.raises(PosewrightError, match="unlabelled says nothing without a teacher"):
        replace(SMALL, unlabelled="folder")
    with pytest.raises(PosewrightError, match="distill says nothing without a teacher"):
        replace(SMALL, distill=DistillConfig(alpha=0.9))


def test_settings_survive_their_file(tmp_path):
    config = replace(SMALL, teacher="t", distill=DistillConfig(stages=(2, 4), map=("a,b",), sigma=2.0))
    config.save(tmp_path / "c.yaml")
    assert TrainConfig.load(Path(tmp_path / "c.yaml")) == config
