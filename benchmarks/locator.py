"""How many objects a locator finds, how often it is mistaken, and how long it takes.

    python benchmarks/locator.py hands -o runs/locator --init hand --epochs 12 draws scenes, trains on them, measures
    python benchmarks/locator.py hands -o runs/locator                         the same from random weights
    python benchmarks/locator.py hands -o runs/locator --locator runs/mine     measures one that is there
    python benchmarks/locator.py people --lspet DIR --coco DIR -o runs/people  the same with pasted people

hands: synthetic scenes, 320 x 240, one to five hands on cluttered pictures, one in seven without any; trained on one seed,
measured on another. people: persons of LSP extended, each with the surroundings that its labels' box takes in, pasted with
blended edges onto generated backgrounds, one to four on each; measured on persons that were not trained on, and on a COCO
sample as it is.

The table gives, at the locator's own threshold and an intersection over union of 0.5: recall, false boxes a picture, the
share of the pictures with a false box; recall by size; average precision over all thresholds; milliseconds a picture on one
thread. Sets and runs are kept in the output folder; a training that was broken off goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from posewright.annotations import Annotations, Image, get_format, read_annotations
from posewright.console import progress_bar
from posewright.files import whole_folder, write_text
from posewright.machine import cores
from posewright.media.labelled import picture_of
from posewright.media.pictures import write_picture
from posewright.metrics.boxes import Finds, judge
from posewright.runtime.locator import CentreLocator, load_locator
from posewright.synthetic import make_hand_set
from posewright.synthetic.scenery import background
from posewright.training.course import LAST, MODEL
from posewright.training.locator_config import LocatorConfig
from posewright.training.locator_fit import fit_locator

SIZES = {"small": (0.0, 0.25), "middle": (0.25, 0.4), "large": (0.4, 9.0)}
"""Longer side of a box as a share of the picture's shorter side."""
SCENE = (320, 240)
GENERATED = "Trained on generated pictures only; Apache-2.0 like the code."
RESEARCH = "Trained on pictures that may be used for research only; these weights inherit that restriction."


@dataclass(frozen=True)
class Args:
    """Measure a locator on held-out scenes."""

    what: tyro.conf.Positional[Literal["hands", "people"]] = "hands"
    """What is to be found."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/locator")
    """Folder of the sets, the run and results.json."""
    locator: str | None = None
    """Measure this one (model file, run folder or shipped name) instead of training."""
    init: str = "none"
    """What training starts from: a keypoint model whose features the locator reads, such as hand, or a locator."""
    train_pictures: int = 4000
    """Pictures to train on."""
    test_pictures: int = 400
    """Held-out pictures to measure on."""
    input_size: str = "192x256"
    """What the locator sees."""
    epochs: int = 30
    """Passes over the training pictures."""
    lr: float = 0.0
    """Highest learning rate; 0 for the usual one."""
    threads: int = 1
    """Of training and of measuring."""
    seed: int = 1000
    """Of the training scenes; the held-out ones have the next."""
    tiles: int = 0
    """Tiles along each side that are looked at as well."""
    lspet: Path | None = None
    """LSP extended, for people."""
    coco: Path | None = None
    """COCO pictures and labels to measure people on as well."""


def hands(args: Args, folder: Path, count: int, seed: int, val_share: float) -> Annotations:
    if not folder.exists():
        with progress_bar(f"drawing {folder.name}", count) as advance:
            make_hand_set(
                folder,
                count,
                seed=seed,
                size=SCENE,
                hands=(1, 5),
                val_share=val_share,
                empty_share=0.15,
                workers=cores(),
                progress=advance,
            )
    return replace(read_annotations(folder), source="synthetic hands (posewright synthesize --hands 1 5)")


# -- people --------------------------------------------------------------------------------------------------------------


def pasted(people: Annotations, folder: Path, count: int, seed: int, val_share: float) -> Annotations:
    """Scenes of one to four persons; one in seven without any."""
    if not folder.exists():
        _paste(people, folder, count, seed, val_share)
    return replace(read_annotations(folder), source="LSP extended, pasted onto generated backgrounds")


def _paste(people: Annotations, folder: Path, count: int, seed: int, val_share: float) -> None:
    images, owner, keypoints, boxes = [], [], [], []
    with whole_folder(folder) as temporary, progress_bar(f"pasting {folder.name}", count) as advance:
        (temporary / "images").mkdir()
        for i in range(count):
            rng = np.random.default_rng((seed, i))
            scene = background(rng, *SCENE)
            placed: list[np.ndarray] = []
            for _ in range(0 if rng.random() < 0.15 else int(rng.integers(1, 5))):
                found = _person(people, int(rng.integers(len(people))), scene, placed, rng)
                if found is not None:
                    placed.append(found[0])
                    boxes.append(found[0])
                    keypoints.append(found[1])
                    owner.append(i)
            name = f"images/{i:05d}.jpg"
            write_picture(temporary / name, scene)
            images.append(Image(name, *SCENE, id=i + 1))
            advance(1)
        labels = Annotations(people.skeleton, images, np.array(owner), np.array(keypoints), np.array(boxes), temporary)
        write = get_format("coco").write
        assert write is not None
        write(labels.with_splits(val_share, seed), temporary / "annotations.json")


def _person(
    people: Annotations, index: int, scene: np.ndarray, placed: list[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """Paste one person into a scene, in place; the box and the keypoints there, or None where no room was found."""
    picture, box = picture_of(people, int(people.image[index])), people.boxes[index]
    height, width = scene.shape[:2]
    zoom = float(np.exp(rng.uniform(np.log(0.25), np.log(0.9)))) * height / max(box[2:] - box[:2])
    size = (box[2:] - box[:2]) * zoom
    for _ in range(8):
        corner = rng.uniform(-0.5, np.maximum(np.array([width, height]) - size - 0.5, 0))
        target = np.concatenate([corner, np.minimum(corner + size, (width - 0.5, height - 0.5))])
        sides = [np.minimum(target[2:], o[2:]) - np.maximum(target[:2], o[:2]) for o in placed]
        if all((s <= 0).any() for s in sides):
            break
    else:
        return None
    matrix = np.array([[zoom, 0, corner[0] - zoom * box[0]], [0, zoom, corner[1] - zoom * box[1]]])
    drawn = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    # Full within the box, fading out over a tenth of it around: no edge tells where a person was pasted.
    soft = 0.1 * size.max()
    x, y = np.arange(width), np.arange(height)
    ramps = (
        np.clip(1 - np.maximum(low - grid, grid - high) / soft, 0, 1)
        for grid, low, high in ((x, target[0], target[2]), (y, target[1], target[3]))
    )
    across, down = ramps
    alpha = (down[:, None] * across[None])[..., None]
    scene[:] = np.rint(alpha * drawn + (1 - alpha) * scene).astype(np.uint8)
    points = people.keypoints[index].copy()
    points[:, :2] = points[:, :2] * zoom + (corner - zoom * box[:2])
    inside = (points[:, :2] >= -0.5).all(1) & (points[:, :2] <= (width - 0.5, height - 0.5)).all(1)
    points[~inside] = 0
    return target, points


# -- measuring -----------------------------------------------------------------------------------------------------------


def trained(args: Args, annotations: Annotations, terms: str) -> Path:
    folder = args.output / "run"
    if not (folder / MODEL).is_file():
        config = LocatorConfig(
            input_size=args.input_size,
            epochs=args.epochs,
            init=args.init,
            lr=args.lr,
            batch_size=16,
            threads=args.threads,
            output=str(folder),
        )
        fit_locator(config, annotations, resume=(folder / LAST).exists(), terms=terms)
    return folder


def measure(locator: CentreLocator, truth: Annotations) -> dict[str, Any]:
    """The figures of a locator on a set."""
    found, seconds = [], 0.0
    with progress_bar("measuring", len(truth.images)) as advance:
        for i in range(len(truth.images)):
            picture = picture_of(truth, i)
            start = perf_counter()
            found.append(locator.find(picture))
            seconds += perf_counter() - start
            advance(1)
    crowd = np.asarray(truth.iscrowd)

    def judged(wanted: Callable[[int], bool]) -> Finds:
        objects = [np.flatnonzero(truth.image == i) for i in range(len(truth.images))]
        known = [np.array([k for k in o if not crowd[k] and wanted(int(k))], int) for o in objects]
        other = [np.array([k for k in o if crowd[k] or not wanted(int(k))], int) for o in objects]
        return judge(found, [truth.boxes[k] for k in known], [truth.boxes[k] for k in other])

    finds = judged(lambda _: True)
    recall, false = finds.at(0.0)
    mistaken = [judge([f], [truth.boxes[(truth.image == i) & ~crowd]]).at(0.0)[1] > 0 for i, f in enumerate(found)]
    row: dict[str, Any] = {"pictures": finds.pictures, "objects": finds.objects, "recall": recall}
    row |= {"false a picture": false, "pictures with one": float(np.mean(mistaken))}
    for name, (low, high) in SIZES.items():
        row[f"recall {name}"] = judged(lambda k, low=low, high=high: low <= _size(truth, k) < high).at(0.0)[0]
    locator.threshold, kept = 0.0, locator.threshold
    row["AP"] = judge(
        [locator.find(picture_of(truth, i)) for i in range(len(truth.images))],
        [truth.boxes[(truth.image == i) & ~crowd] for i in range(len(truth.images))],
        [truth.boxes[(truth.image == i) & crowd] for i in range(len(truth.images))],
    ).ap
    locator.threshold = kept
    return row | {"ms": 1e3 * seconds / max(finds.pictures, 1)}


def _size(truth: Annotations, k: int) -> float:
    im, box = truth.images[int(truth.image[k])], truth.boxes[k]
    return float(max(box[2:] - box[:2])) / min(im.width, im.height)


def sets(args: Args) -> tuple[Callable[[], Annotations], Iterator[tuple[str, Annotations]], str]:
    """What to train on, what to measure on, and the terms of the former."""
    out = args.output
    if args.what == "hands":

        def measured() -> Iterator[tuple[str, Annotations]]:
            yield "held-out scenes", hands(args, out / "held-out", args.test_pictures, args.seed + 1, 0.0)

        return lambda: hands(args, out / "train", args.train_pictures, args.seed, 0.06), measured(), GENERATED
    if args.lspet is None:
        raise SystemExit("people are pasted from LSP extended: name its folder with --lspet")
    from posewright.annotations import ReadOptions
    from posewright.skeletons import load_skeleton

    everybody = read_annotations(args.lspet, options=ReadOptions(flags="labelled", skeleton=load_skeleton("body-14")))
    last = np.arange(len(everybody)) >= 0.9 * len(everybody)

    def people() -> Iterator[tuple[str, Annotations]]:
        held = everybody.objects(last)
        yield "held-out persons, pasted", pasted(held, out / "held-out", args.test_pictures, args.seed + 1, 0.0)
        if args.coco is not None:
            yield "COCO sample", read_annotations(args.coco)

    train = everybody.objects(~last)
    return lambda: pasted(train, out / "train", args.train_pictures, args.seed, 0.06), people(), RESEARCH


def main(args: Args) -> None:
    args.output.mkdir(parents=True, exist_ok=True)
    data, measured, terms = sets(args)
    spec = args.locator or str(trained(args, data(), terms))
    locator = load_locator(spec, "cpu", args.threads, tiles=args.tiles)
    rows = {name: measure(locator, truth) for name, truth in measured}
    console = Console()
    table = Table("set", *next(iter(rows.values())), title=f"{spec} at a score of {locator.threshold:g} or more")
    for name, row in rows.items():
        shown = [f"{v:.1f}" if k == "ms" else f"{v:.3f}" if isinstance(v, float) else str(v) for k, v in row.items()]
        table.add_row(name, *shown)
    console.print(table)
    record = {"locator": spec, "threshold": locator.threshold, "input": locator.info.size_text, "sets": rows}
    write_text(args.output / "results.json", json.dumps(record, indent=1) + "\n")
    print(args.output / "results.json")


if __name__ == "__main__":
    main(tyro.cli(Args))
