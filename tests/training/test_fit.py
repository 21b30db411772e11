"""Whole training runs: what they leave behind, how they learn, and that a killed one goes on exactly."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.discs import DISCS, draw_discs
from helpers.runs import small_run
from posewright.errors import PosewrightError
from posewright.models.checkpoint import load_checkpoint
from posewright.models.heatmaps import encode
from posewright.models.presets import build_net, preset
from posewright.training.config import TrainConfig
from posewright.training.dataset import DRAWN
from posewright.training.fit import fit
from posewright.training.presence import fit_presence
from posewright.training.task import KeypointTask

SMALL = small_run()


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(discs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "first"
    return fit(replace(SMALL, output=str(folder)), discs, terms="free")


def test_a_run_leaves_all_that_is_needed(finished):
    there = {p.relative_to(finished.folder).as_posix() for p in finished.folder.rglob("*") if p.is_file()}
    assert {"model.safetensors", "model.onnx", "curves.png", "metrics.csv", "config.yaml"} <= there
    assert {"checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= there
    assert any(t.startswith("tensorboard/events") for t in there)
    assert not [t for t in there if ".tmp" in t]
    rows = history(finished.folder)
    assert [r["epoch"] for r in rows] == [0, 1, 2]
    assert all({"train_loss", "val_loss", "val_pck", "lr", "seconds", "step"} <= r.keys() for r in rows)
    assert finished.pck == pytest.approx(max(r["val_pck"] for r in rows), abs=1e-5)


def test_the_checkpoint_says_where_it_comes_from(finished):
    checkpoint = load_checkpoint(finished.folder / "model.safetensors")
    assert checkpoint.skeleton == DISCS
    assert checkpoint.training["config"]["lr"] == SMALL.lr
    assert checkpoint.terms == "free"
    assert TrainConfig.load(finished.folder / "config.yaml") == replace(SMALL, output=str(finished.folder))


def test_a_net_learns_the_discs(tmp_path):
    data = draw_discs(tmp_path, count=60, empty=6)
    run = fit(replace(SMALL, output=str(tmp_path / "run"), epochs=12, lr=6e-3, batch_size=6, threads=1), data)
    assert run.pck > 0.6
    a, _b = run.checkpoint.presence
    assert a > 0
    rows = history(run.folder)
    assert rows[-1]["train_loss"] < 0.75 * rows[0]["train_loss"]


RUN = """
import sys
from dataclasses import replace
sys.path[:0] = {path!r}
from test_fit import SMALL
from helpers.discs import draw_discs
from pathlib import Path
from posewright.training.fit import fit
if __name__ == "__main__":
    data = Path({data!r})
    data.mkdir(exist_ok=True)
    fit(replace(SMALL, output={output!r}, epochs=5, checkpoint_minutes=1e-6, ema={ema}), draw_discs(data), resume={resume})
"""


def launch(tmp_path: Path, name: str, resume: bool, ema: float) -> subprocess.Popen:
    here = Path(__file__).resolve().parent
    script = tmp_path / f"{name}_{resume}.py"
    values = {"path": [str(here), str(here.parent)], "data": str(tmp_path / "data"), "output": str(tmp_path / name)}
    script.write_text(RUN.format(**values, resume=resume, ema=ema))
    return subprocess.Popen([sys.executable, str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.parametrize("ema", [0.9, 0.0])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, ema):
    """Kill a run in the middle of an epoch, resume it, and compare every figure with an uninterrupted run's."""
    whole = launch(tmp_path, "whole", False, ema)
    assert whole.wait(240) == 0, whole.stderr.read().decode()[-2000:]
    killed = launch(tmp_path, "killed", False, ema)
    last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    started, step = time.monotonic(), 0
    while time.monotonic() - started < 200 and killed.poll() is None:
        if last.exists():
            try:
                step = torch.load(last, weights_only=True)["posewright"]["steps_taken"]
            except Exception:
                step = 0  # caught while it was being replaced
            if step >= 6 and step % 4:
                break
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert killed.returncode == -signal.SIGKILL, "the run was over before it could be killed"
    resumed = launch(tmp_path, "killed", True, ema)
    assert resumed.wait(240) == 0, resumed.stderr.read().decode()[-2000:]
    a, b = history(tmp_path / "whole"), history(tmp_path / "killed")
    assert len(a) == len(b) == 5
    for x, y in zip(a, b, strict=True):
        for name in ("epoch", "step", "train_loss", "val_loss", "val_pck", "lr"):
            assert y[name] == pytest.approx(x[name], rel=1e-6, abs=1e-6), (name, x["epoch"])
    one, other = (load_checkpoint(tmp_path / n / "model.safetensors").net.state_dict() for n in ("whole", "killed"))
    apart = {k: float((one[k] - other[k]).abs().max()) for k in one if not torch.allclose(one[k], other[k], atol=1e-6)}
    assert not apart


def test_a_folder_that_holds_a_run_is_not_overwritten(finished, discs):
    with pytest.raises(PosewrightError, match=r"holds a run already.*--resume"):
        fit(replace(SMALL, output=str(finished.folder)), discs)


def test_nothing_to_resume(tmp_path, discs):
    with pytest.raises(PosewrightError, match="no run to resume"):
        fit(replace(SMALL, output=str(tmp_path / "none")), discs, resume=True)


def test_a_hostile_checkpoint_runs_nothing(tmp_path, discs):
    import pickle

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/owned",)

    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "last.ckpt").write_bytes(pickle.dumps({"posewright": Evil()}))
    with pytest.raises(PosewrightError, match="cannot be resumed from"):
        fit(replace(SMALL, output=str(tmp_path / "run")), discs, resume=True)
    assert not (tmp_path / "owned").exists()


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_batch(tmp_path, discs, monkeypatch):
    real = KeypointTask.losses

    def poisoned(self, batch):
        parts = real(self, batch)
        return parts | {"loss": parts["loss"] * (float("nan") if self.steps_taken == 2 else 1)}

    monkeypatch.setattr(KeypointTask, "losses", poisoned)
    with pytest.raises(
        PosewrightError, match=r"loss is nan at step 2 \(epoch 0, batch 2, with object \d+ on image '\d+.png'"
    ):
        fit(replace(SMALL, output=str(tmp_path / "run")), discs)
    assert not (tmp_path / "run" / "model.onnx").exists()


def test_early_stop(tmp_path, discs):
    run = fit(replace(SMALL, output=str(tmp_path / "run"), epochs=30, patience=2, lr=1e-9), discs)
    assert len(history(run.folder)) < 8


def test_data_without_validation_or_training_objects(discs, tmp_path):
    only = replace(discs, images=[replace(im, split="train" if i else "val") for i, im in enumerate(discs.images)])
    only = only.objects(only.image != 0)
    with pytest.raises(PosewrightError, match="no validation object"):
        fit(replace(SMALL, output=str(tmp_path / "run")), only)


def test_an_input_size_that_does_not_fit_the_net(discs, tmp_path):
    with pytest.raises(PosewrightError, match=r"Use multiples of 32, such as 64x96"):
        fit(replace(SMALL, input_size="70x100", output=str(tmp_path / "run")), discs)


def test_presence_is_a_logistic_of_the_mean_score():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0.7, 0.1, 300), rng.normal(0.2, 0.1, 100)])
    present = np.arange(400) < 300
    a, b = fit_presence(scores, present)
    probability = 1 / (1 + np.exp(-(a * scores + b)))
    assert ((probability > 0.5) == present).mean() > 0.97
    assert fit_presence(scores, np.ones(400, bool)) is None
    assert fit_presence(-scores, present) is None  # higher scores without the object: no such curve


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": "12by4"}, "neither a number nor HEIGHTxWIDTH"),
        ({"epochs": -1}, "epochs must not be below 0"),
        ({"lr": -1.0}, "lr must not be below 0"),
        ({"val_share": 1.0}, "val_share"),
        ({"ema": 1.0}, "ema"),
        ({"seed": -1}, "seed must not be below 0"),
        ({"threads": -1}, "threads must not be below 0"),
        ({"workers": -2}, "workers must not be below -1"),
        ({"checkpoint_minutes": 0.0}, "checkpoint_minutes must be above 0"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(PosewrightError, match=message):
        replace(SMALL, **change)


def test_what_a_resumed_run_does_not_heed_is_named():
    own = replace(SMALL, lr=1e-4, output="runs/own")
    assert TrainConfig(output="runs/own").differing(own) == []
    assert replace(own, epochs=9, loss="mse").differing(own) == ["epochs", "loss"]


def test_mixed_precision_leaves_points_their_precision(discs, monkeypatch):
    """A product of matrices is computed in 16 bits there: points would be pixels off."""
    task = KeypointTask(build_net(preset("hourglass_s1_nano", channels=16, activation="sigmoid"), 3), SMALL, discs, 1)
    points = torch.tensor([[[30.2, 41.7], [12.3, 50.9], [22.2, 17.1]]])
    maps = encode(points, torch.ones(1, 3, dtype=torch.bool), (16, 16), 4, 1.5).clamp(1e-6, 1 - 1e-6)
    monkeypatch.setattr(task, "losses", lambda batch: {"loss": torch.zeros(()), "output": maps.logit()[:, None]})
    inverse = torch.tensor([[[7.3, 0.4, 801.2], [-0.4, 7.3, 333.3]]])
    batch = {"index": torch.tensor([0]), "inverse": inverse, "state": torch.full((1, 3), DRAWN)}
    with torch.autocast("cpu", torch.bfloat16):
        task.validation_step(batch, 0)
    found = task.found[0][1]
    assert found.dtype == torch.float32
    expected = points @ inverse[0, :, :2].T + inverse[0, :, 2]
    assert (found - expected).abs().max() < 0.5


def test_yaml_settings(tmp_path):
    path = tmp_path / "config.yaml"
    SMALL.save(path)
    assert TrainConfig.load(path) == SMALL
    path.write_text("epoch: 3\n")
    with pytest.raises(PosewrightError, match=r"unknown setting 'epoch'. Did you mean 'epochs'"):
        TrainConfig.load(path)
    path.write_text("augment: {rotate: 3}\n")
    with pytest.raises(PosewrightError, match=r"unknown setting 'augment.rotate'"):
        TrainConfig.load(path)
    for text in ("[1, 2]\n", "a: [\n", "epochs: many\n"):
        path.write_text(text)
        with pytest.raises(PosewrightError, match=r"config\.yaml"):
            TrainConfig.load(path)
