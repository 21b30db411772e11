"""Gradient accumulation: its arithmetic, that a step is the mean over its batches, and that such a run resumes exactly."""

from __future__ import annotations

import csv
from dataclasses import replace

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from helpers.runs import small_run
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.presets import build_net
from posewright.training import fit as fitting
from posewright.training.accumulation import batches_before, batches_in_step, ends_step, steps_per_epoch
from posewright.training.data import loaders
from posewright.training.fit import fit
from posewright.training.nets import net_settings
from posewright.training.task import KeypointTask

CONFIG = small_run(input_size="32", batch_size=3, accumulate=2)
"""On the discs' 16 training objects: five batches, and so three steps, an epoch."""


@pytest.mark.parametrize("batches", [1, 2, 5, 6, 7])
@pytest.mark.parametrize("accumulate", [1, 2, 3, 5])
def test_steps_and_batches_agree(batches, accumulate):
    """Against counting: three epochs of batches, and which of them begin a step."""
    begins, before = [], 0
    for _epoch in range(3):
        for batch in range(batches):
            if batch % accumulate == 0:
                begins.append(before)
                size = sum(1 for b in range(batch, batches) if b < batch + accumulate)
            assert batches_in_step(batch, batches, accumulate) == size
            before += 1
            assert ends_step(batch, batches, accumulate) == (batch == batches - 1 or (batch + 1) % accumulate == 0)
    assert steps_per_epoch(batches, accumulate) * 3 == len(begins)
    assert [batches_before(step, batches, accumulate) for step in range(len(begins))] == begins


def test_a_step_is_the_mean_over_its_batches(discs):
    """Three batches at two a step, against a loop by hand: the second step has one batch, which counts whole."""
    config = replace(CONFIG, optimiser="sgd", momentum=0.0, lr=0.01, weight_decay=0.0, schedule="constant", warmup=0.0)
    train, val = loaders(replace(config, accumulate=1), discs, CropRule((32, 32)))
    batches = list(train)[:3]

    def fresh():
        torch.manual_seed(0)
        return KeypointTask(build_net(net_settings(config), 3), config, val.dataset.annotations, 2)

    task, by_hand = fresh(), fresh()
    pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        accumulate_grad_batches=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(task, DataLoader(batches, batch_size=None))
    assert task.steps_taken == 2
    optimiser = torch.optim.SGD(by_hand.parameters(), lr=0.01)
    for step in (batches[:2], batches[2:]):
        optimiser.zero_grad()
        (sum(by_hand.losses(b)["loss"] for b in step) / len(step)).backward()
        optimiser.step()
    for one, other in zip(task.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(one, other)


class Killed(Exception):
    """The power went."""


def test_a_run_broken_off_between_a_steps_batches_goes_on_exactly(discs, tmp_path, monkeypatch):
    """Its weights, their running mean, the optimiser's state, the schedule and every figure, against an unbroken run."""
    monkeypatch.setattr(fitting, "_finish", lambda *args, **more: None)
    names = ("whole", "broken")
    fit(replace(CONFIG, output=str(tmp_path / "whole")), discs)
    broken = replace(CONFIG, output=str(tmp_path / "broken"), checkpoint_minutes=1e-6)
    real = KeypointTask.training_step

    def until(self, batch, batch_idx):
        if self.current_epoch == 1 and batch_idx == 3:
            raise Killed
        return real(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(KeypointTask, "training_step", until)
        with pytest.raises(Killed):
            fit(broken, discs)
    state = last(tmp_path / "broken")
    assert state["posewright"]["steps_taken"] == state["global_step"] == 3 + 1
    fit(broken, discs, resume=True)
    rows = []
    for name in names:
        with (tmp_path / name / "metrics.csv").open() as file:
            rows.append([{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)])
    assert [r["step"] for r in rows[0]] == [3, 6, 9]
    assert rows[1] == rows[0]
    one, other = (last(tmp_path / name) for name in names)
    for part in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers"):
        torch.testing.assert_close(other[part], one[part], rtol=0, atol=0)


def last(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def test_more_batches_a_step_than_an_epoch_has(discs, tmp_path):
    with pytest.raises(PosewrightError, match="accumulate is 6, and an epoch has 5 batches of 3"):
        fit(replace(CONFIG, accumulate=6, output=str(tmp_path / "run")), discs)
    assert not (tmp_path / "run").exists()


def test_a_batch_larger_than_the_data(discs, tmp_path):
    with pytest.raises(PosewrightError, match=r"batch_size is 17, and there are 16 objects.*at most 16"):
        fit(replace(CONFIG, batch_size=17, output=str(tmp_path / "run")), discs)
    assert not (tmp_path / "run").exists()


def test_stage_weights_that_do_not_fit_stop_a_run_before_it_writes(discs, tmp_path):
    with pytest.raises(PosewrightError, match="2 stage weights, but hourglass_s1_nano predicts in 1 stage"):
        fit(replace(CONFIG, stage_weights=(0.5, 1.0), output=str(tmp_path / "run")), discs)
    assert not (tmp_path / "run").exists()
