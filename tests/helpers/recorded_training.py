"""``posewright train`` as a script that writes down what each process did; started by test_several_devices.

For each process: the objects of every training and validation batch, and the gradients of the first optimiser step. Model
files, which take longest, are not made.
``POSEWRIGHT_RECORD`` names the folder, ``POSEWRIGHT_TROUBLE`` what shall go wrong: "RANK STEP KIND".
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import posewright.export.exporting
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.training.task import KeypointTask


def record(folder: Path, put: Callable[..., Any] = setattr) -> None:
    """Have every task write down its batches and its first gradients; ``put`` is a ``setattr``."""
    seen: dict[str, list[list[int]]] = {"train": [], "val": []}
    gradients: dict[str, torch.Tensor] = {}
    training_step, validation_step = KeypointTask.training_step, KeypointTask.validation_step

    def train(self, batch, batch_idx):
        seen["train"].append(batch["index"].tolist())
        trouble(self)
        return training_step(self, batch, batch_idx)

    def validate(self, batch, batch_idx):
        seen["val"].append(batch["index"].tolist())
        return validation_step(self, batch, batch_idx)

    def before_step(self, optimizer):
        if not gradients:
            gradients.update({n: p.grad.clone() for n, p in self.net.named_parameters()})

    def fit_end(self):
        rank = self.trainer.global_rank
        (folder / f"{rank}.json").write_text(json.dumps(seen))
        torch.save(gradients, folder / f"{rank}.pt")

    put(KeypointTask, "training_step", train)
    put(KeypointTask, "validation_step", validate)
    put(KeypointTask, "on_before_optimizer_step", before_step)
    put(KeypointTask, "on_fit_end", fit_end)
    put(posewright.export.exporting, "export_onnx", lambda *_, **__: None)


def trouble(task: KeypointTask) -> None:
    """What shall go wrong in this process at this step."""
    rank, step, kind = os.environ.get("POSEWRIGHT_TROUBLE", "-1 0 none").split()
    if int(rank) != task.trainer.global_rank or int(step) != task.global_step:
        return
    if kind == "error":
        raise PosewrightError("the third picture is torn", file="torn.png")
    if kind == "bug":
        raise KeyError("a mistake of ours")
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    record(Path(os.environ["POSEWRIGHT_RECORD"]))
    sys.exit(main(["train", *sys.argv[1:]]))
