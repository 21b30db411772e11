"""``posewright train``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError
from posewright.training.config import TrainConfig


@dataclass(frozen=True)
class Command(TrainConfig):
    """Train a model on labelled pictures.

    The run's folder ends with model.safetensors (to go on from), model.onnx (to run), curves.png, metrics.csv, config.yaml
    and TensorBoard logs. PCK on held-out pictures is measured after every epoch, and the best epoch is kept.

    Net, start weights, epochs and batch are chosen by the number of objects and the machine, unless given.

    examples:
      posewright train --data labels.json
      posewright train --data labels.json --model hourglass_s2 --input-size 256x192 -o runs/big
      posewright train --data labels.json --init body --freeze trunk -o runs/tuned
      posewright train -o runs/big --resume
      posewright train --config runs/big/config.yaml --lr 0.001 -o runs/slower
      posewright train --data labels.json --init runs/small --teacher runs/big -o runs/distilled
    """

    resume: bool = False
    """Go on with the run in this folder, exactly as if it had never stopped; its own settings apply."""
    config: Path | None = None
    """YAML file of settings, such as another run's config.yaml; options on the command line win over it."""

    def run(self) -> int:
        from posewright.cli.reading import data_words
        from posewright.training.fit import fit

        settings = TrainConfig(**{f.name: getattr(self, f.name) for f in fields(TrainConfig)})
        run = fit(settings, resume=self.resume)
        own = run.checkpoint.training["config"]  # a resumed run's own settings apply
        print(f"\nPCK@{own['threshold']:g} {run.pck:.3f} on held-out pictures, after {run.seconds / 60:.1f} minutes.")
        print(f"{run.folder} holds model.safetensors (to go on from), model.onnx (to run), curves.png and metrics.csv.")
        data = data_words(own["data"] or "DATA", own)
        print(f"Next: posewright evaluate {run.folder} {data} -o {run.folder}/evaluation")
        print(f"      posewright predict {run.folder} PICTURES -o out")
        return 0


def settings_file(args: Sequence[str]) -> Path | None:
    """The file that ``--config`` names among a command's arguments."""
    path = next((a.split("=", 1)[1] for a in args if a.startswith("--config=")), None)
    if "--config" in args:
        place = list(args).index("--config") + 1
        if place >= len(args):
            raise PosewrightError("--config needs a file")
        path = args[place]
    return None if path is None else Path(path)


def from_file(args: Sequence[str], command: Any, settings: Any) -> Any:
    """A training command with the settings of ``--config FILE``, as defaults for all other options."""
    path = settings_file(args)
    if path is None:
        return None
    given = settings.load(path)
    known: dict[str, Any] = {f.name: getattr(given, f.name) for f in fields(settings)}
    return command(**known, config=path)


def defaults(args: Sequence[str]) -> Command | None:
    return from_file(args, Command, TrainConfig)
