"""Losses: values worked out by hand, gradients, which maps count, and that every loss trains with every optimiser."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.presets import build_net, preset
from posewright.training.config import LOSSES as LOSS_NAMES
from posewright.training.config import TrainConfig
from posewright.training.data import loaders
from posewright.training.dataset import DRAWN, EMPTY, IGNORED
from posewright.training.losses import LOSSES, HeatmapLoss, adaptive_wing, huber
from posewright.training.nets import net_settings
from posewright.training.run_config import OPTIMISERS
from posewright.training.task import KeypointTask

TINY = TrainConfig(
    model="hourglass_s1_nano",
    net=("channels=16",),
    input_size="32",
    epochs=2,
    batch_size=2,
    workers=0,
    precision="fp32",
    device="cpu",
    warmup=0,
)
RATES = {"adamw": 4e-3, "adam": 4e-3, "rmsprop": 3e-3, "sgd": 0.05}


def test_the_settings_know_every_loss():
    assert tuple(LOSSES) == LOSS_NAMES


# The adaptive wing at a peak (y = 1): 0.5^1.1 = 0.4665165, slope 14 * 1.1 * 0.5^0.1 / 1.4665165 = 9.797850, offset
# 0.5 * 9.797850 - 14 * ln(1.4665165) = -0.461533; cells near a peak count 11 times.
@pytest.mark.parametrize(
    ("name", "found", "target", "loss"),
    [
        ("bce", 0.0, 0.5, math.log(2)),
        ("bce", 2.0, 1.0, math.log1p(math.exp(-2))),
        ("mse", 0.3, 0.8, 0.25),
        ("mae", 0.3, 0.8, 0.5),
        ("weighted_mse", 0.5, 1.0, 2.5),
        ("weighted_mse", 0.5, 0.0, 0.25),
        ("smooth_l1", 0.1, 0.5, 0.08),
        ("smooth_l1", -2.0, 1.0, 2.5),
        ("huber", 0.1, 0.5, 0.08),
        ("adaptive_wing", 0.25, 0.0, 14 * math.log(1 + 0.0544094)),
        ("adaptive_wing", 0.8, 1.0, 11 * 14 * math.log(1 + 0.1702680)),
        ("adaptive_wing", 0.2, 1.0, 11 * (9.797850 * 0.8 + 0.461533)),
    ],
)
def test_values_worked_out_by_hand(name, found, target, loss):
    maps, truth = torch.full((1, 1, 1, 1, 1), found), torch.full((1, 1, 1, 1, 1), target)
    assert LOSSES[name](maps, truth).item() == pytest.approx(loss, rel=1e-5)


def test_huber_is_half_the_square_then_straight():
    error = torch.tensor([0.1, 0.2, 0.5, 1.0])[:, None, None]
    assert huber(error, torch.zeros(4, 1, 1), delta=0.2).flatten().tolist() == pytest.approx([0.005, 0.02, 0.08, 0.18])


def test_adaptive_wing_is_smooth_where_its_pieces_meet():
    target = torch.linspace(0, 1, 11, dtype=torch.float64)[:, None, None, None]
    for step in (-1e-9, 1e-9):
        maps = (target + 0.5 + step).requires_grad_()
        value = adaptive_wing(maps, target, weight=0)
        (slope,) = torch.autograd.grad(value.sum(), maps)
        before = value.detach(), slope
        if step < 0:
            below = before
    torch.testing.assert_close(before[0], below[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(before[1], below[1], atol=1e-6, rtol=0)


def test_adaptive_wing_weighs_the_surroundings_of_a_peak():
    target = torch.zeros(1, 1, 7, 7)
    target[0, 0, 3, 3], target[0, 0, 0, 0] = 1.0, 0.19
    loss = adaptive_wing(target + 0.1, target) / adaptive_wing(target + 0.1, target, weight=0)
    near = torch.ones(7, 7)
    near[2:5, 2:5] = 11
    torch.testing.assert_close(loss[0, 0], near)


def batch(stages: int = 2, channels: int = 3, size: int = 4, seed: int = 0):
    """Maps ``[4, S, C, h, w]`` in float64 that want a gradient, targets, and states with one IGNORED and one EMPTY."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(4, stages, channels, size, size, dtype=torch.float64, generator=generator).requires_grad_()
    target = torch.rand(4, channels, size, size, dtype=torch.float64, generator=generator)
    state = torch.full((4, channels), DRAWN, dtype=torch.uint8)
    state[0, 1], state[1, 2] = IGNORED, EMPTY
    target[1, 2] = 0
    return maps, target, state


@pytest.mark.parametrize("name", LOSS_NAMES)
@pytest.mark.parametrize("more", [{}, {"hard_keypoints": 2, "stage_weights": (0.5, 1.0)}], ids=["plain", "hard"])
def test_gradients(name, more):
    maps, target, state = batch(size=3)
    loss = HeatmapLoss(LOSSES[name], 3, **more)
    assert torch.autograd.gradcheck(lambda m: loss(m, target, state), maps, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_unlabelled_maps_never_count_and_empty_ones_do(name):
    maps, target, state = batch()
    loss = HeatmapLoss(LOSSES[name], 3)
    value = loss(maps, target, state)
    (gradient,) = torch.autograd.grad(value, maps)
    assert not gradient[0, :, 1].any()
    assert gradient[1, :, 2].ne(0).all()
    changed = maps.detach().clone()
    changed[0, :, 1] = 1e6
    assert loss(changed, target, state) == value
    nothing = loss(maps, target, torch.full_like(state, IGNORED))
    assert nothing == 0
    assert not torch.autograd.grad(nothing, maps)[0].any()


def flat(values, size: int = 2):
    """Maps ``[B, S, C, h, w]`` with one value in all cells of each, from ``[B, S, C]``."""
    return torch.tensor(values, dtype=torch.float64)[..., None, None].expand(-1, -1, -1, size, size)


ABSOLUTE = LOSSES["mae"]


def test_the_unit_is_one_map():
    maps = flat([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    target, state = torch.zeros(2, 2, 2, 2), torch.tensor([[DRAWN, EMPTY], [DRAWN, IGNORED]])
    assert HeatmapLoss(ABSOLUTE, 2)(maps, target, state) == pytest.approx(4 * (1 + 2 + 5 + 3 + 4 + 7) / 6)
    weighted = HeatmapLoss(ABSOLUTE, 2, stage_weights=(1.0, 3.0))
    assert weighted(maps, target, state) == pytest.approx(4 * (8 / 3 + 3 * 14 / 3) / 4)


def test_the_last_stage_learns_from_the_hardest_keypoints():
    """Two of three keypoints; a background channel is never left out, an unlabelled keypoint never chosen."""
    maps = flat([[[1.0, 2, 3, 9], [5, 1, 3, 9]], [[1, 2, 3, 0], [7, 8, 9, 0]]])
    target = torch.zeros(2, 4, 2, 2)
    state = torch.tensor([[DRAWN, EMPTY, DRAWN, DRAWN], [DRAWN, IGNORED, IGNORED, IGNORED]])
    first, last = 4 * (1 + 2 + 3 + 9 + 1) / 5, 4 * (5 + 3 + 9 + 7) / 4
    found = HeatmapLoss(ABSOLUTE, 3, hard_keypoints=2)(maps, target, state)
    assert found == pytest.approx((first + last) / 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage_weights": (1.0, 2.0, 3.0)}, "3 stage weights, but hourglass_s2_nano predicts in 2 stages. Give 2"),
        ({"hard_keypoints": 4}, "hard_keypoints is 4, but there are only 3 keypoints"),
    ],
)
def test_settings_that_do_not_fit_the_net(discs, change, message):
    config = replace(TINY, model="hourglass_s2_nano", **change)
    with pytest.raises(PosewrightError, match=message):
        KeypointTask(build_net(net_settings(config), 3), config, discs, 1)
    assert KeypointTask(build_net(net_settings(config), 5), replace(config, stage_weights=(1.0, 2.0)), discs, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "adaptive_win"}, "unknown loss 'adaptive_win'. Did you mean 'adaptive_wing'"),
        ({"huber_delta": 0.1}, "huber_delta belongs to loss huber, not to bce"),
        ({"loss": "huber", "huber_delta": 0.0}, "huber_delta must be above 0"),
        ({"stage_weights": (1.0, -1.0)}, "stage_weights must not be below 0"),
        ({"stage_weights": (0.0,)}, "nor all be 0"),
        ({"hard_keypoints": -1}, "hard_keypoints must not be below 0"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(PosewrightError, match=message):
        replace(TINY, **change)


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "linear"])
def test_losses_compare_activated_maps(discs, activation):
    config = replace(TINY, loss="mse")
    net = build_net(preset("hourglass_s1_nano", channels=16, activation=activation), 3)
    task = KeypointTask(net, config, discs, 1)
    logits, target, state = torch.randn(2, 1, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.full((2, 3), DRAWN)
    shown = {"sigmoid": torch.sigmoid, "relu": torch.relu, "linear": lambda x: x}[activation](logits)
    expected = ((shown - target[:, None]) ** 2).sum() / 6
    torch.testing.assert_close(task.map_loss(logits, target, state), expected)


def test_the_huber_setting_reaches_the_loss():
    loss = HeatmapLoss.from_config(replace(TINY, loss="huber", huber_delta=0.05), 3, 1)
    assert isinstance(loss.cell, partial)
    assert loss.cell(torch.ones(1, 1, 1), torch.zeros(1, 1, 1)).item() == pytest.approx(0.05 * (1 - 0.025))


class Losses(pl.Callback):
    """Collects the mean training loss of each epoch."""

    def __init__(self):
        self.epochs = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.epochs.append(pl_module.mean_loss)


@pytest.fixture(scope="module")
def batches(discs):
    train, val = loaders(TINY, discs, CropRule((32, 32)))
    return DataLoader(list(train), batch_size=None), val.dataset.annotations


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_every_loss_falls_with_every_optimiser(batches, loss, optimiser):
    torch.manual_seed(0)
    config = replace(TINY, loss=loss, optimiser=optimiser, lr=RATES[optimiser], schedule="constant")
    task = KeypointTask(build_net(net_settings(config), 3), config, batches[1], 2 * len(batches[0]))
    seen = Losses()
    pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=config.clip,
        callbacks=[seen],
    ).fit(task, batches[0])
    first, second = seen.epochs
    assert second < 0.98 * first
