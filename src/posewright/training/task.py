"""The Lightning task: targets, loss, PCK on the validation split, optimiser and schedule."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.metrics import normaliser_lengths, pck
from posewright.models.base import HeatmapNet
from posewright.models.heatmaps import decode, encode
from posewright.training.config import TrainConfig
from posewright.training.dataset import DRAWN, IGNORED, Sample
from posewright.training.losses import LOSSES, heatmap_loss


class KeypointTask(pl.LightningModule):
    """Training of one net on crops.

    Args:
        net: the net.
        config: the run's settings.
        validation: the annotations behind the validation loader, whose objects its samples' ``index`` refers to.
        steps: optimiser steps of the whole run.
        training: the annotations behind the training loader, to name a batch that went wrong.
    """

    def __init__(
        self,
        net: HeatmapNet,
        config: TrainConfig,
        validation: Annotations,
        steps: int,
        training: Annotations | None = None,
    ) -> None:
        super().__init__()
        self.training_data = training
        self.net, self.config, self.validation, self.steps = net, config, validation, steps
        self.cell_loss = LOSSES[config.loss][0]
        self.lengths = normaliser_lengths(validation, validation.skeleton)
        self.found: list[tuple[Tensor, Tensor]] = []
        self.steps_taken = 0
        # Kept here and not in Lightning's own running mean, which starts anew where a run is resumed within an epoch.
        self.epoch_loss, self.epoch_steps = torch.zeros(()), 0

    # -- the step --------------------------------------------------------------------------------------------------

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Crops ``uint8 [B, H, W, 3]`` to ``logits`` ``[B, S, C, h, w]`` (float32)."""
        return {"logits": self.net.logits(image).float()}

    def targets(self, batch: Sample, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Target maps ``[B, C, h, w]`` and what each asks ``[B, C]``, background last where the net has one."""
        state = batch["state"]
        target = encode(batch["points"], state == DRAWN, size, self.net.config.stride, self.config.sigma)
        if self.net.config.background:
            target = torch.cat([target, 1 - target.amax(1, keepdim=True)], 1)
            known = (state != IGNORED).all(1, keepdim=True)
            state = torch.cat([state, torch.where(known, DRAWN, IGNORED).to(state.dtype)], 1)
        return target, state

    def losses(self, batch: Sample) -> dict[str, Tensor]:
        """The step's ``loss`` and ``output`` (logits)."""
        logits = self.forward(batch["image"])["logits"]
        target, state = self.targets(batch, (logits.shape[-2], logits.shape[-1]))
        return {"loss": heatmap_loss(self.cell_loss, logits, target, state), "output": logits}

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        loss = self.losses(batch)["loss"]
        if not torch.isfinite(loss):
            places = ", ".join(sorted({self._place(int(i)) for i in batch["index"]})[:4])
            raise PosewrightError(
                f"the loss is {loss.item()} at step {self.global_step} (epoch {self.current_epoch}, batch {batch_idx}, "
                f"with {places}, ...)",
                fix="Lower --lr, or train with --precision fp32",
            )
        self.steps_taken += 1
        self.epoch_loss = self.epoch_loss.to(loss.device) + loss.detach().float()
        self.epoch_steps += 1
        self.log("train_loss", loss, batch_size=len(batch["image"]))
        return loss

    def on_train_epoch_start(self) -> None:
        self.epoch_loss, self.epoch_steps = torch.zeros(()), 0

    @property
    def mean_loss(self) -> float:
        """The mean training loss of this epoch so far, across resumptions."""
        return float(self.epoch_loss) / max(self.epoch_steps, 1)

    def _place(self, index: int) -> str:
        return self.training_data.record(index) if self.training_data is not None else f"object {index}"

    # -- validation ------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        parts = self.losses(batch)
        self.log("val_loss", parts["loss"], batch_size=len(batch["image"]))
        maps = self.net.activate(parts["output"][:, -1, : self.net.keypoints])
        points = decode(maps, self.net.config.stride)[..., :2]
        inverse = batch["inverse"]
        xy = points @ inverse[:, :, :2].transpose(1, 2) + inverse[:, None, :, 2]
        self.found.append((batch["index"].cpu(), xy.cpu()))

    def on_validation_epoch_end(self) -> None:
        index = torch.cat([i for i, _ in self.found]).numpy()
        xy = torch.cat([x for _, x in self.found]).double().numpy()
        self.found.clear()
        result = pck(xy, self.validation.keypoints[index], self.lengths[index], self.config.threshold)
        self.log("val_pck", float(np.nan_to_num(result.total)), prog_bar=True)

    # -- optimiser -------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """AdamW; biases and batch norms are not decayed."""
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        others = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.config.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.learning_rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def learning_rate_factor(self, step: int) -> float:
        """The learning rate at a step, as a share of the highest: a linear rise, then the schedule's course."""
        rise = self.config.warmup * self.steps
        if step < rise:
            return 0.04 + 0.96 * step / rise
        if self.config.schedule == "constant":
            return 1.0
        left = (step - rise) / max(self.steps - rise, 1)
        floor = 1e-3 if self.config.schedule == "onecycle" else 0.02
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(left, 1.0)))

    # -- resuming --------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["posewright"] = {
            "steps_taken": self.steps_taken,
            "epoch_loss": self.epoch_loss.cpu(),
            "epoch_steps": self.epoch_steps,
            "config": self.config.to_dict(),
            "random_state": torch.get_rng_state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["posewright"]
        self.steps_taken = state["steps_taken"]
        self.epoch_loss, self.epoch_steps = state["epoch_loss"], state["epoch_steps"]
        torch.set_rng_state(state["random_state"].cpu())
