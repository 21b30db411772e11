"""``posewright train-locator``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from posewright.cli.train import from_file
from posewright.training.locator_config import LocatorConfig


@dataclass(frozen=True)
class Command(LocatorConfig):
    """Train a locator: a small net that finds the objects of labelled pictures anywhere in a picture.

    It learns from the same labels as a keypoint model, from the boxes of their objects. Pictures without any object teach it
    to find none. The run's folder ends with model.safetensors (to go on from), model.onnx (to run, with --locator),
    curves.png, metrics.csv, config.yaml and TensorBoard logs. The epoch with the best average precision on held-out
    pictures is kept, and the score threshold is chosen on them.

    examples:
      posewright train-locator --data labels.json -o runs/locator
      posewright train-locator --data labels.json --init runs/mine -o runs/locator     on your keypoint model's features
      posewright train-locator --data labels.json --init runs/locator -o runs/gloves
      posewright train-locator --data drone.json --model locator_fine --input-size 384x512
      posewright train-locator -o runs/locator --resume
    """

    resume: bool = False
    """Go on with the run in this folder, exactly as if it had never stopped; its own settings apply."""
    config: Path | None = None
    """YAML file of settings, such as another run's config.yaml; options on the command line win over it."""

    def run(self) -> int:
        from posewright.training.locator_fit import fit_locator

        settings = LocatorConfig(**{f.name: getattr(self, f.name) for f in fields(LocatorConfig)})
        run = fit_locator(settings, resume=self.resume)
        print(
            f"\nrecall {run.recall:.3f} with {run.false_boxes:.3f} false boxes a picture on held-out pictures, after "
            f"{run.seconds / 60:.1f} minutes."
        )
        print(f"{run.folder} holds model.safetensors (to go on from), model.onnx (to run), curves.png and metrics.csv.")
        print(f"Next: posewright predict MODEL PICTURES --locator {shlex.quote(str(run.folder))} -o out")
        return 0


def defaults(args: Sequence[str]) -> Command | None:
    return from_file(args, Command, LocatorConfig)
