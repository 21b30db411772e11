"""Where a run starts: from the weights of an earlier one as far as they fit, and at which epoch it begins to count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from posewright.errors import PosewrightError
from posewright.models.base import HeatmapNet
from posewright.models.checkpoint import Checkpoint, data_behind, join_terms, load_checkpoint, origin_of
from posewright.models.presets import NetConfig, build_net
from posewright.runtime.names import find_checkpoint, free_models
from posewright.skeleton import Skeleton

WORTH = 0.3
"""A start that nobody asked for must fill at least this share of the net's parameters."""


@dataclass(frozen=True)
class Start:
    """Weights to start from.

    Attributes:
        name: what a person calls it: a shipped name, a run's folder, a file.
        checkpoint: the net and what it was made for.
    """

    name: str
    checkpoint: Checkpoint

    def origin(self) -> dict[str, Any]:
        """What a checkpoint keeps about its start."""
        return origin_of(self.name, data_behind(self.checkpoint.training), self.checkpoint.terms)


def find_start(spec: str) -> Start:
    """The start that ``--init`` names: a checkpoint, a run's folder, a shipped name.

    Raises:
        PosewrightError: where there is none, or it cannot be read.
    """
    try:
        path = find_checkpoint(spec)
    except PosewrightError as error:
        raise PosewrightError(f"--init: {error.what}", file=error.file, fix=error.fix) from None
    return Start(spec, load_checkpoint(path))


def free_start(config: NetConfig, keypoints: int) -> Start | None:
    """The shipped start that fills most of a net, of those whose weights are as free as the code; None where none fits.

    Only these are taken unasked: a start's terms are inherited by what is made from it.
    """
    best, most = None, WORTH
    names = {name: tuple(t.shape) for name, t in _blank(config, keypoints).named_parameters()}
    whole = sum(torch.Size(s).numel() for s in names.values())
    for shipped in free_models().values():
        if shipped.checkpoint is None or shipped.kind != "keypoints":
            continue
        start = Start(shipped.name, load_checkpoint(shipped.checkpoint))
        if not _alike(config, start.checkpoint.net.config, (*config.weights_depend_on, "mean", "colour", "scale")):
            continue
        parameters = start.checkpoint.net.named_parameters()
        share = sum(p.numel() for name, p in parameters if names.get(name) == tuple(p.shape)) / whole
        if share >= most:
            best, most = start, share
    return best


def _alike(one: NetConfig, other: NetConfig, settings: Iterable[str]) -> bool:
    return one.family == other.family and all(getattr(one, s, None) == getattr(other, s, None) for s in settings)


# -- weights -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Taken:
    """What a net took over from a start.

    Attributes:
        tensors, parameters: how many of the net's parameter tensors and of their numbers were filled, if only in part.
        of_tensors, of_parameters: how many there are.
        keypoints: the keypoints whose own channels of the head were taken over, by name.
        new: names of the parameters that stayed as they were, wholly or in part.
        unused: names of the start's parameters that found no place.
        hint: how more could have been taken over; "" where nothing can be done.
    """

    tensors: int
    parameters: int
    of_tensors: int
    of_parameters: int
    keypoints: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]
    hint: str = ""

    def describe(self, name: str, total_keypoints: int) -> str:
        """One or two sentences for the person who waits."""
        text = (
            f"starting from {name}: {self.tensors} of {self.of_tensors} tensors taken over, "
            f"{_count(self.parameters)} of {_count(self.of_parameters)} parameters"
        )
        if self.new:
            text += f"; new: {_parts(self.new)}"
            if self.keypoints:
                text += f", but for the channels of {len(self.keypoints)} of {total_keypoints} keypoints"
        if self.unused:
            text += f". Left behind: {_parts(self.unused)}"
        return f"{text}. {self.hint}" if self.hint else text


def _count(number: int) -> str:
    return f"{number / 1e6:.2f} M" if number >= 100_000 else f"{number:,}"


def _parts(names: Iterable[str]) -> str:
    """Names of parameters as a short list of the modules they belong to."""
    modules = list(dict.fromkeys(n.rpartition(".")[0] for n in names))
    if len(modules) > 4:
        # As many levels of the names as give a list that can be read.
        for depth in (3, 2, 1):
            short = list(dict.fromkeys(".".join(m.split(".")[:depth]) for m in modules))
            if len(short) <= 4:
                break
        modules = short
    return ", ".join(modules[:4]) + (f" and {len(modules) - 4} more" if len(modules) > 4 else "")


def take_over(net: HeatmapNet, skeleton: Skeleton, start: Start, model: str = "") -> Taken:
    """Fill a net with the weights of a start, layer by layer, where name and shape agree.

    Layers with a channel for each keypoint are filled channel by channel: a keypoint's channel comes from the start's
    keypoint of the same name, wherever it stood there, and a background channel from the background. Channels of keypoints
    that the start does not know keep their fresh weights, and so does the whole head where the two nets' maps pass through
    different activations: its numbers would mean something else.

    Args:
        net: changed in place.
        skeleton: the net's.
        start: where the weights come from.
        model: the preset's name, for messages.

    Raises:
        PosewrightError: where nothing fits, or the start's layers are in another order.
    """
    config, given = net.config, start.checkpoint.net
    for setting in config.weights_depend_on:
        here, there = getattr(config, setting), getattr(given.config, setting, None)
        if given.config.family == config.family and here != there:
            raise PosewrightError(
                f"--init {start.name} is a net with {setting}={there}, whose weights mean nothing with {setting}={here}",
                fix=f"Train with --net {setting}={there}",
            )
    own, others = net.state_dict(), given.state_dict()
    parameters = dict(net.named_parameters())
    mine, theirs = _channel_names(config, skeleton), _channel_names(given.config, start.checkpoint.skeleton)
    per_keypoint = keypoint_dimensions(config, net.keypoints)
    there = keypoint_dimensions(given.config, given.keypoints)
    same_meaning = (config.activation == "sigmoid") == (given.config.activation == "sigmoid")
    filled: dict[str, int] = {}
    carried: set[str] = set()
    for name, value in own.items() if given.config.family == config.family else ():
        if name not in others or value.ndim != others[name].ndim or _grown(per_keypoint, name) != _grown(there, name):
            continue
        if name not in per_keypoint:
            if value.shape == others[name].shape:
                value.copy_(others[name])
                filled[name] = value.numel()
        elif same_meaning:
            sides = zip(per_keypoint[name], there[name], strict=True)
            names = {d: (mine[here], theirs[given]) for (d, here), (_, given) in sides}
            count, keypoints = _fill_by_keypoint(value, others[name], names)
            carried |= keypoints
            if count:
                filled[name] = count
    of_tensors, of_parameters = len(parameters), sum(p.numel() for p in parameters.values())
    taken = {n: c for n, c in filled.items() if n in parameters}
    if not taken:
        raise PosewrightError(
            f"--init {start.name} is {start.checkpoint.preset or given.config.family}: none of its weights fits "
            f"{model or config.family}",
            fix="Leave --model and --net out to train a net like it",
        )
    return Taken(
        len(taken),
        sum(taken.values()),
        of_tensors,
        of_parameters,
        tuple(k for k in skeleton.keypoints if k in carried),
        tuple(n for n, p in parameters.items() if taken.get(n, 0) < p.numel()),
        tuple(n for n, _ in given.named_parameters() if n not in filled and not (n in there and n in parameters)),
        "" if same_meaning else _hint(given.config.activation),
    )


def _hint(activation: str) -> str:
    loss = "--loss bce" if activation == "sigmoid" else "a loss such as --loss mse"
    return f"The start's maps are {activation}: {loss} would keep its head"


def _blank(config: NetConfig, keypoints: int) -> HeatmapNet:
    """The net's shapes alone."""
    with torch.device("meta"):
        net: HeatmapNet = build_net(config, keypoints)
    return net


def keypoint_dimensions(config: NetConfig, keypoints: int) -> dict[str, tuple[tuple[int, int], ...]]:
    """Which dimensions of which tensors grow with the number of keypoints: by name, (dimension, channels a keypoint)."""
    more = _blank(config, keypoints + 1).state_dict()
    found = {}
    for name, value in _blank(config, keypoints).state_dict().items():
        grown = [b - a for a, b in zip(value.shape, more[name].shape, strict=True)]
        if any(grown):
            found[name] = tuple((d, g) for d, g in enumerate(grown) if g)
    return found


def _channel_names(config: NetConfig, skeleton: Skeleton) -> dict[int, list[str]]:
    """What the channels of such a dimension are, by how many of them a keypoint has: one map, or visibility besides.

    They are a dimension's first channels; what else it holds comes behind them.
    """
    maps = [*skeleton.keypoints, *(["<background>"] if config.background else [])]
    return {1: maps, 2: [*maps, *(f"<visible> {k}" for k in skeleton.keypoints)]}


def _grown(dimensions: dict[str, tuple[tuple[int, int], ...]], name: str) -> list[int]:
    """Which dimensions of a tensor grow, by however much: with visibility twice as much as without."""
    return [d for d, _ in dimensions.get(name, ())]


def _fill_by_keypoint(
    value: Tensor, given: Tensor, names: dict[int, tuple[list[str], list[str]]]
) -> tuple[int, set[str]]:
    """Fill the channels that both tensors have; return how many numbers that are, and whose channels.

    Args:
        names: what the first channels of a dimension are, in ``value`` and in ``given``.
    """
    to, source, carried = [torch.arange(n) for n in value.shape], [torch.arange(n) for n in given.shape], set[str]()
    for d, (here, there) in names.items():
        pairs = [(i, there.index(label)) for i, label in enumerate(here) if label in there]
        carried |= {here[i] for i, _ in pairs}
        if value.shape[d] - len(here) == given.shape[d] - len(there):
            pairs += [(len(here) + i, len(there) + i) for i in range(value.shape[d] - len(here))]
        to[d], source[d] = (torch.tensor([p[side] for p in pairs], dtype=torch.long) for side in (0, 1))
    if any(len(a) != len(b) or not len(a) for a, b in zip(to, source, strict=True)):
        return 0, set()
    value[torch.meshgrid(*to, indexing="ij")] = given[torch.meshgrid(*source, indexing="ij")]
    return int(torch.tensor([len(a) for a in to]).prod()), carried


# -- what a run remembers ----------------------------------------------------------------------------------------------


class Origin(pl.Callback):
    """Carries what a run started from, and that start's terms, through every resumption to its checkpoint.

    Args:
        record: what :func:`origin_of` tells of the start; empty where there is none.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record: dict[str, Any] = dict(record)

    def terms(self, own: str) -> str:
        """The run's own terms, joined with those that come with the start weights."""
        return join_terms(own, str(self.record.get("terms") or ""), f"Start weights ({self.record.get('name')})")

    def state_dict(self) -> dict[str, Any]:
        return {"record": self.record}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.record = dict(state_dict["record"])


class CountFrom(pl.Callback):
    """Lets a new run begin at a later epoch: its numbers, its place in the schedule, and its order and augmentation.

    Args:
        epoch: the first epoch's number, from 0.
        steps: optimiser steps an epoch.
    """

    def __init__(self, epoch: int, steps: int) -> None:
        self.epoch, self.step = epoch, epoch * steps

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.ckpt_path is not None or not self.epoch:
            return
        progress: Any = trainer.fit_loop.epoch_progress
        for counter in (progress.current, progress.total):
            counter.ready = counter.started = counter.processed = counter.completed = self.epoch
        pl_module.steps_taken = self.step

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.ckpt_path is not None or not self.epoch:
            return
        trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total.completed = self.step
        for entry in trainer.lr_scheduler_configs:
            schedule: Any = entry.scheduler
            schedule.last_epoch = self.step - 1
            schedule.step()
