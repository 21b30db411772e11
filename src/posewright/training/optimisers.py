"""Optimisers, and the course of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from posewright.errors import PosewrightError
from posewright.training.run_config import RunConfig

START = 0.04
"""Where the warm-up begins, as a share of the highest learning rate."""

Groups = list[dict[str, Any]]


def _fused(optimiser: type[Optimizer], groups: Groups, **settings: Any) -> Optimizer:
    """An optimiser that goes over each parameter once, in one kernel, where that is on a processor.

    There torch goes from parameter to parameter and operation to operation otherwise, 6 % of a small net's step.
    """
    here = all(p.device.type == "cpu" for group in groups for p in group["params"])
    if here:
        settings["fused"] = True
    made = optimiser(groups, **settings)
    # It could undo the scaling of fp16 gradients by itself, and Lightning refuses to clip those that it means to undo.
    made._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    return made


def _rmsprop(groups: Groups, config: RunConfig) -> Optimizer:
    # The running mean of squares forgets as fast as in both source systems, ten times faster than torch's own 0.99.
    return torch.optim.RMSprop(groups, lr=config.highest_lr, alpha=0.9, momentum=config.momentum or 0.0)


def _sgd(groups: Groups, config: RunConfig) -> Optimizer:
    momentum = 0.9 if config.momentum is None else config.momentum
    return _fused(torch.optim.SGD, groups, lr=config.highest_lr, momentum=momentum, nesterov=config.nesterov)


OPTIMISERS: dict[str, Callable[[Groups, RunConfig], Optimizer]] = {
    "adamw": lambda groups, config: _fused(torch.optim.AdamW, groups, lr=config.highest_lr),
    "adam": lambda groups, config: _fused(torch.optim.Adam, groups, lr=config.highest_lr),
    "rmsprop": _rmsprop,
    "sgd": _sgd,
}
"""By name: what makes the optimiser of (parameter groups, settings)."""


def build_optimiser(parameters: Iterable[nn.Parameter], config: RunConfig) -> Optimizer:
    """The settings' optimiser of all parameters that are to be trained; biases and norms are not decayed.

    Raises:
        PosewrightError: where all parameters are frozen.
    """
    trained = [p for p in parameters if p.requires_grad]
    if not trained:
        raise PosewrightError("every part of the net is frozen: nothing is left to train")
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return OPTIMISERS[config.optimiser](groups, config)


# -- schedules: (settings, final share, share of the way from the end of warm-up to the end of the run) to a factor --------


def _constant(config: RunConfig, final: float, way: float) -> float:
    return 1.0


def _cosine(config: RunConfig, final: float, way: float) -> float:
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * way))


def _exponential(config: RunConfig, final: float, way: float) -> float:
    return final**way


def _polynomial(config: RunConfig, final: float, way: float) -> float:
    return final + (1 - final) * (1 - way) ** config.lr_power


def _piecewise(config: RunConfig, final: float, way: float) -> float:
    passed = sum(way >= (milestone - config.warmup) / (1 - config.warmup) for milestone in config.lr_milestones)
    return config.lr_factors[passed - 1] if passed else 1.0


SCHEDULES: dict[str, tuple[Callable[[RunConfig, float, float], float], float]] = {
    "onecycle": (_cosine, 1e-3),
    "cosine": (_cosine, 0.02),
    "exponential": (_exponential, 0.01),
    "polynomial": (_polynomial, 0.01),
    "piecewise": (_piecewise, 0.0),
    "constant": (_constant, 1.0),
}
"""By name: the course after warm-up, and the share of the highest learning rate it ends at unless ``lr_final`` is given."""


def learning_rate_factor(config: RunConfig, step: int, steps: int) -> float:
    """The learning rate at an optimiser step, as a share of the highest.

    A straight rise during the warm-up, then the schedule's course. It depends on nothing but its arguments, so that a
    resumed run meets the learning rates that it would have met.

    Args:
        config: the settings.
        step: optimiser steps taken.
        steps: optimiser steps of the whole run.
    """
    done = min(step / max(steps, 1), 1.0)
    if done < config.warmup:
        return START + (1 - START) * done / config.warmup
    course, final = SCHEDULES[config.schedule]
    way = (done - config.warmup) / (1 - config.warmup)
    return course(config, final if config.lr_final is None else config.lr_final, way)
