"""The Lightning task of a locator: targets, loss, average precision on the validation pictures."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from posewright.annotations import Annotations
from posewright.metrics.boxes import Finds, judge
from posewright.models.centres import IGNORED, OBJECT, decode_boxes, encode_boxes, overlap_of, scored
from posewright.models.locator import CentreNet
from posewright.runtime.locator import suppressed
from posewright.training.locator_config import LocatorConfig
from posewright.training.ranks import sum_over_ranks
from posewright.training.run_task import RunTask
from posewright.training.scenes import SceneSample

SHARPNESS, MERCY = 2, 4
"""alpha and beta of the focal loss (arXiv:1904.07850, equation 1)."""


class LocatorTask(RunTask):
    """Training of a locator on whole pictures.

    Args:
        net: the net.
        config: the run's settings.
        validation: the annotations behind the validation loader.
        steps: optimiser steps of the whole run.
        training: the annotations behind the training loader, to name a batch that went wrong.
    """

    net: CentreNet
    config: LocatorConfig

    def __init__(
        self, net: CentreNet, config: LocatorConfig, validation: Annotations, steps: int, training: Annotations
    ) -> None:
        super().__init__(net, config, steps)
        self.validation, self.training_data = validation, training
        counts = np.bincount(validation.image, minlength=1)
        self._found = torch.zeros(len(validation.images), config.most, 5)
        self._true = torch.zeros(len(validation.images), int(counts.max()), 5)
        self._sums = torch.zeros(2, dtype=torch.float64)

    def record(self, index: int) -> str:
        return f"image '{self.training_data.images[index].full_name}'"

    # -- the step --------------------------------------------------------------------------------------------------

    def forward(self, image: Tensor) -> Tensor:
        """Pictures ``uint8 [B, H, W, 3]`` to :data:`posewright.models.centres.LOGITS` ``[B, 6, h, w]`` (float32)."""
        return self.net.logits(image).float()

    def losses(self, batch: SceneSample) -> dict[str, Tensor]:
        """The step's ``loss`` and ``output`` (what the net computes), and the parts of the loss: ``heat``, ``box`` and
        ``overlap``."""
        maps = self.forward(batch["image"])
        size = (maps.shape[-2], maps.shape[-1])
        heat, counted, box, core = encode_boxes(batch["boxes"], batch["state"], size, self.net.config.stride)
        objects = (batch["state"] == OBJECT).sum().clamp(min=1)
        of_heat = focal_loss(maps[:, 0], heat, counted) / objects * self.config.heat_weight
        overlap, generalised = overlap_of(maps[:, 1:5], box)
        of_box = box_loss(maps[:, 1:5], box, generalised, core) / objects * self.config.box_weight
        known = F.binary_cross_entropy_with_logits(maps[:, 5], overlap.detach(), reduction="none")
        of_overlap = (known * core).sum() / objects * self.config.overlap_weight
        loss = of_heat + of_box + of_overlap
        return {"loss": loss, "output": maps, "heat": of_heat, "box": of_box, "overlap": of_overlap}

    # -- validation ------------------------------------------------------------------------------------------------

    def validation_step(self, batch: SceneSample, batch_idx: int) -> None:
        parts = self.losses(batch)
        maps = scored(parts["output"])
        index = batch["index"].cpu()
        self._found[index] = decode_boxes(maps, self.net.config.stride, self.config.most).cpu()
        true = torch.cat([batch["boxes"], batch["state"][..., None].float()], -1).cpu()
        self._true[index, : true.shape[1]] = true
        self._sums += torch.tensor([float(parts["loss"]) * len(index), len(index)], dtype=torch.float64)

    def on_validation_epoch_end(self) -> None:
        """Average precision over all pictures, and recall and false boxes at the threshold that suits these weights,
        whichever process saw which."""
        finds, loss = self.gathered()
        threshold = finds.threshold(self.config.false_boxes)
        recall, false = finds.at(threshold)
        self.log("val_loss", loss)
        self.log("val_ap50", float(np.nan_to_num(finds.ap)), prog_bar=True)
        self.log("val_recall", float(np.nan_to_num(recall)))
        self.log("val_false", false)

    def gathered(self) -> tuple[Finds, float]:
        """What all processes together found in this pass, judged; and their mean loss. Begins a new pass."""
        found, true, sums = (sum_over_ranks(t) for t in (self._found, self._true, self._sums))
        for kept in (self._found, self._true, self._sums):
            kept.zero_()
        boxes = [suppressed(f[:, :4], f[:, 4]) for f in found.double().numpy()]
        rows = true.double().numpy()
        finds = judge(boxes, [t[t[:, 4] == OBJECT, :4] for t in rows], [t[t[:, 4] == IGNORED, :4] for t in rows])
        return finds, float(sums[0] / sums[1].clamp(min=1))


def focal_loss(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """The penalty-reduced focal loss, summed: Zhou et al., "Objects as Points", arXiv:1904.07850, equation 1.

    Args:
        logits, target, counted: ``[B, h, w]``; the target is 1 at centres and falls around them, and cells that do not count
            are 0 in ``counted``.
    """
    heat = logits.sigmoid()
    centre = target >= 1
    hit = (1 - heat) ** SHARPNESS * F.logsigmoid(logits)
    miss = (1 - target) ** MERCY * heat**SHARPNESS * F.logsigmoid(-logits)
    return -(torch.where(centre, hit, miss) * counted).sum()


def box_loss(found: Tensor, target: Tensor, generalised: Tensor, core: Tensor) -> Tensor:
    """How far off boxes are, summed over the objects: the absolute error of the logarithm of each side and of the centre as a
    share of that side, so that boxes of all sizes count alike, and twice what the generalised intersection over union lacks.

    Args:
        found, target: ``[B, 4, h, w]``, see :data:`posewright.models.centres.MAPS`.
        generalised: ``[B, h, w]``, their generalised overlap, see :func:`posewright.models.centres.overlap_of`.
        core: ``[B, h, w]``, how much each cell counts.
    """
    sides = (found[:, :2] - target[:, :2]).abs()
    centre = (found[:, 2:] - target[:, 2:]).abs() / target[:, :2].exp().clamp(min=1.0)
    return (((sides + 2 * centre).sum(1) + 2 * (1 - generalised)) * core).sum()
