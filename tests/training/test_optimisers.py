"""Optimisers and schedules: what they are made of, their formulas, and the settings that choose them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn

from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.training.config import TrainConfig
from posewright.training.optimisers import OPTIMISERS, SCHEDULES, build_optimiser, learning_rate_factor
from posewright.training.run_config import OPTIMISERS as OPTIMISER_NAMES
from posewright.training.run_config import SCHEDULES as SCHEDULE_NAMES
from posewright.training.trainer import choose_precision, trainer_for

CONFIG = TrainConfig(warmup=0.1)


def test_the_settings_know_every_optimiser_and_schedule():
    assert set(OPTIMISERS) == set(OPTIMISER_NAMES)
    assert set(SCHEDULES) == set(SCHEDULE_NAMES)


# -- optimisers --------------------------------------------------------------------------------------------------------


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


@pytest.mark.parametrize("name", OPTIMISER_NAMES)
def test_biases_and_norms_are_not_decayed(name):
    net = small_net()
    optimiser = build_optimiser(net.parameters(), replace(CONFIG, optimiser=name, weight_decay=0.1, lr=0.5))
    decayed, others = optimiser.param_groups
    assert [p.ndim for p in decayed["params"]] == [4, 4]
    assert [p.ndim for p in others["params"]] == [1, 1, 1, 1]
    before = [p.detach().clone() for p in net.parameters()]
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for old, new in zip(before, net.parameters(), strict=True):
        assert torch.equal(old, new) == (old.ndim == 1)


class Clipped(pl.LightningModule):
    """A net whose gradients are far longer than they may be."""

    def __init__(self, config):
        super().__init__()
        self.net, self.config = small_net(), config

    def training_step(self, batch, _):
        return 1e4 * self.net(batch).square().mean()

    def configure_optimizers(self):
        return build_optimiser(self.parameters(), self.config)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("name", OPTIMISER_NAMES)
def test_every_optimiser_is_clipped_in_every_arithmetic(name, precision, tmp_path):
    config = replace(CONFIG, optimiser=name, precision=precision, lr=1e-3, epochs=1, clip=1e-3, ema=0.0)
    task = Clipped(config)
    trainer_for(config, "cpu", tmp_path, [], max_steps=1).fit(
        task, torch.utils.data.DataLoader(torch.randn(2, 3, 8, 8), 2)
    )
    assert sum(p.grad.square().sum() for p in task.parameters()).sqrt() <= 1e-3 * 1.01
    assert not torch.equal(task.net[0].weight, small_net()[0].weight)


@pytest.mark.parametrize("name", OPTIMISER_NAMES)
def test_frozen_parts_are_left_out(name):
    net = small_net()
    net[0].requires_grad_(False)
    optimiser = build_optimiser(net.parameters(), replace(CONFIG, optimiser=name))
    assert sum(len(g["params"]) for g in optimiser.param_groups) == 4
    net.requires_grad_(False)
    with pytest.raises(PosewrightError, match="nothing is left to train"):
        build_optimiser(net.parameters(), CONFIG)


def steps_of(config: TrainConfig, gradients: list[float]) -> list[float]:
    """Where a weight of 1 goes under these gradients."""
    weight = nn.Parameter(torch.ones(1, 1, dtype=torch.float64))
    optimiser, places = build_optimiser([weight], config), []
    for gradient in gradients:
        weight.grad = torch.full_like(weight, gradient)
        optimiser.step()
        places.append(weight.item())
    return places


def test_steps_worked_out_by_hand():
    """Two steps of gradient 2 and 1, learning rate 0.1, decay 0.5 where it is told."""
    plain = replace(CONFIG, lr=0.1, weight_decay=0.0)
    sgd = replace(plain, optimiser="sgd")
    assert steps_of(sgd, [2, 1]) == pytest.approx([0.8, 0.8 - 0.1 * (0.9 * 2 + 1)])
    assert steps_of(replace(sgd, momentum=0.0), [2, 1]) == pytest.approx([0.8, 0.7])
    assert steps_of(replace(sgd, nesterov=True), [2, 1])[0] == pytest.approx(1 - 0.1 * (2 + 0.9 * 2))
    assert steps_of(replace(sgd, weight_decay=0.5), [2])[0] == pytest.approx(1 - 0.1 * 2.5)
    rms = replace(plain, optimiser="rmsprop")
    first, second = 2 / math.sqrt(0.1 * 4), 1 / math.sqrt(0.09 * 4 + 0.1 * 1)
    assert steps_of(rms, [2, 1]) == pytest.approx([1 - 0.1 * first, 1 - 0.1 * (first + second)], rel=1e-6)
    assert steps_of(replace(rms, momentum=0.5), [2, 1])[1] == pytest.approx(1 - 0.1 * (1.5 * first + second), rel=1e-6)
    assert steps_of(replace(plain, optimiser="adam"), [2])[0] == pytest.approx(0.9, rel=1e-6)
    assert steps_of(replace(plain, optimiser="adam", weight_decay=0.5), [2])[0] == pytest.approx(0.9, rel=1e-6)
    assert steps_of(replace(plain, optimiser="adamw", weight_decay=0.5), [2])[0] == pytest.approx(0.95 - 0.1, rel=1e-6)


# -- schedules ---------------------------------------------------------------------------------------------------------

STEPS = 200


def drawn(config: TrainConfig) -> np.ndarray:
    return np.array([learning_rate_factor(config, step, STEPS) for step in range(STEPS + 1)])


def way(config: TrainConfig) -> np.ndarray:
    """Share of the way from the end of warm-up to the end of the run, at each step after warm-up."""
    done = np.arange(STEPS + 1) / STEPS
    return ((done - config.warmup) / (1 - config.warmup))[done >= config.warmup]


@pytest.mark.parametrize(
    ("schedule", "more", "formula"),
    [
        ("constant", {}, lambda x: np.ones_like(x)),
        ("cosine", {}, lambda x: 0.02 + 0.98 * (1 + np.cos(np.pi * x)) / 2),
        ("cosine", {"lr_final": 0.2}, lambda x: 0.2 + 0.8 * (1 + np.cos(np.pi * x)) / 2),
        ("onecycle", {}, lambda x: 0.001 + 0.999 * (1 + np.cos(np.pi * x)) / 2),
        ("exponential", {}, lambda x: np.exp(np.log(0.01) * x)),
        ("exponential", {"lr_final": 0.5}, lambda x: 0.5**x),
        ("polynomial", {}, lambda x: 1 - 0.99 * x),
        ("polynomial", {"lr_power": 2.0, "lr_final": 0.0}, lambda x: (1 - x) ** 2),
    ],
)
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.35])
def test_schedules_follow_their_formulas(schedule, more, formula, warmup):
    config = replace(CONFIG, schedule=schedule, warmup=warmup, **more)
    x = way(config)
    found = drawn(config)
    np.testing.assert_allclose(found[-len(x) :], formula(x), rtol=1e-9, atol=1e-12)
    rising = np.arange(STEPS + 1 - len(x)) / STEPS
    np.testing.assert_allclose(found[: -len(x)], 0.04 + 0.96 * rising / max(warmup, 1e-9))
    assert found.max() == pytest.approx(1)


def test_a_piecewise_schedule_drops_at_its_milestones():
    config = replace(CONFIG, schedule="piecewise", lr_milestones=(0.25, 0.5, 0.9), lr_factors=(0.5, 0.1, 0.0))
    found = drawn(config)
    for first, last, factor in ((20, 50, 1), (50, 100, 0.5), (100, 180, 0.1), (180, 201, 0.0)):
        assert (found[first:last] == factor).all()
    assert set(drawn(replace(CONFIG, schedule="piecewise"))[20:]) == {1.0, 0.1, 0.01}


@pytest.mark.parametrize("schedule", SCHEDULE_NAMES)
def test_a_resumed_schedule_goes_on_exactly(schedule):
    config = replace(CONFIG, schedule=schedule, optimiser="sgd")

    def start():
        optimiser = build_optimiser(small_net().parameters(), config)
        return optimiser, torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: learning_rate_factor(config, step, 40)
        )

    def run(optimiser, course, steps):
        rates = []
        for _ in range(steps):
            optimiser.step()
            course.step()
            rates.append([g["lr"] for g in optimiser.param_groups])
        return rates

    whole = run(*start(), 40)
    broken = start()
    run(*broken, 17)
    resumed = start()
    for new, old in zip(resumed, broken, strict=True):
        new.load_state_dict(old.state_dict())
    assert run(*resumed, 23) == whole[17:]


def test_a_run_of_no_steps_or_past_its_end_has_a_learning_rate():
    assert learning_rate_factor(CONFIG, 0, 0) == pytest.approx(0.04)
    assert learning_rate_factor(CONFIG, 250, 200) == learning_rate_factor(CONFIG, 200, 200)


# -- fp16 ----------------------------------------------------------------------------------------------------------------


def test_fp16_is_taken_where_the_processor_has_it(tmp_path, monkeypatch):
    """fp16 and not the bf16 that Lightning would take in its place; a run on an imitation of it is refused."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    with pytest.raises(
        PosewrightError, match="fp16 training needs a CUDA device, or a processor that computes in fp16"
    ):
        choose_precision("fp16", "cpu")
    with pytest.raises(PosewrightError, match="mps here does not"):
        choose_precision("fp16", "mps")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_fp16": True}, raising=False)
    seen = []

    class Line(pl.LightningModule):
        """Learns 3 from 1."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def training_step(self, batch, batch_idx):
            found = self.layer(batch)
            seen.append(found.dtype)
            return ((found.float() - 3) ** 2).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    config = replace(CONFIG, precision="fp16", epochs=1, ema=0.0, clip=0.0)
    trainer = trainer_for(config, "cpu", tmp_path, [])
    task = Line()
    trainer.fit(task, torch.utils.data.DataLoader(torch.ones(60, 1), batch_size=1))
    assert set(seen) == {torch.float16}
    assert trainer.precision_plugin.scaler.is_enabled()
    assert task.layer(torch.ones(1)).item() == pytest.approx(3, abs=0.05)


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimiser": "adamx"}, "unknown optimiser 'adamx'. Did you mean 'adam'"),
        ({"optimiser": "SGD"}, "unknown optimiser 'SGD'. Did you mean 'sgd'"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin'. Did you mean 'cosine'"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"momentum": 0.5}, "momentum belongs to optimiser sgd or rmsprop, not to adamw"),
        ({"optimiser": "sgd", "momentum": 1.0}, "momentum must lie in 0..1"),
        ({"optimiser": "rmsprop", "nesterov": True}, "nesterov belongs to optimiser sgd"),
        ({"optimiser": "sgd", "nesterov": True, "momentum": 0.0}, "nesterov needs a momentum"),
        ({"schedule": "constant", "lr_final": 0.1}, "lr_final belongs to schedule onecycle or cosine"),
        ({"lr_final": 1.5}, "lr_final is a share"),
        ({"schedule": "exponential", "lr_final": 0.0}, "never reaches 0"),
        ({"lr_power": 2.0}, "lr_power belongs to schedule polynomial"),
        ({"lr_milestones": (0.5,)}, "lr_milestones belongs to schedule piecewise"),
        ({"schedule": "piecewise", "lr_milestones": (0.5,)}, "1 lr_milestones, but 2 lr_factors"),
        ({"schedule": "piecewise", "lr_milestones": (), "lr_factors": ()}, "0 lr_milestones"),
        ({"schedule": "piecewise", "lr_milestones": (0.8, 0.5)}, "lr_milestones must rise"),
        ({"schedule": "piecewise", "lr_milestones": (0.05, 0.5)}, "from above the warm-up's 0.1"),
        ({"schedule": "piecewise", "lr_milestones": (0.5, 1.0)}, "to below 1"),
        ({"schedule": "piecewise", "lr_factors": (0.5, -1.0)}, "lr_factors must not be below 0"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(PosewrightError, match=message):
        replace(CONFIG, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "huber", "huber_delta": 0.125, "stage_weights": (0.5, 1.0), "hard_keypoints": 2, "accumulate": 3},
        {"optimiser": "sgd", "momentum": 0.95, "nesterov": True, "net": ("channels=16",)},
        {"schedule": "piecewise", "lr_milestones": (0.3, 0.6, 0.8), "lr_factors": (1e-1, 1e-2, 1e-5), "lr": 1e-5},
        {"schedule": "polynomial", "lr_power": 2.5, "lr_final": 0.0},
    ],
)
def test_settings_survive_yaml_and_json(tmp_path, change):
    import json

    config = replace(CONFIG, **change)
    config.save(tmp_path / "c.yaml")
    assert TrainConfig.load(tmp_path / "c.yaml") == config
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimiser: adamx", "unknown optimiser 'adamx'. Did you mean 'adam'"),
        ("optimizer: sgd", "unknown setting 'optimizer'. Did you mean 'optimiser'"),
        ("loss: [mse]", "loss must be a text"),
        ("epochs: many", "epochs must be a whole number, not 'many'"),
        ("epochs: true", "epochs must be a whole number"),
        ("epochs: 2.5", "epochs must be a whole number"),
        ("skip_bad: 1", "skip_bad must be true or false"),
        ("stage_weights: 0.5", "stage_weights must be a list"),
        ("stage_weights: [a]", "stage_weights must be a number, not 'a'"),
        ("augment: 3", "augment must be a group of settings"),
        ("augment: {flip: often}", "augment.flip must be a number"),
    ],
)
def test_mistakes_in_yaml_are_named(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(PosewrightError, match=rf"c\.yaml: {message}"):
        TrainConfig.load(path)


def test_yaml_as_people_write_it(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("lr: 1e-3\ninput_size: 128\nmomentum: null\nclip: 2\naugment:\n")
    assert TrainConfig.load(path) == TrainConfig(lr=1e-3, input_size="128", clip=2.0)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--optimizer", "adamx"), "unknown optimiser 'adamx'. Did you mean 'adam'"),
        (("--loss", "adaptive_win"), "unknown loss 'adaptive_win'. Did you mean 'adaptive_wing'"),
        (("--schedule", "piecewise", "--lr-milestones", "0.5"), "1 lr_milestones, but 2 lr_factors"),
        (("--augment.flip", "2"), "augment.flip"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(capsys, tmp_path, args, message):
    assert main(["train", "--data", "labels.json", "-o", str(tmp_path / "run"), *args]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not Path(tmp_path / "run").exists()
