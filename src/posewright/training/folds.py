"""Small nets that judge a set which they were not trained on: each part of it by a net of the other parts."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from posewright.annotations import Annotations
from posewright.annotations.splits import groups_of
from posewright.annotations.stretches import stretches
from posewright.errors import PosewrightError
from posewright.files import write_text
from posewright.geometry import CropRule
from posewright.models.devices import choose_device
from posewright.models.presets import build_net
from posewright.runtime import Predictor, load
from posewright.training.accumulation import steps_per_epoch
from posewright.training.config import TrainConfig
from posewright.training.dataset import CropDataset, collate
from posewright.training.fit import CHECKPOINT, LAST, MODEL, fit
from posewright.training.nets import net_settings
from posewright.training.plan import batch_for, count_objects, epochs_for, settle
from posewright.training.run_config import NONE
from posewright.training.task import KeypointTask

NOTE = "folds.json"
QUICK = 3
"""A net that only judges labels is trained for so many times fewer epochs than one to be used; at least :data:`LEAST`."""
LEAST = 5
TRIED = 3
"""Steps that are timed beforehand."""
VALIDATION = 0.1


@dataclass(frozen=True)
class Folds:
    """How a set is parted, and what is going to be trained.

    Attributes:
        annotations: the whole set.
        fold: ``[M]`` the part that each picture is in.
        config: the settings of each run; epochs are settled.
        seconds: estimated for all runs from the start.
        folder: each run has a folder of its own in it.
    """

    annotations: Annotations
    fold: NDArray[np.int64]
    config: TrainConfig
    seconds: float
    folder: Path

    @property
    def count(self) -> int:
        return int(self.fold.max()) + 1

    def describe(self) -> str:
        """In one sentence, for before it begins."""
        objects = count_objects(self.annotations)
        return (
            f"{self.count} nets ({self.config.model} at {self.config.input_size}), {self.config.epochs} epochs each, judge "
            f"{objects} objects that they were not trained on: about {_duration(self.seconds)} of training."
        )

    def train(self, report: Callable[[str], None] = print) -> list[Predictor]:
        """Train the nets that are not there yet, and load all; a run that was broken off goes on where it was.

        Returns:
            For each part, the net that was trained without it.

        Raises:
            PosewrightError: where the folder holds nets of other labels, or training fails.
        """
        self._note()
        models = []
        for number in range(self.count):
            folder = self.folder / f"fold{number}"
            if not ((folder / MODEL).is_file() and (folder / CHECKPOINT).is_file()):
                report(f"net {number + 1} of {self.count}:")
                keep = replace(self.config, output=str(folder))
                fit(keep, self._without(number), resume=(folder / LAST).is_file())
            models.append(load(folder, "auto" if self.config.device == "mps" else self.config.device))
        return models

    def _without(self, number: int) -> Annotations:
        """The other parts, a tenth of them for validation, whole groups at a time."""
        others = self.annotations.subset(self.fold != number)
        groups = groups_of(others)
        images = [replace(im, split=None, group=f"{g}") for im, g in zip(others.images, groups.tolist())]
        return replace(others, images=images).with_splits(VALIDATION, self.config.seed)

    def _note(self) -> None:
        """Refuse a folder whose nets were trained for other labels or by other parts."""
        a, path = self.annotations, self.folder / NOTE
        digest = hashlib.sha256(self.fold.tobytes())
        for part in (a.keypoints, a.boxes, a.image):
            digest.update(np.ascontiguousarray(part).tobytes())
        digest.update("\n".join(im.path for im in a.images).encode())
        own = {"labels": digest.hexdigest(), "folds": self.count, "epochs": self.config.epochs}
        if path.is_file():
            try:
                there = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                there = None
            if not isinstance(there, dict) or {k: there.get(k) for k in ("labels", "folds")} != {
                k: own[k] for k in ("labels", "folds")
            }:
                fix = "Give another -o, or delete that folder"
                raise PosewrightError("holds nets that were trained for other labels", file=self.folder, fix=fix)
            return
        write_text(path, json.dumps(own, indent=1) + "\n")


def plan_folds(
    annotations: Annotations,
    folder: Path,
    *,
    folds: int = 3,
    minutes: float | None = None,
    config: TrainConfig | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Folds:
    """Part a set by its groups, settle the net, and time a few of its steps.

    Args:
        annotations: the set; its splits do not matter.
        folder: for the runs.
        folds: parts, and nets.
        minutes: for all training together; epochs are chosen so that it fits, at least one each. A third of the epochs that
            `posewright train` would make where None.
        config: settings other than those of `posewright train`; ``output`` does not matter.
        device: where to train and run.
        seed: of the parts.

    Raises:
        PosewrightError: where there are fewer groups than parts, or too few objects.
    """
    if folds < 2:
        raise PosewrightError(f"an object is judged by a net of other parts: --folds must be at least 2, not {folds}")
    if minutes is not None and not minutes > 0:
        raise PosewrightError(f"--minutes must be above 0, not {minutes:g}")
    fold = _parts(annotations, folds, seed)
    settings = replace(config or TrainConfig(input_size="128", margin=1.1), device=device, seed=seed)
    trained = annotations.subset(fold != 0)
    objects = count_objects(trained)
    if objects < 4:
        raise PosewrightError(f"has {objects} objects for each net to learn from", file=annotations.source or None)
    epochs = settings.epochs
    there = folder / NOTE
    if there.is_file():
        # A run that is gone on with keeps its length, whatever the machine's speed is by now.
        epochs = _noted_epochs(there) or epochs
    wanted = replace(settings, epochs=epochs or max(LEAST, epochs_for(objects) // QUICK))
    with_split = replace(trained, images=[replace(im, split="train") for im in trained.images])
    settled, _ = settle(wanted, with_split, choose_device(settings.device))
    learn = int(objects * (1 - VALIDATION))
    batch = min(settled.batch_size or batch_for(learn), learn)
    steps = max(1, steps_per_epoch(learn // batch, settled.accumulate))
    each = _seconds_a_step(settled, with_split, batch) * steps * folds
    if minutes is not None and not epochs:
        settled = replace(settled, epochs=max(1, int(minutes * 60 / each)))
    # Start weights and batch are chosen anew by each run, for its own objects.
    chosen = replace(settled, init=settings.init, batch_size=settings.batch_size)
    if settled.init == NONE:
        chosen = replace(chosen, init=NONE)
    return Folds(annotations, fold, chosen, each * settled.epochs, folder)


def _noted_epochs(path: Path) -> int:
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["epochs"])
    except (ValueError, KeyError, TypeError):
        return 0


def _parts(annotations: Annotations, folds: int, seed: int) -> NDArray[np.int64]:
    """``[M]``: groups of pictures dealt out, the largest first, each to the part that has least; a single group, such as one
    video, in stretches."""
    groups = groups_of(annotations)
    sizes = np.bincount(groups)
    if len(sizes) == 1 and len(annotations.images) >= folds:
        return stretches(annotations.images, [1 / folds] * folds)
    if len(sizes) < folds:
        what = f"has {len(sizes)} groups of pictures that stay together, for {folds} parts"
        raise PosewrightError(what, file=annotations.source or None, fix="Take fewer --folds, or a --model")
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    part, filled = np.zeros(len(sizes), np.int64), np.zeros(folds)
    for group in order:
        part[group] = int(filled.argmin())
        filled[part[group]] += sizes[group]
    return part[groups]


def _seconds_a_step(config: TrainConfig, annotations: Annotations, batch: int) -> float:
    """How long a training step takes on this machine, crops and all, by doing a few."""
    device = choose_device(config.device)
    net = build_net(net_settings(config), len(annotations.skeleton)).to(device)
    height, width = config.size
    data = CropDataset(annotations, CropRule((width, height), config.margin), config.augment, config.seed)
    task = KeypointTask(net, config, annotations, 100, annotations).to(device)
    taken = []
    for turn in range(TRIED):
        started = time.monotonic()
        items = [data[(turn * batch + n) % len(data)] for n in range(batch)]
        samples: Any = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in collate(items).items()}
        task.losses(samples)["loss"].backward()
        taken.append(time.monotonic() - started)
    return float(np.median(taken))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
