"""The Lightning task of a keypoint net: targets, loss, PCK on the validation split."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor

from posewright.annotations import Annotations
from posewright.metrics import normaliser_lengths, pck
from posewright.models.base import HeatmapNet
from posewright.models.heatmaps import encode, moved
from posewright.training.config import TrainConfig
from posewright.training.dataset import DRAWN, IGNORED, Sample
from posewright.training.losses import ON_LOGITS, HeatmapLoss
from posewright.training.ranks import sum_over_ranks
from posewright.training.rounding import Rounding
from posewright.training.run_task import RunTask
from posewright.training.visibility import visibility_loss


class KeypointTask(RunTask):
    """Training of one net on crops.

    Args:
        net: the net.
        config: the run's settings.
        validation: the annotations behind the validation loader, whose objects its samples' ``index`` refers to.
        steps: optimiser steps of the whole run.
        training: the annotations behind the training loader, to name a batch that went wrong.
    """

    net: HeatmapNet
    config: TrainConfig

    def __init__(
        self,
        net: HeatmapNet,
        config: TrainConfig,
        validation: Annotations,
        steps: int,
        training: Annotations | None = None,
    ) -> None:
        super().__init__(net, config, steps)
        self.training_data, self.validation = training, validation
        self.heatmap_loss = HeatmapLoss.from_config(config, net.keypoints, net.config.stages)
        self.rounding = Rounding(net, config.size) if config.qat else None
        self.lengths = normaliser_lengths(validation, validation.skeleton)
        self.found: list[tuple[Tensor, Tensor, float, int]] = []

    # -- the step --------------------------------------------------------------------------------------------------

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Crops ``uint8 [B, H, W, 3]`` to ``logits`` ``[B, S, C, h, w]`` and, where the net has it, ``visibility`` ``[B, S,
        K, h, w]``, logits too (float32)."""
        with self.rounding.active() if self.rounding is not None else nullcontext():
            maps, visibility = self.net.outputs(image)
        return {"logits": maps.float()} | ({} if visibility is None else {"visibility": visibility.float()})

    def targets(self, batch: Sample, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Target maps ``[B, C, h, w]`` and what each asks ``[B, C]``, background last where the net has one."""
        state = batch["state"]
        net = self.net.config
        target = encode(batch["points"], state == DRAWN, size, net.stride, self.config.sigma, net.label_shift)
        if self.net.config.background:
            target = torch.cat([target, 1 - target.amax(1, keepdim=True)], 1)
            known = (state != IGNORED).all(1, keepdim=True)
            state = torch.cat([state, torch.where(known, DRAWN, IGNORED).to(state.dtype)], 1)
        return target, state

    def losses(self, batch: Sample) -> dict[str, Tensor]:
        """The step's ``loss`` and ``output`` (logits), and the parts of the loss by name."""
        found = self.forward(batch["image"])
        logits = found["logits"]
        target, state = self.targets(batch, (logits.shape[-2], logits.shape[-1]))
        parts = {"maps": self.map_loss(logits, target, state)}
        parts |= self.visibility_loss(batch, found)
        return {"loss": torch.stack(list(parts.values())).sum(), "output": logits, **parts}

    def map_loss(self, logits: Tensor, target: Tensor, state: Tensor) -> Tensor:
        """The loss of ``logits`` ``[B, S, C, h, w]`` against ``target`` ``[B, C, h, w]``, as ``state`` ``[B, C]`` asks."""
        maps = logits if self.config.loss in ON_LOGITS else self.net.activate(logits)
        return self.heatmap_loss(maps, target, state)

    def visibility_loss(self, batch: Sample, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """The part ``visibility`` of the loss, where the net has visibility; ``found`` is from :meth:`forward`."""
        if "visibility" not in found:
            return {}
        return {"visibility": visibility_loss(found["visibility"], batch["points"], batch["visible"], self.net.config)}

    def record(self, index: int) -> str:
        return self.training_data.record(index) if self.training_data is not None else f"object {index}"

    # -- validation ------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        parts = self.losses(batch)
        maps = self.net.activate(parts["output"][:, -1, : self.net.keypoints])
        points = self.net.points(maps)[..., :2]
        xy = moved(points, batch["inverse"])
        labelled = int((batch["state"] != IGNORED).sum())
        self.found.append((batch["index"].cpu(), xy.cpu(), float(parts["loss"]), labelled))

    def on_validation_epoch_end(self) -> None:
        """PCK of all objects, and the mean loss of a labelled map, whichever process saw which."""
        index, xy, loss = self._gathered()
        self.log("val_loss", loss)
        result = pck(xy, self.validation.keypoints[index], self.lengths[index], self.config.threshold)
        self.log("val_pck", float(np.nan_to_num(result.total)), prog_bar=True)

    def _gathered(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Of all processes together: the objects seen, in ascending order, their points ``[N, K, 2]``, and the loss."""
        points = torch.zeros(len(self.validation), self.net.keypoints, 2)
        seen = torch.zeros(len(self.validation), dtype=torch.int32)
        sums = torch.zeros(2, dtype=torch.float64)
        for index, xy, loss, labelled in self.found:
            points[index] = xy.float()
            seen[index] += 1
            sums += torch.tensor([loss * labelled, labelled], dtype=torch.float64)
        self.found.clear()
        points, seen, sums = sum_over_ranks(points), sum_over_ranks(seen), sum_over_ranks(sums)
        if seen.max() > 1:
            raise RuntimeError("the validation loaders show an object twice")
        index = seen.nonzero()[:, 0]
        return index.numpy(), points[index].double().numpy(), float(sums[0] / sums[1].clamp(min=1))
