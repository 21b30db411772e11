"""Teachers for the tests of distillation, and what a run would make of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from helpers.discs import COLOURS, DISCS
from helpers.runs import small_run
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint, save_checkpoint
from posewright.models.heatmaps import encode
from posewright.models.presets import build_net, preset
from posewright.training.dataset import collate
from posewright.training.distill import DistillTask
from posewright.training.lesson import Lesson
from posewright.training.teachers import Seen, Teacher
from posewright.training.views import Grid

RULE = CropRule((64, 64))
SMALL = small_run(epochs=2)


def save_teacher(path):
    """A teacher with random weights, of another size, stage count and width than the students."""
    torch.manual_seed(5)
    net = build_net(preset("hourglass_s2_nano", channels=24, activation="sigmoid"), 3)
    return save_checkpoint(
        Checkpoint(net.eval(), DISCS, CropRule((96, 96)), "hourglass_s2_nano", terms="ask first"), path
    )


class Oracle(Teacher):
    """Knows where the discs are in the crop at hand: by their colours."""

    name, digest, stages, background = "oracle", "0", 1, False
    skeleton = DISCS

    def __init__(self, rule=RULE, points_only=False):
        self.rule = rule
        self.grid = None if points_only else Grid((rule.size[1] // 4, rule.size[0] // 4), 4)
        self.stages = 0 if points_only else 1

    def __call__(self, image):
        points = torch.zeros(len(image), 3, 3)
        for b, crop in enumerate(image.numpy().astype(int)):
            for k, colour in enumerate(COLOURS):
                y, x = np.nonzero(np.abs(crop - colour).sum(2) < 90)
                if len(x) > 4:
                    points[b, k] = torch.tensor([x.mean(), y.mean(), 1.0])
        if self.grid is None:
            return Seen(None, points)
        maps = encode(points[..., :2], points[..., 2] > 0, self.grid.size, 4, 1.5)
        return Seen(maps[:, None], points)


def lesson_for(teacher, config=SMALL, net=None, skeleton=DISCS, rule=RULE, monkeypatch=None):
    if isinstance(teacher, Teacher):
        monkeypatch.setattr("posewright.training.lesson.load_teacher", lambda *a, **k: teacher)
        config = replace(config, teacher=teacher.name)
    net = (
        net
        if net is not None
        else build_net(preset("hourglass_s1_nano", channels=16, activation="sigmoid"), len(skeleton))
    )
    return Lesson.prepare(config, net, skeleton, rule), net


def task_for(lesson, net, discs, config=None):
    return DistillTask(lesson, net, config or lesson.config, discs, 10)


def batch_of(dataset, items):
    return collate([dataset[i] for i in items])
