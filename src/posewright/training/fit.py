"""One training run from settings to a folder that holds its checkpoint, its model file, its curves and all to resume it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.metrics.interval import FEW, caution, wilson
from posewright.models.base import HeatmapNet
from posewright.models.checkpoint import Checkpoint, join_terms, load_checkpoint, save_checkpoint
from posewright.models.presets import build_net
from posewright.skeleton import Skeleton
from posewright.training.accumulation import steps_per_epoch
from posewright.training.batch_norm import share_batch_norms
from posewright.training.config import TrainConfig
from posewright.training.course import (
    CHECKPOINT,
    LAST,
    MODEL,
    NOISY,
    Begun,
    Watched,
    begin,
    run_to_best,
    total_steps,
)
from posewright.training.data import loaders
from posewright.training.distill import DistillTask
from posewright.training.ending import together
from posewright.training.freezing import Frozen, KeepFrozen, freeze
from posewright.training.heldout import calibrate
from posewright.training.lesson import Lesson
from posewright.training.nets import net_settings, of_own_net
from posewright.training.plan import settle
from posewright.training.start import Origin, Start, take_over
from posewright.training.task import KeypointTask
from posewright.training.visibility import learnable

__all__ = ["CHECKPOINT", "LAST", "MODEL", "NOISY", "Run", "finished_run", "fit"]

INT8 = "model-int8.onnx"
"""Beside the model file, of a run that trained for it."""


@dataclass
class Run:
    """What a finished training run left behind.

    Attributes:
        folder: the run's folder.
        checkpoint: the net with the best validation PCK, and all that belongs to it.
        pck: its PCK on the validation split.
        seconds: wall time of the training loop, over all resumptions.
    """

    folder: Path
    checkpoint: Checkpoint
    pck: float
    seconds: float


@together
def fit(
    config: TrainConfig,
    annotations: Annotations | None = None,
    *,
    net: HeatmapNet | None = None,
    resume: bool = False,
    terms: str = "",
) -> Run:
    """Train, and write checkpoint, model file and curves into the run's folder.

    Where several processes train (``torchrun``, SLURM or ``config.devices``), each calls this; it returns in the first of
    them, and the others end within it. A process trains one such run.

    Args:
        config: the settings.
        annotations: the labelled pictures; read from ``config.data`` where None.
        net: a net to train as it is, of a family that is registered (:func:`posewright.models.presets.register`); made
            from ``config.model`` and ``config.net`` where None.
        resume: go on from the folder's last checkpoint, as if the run had never stopped.
        terms: terms of the training data, kept in checkpoint and model file.

    Raises:
        PosewrightError: where data, settings or checkpoint cannot be used, or the loss is no longer a number.
    """
    begun = begin(config, annotations, resume)
    config, annotations, device, state = begun.config, begun.annotations, begun.device, begun.state
    keypoints = len(annotations.skeleton)
    known, begin_with = net is not None or state is not None, None
    if state is None:
        config, begin_with = settle(config, annotations, device, own_net=net is not None)
    if net is None:
        config = learnable(config, annotations)
        net = build_net(net_settings(config), keypoints)
    else:
        config = of_own_net(config, net, keypoints)
    frozen = _begin(net, annotations.skeleton, config, begin_with, known)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    height, width = config.size
    net.check_size(height, width)
    rule = CropRule((width, height), config.margin)
    lesson = Lesson.prepare(config, net, annotations.skeleton, rule) if config.teacher else None
    taught = None
    if lesson is not None:
        if begun.place.first:
            print(lesson.describe())
        taught = lesson.dataset(annotations.of_split("train"), device, begun.place)
        terms = lesson.terms(terms)
    terms = join_terms(terms, annotations.terms, "Training data")
    train, val = loaders(config, annotations, rule, begun.steps_taken, begun.place, taught)
    if config.sync_batch_norm:
        share_batch_norms(net)
    setting: tuple[Any, ...] = (
        net,
        config,
        val.dataset.annotations,  # type: ignore[attr-defined]
        total_steps(config, train),
        train.dataset.annotations,  # type: ignore[attr-defined]
    )
    task = KeypointTask(*setting) if lesson is None else DistillTask(lesson, *setting)
    origin = Origin(begin_with.origin() if begin_with is not None else {})
    callbacks: list[pl.Callback] = [*([KeepFrozen(frozen)] if frozen is not None else []), origin]
    begun.config = config
    score, rows = run_to_best(
        begun,
        task,
        train,
        val,
        Watched(label=f"PCK@{config.threshold:g}"),
        lambda trainer: _describe(config, net, train, val, trainer, device),
        callbacks,
    )
    return _finish(begun, task, score, rows, rule, val, terms, origin)


def _begin(net: HeatmapNet, skeleton: Skeleton, config: TrainConfig, start: Start | None, known: bool) -> Frozen | None:
    """Fill a net with the weights of its start and freeze what is to be frozen, and say so.

    Args:
        known: the net's weights are not random even without a start: it was given, or is resumed.
    """
    taken = None
    if start is not None:
        taken = take_over(net, skeleton, start, config.model)
        print(taken.describe(start.name, len(skeleton)))
    if not config.freeze:
        return None
    if taken is None and not known:
        raise PosewrightError("--freeze without a start would keep random weights", fix="Name one with --init")
    frozen = freeze(net, config.freeze, taken)
    print(f"frozen: {', '.join(frozen.modules)} ({frozen.parameters / frozen.of_parameters:.0%} of the parameters)")
    return frozen


def finished_run(folder: Path) -> Run:
    """What a run that is over left in its folder.

    Raises:
        PosewrightError: where its checkpoint is missing or cannot be used.
    """
    checkpoint = load_checkpoint(folder / CHECKPOINT)
    figures = [m["value"] for name, m in checkpoint.metrics.items() if name.startswith("PCK@")]
    return Run(folder, checkpoint, float(figures[0]), float(checkpoint.training["seconds"]))


def _describe(config: TrainConfig, net: HeatmapNet, train: Any, val: Any, trainer: pl.Trainer, device: str) -> str:
    size = "x".join(map(str, config.size))
    count = sum(p.numel() for p in net.parameters())
    return (
        f"{config.model} ({count / 1e6:.2f} M parameters, {size}) on {device} in {trainer.precision}: "
        f"{len(train.dataset)} objects to train on, {len(val.dataset)} to validate, "
        f"{config.epochs} epochs of {steps_per_epoch(len(train), config.accumulate)} steps"
    )


def _finish(
    begun: Begun[TrainConfig],
    task: KeypointTask,
    score: float,
    rows: list[dict[str, float]],
    rule: CropRule,
    val: Any,
    terms: str,
    origin: Origin,
) -> Run:
    """Calibrate presence with the best epoch's weights, and write what the run is for."""
    from posewright.export.exporting import export_onnx
    from posewright.reports.curves import draw_curves

    config, annotations, folder = begun.config, begun.annotations, begun.folder
    net = task.net.to("cpu").eval()
    seconds = rows[-1]["seconds"]
    objects = len(annotations.of_split("train"))
    checkpoint = Checkpoint(
        net,
        annotations.skeleton,
        rule,
        config.model,
        training={
            "config": config.to_dict(),
            "data": str(annotations.source or config.data),
            "objects": objects,
            "epochs": len(rows),
            "seconds": seconds,
            "history": rows,
            **({"start": origin.record} if origin.record else {}),
            **({"teacher": task.lesson.record()} if isinstance(task, DistillTask) else {}),
        },
        metrics={
            f"PCK@{config.threshold:g}": {
                "value": round(score, 5),
                "normaliser": str(annotations.skeleton.normaliser),
                "data": f"{len(val.dataset)} validation objects, best of {len(rows)} epochs",
            }
        },
        terms=origin.terms(terms),
    )
    for line in calibrate(checkpoint, val.dataset.annotations, config.seed, begun.device):
        print(line)
    for line in _convention(config, annotations.skeleton, score, len(val.dataset)):
        print(line)
    save_checkpoint(checkpoint, folder / CHECKPOINT)
    export_onnx(checkpoint, folder / MODEL)
    if config.qat:
        for line in _write_int8(checkpoint, annotations, folder):
            print(line)
    draw_curves([folder], folder / "curves.png")
    return Run(folder, checkpoint, score, seconds)


def _write_int8(checkpoint: Checkpoint, annotations: Annotations, folder: Path) -> list[str]:
    """Write the file that the run was for, calibrated on training pictures; what there is to say of it."""
    from posewright.export.exporting import export
    from posewright.export.pictures import labelled_pictures

    pictures = labelled_pictures(annotations, checkpoint.rule)
    try:
        seen, check = pictures.train, pictures.check
        report = export(checkpoint, folder / INT8, precision="int8", calibration=seen, check=check)
    except PosewrightError as error:
        return [str(error)]
    assert report is not None
    return [f"{folder / INT8}: {pictures.words}.", report.sentence(), *report.notes]


def _convention(config: TrainConfig, skeleton: Skeleton, score: float, objects: int) -> list[str]:
    """What the run's PCK means, and a word of caution where it is of few objects."""
    name = f"PCK@{config.threshold:g}"
    lines = [
        f"{name}: share of the labelled keypoints of {objects} held-out objects, in their labelled boxes, within "
        f"{config.threshold:g} x {skeleton.normaliser}; the best epoch's, so a little too good."
    ]
    if 0 < objects < FEW:
        lines.append(caution(name, score, *wilson(score, objects), objects))
    return lines
