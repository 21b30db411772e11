"""Distillation: the training task of a student that learns from labels and from a teacher.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531); for heat maps Zhang, Zhu and
Ye, "Fast Human Pose Estimation", CVPR 2019 (arXiv:1811.05419). The teacher sees the very crop that the student sees; see
``views.py`` for how, and ``lesson.py`` for what becomes of its answer.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posewright.errors import PosewrightError
from posewright.models.features import Features
from posewright.training.dataset import EMPTY, IGNORED, Sample
from posewright.training.lesson import Lesson
from posewright.training.losses import ON_LOGITS
from posewright.training.task import KeypointTask
from posewright.training.teachers import Seen
from posewright.training.views import moved_maps


class DistillTask(KeypointTask):
    """Training of a student on labels and on a teacher's word.

    Samples are those of :class:`posewright.training.distill_data.DistillDataset`; on others (validation) the loss is the
    labels' alone, so that it compares with a run without a teacher. Where the labels call for silence they have the last
    word: on crops without the object, and on keypoints known to lie outside the crop.

    The teacher is not a part of this module: checkpoints, running mean and optimiser know nothing of it.

    Args:
        lesson: the teacher, made ready for this student.
        args: those of :class:`KeypointTask`.
    """

    def __init__(self, lesson: Lesson, *args: Any) -> None:
        super().__init__(*args)
        self.lesson, self.distill = lesson, lesson.config.distill
        self.adapter: nn.Conv2d | None = None
        if self.distill.target == "features":
            assert lesson.teacher.channels is not None
            self.features = Features(self.net)
            self.adapter = nn.Conv2d(self.features.channels, lesson.teacher.channels, 1)

    def losses(self, batch: Sample) -> dict[str, Tensor]:
        """The step's ``loss`` and ``output`` (logits), and the parts ``labels`` and ``teacher`` by name."""
        if "teacher_image" not in batch and "teacher_maps" not in batch:
            return super().losses(batch)
        found = self.forward(batch["image"])
        logits = found["logits"]
        if self.distill.target == "heatmaps":
            parts = self._heatmap_parts(batch, logits)
        else:
            parts = self._other_parts(batch, logits)
        more = self.visibility_loss(batch, found)
        loss = torch.stack([parts.pop("loss"), *more.values()]).sum()
        return {"loss": loss, "output": logits, **parts, **more}

    def _heatmap_parts(self, batch: Sample, logits: Tensor) -> dict[str, Tensor]:
        """Each map learns from label and teacher in the shares of ``alpha``, or wholly from the one of them that knows it."""
        soft, known = self._word(batch)
        maps = logits if self.config.loss in ON_LOGITS else self.net.activate(logits)
        target, state = self.targets(batch, (logits.shape[-2], logits.shape[-1]))
        label, teacher = (self.heatmap_loss.cell(maps, t).sum((-2, -1)) for t in (target[:, None], soft))
        counted = self.heatmap_loss.counted(label, state).float()
        share = self.distill.alpha * known
        of_label = counted * (1 - share)[:, None]
        of_teacher = torch.where(state != IGNORED, share, known)[:, None].expand_as(teacher)
        mean = self.heatmap_loss.mean
        return {
            "loss": mean(torch.cat([label, teacher], 2), torch.cat([of_label, of_teacher], 2)),
            "labels": mean(label.detach(), counted),
            "teacher": mean(teacher.detach(), known[:, None].expand_as(teacher)),
        }

    def _other_parts(self, batch: Sample, logits: Tensor) -> dict[str, Tensor]:
        target, state = self.targets(batch, (logits.shape[-2], logits.shape[-1]))
        label = self.map_loss(logits, target, state)
        if self.distill.target == "response":
            teacher = self._response_loss(batch, logits)
        else:
            teacher = self._feature_loss(batch)
        loss = (1 - self.distill.alpha) * label + self.distill.alpha * self.distill.weight * teacher
        return {"loss": loss, "labels": label.detach(), "teacher": teacher.detach()}

    def _response_loss(self, batch: Sample, logits: Tensor) -> Tensor:
        """How far apart the two attend, 0 to 4: the squared distance of their responses, each of length 1.

        A stage's response is the mean magnitude of its keypoint maps, cell by cell: the attention transfer of Zagoruyko
        and Komodakis, "Paying More Attention to Attention", ICLR 2017 (arXiv:1612.03928), with heat maps for activations.
        """
        soft, known = self._word(batch)
        k = self.net.keypoints
        known = known[:, None, :k, None, None]
        ours = (self.net.activate(logits)[:, :, :k].abs() * known).mean(2).flatten(2)
        theirs = (soft[:, :, :k].abs() * known).mean(2).flatten(2).expand_as(ours)
        apart = ((F.normalize(ours, dim=2) - F.normalize(theirs, dim=2)) ** 2).sum(2, keepdim=True)
        counts = batch["present"] & (known.flatten(1) > 0).any(1)
        return self.heatmap_loss.mean(apart, counts[:, None, None].expand_as(apart))

    def _feature_loss(self, batch: Sample) -> Tensor:
        """The mean squared error of the teacher's features, normalised in each cell, as a 1x1 convolution tells them from the
        student's: the hints of Romero et al., "FitNets", ICLR 2015 (arXiv:1412.6550)."""
        ours = self.features.take()
        with torch.no_grad():
            seen = self.lesson.teacher(batch["teacher_image"])  # type: ignore[typeddict-item]
            assert seen.features is not None
            theirs = self.lesson.features(seen.features)
        assert self.adapter is not None
        return F.mse_loss(self.adapter(ours).float(), theirs)

    @torch.no_grad()
    def _word(self, batch: Any) -> tuple[Tensor, Tensor]:
        """The teacher's maps ``[B, S, C, h, w]`` and how much each counts ``[B, C]``, 0 where a label calls for silence.

        Maps are held to 0..1 like those of labels, which every loss expects, and like those of a cache.
        """
        if "teacher_maps" in batch:
            maps, weight = batch["teacher_maps"], batch["teacher_weight"]
            maps = maps.float() / 255 if maps.dtype == torch.uint8 else maps.float()
            if "teacher_way" in batch:
                maps = moved_maps(maps, batch["teacher_way"], self.lesson.grid).clamp(0, 1)
        else:
            seen: Seen = self.lesson.teacher(batch["teacher_image"])
            maps, weight = self.lesson.targets(seen)
            maps = maps.clamp(0, 1)
        heard = batch["present"][:, None] & (batch["state"] != EMPTY)
        if self.lesson.background:
            heard = torch.cat([heard, batch["present"][:, None]], 1)
        return maps, weight * heard

    # -- resuming --------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["posewright"]["teacher"] = self.lesson.teacher.digest

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint["posewright"]["teacher"] != self.lesson.teacher.digest:
            raise PosewrightError(
                f"teacher '{self.lesson.teacher.name}' is not the one this run began with",
                fix="Put its file back, or start a new run",
            )
        super().on_load_checkpoint(checkpoint)
