"""One run that trains a locator, from settings to a folder with its checkpoint, its model file and all to resume it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch

from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.metrics.boxes import Finds
from posewright.metrics.interval import FEW, caution, wilson
from posewright.models.checkpoint import (
    Checkpoint,
    checkpoint_kind,
    data_behind,
    fill_net,
    join_terms,
    load_checkpoint,
    origin_of,
)
from posewright.models.locator import CentreNet, Trunk
from posewright.models.locator_checkpoint import LocatorCheckpoint, load_locator_checkpoint, save_locator
from posewright.models.locator_presets import CentreConfig, locator_preset, trunk_text
from posewright.models.overrides import as_overrides, net_overrides
from posewright.runtime.names import find_checkpoint
from posewright.training.accumulation import steps_per_epoch
from posewright.training.batch_norm import share_batch_norms
from posewright.training.course import CHECKPOINT, MODEL, Begun, Watched, begin, run_to_best, total_steps
from posewright.training.data import sampled
from posewright.training.ending import together
from posewright.training.locator_config import LocatorConfig
from posewright.training.locator_task import LocatorTask
from posewright.training.plan import batch_for, epochs_for
from posewright.training.run_config import NONE
from posewright.training.scenes import SceneDataset, collate_scenes
from posewright.training.start import Origin

WATCHED = Watched("val_ap50", "AP@0.5", ("val_loss", "val_ap50", "val_recall", "val_false"))


@dataclass
class LocatorRun:
    """What a finished run that trained a locator left behind.

    Attributes:
        folder: the run's folder.
        checkpoint: the net with the best average precision on the validation pictures, and all that belongs to it.
        recall: share of the validation pictures' objects that it finds at its threshold.
        false_boxes: false boxes a picture there.
        seconds: wall time of the training loop, over all resumptions.
    """

    folder: Path
    checkpoint: LocatorCheckpoint
    recall: float
    false_boxes: float
    seconds: float


@together
def fit_locator(
    config: LocatorConfig, annotations: Annotations | None = None, *, resume: bool = False, terms: str = ""
) -> LocatorRun:
    """Train a locator, and write checkpoint, model file and curves into the run's folder.

    It learns from the boxes of the objects; where labels have none, from those around their keypoints. Crowds are places of
    which nothing is known. Pictures without any object teach it to find none. For several processes see
    :func:`posewright.training.fit.fit`.

    Args:
        config: the settings.
        annotations: the labelled pictures; read from ``config.data`` where None.
        resume: go on from the folder's last checkpoint, as if the run had never stopped.
        terms: terms of the training data, kept in checkpoint and model file.

    Raises:
        PosewrightError: where data, settings or checkpoint cannot be used, or the loss is no longer a number.
    """
    begun = begin(config, annotations, resume)
    config, annotations = begun.config, begun.annotations
    _check(annotations, config)
    start = None
    if begun.state is None:
        start = _start(config)
        config = begun.config = _settled(config, annotations, start, begun.place.ranks)
    net = CentreNet(net_settings(config))
    if start is not None:
        _take_over(net, start, config.init)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    height, width = config.size
    net.check_size(height, width)
    rule = CropRule((width, height), margin=1.0)
    train, val = (
        SceneDataset(annotations.of_split(split), rule, augment, config.seed, config.least_side)
        for split, augment in (("train", config.augment), ("val", None))
    )
    _check_batch(config, train, val, begun)
    batch = min(config.batch_size, len(train))
    loaders = sampled(config, train, val, batch, None, begun.steps_taken, begun.place, collate_scenes)
    if config.sync_batch_norm:
        share_batch_norms(net)
    task = LocatorTask(net, config, val.annotations, total_steps(config, loaders[0]), train.annotations)
    learned = {} if start is None else origin_of(config.init, data_behind(start.training), start.terms)
    origin = Origin(learned)
    _, rows = run_to_best(
        begun,
        task,
        *loaders,
        WATCHED,
        lambda t: _describe(config, net, train, val, t, loaders[0], begun.device),
        [origin],
    )
    terms = join_terms(terms, annotations.terms, "Training data")
    return _finish(begun, task, rows, rule, loaders[1], terms, origin)


def net_settings(config: LocatorConfig) -> CentreConfig:
    """The preset of a run with the settings of ``--net``.

    Raises:
        PosewrightError: where preset or settings do not exist.
    """
    named: Any = CentreConfig
    return locator_preset(config.model, net_overrides(named, config.net))


# -- before ------------------------------------------------------------------------------------------------------------


def _check(annotations: Annotations, config: LocatorConfig) -> None:
    """Raise a PosewrightError where there is nothing to learn from, or nothing to measure by."""
    source = annotations.source or config.data or "the data"
    for split, name in (("train", "training"), ("val", "validation")):
        part = annotations.of_split(split)
        if not (~part.iscrowd).any():
            fix = "Label more pictures, or hold out more with --val-share" if split == "val" else None
            raise PosewrightError(f"has no {name} picture with a boxed object", file=source, fix=fix)
    cut = next((im for im in annotations.images if im.part is not None), None)
    if cut is not None:
        what = "is a packed set, whose pictures are cut out around the objects; a locator learns from whole ones"
        raise PosewrightError(what, file=source, fix="Name the labels that it was packed from")


def _check_batch(config: LocatorConfig, train: SceneDataset, val: SceneDataset, begun: Begun[LocatorConfig]) -> None:
    if config.batch_size > len(train):
        raise PosewrightError(
            f"batch_size is {config.batch_size}, and there are {len(train)} pictures to train on",
            fix=f"Leave it out, or take at most {len(train)}",
        )
    for name, dataset in (("training", train), ("validation", val)):
        if len(dataset) < begun.place.ranks:
            what = f"has {len(dataset)} {name} pictures for {begun.place.ranks} devices"
            raise PosewrightError(what, file=dataset.annotations.source or config.data)


Start = LocatorCheckpoint | Checkpoint
"""A locator to go on from, or the keypoint model whose features one is to read."""


def _start(config: LocatorConfig) -> Start | None:
    if config.init == NONE:
        return None
    try:
        path = find_checkpoint(config.init)
        return load_locator_checkpoint(path) if checkpoint_kind(path) == "locator" else load_checkpoint(path)
    except PosewrightError as error:
        raise PosewrightError(f"--init: {error.what}", file=error.file, fix=error.fix) from None


def _take_over(net: CentreNet, start: Start, name: str) -> None:
    """Fill a net with a start's weights, all of which have to fit."""
    if isinstance(start, LocatorCheckpoint):
        if net.config != start.net.config:
            raise PosewrightError(
                f"--init: the net of '{name}' has other settings than this run's", fix="Leave --model and --net out"
            )
        net.load_state_dict(start.net.state_dict())
        print(f"starting from {name}")
        return
    assert isinstance(net.features, Trunk)
    trunk = net.features.net
    given = {key: value for key, value in start.net.state_dict().items() if key in trunk.state_dict()}
    fill_net(trunk, given, Path(name))
    told = "its features are the locator's, and are trained further"
    print(f"starting from the keypoint model {name}: {told}")


def _on_trunk(config: LocatorConfig, start: Checkpoint) -> tuple[str, ...]:
    """The settings of ``--net`` for a locator that reads a keypoint model's features.

    Raises:
        PosewrightError: where they name another trunk.
    """
    given = net_overrides(cast(Any, CentreConfig), config.net)
    settings = {"trunk": trunk_text(start.net.config), "keypoints": start.net.keypoints}
    if "trunk" in given:
        asked = CentreConfig(**given | {"keypoints": start.net.keypoints}).trunk_config
        if asked != start.net.config:
            what = f"--init: '{config.init}' is another net than the trunk that --net names"
            raise PosewrightError(what, fix="Leave trunk= out: the trunk is the net of --init")
    if given.get("keypoints", start.net.keypoints) != start.net.keypoints:
        what = f"--init: '{config.init}' has {start.net.keypoints} keypoints, not {given['keypoints']}"
        raise PosewrightError(what, fix="Leave keypoints= out")
    own = (text for text in config.net if text.partition("=")[0] not in settings)
    return (*own, *(f"{name}={value}" for name, value in settings.items()))


def _settled(config: LocatorConfig, annotations: Annotations, start: Start | None, ranks: int) -> LocatorConfig:
    """The settings with nothing left open; says what was chosen."""
    plain, pictures = LocatorConfig(), len(annotations.of_split("train").images)
    chosen = []
    if isinstance(start, Checkpoint):
        config = replace(config, net=_on_trunk(config, start))
    elif isinstance(start, LocatorCheckpoint):
        width, height = start.rule.size
        if (config.model, config.net) == (plain.model, plain.net):
            settings: Any = start.net.config
            config = replace(config, net=as_overrides(settings))
        if config.input_size == plain.input_size:
            config = replace(config, input_size=f"{height}x{width}")
            chosen.append(f"input {height}x{width}")
    if not config.epochs:
        usual = epochs_for(pictures)
        config = replace(config, epochs=usual if config.init_epoch < usual else config.init_epoch + usual)
        chosen.append(f"{config.epochs} epochs")
    if not config.batch_size:
        config = replace(config, batch_size=batch_for(pictures, ranks))
        chosen.append(f"batches of {config.batch_size}")
    trunk = net_settings(config).trunk_config
    config = replace(config, lr=config.lr or config.highest_lr * (1.0 if trunk is None else trunk.lr_factor))
    if chosen:
        print(f"for {pictures} pictures: {', '.join(chosen)}")
    return config


def _describe(
    config: LocatorConfig,
    net: CentreNet,
    train: SceneDataset,
    val: SceneDataset,
    trainer: pl.Trainer,
    loader: Any,
    device: str,
) -> str:
    size = "x".join(map(str, config.size))
    count = sum(p.numel() for p in net.parameters())
    part = train.annotations
    empty = len(train) - len(set(part.image[~part.iscrowd].tolist()))
    return (
        f"{config.model} ({count / 1e6:.2f} M parameters, {size}) on {device} in {trainer.precision}: "
        f"{len(train)} pictures to train on, with {int((~part.iscrowd).sum())} objects and {empty} without any, "
        f"{len(val)} to validate, {config.epochs} epochs of {steps_per_epoch(len(loader), config.accumulate)} steps"
    )


# -- behind ------------------------------------------------------------------------------------------------------------


def measure(task: LocatorTask, loader: Any) -> Finds:
    """What a task's net finds on the pictures of a plain loader, judged."""
    task.eval()
    with torch.no_grad():
        for i, batch in enumerate(loader):
            task.validation_step(batch, i)
    return task.gathered()[0]


def _finish(
    begun: Begun[LocatorConfig],
    task: LocatorTask,
    rows: list[dict[str, float]],
    rule: CropRule,
    val: Any,
    terms: str,
    origin: Origin,
) -> LocatorRun:
    """Choose the threshold with the best epoch's weights, and write what the run is for."""
    from posewright.export.locator import export_locator
    from posewright.reports.curves import draw_curves

    config, folder, annotations = begun.config, begun.folder, begun.annotations
    task.to("cpu")
    finds = measure(task, val)
    threshold = round(finds.threshold(config.false_boxes), 4)
    recall, false = finds.at(threshold)
    train = annotations.of_split("train")
    where = f"{finds.pictures} validation pictures with {finds.objects} objects, best of {len(rows)} epochs"
    rules: dict[str, Any] = {"overlap": 0.5, "data": where}
    checkpoint = LocatorCheckpoint(
        task.net.eval(),
        annotations.skeleton,
        rule,
        config.model,
        config.most,
        threshold,
        training={
            "config": config.to_dict(),
            "data": str(annotations.source or config.data),
            "objects": int((~train.iscrowd).sum()),
            "pictures": len(train.images),
            "epochs": len(rows),
            "seconds": rows[-1]["seconds"],
            "history": rows,
            **({"start": origin.record} if origin.record else {}),
        },
        metrics={
            "recall": {"value": round(recall, 5), "threshold": threshold, **rules},
            "false boxes a picture": {"value": round(false, 5), "threshold": threshold, **rules},
            "AP@0.5": {"value": round(finds.ap, 5), **rules},
        },
        terms=origin.terms(terms),
    )
    for line in _told(finds, threshold):
        print(line)
    save_locator(checkpoint, folder / CHECKPOINT)
    export_locator(checkpoint, folder / MODEL)
    draw_curves([folder], folder / "curves.png")
    return LocatorRun(folder, checkpoint, recall, false, float(rows[-1]["seconds"]))


def _told(finds: Finds, threshold: float) -> list[str]:
    """What the run's figures mean, and a word of caution where they are of few objects."""
    recall, _ = finds.at(threshold)
    lines = [
        f"At the score threshold {threshold:g}, which was chosen on the {finds.pictures} held-out pictures: recall is the "
        f"share of their {finds.objects} boxes that one is found for with an intersection over union of at least 0.5."
    ]
    if 0 < finds.objects < FEW:
        lines.append(caution("recall", recall, *wilson(recall, finds.objects), finds.objects))
    return lines
