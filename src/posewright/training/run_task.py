"""What the training of every kind of net shares: a step, its optimiser, and what a resumed run has to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from posewright.errors import PosewrightError
from posewright.training.accumulation import batches_in_step, ends_step
from posewright.training.optimisers import build_optimiser, learning_rate_factor
from posewright.training.ranks import mean_over_ranks
from posewright.training.run_config import RunConfig


class RunTask(pl.LightningModule):
    """Training of one net.

    Args:
        net: the net.
        config: the run's settings.
        steps: optimiser steps of the whole run.
    """

    net: nn.Module
    config: RunConfig

    def __init__(self, net: nn.Module, config: RunConfig, steps: int) -> None:
        super().__init__()
        self.net, self.config, self.steps = net, config, steps
        self.steps_taken = 0
        # Kept here and not in Lightning's own running mean, which starts anew where a run is resumed within an epoch.
        self.epoch_loss, self.epoch_steps = torch.zeros(()), 0

    def losses(self, batch: Any) -> Mapping[str, Tensor]:
        """The step's ``loss`` and ``output``, and the parts of the loss by name."""
        raise NotImplementedError

    def record(self, index: int) -> str:
        """How a message names the sample with this ``index``."""
        raise NotImplementedError

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.losses(batch)["loss"]
        if not torch.isfinite(loss):
            places = ", ".join(sorted({self.record(int(i)) for i in batch["index"]})[:4])
            raise PosewrightError(
                f"the loss is {loss.item()} at step {self.global_step} (epoch {self.current_epoch}, batch {batch_idx}, "
                f"with {places}, ...)",
                fix="Lower --lr, or train with --precision fp32",
            )
        if self.config.accumulate > 1:
            # Lightning divides by the batches of a whole step, which the epoch's last one may not be.
            place = (batch_idx, int(self.trainer.num_training_batches), self.config.accumulate)
            self.steps_taken += ends_step(*place)
            scale = self.config.accumulate / batches_in_step(*place)
        else:
            self.steps_taken += 1
            scale = 1.0
        of_all = mean_over_ranks(loss.float())
        self.epoch_loss = self.epoch_loss.to(loss.device) + of_all
        self.epoch_steps += 1
        self.log("train_loss", of_all, batch_size=len(batch["image"]))
        return loss * scale

    def on_train_epoch_start(self) -> None:
        self.epoch_loss, self.epoch_steps = torch.zeros(()), 0

    @property
    def mean_loss(self) -> float:
        """The mean training loss of this epoch so far, across resumptions."""
        return float(self.epoch_loss) / max(self.epoch_steps, 1)

    # -- optimiser -------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """The settings' optimiser, and the course of its learning rate from step to step."""
        optimiser = build_optimiser(self.parameters(), self.config)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: learning_rate_factor(self.config, step, self.steps)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # -- resuming --------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["posewright"] = {
            "steps_taken": self.steps_taken,
            "epoch_loss": self.epoch_loss.cpu(),
            "epoch_steps": self.epoch_steps,
            "kind": self.config.kind,
            "config": self.config.to_dict(),
            "random_state": torch.get_rng_state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["posewright"]
        self.steps_taken = state["steps_taken"]
        self.epoch_loss, self.epoch_steps = state["epoch_loss"], state["epoch_steps"]
        torch.set_rng_state(state["random_state"].cpu())
