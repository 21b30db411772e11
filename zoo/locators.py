"""How the shipped locator was made: ``python zoo/locators.py``, on any machine.

Scenes with one to five hands on cluttered pictures are generated, and some without any; a locator that reads the features of
the shipped ``hand`` learns from them, is measured on scenes of another seed, and is put beside the shipped models. A run that was
broken off goes on where it was.

On a graphics card that is lent, with the packages that ``zoo/gpu_session.py prepare`` packs:

    PYTHONPATH=src:.pack/site python zoo/locators.py --pictures 30000 --epochs 20 --no-ship -o "$OUT/hand-locator"

and back here the same with ``-o`` at the folder that came back, without ``--no-ship``: a run that is there is measured and
shipped.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from recipes import PACKAGE, RUNS, ship_file

from posewright.files import write_text
from posewright.models.locator_checkpoint import load_locator_checkpoint, save_locator
from posewright.runtime.locator import load_locator
from posewright.training.augment_config import SceneAugment
from posewright.training.course import LAST, MODEL
from posewright.training.locator_config import LocatorConfig
from posewright.training.locator_fit import fit_locator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import locator as benchmark

NAME = "hand-locator"


@dataclass(frozen=True)
class Args:
    """Make the shipped hand locator.

    examples:
      python zoo/locators.py
      python zoo/locators.py --init runs/zoo/hand-locator --epochs 6 --lr 5e-4 -o runs/zoo/hand-locator-more
    """

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = RUNS / NAME
    """Folder of the run."""
    scenes: Path = RUNS / "scenes"
    """Folder of the scenes, which are drawn first where they are missing."""
    pictures: int = 8000
    """Scenes to train on."""
    epochs: int = 8
    """Passes over them."""
    init: str = "hand"
    """What to start from."""
    lr: float = 1.5e-3
    """Highest learning rate."""
    threads: int = 0
    """Threads of the training process; 0 leaves torch's choice."""
    seed: int = 1000
    """Of the training scenes; the held-out ones have the next."""
    ship: bool = True
    """Put the result into the package."""


def main(args: Args) -> None:
    RUNS.mkdir(parents=True, exist_ok=True)
    scenes = benchmark.Args(output=args.scenes, seed=args.seed)
    args.scenes.mkdir(parents=True, exist_ok=True)
    labels = benchmark.hands(scenes, args.scenes / "train", args.pictures, args.seed, 0.06)
    held_out = benchmark.hands(scenes, args.scenes / "held-out", 400, args.seed + 1, 0.0)
    config = LocatorConfig(
        init=args.init,
        net=("depth=2",) if args.init == "hand" else (),
        input_size="192x256",
        epochs=args.epochs,
        batch_size=16,
        lr=args.lr,
        threads=args.threads,
        augment=SceneAugment(scale=0.5, mosaic=0.15),
        output=str(args.output),
    )
    seconds = None
    if not (args.output / MODEL).is_file():
        seconds = fit_locator(config, labels, resume=(args.output / LAST).is_file(), terms=benchmark.GENERATED).seconds
    locator = load_locator(args.output, "cpu", 1)
    figures = {"held-out scenes": benchmark.measure(locator, held_out), "threshold": locator.threshold}
    figures |= {"training_seconds": seconds, "data": labels.source, "pictures": args.pictures}
    write_text(args.output / "figures.json", json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    if args.ship:
        ship(args.output, figures)


def ship(folder: Path, figures: dict[str, object]) -> None:
    """Put checkpoint, model file, notice and figures where ``posewright models`` finds them."""
    checkpoint = load_locator_checkpoint(folder / "model.safetensors")
    config = checkpoint.training["config"] | {"output": "", "data": ""}
    save_locator(
        replace(checkpoint, training=checkpoint.training | {"config": config}),
        PACKAGE / f"{NAME}.safetensors",
        half=True,
    )
    ship_file(folder / MODEL, PACKAGE / f"{NAME}.onnx")
    write_text(PACKAGE / f"{NAME}.json", json.dumps(figures, indent=1) + "\n")
    write_text(PACKAGE / f"{NAME}.NOTICE.txt", f"{NAME}: trained on {figures['data']}.\n{benchmark.GENERATED}\n")
    print(f"{PACKAGE / NAME}: .onnx, .safetensors, .json, .NOTICE.txt")


if __name__ == "__main__":
    main(tyro.cli(Args))
