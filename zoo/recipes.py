"""How the shipped models were made: ``python zoo/recipes.py body --data DIR`` and so on, on any machine.

Each recipe reads its data, holds a part out by source, trains, and evaluates the exported file on what it held out. It
puts checkpoint, model file and figures into ``zoo/weights``, or into the package where the data's terms allow. A recipe
that was broken off goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from posewright.annotations import Annotations, ReadOptions, read_annotations
from posewright.annotations.duplicates import without_duplicates_of
from posewright.annotations.merge import merge
from posewright.export.exporting import export
from posewright.files import write_text
from posewright.metrics import evaluate, run_model
from posewright.models.checkpoint import load_checkpoint, save_checkpoint
from posewright.runtime import load
from posewright.skeletons import load_skeleton
from posewright.training.augment_config import AugmentConfig
from posewright.training.config import TrainConfig
from posewright.training.fit import LAST, MODEL, finished_run, fit

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE / "weights"
"""For weights that inherit restrictions from their data; they stay out of the Apache-2.0 package."""
PACKAGE = HERE.parent / "src" / "posewright" / "weights"
"""For weights that are free like the code."""
RUNS = HERE.parent / "runs" / "zoo"
RESEARCH = "Trained on pictures that may be used for research only; these weights inherit that restriction."


@dataclass(frozen=True)
class Recipe:
    """One shipped model.

    Attributes:
        read: the folder of its data to annotations with train and val splits.
        config: settings of the run.
        terms: terms of the training data.
        data: what it was trained on, for people.
        free: whether the weights may go into the package.
    """

    read: Callable[[Path], Annotations]
    config: TrainConfig
    terms: str
    data: str
    free: bool = False


def with_backgrounds(labels: Annotations, folder: Path, count: int = 600) -> Annotations:
    """The set with generated pictures of clutter added, for sets in which nearly every patch shows the object.

    Without them the net hardly sees a crop that it should stay silent on. They are made first where they are missing.
    """
    from posewright.synthetic import make_hand_set

    if not (folder / "annotations.json").is_file():
        make_hand_set(folder, count, seed=7, val_share=0.25, empty_share=1.0)
    clutter = read_annotations(folder)
    first = max((im.id for im in labels.images if isinstance(im.id, int)), default=len(labels.images)) + 1
    added = [
        replace(im, path=str(clutter.image_path(i).resolve()), id=first + i) for i, im in enumerate(clutter.images)
    ]
    return replace(labels, images=[*labels.images, *added])


def lspet_parted(folder: Path) -> Annotations:
    """LSP-extended: the last 500 pictures held out; near-duplicates of theirs dropped from the rest."""
    options = ReadOptions(skeleton=load_skeleton("body-14"), skip_bad=True)
    labels = read_annotations(folder, "lsp", options)
    last = len(labels.images) - 500
    parted = [replace(im, split="train" if i < last else "val") for i, im in enumerate(labels.images)]
    kept, dropped = without_duplicates_of(replace(labels, images=parted))
    print(f"{len(options.skipped)} bad records and {len(dropped)} near-duplicates of held-out pictures left out")
    return kept


def lspet(folder: Path) -> Annotations:
    """The same with clutter added."""
    return with_backgrounds(lspet_parted(folder), RUNS / "backgrounds")


def faces(folder: Path) -> Annotations:
    """300-W: LFPW, AFW and Helen but for Helen's last 200, which are held out; clutter added."""
    labels = read_annotations(folder, "300w")
    helen = sorted(im.path for im in labels.images if "helen" in im.path)[-200:]
    held = set(helen)
    parted = [replace(im, split="val" if im.path in held else "train") for im in labels.images]
    kept, dropped = without_duplicates_of(replace(labels, images=parted))
    print(f"{len(dropped)} near-duplicates of held-out pictures left out")
    return with_backgrounds(kept, RUNS / "backgrounds")


def hands(folder: Path) -> Annotations:
    """Generated hands; made first where they are missing."""
    from posewright.synthetic import make_hand_set

    if not (folder / "annotations.json").is_file():
        make_hand_set(folder, 8_000, seed=1, val_share=0.06)
    return read_annotations(folder)


def both_hands(folder: Path) -> Annotations:
    """Real hands beside generated ones; the last fifth of the real frames is held out, and the ten before it are left out, since
    neighbouring frames look alike.
    """
    real, made = read_annotations(folder), hands(RUNS / "hands")
    order = sorted(range(len(real.images)), key=lambda i: real.images[i].path)
    first = len(order) - len(order) // 5
    part = {i: "train" if rank < first - 10 else "val" if rank >= first else None for rank, i in enumerate(order)}
    real = replace(real, images=[replace(im, split=part[i]) for i, im in enumerate(real.images)])
    real = real.subset([i for i in range(len(real.images)) if part[i]])
    # A few hundred frames among thousands: each is seen as often as eight generated ones.
    real = replace(real, weight=np.full(len(real), 8.0))
    made = replace(made, images=[replace(im, split="train") for im in made.images])
    return with_backgrounds(merge([made, real], ["made", "real"]).annotations, RUNS / "backgrounds")


BODY = Recipe(
    lspet,
    TrainConfig(
        model="hourglass_s1_tiny",
        input_size="128",
        margin=1.1,
        epochs=50,
        lr=2e-3,
        augment=AugmentConfig(negative=0.08),
    ),
    f"{RESEARCH} Leeds Sports Pose Extended: no licence stated; cite Johnson and Everingham, CVPR 2011.",
    "Leeds Sports Pose Extended",
)
FACE = Recipe(
    faces,
    TrainConfig(
        model="hourglass_s1_tiny",
        input_size="128",
        epochs=90,
        batch_size=16,
        lr=3e-3,
        loss="adaptive_wing",
        sigma=1.0,
        augment=AugmentConfig(rotation=25, scale=0.15, cutout=0.1),
    ),
    f"{RESEARCH} 300-W: research only; cite Sagonas et al., ICCV Workshops 2013.",
    "300-W training faces (LFPW, Helen, AFW)",
)
HAND = Recipe(
    hands,
    TrainConfig(
        model="hourglass_s1_tiny",
        input_size="128",
        epochs=10,
        lr=3e-3,
        ema=0.99,
        augment=AugmentConfig(rotation=30),
    ),
    "Trained on generated pictures only; Apache-2.0 like the code.",
    "synthetic hands (posewright synthesize)",
    free=True,
)


def larger(recipe: Recipe, name: str, **changes: Any) -> Recipe:
    """The same net at 192 pixels, begun with the weights of a shipped one."""
    return replace(recipe, config=replace(recipe.config, init=name, input_size="192", **changes))


RECIPES = {
    "body": BODY,
    # People whose legs are out of the picture are what a camera on a desk sees, and not what this set shows.
    "body-small": larger(BODY, "body", epochs=20, augment=AugmentConfig(negative=0.08, half_body=0.2)),
    "face": FACE,
    "face-small": larger(FACE, "face", epochs=24, lr=1.5e-3),
    "hand": HAND,
    "hand-small": replace(
        larger(HAND, "hand", epochs=8, lr=0.0, ema=0.995, augment=AugmentConfig(rotation=60, negative=0.08)),
        read=both_hands,
        terms=f"{RESEARCH} Real hands of Ge et al., CVPR 2019: non-commercial research.",
        data="real hands (Ge et al., CVPR 2019) and synthetic ones (posewright synthesize)",
        free=False,
    ),
}


@dataclass(frozen=True)
class Args:
    """Make one shipped model from its data.

    examples:
      python zoo/recipes.py body --data lspet
      python zoo/recipes.py hand --data /tmp/hands --epochs 40
    """

    name: tyro.conf.Positional[Literal["body", "body-small", "face", "face-small", "hand", "hand-small"]]
    """Which model."""
    data: Path
    """Folder of its data (for hand: where to generate it)."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Folder of the run; runs/zoo/NAME unless given."""
    epochs: int | None = None
    """Instead of the recipe's."""
    seed: int = 0
    """Seed of the run."""
    ship: bool = True
    """Put the result into zoo/weights."""


def main(args: Args) -> None:
    recipe = RECIPES[args.name]
    folder = args.output or RUNS / args.name
    config = replace(recipe.config, output=str(folder), seed=args.seed, epochs=args.epochs or recipe.config.epochs)
    labels = replace(recipe.read(args.data), source=recipe.data)
    if (folder / MODEL).is_file():
        run = finished_run(folder)
    else:
        run = fit(config, labels, resume=(folder / LAST).is_file(), terms=recipe.terms)
    figures = measure(folder / MODEL, labels.of_split("val"))
    figures |= {"data": recipe.data, "training_seconds": run.seconds, "epochs": config.epochs, "seed": args.seed}
    write_text(folder / "figures.json", json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    if args.ship:
        ship(args.name, folder, recipe, figures)


def measure(model_file: Path, truth: Annotations) -> dict[str, object]:
    """The exported file's figures on the held-out part, alone and averaged with the mirrored picture."""
    model = load(model_file, "cpu")
    found: dict[str, object] = {}
    for name, flip in (("plain", False), ("flip", True)):
        predicted, measured = run_model(model, truth, flip=flip)
        result = evaluate(predicted.xy, measured)
        by_keypoint = {k: round(row["PCK@0.2"], 4) for k, row in result.by_keypoint.items()}
        found[name] = {"metrics": result.metrics, "by_keypoint PCK@0.2": by_keypoint}
        found["normaliser"] = str(result.normaliser)
        found["counted"] = f"{result.n_objects} objects, {result.n_left_out} left out"
    return found


def ship(name: str, folder: Path, recipe: Recipe, figures: dict[str, object]) -> None:
    """Put checkpoint and model file, their weights stored in half precision, notice and figures where ``posewright models``
    finds them."""
    target = PACKAGE if recipe.free else WEIGHTS
    target.mkdir(exist_ok=True)
    checkpoint = load_checkpoint(folder / "model.safetensors")
    checkpoint.training["config"] |= {"output": "", "data": ""}
    save_checkpoint(checkpoint, target / f"{name}.safetensors", half=True)
    export(checkpoint, target / f"{name}.onnx", precision="fp16")
    write_text(target / f"{name}.json", json.dumps(figures, indent=1) + "\n")
    write_text(target / f"{name}.NOTICE.txt", f"{name}: trained on {recipe.data}.\n{recipe.terms}\n")
    print(f"{target / name}: .onnx, .safetensors, .json, .NOTICE.txt")


if __name__ == "__main__":
    main(tyro.cli(Args))
