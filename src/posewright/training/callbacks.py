"""What happens around the steps: the progress bar, the history on disk, a stop that leaves nothing behind."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch.optim.swa_utils import get_ema_multi_avg_fn

from posewright.files import write_text

HISTORY = "metrics.csv"
PCK = "val_pck"
"""The figure by which the best epoch of a keypoint model is known."""


def _figure(trainer: pl.Trainer, name: str) -> float | None:
    value = trainer.callback_metrics.get(name)
    return None if value is None else float(value)


class Bar(pl.Callback):
    """One bar for the whole run: loss, the watched figure, time taken and left. Where there is no terminal, one line an
    epoch.

    Args:
        steps: of the whole run.
        label: what the watched figure is called.
        watched: its name among what the task logs.
    """

    def __init__(self, steps: int, label: str, watched: str = PCK) -> None:
        self.steps, self.label, self.watched = steps, label, watched
        self.console = Console()
        self.progress: Progress | None = None
        self.task = TaskID(0)
        self.figure = float("nan")
        self.started = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = time.monotonic()
        if not self.console.is_terminal or not trainer.is_global_zero:
            return
        self.progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.progress.start()
        self.task = self.progress.add_task("training", total=self.steps, completed=trainer.global_step, figures="")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.progress is not None and trainer.global_step % 5 == 0:
            loss = _figure(trainer, "train_loss")
            figures = f"epoch {trainer.current_epoch + 1}  loss {loss or 0:.3f}  {self.label} {self.figure:.3f}"
            self.progress.update(self.task, completed=trainer.global_step, figures=figures)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.figure = _figure(trainer, self.watched) or 0.0
        if self.progress is None and trainer.is_global_zero:
            taken = time.monotonic() - self.started
            loss, val = pl_module.mean_loss, _figure(trainer, "val_loss") or 0
            print(
                f"epoch {trainer.current_epoch + 1}: loss {loss:.4f}, val loss {val:.4f}, "
                f"{self.label} {self.figure:.4f}, {taken:.0f} s",
                flush=True,
            )

    def _stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()


def running_mean(decay: float) -> WeightAveraging:
    """The exponential running mean of weights and batch norm figures, which is what is validated and kept.

    All tensors at once: Lightning's own callback for it goes through them one by one, which took 6 % of a small step.
    """
    return WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


class WithinEpoch(ModelCheckpoint):
    """Saves while an epoch is under way, but not at its last step, nor between batches whose gradients make one step.

    A run resumed from the last step would take the epoch for finished and leave its validation out; the checkpoint at the
    epoch's end follows at once. Gradients that wait for more are in no checkpoint.
    """

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_last_batch and (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


class History(pl.Callback):
    """One row an epoch in ``metrics.csv``; a resumed run goes on where its checkpoint was, without a gap or a double row.

    Args:
        folder: where to write.
        figures: what is kept of what the task logs at an epoch's end.
    """

    def __init__(self, folder: Path, figures: Sequence[str] = ("val_loss", PCK)) -> None:
        self.folder, self.figures = folder, figures
        self.rows: list[dict[str, float]] = []
        self.before = 0.0
        self.started = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = time.monotonic()
        self.before = self.rows[-1]["seconds"] if self.rows else 0.0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        row: dict[str, float] = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        row["train_loss"] = round(pl_module.mean_loss, 7)
        for name in self.figures:
            value = _figure(trainer, name)
            if value is not None:
                row[name] = round(value, 7)
        row["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        row["seconds"] = round(self.before + time.monotonic() - self.started, 1)
        self.rows = [r for r in self.rows if r["epoch"] < row["epoch"]] + [row]
        if trainer.is_global_zero:
            self.write()

    def write(self) -> None:
        text = io.StringIO()
        names = list(dict.fromkeys(k for r in self.rows for k in r))
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.folder / HISTORY, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])
