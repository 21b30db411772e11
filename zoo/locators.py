"""How a hand locator is made to be shipped: ``python zoo/locators.py``, on any machine.

Scenes with one to five hands on cluttered pictures are generated, some without any, and pictures of one large hand. A locator
that reads the features of the shipped ``hand`` learns from them, is measured on scenes of another seed, and is put beside the
shipped models. A run that was broken off goes on where it was.

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
from recipes import PACKAGE, RUNS

from posewright.annotations import Annotations, read_annotations
from posewright.annotations.merge import merge
from posewright.export.locator import export_locator
from posewright.files import write_text
from posewright.machine import cores
from posewright.models.checkpoint import data_behind, load_checkpoint, origin_of
from posewright.models.locator_checkpoint import load_locator_checkpoint, save_locator
from posewright.runtime.locator import load_locator
from posewright.runtime.names import find_checkpoint
from posewright.synthetic import make_hand_set
from posewright.training.augment_config import SceneAugment
from posewright.training.course import LAST, MODEL
from posewright.training.locator_config import LocatorConfig
from posewright.training.locator_fit import fit_locator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import locator as benchmark

NAME, BEGUN = "hand-locator", "hand"


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
    large: int = 4000
    """Pictures of a single hand, nearly as large as they are, beside the scenes."""
    epochs: int = 8
    """Passes over them."""
    init: str = BEGUN
    """What to start from."""
    lr: float = 1.5e-3
    """Highest learning rate."""
    threads: int = 0
    """Threads of the training process; 0 leaves torch's choice."""
    seed: int = 1000
    """Of the training scenes and of the run; the held-out scenes have the next."""
    ship: bool = True
    """Put the result into the package."""


def main(args: Args) -> None:
    scenes = benchmark.Args(output=args.scenes, seed=args.seed)
    args.scenes.mkdir(parents=True, exist_ok=True)
    held_out = benchmark.hands(scenes, args.scenes / "held-out", 400, args.seed + 1, 0.0)
    config = LocatorConfig(
        init=args.init,
        input_size="192x256",
        epochs=args.epochs,
        batch_size=16,
        lr=args.lr,
        seed=args.seed,
        threads=args.threads,
        augment=SceneAugment(scale=0.5, mosaic=0.15, colour=0.3, hue=10.0, value=0.5, blur=0.15, grey=0.1),
        output=str(args.output),
    )
    if not (args.output / MODEL).is_file():
        labels = with_large(args, benchmark.hands(scenes, args.scenes / "train", args.pictures, args.seed, 0.06))
        fit_locator(config, labels, resume=(args.output / LAST).is_file(), terms=benchmark.GENERATED)
    locator = load_locator(args.output, "cpu", 1)
    figures = {"held-out scenes": benchmark.measure(locator, held_out), "threshold": locator.threshold}
    training = load_locator_checkpoint(args.output / "model.safetensors").training
    figures |= {"training_seconds": training["seconds"], "data": training["data"], "pictures": training["pictures"]}
    write_text(args.output / "figures.json", json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    if args.ship:
        ship(args.output, figures)


def with_large(args: Args, scenes: Annotations) -> Annotations:
    """The scenes, and pictures of one hand that fills them: what somebody sees who holds a hand up to a camera."""
    if not args.large:
        return scenes
    folder = args.scenes / f"large-{args.seed + 2}-{args.large}"
    if not folder.exists():
        make_hand_set(folder, args.large, seed=args.seed + 2, size=benchmark.SCENE, val_share=0.06, workers=cores())
    return replace(merge([scenes, read_annotations(folder)], ["scenes", "large"]).annotations, source=scenes.source)


def ship(folder: Path, figures: dict[str, object]) -> None:
    """Put checkpoint, model file, notice and figures where ``posewright models`` finds them."""
    checkpoint = load_locator_checkpoint(folder / "model.safetensors")
    training = checkpoint.training
    # A run may have gone on from others of its kind; where they lay is nobody's concern, and what they began with is.
    training["config"] |= {"output": "", "data": ""}
    if checkpoint.net.config.trunk:
        training["config"]["init"] = BEGUN
        training["start"] = origin_of(BEGUN, data_behind(load_checkpoint(find_checkpoint(BEGUN)).training), "")
    save_locator(checkpoint, PACKAGE / f"{NAME}.safetensors", half=True)
    export_locator(checkpoint, PACKAGE / f"{NAME}.onnx", half=True)
    write_text(PACKAGE / f"{NAME}.json", json.dumps(figures, indent=1) + "\n")
    write_text(PACKAGE / f"{NAME}.NOTICE.txt", f"{NAME}: trained on {figures['data']}.\n{benchmark.GENERATED}\n")
    print(f"{PACKAGE / NAME}: .onnx, .safetensors, .json, .NOTICE.txt")


if __name__ == "__main__":
    main(tyro.cli(Args))
