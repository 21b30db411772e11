"""How well `posewright audit` finds labels that are known to be wrong, and what training on the cleaned set gains.

``python benchmarks/audit.py --model body`` plants 200 exchanges of left and right and 200 shifted keypoints in a copy of
LSP-extended, audits the copy, and prints how many of the first objects of the list are planted ones. Only those count: what is
wrong with the labels as they were published lowers the figure. ``body`` was trained on all but the last 500 pictures of the set
as published (without the planted errors), so that its figures are better than those of a model that never saw it; the figure
for those 500 alone is printed too. ``--folds 2 --minutes 20`` trains models that never saw what they judge. ``--train`` adds
what a small net gains when it is trained on the corrected or the down-weighted copy instead. Data:
``POSEWRIGHT_DATA``, or ``../shared/data`` beside the checkout.

An exchange: all left-right pairs of an object (one in two), or only the arms or only the legs (one in four each), where
both sides of at least two of the pairs are labelled; ``--swaps`` plants all pairs always, or always one. Where one side alone is
labelled, it keeps its name unless ``--lone`` is given. A shift: one keypoint moved in a random direction by 0.3 to 1.0 of the
longer side of its object's box, about one to three torsos (``--scale torso``: of its torso), within the picture. Boxes are
made of the spoilt keypoints again, as the reader makes them of a file.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from comparing import train
from posewright.annotations import Annotations, ReadOptions, read_annotations
from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.audit import Audited, Finding, audit, mended, weighed
from posewright.audit.evidence import Evidence, gather
from posewright.console import progress_bar
from posewright.files import write_text
from posewright.media.pictures import write_picture
from posewright.metrics import Evaluation, evaluate, run_model
from posewright.metrics.bootstrap import paired_bootstrap
from posewright.reports.audit import sheet, shown_first, write_csv
from posewright.reports.tables import print_table
from posewright.runtime import load
from posewright.training.config import TrainConfig
from posewright.training.fit import MODEL

HERE = Path(__file__).resolve()
DATA = Path(os.environ.get("POSEWRIGHT_DATA") or HERE.parents[2] / "shared" / "data") / "lspet"
LIMBS = {"arms": ("wrist", "elbow", "shoulder"), "legs": ("ankle", "knee", "hip")}
THRESHOLD = 0.2
HELD = 500
"""Of LSP-extended, so many pictures at the end are what nets are measured on after --train."""


@dataclass(frozen=True)
class Planted:
    """A set with errors planted in it.

    Attributes:
        labels: the spoilt set.
        swaps: object to "all", "arms", "legs" or "pair".
        shifts: object to keypoint.
    """

    labels: Annotations
    swaps: dict[int, str]
    shifts: dict[int, int]

    def finds(self, f: Finding) -> str | None:
        """The kind of planted error that a finding has found, where it has; None elsewhere."""
        if f.kind == "swap" and f.object in self.swaps:
            return f"swap, {self.swaps[f.object]}"
        if f.kind == "point" and self.shifts.get(f.object) == f.keypoints[0]:
            return "shift"
        return None


def plant(labels: Annotations, count: int, seed: int, scale: str, swaps_of: str = "mix", lone: bool = False) -> Planted:
    """Plant ``count`` exchanges and as many shifts, each in an object of its own; see the options of :class:`Args`."""
    rng = np.random.default_rng(seed)
    keypoints, seen, names = labels.keypoints.copy(), labels.labelled, labels.skeleton.keypoints
    order = rng.permutation(np.flatnonzero(seen.sum(1) >= min(10, len(names)))).tolist()
    swaps: dict[int, str] = {}
    shifts: dict[int, int] = {}
    while order and len(swaps) < count:
        i, kind = order.pop(), str(rng.choice(["all", "arms", "legs"], p=[0.5, 0.25, 0.25]))
        kind = {"mix": kind, "whole": "all", "pairs": "pair"}[swaps_of]
        of_kind = [p for p in labels.skeleton.swaps if any(n in names[p[0]] for n in LIMBS.get(kind, names))]
        pairs = [p for p in of_kind if seen[i, list(p)].all()]
        if kind == "pair" and pairs:
            pairs = [pairs[int(rng.integers(len(pairs)))]]
        elif len(pairs) < 2:
            continue
        elif lone:
            pairs = of_kind
        for a, b in pairs:
            keypoints[i, [a, b]] = keypoints[i, [b, a]]
        swaps[i] = kind
    while order and len(shifts) < count:
        i = order.pop()
        k, length = int(rng.choice(np.flatnonzero(seen[i]))), _length(labels, i, scale)
        im = labels.images[labels.image[i]]
        for _ in range(50 if length else 0):
            angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.0) * length
            x, y = keypoints[i, k, :2] + far * np.array([np.cos(angle), np.sin(angle)])
            if 0 <= x <= im.width - 1 and 0 <= y <= im.height - 1:
                keypoints[i, k, :2] = x, y
                shifts[i] = k
                break
    return Planted(replace(labels, keypoints=keypoints, boxes=boxes_from_keypoints(keypoints)), swaps, shifts)


def _length(labels: Annotations, i: int, scale: str) -> float:
    x0, y0, x1, y1 = labels.boxes[i]
    side = float(max(x1 - x0, y1 - y0))
    if scale == "box":
        return side
    ends = [labels.skeleton.index(name) for name in ("left_shoulder", "right_hip")]
    torso = float(np.linalg.norm(labels.keypoints[i, ends[0], :2] - labels.keypoints[i, ends[1], :2]))
    return torso if labels.labelled[i, ends].all() and torso > 0.1 * side else 0.0


@dataclass(frozen=True)
class Args:
    """Plant errors in LSP-extended, audit it, and count what is found.

    examples:
      python benchmarks/audit.py --model body -o audit_bench
      python benchmarks/audit.py --model body --swaps whole --lone
      python benchmarks/audit.py --folds 2 --minutes 5 -o audit_bench
      python benchmarks/audit.py --model body --objects 1500 --planted 33 --train --epochs 10
    """

    model: str | None = None
    """What to audit with; out-of-fold nets where not given."""
    data: Path = DATA
    """LSP-extended."""
    objects: int = 0
    """Audit only so many objects, drawn by the seed; 0 for all."""
    planted: int = 200
    """Exchanges to plant, and as many shifts."""
    swaps: Literal["mix", "whole", "pairs"] = "mix"
    """Exchange all pairs, the arms or the legs (one in two, in four, in four); all pairs always; or always a single pair."""
    lone: bool = False
    """In exchanges of several pairs, a keypoint labelled on one side only takes the other side's name, too."""
    scale: Literal["box", "torso"] = "box"
    """What shifts are measured by."""
    seeds: int = 1
    """Rounds of planting, each with another seed."""
    seed: int = 0
    """Of the first round."""
    folds: int = 2
    """Out-of-fold nets."""
    minutes: float | None = None
    """For their training together."""
    train: bool = False
    """Train a small net on the spoilt, the corrected and the down-weighted copy, and as published; measure held-out pictures."""
    epochs: int = 10
    """Of each of these."""
    init: str = "hand"
    """Weights these begin with: `hand`, which never saw a body, or none."""
    threads: int = 0
    """Threads of their training; 0 leaves torch's choice."""
    level: float = 0.5
    """How sure a finding must be to change anything for --train."""
    device: str = "auto"
    """Where to run and train."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("audit_bench")
    """Folder for figures, audit.csv and the sheet of unplanted finds."""


def evidence_on(labels: Annotations, args: Args, seed: int) -> Evidence:
    """What the model, or models that were trained for this, say of the labels."""
    options: dict[str, Any] = {"flip": True, "seed": seed}
    if args.model:
        with progress_bar("auditing", len(labels)) as advance:
            return gather(load(args.model, args.device), labels, progress=advance, **options)
    from posewright.training.folds import plan_folds

    where = args.output / f"folds_{args.scale}_{seed}"
    plan = plan_folds(labels, where, folds=args.folds, minutes=args.minutes, device=args.device, seed=seed)
    print(plan.describe(), flush=True)
    whole = Evidence.nothing(len(labels), len(labels.skeleton))
    for number, model in enumerate(plan.train()):
        pictures = plan.fold == number
        whole.put(np.flatnonzero(pictures[labels.image]), gather(model, labels.subset(pictures), **options))
    return whole


def by_rank(audited: Audited) -> list[Finding]:
    """The surest finding of each object, as the list ranks them."""
    return shown_first(audited, None, len(audited.annotations))


def figures(planted: Planted, audited: Audited) -> dict[str, Any]:
    """Precision among the first objects, and recall by kind among the first of them, counting only what was planted."""
    first = by_rank(audited)
    spoilt = np.array([f.object in planted.swaps or f.object in planted.shifts for f in first])
    found = [planted.finds(f) for f in first]
    told = np.array([f is not None for f in found])
    wanted = len(planted.swaps) + len(planted.shifts)
    row: dict[str, Any] = {"planted": wanted}
    for n in sorted({max(1, wanted // 4), max(1, wanted // 2), wanted}):
        row[f"precision@{n}"] = float(spoilt[:n].mean())
    row["with the right error told"] = float(told[:wanted].mean())
    for kind, there in sorted(Counter(planted.swaps.values()).items()):
        row[f"recall, swap {kind}"] = found[:wanted].count(f"swap, {kind}") / there
    row["recall, shift"] = found[:wanted].count("shift") / max(len(planted.shifts), 1)
    labels = audited.annotations
    last = {im.path for im in sorted(labels.images, key=lambda im: im.path)[-HELD:]}
    held = np.array([labels.images[labels.image[f.object]].path in last for f in first[:wanted]])
    row[f"precision, last {HELD} pictures"] = float(spoilt[:wanted][held].mean()) if held.any() else None
    return row


def spoilt_and_mended(
    args: Args, labels: Annotations, planted: Planted, audited: Audited, seed: int
) -> dict[str, Evaluation]:
    """How nets do on held-out pictures that were trained for as many epochs on each copy; held-out labels are as published."""
    copies = {"as published": labels, "spoilt": planted.labels}
    copies |= {"corrected": mended(audited, args.level)[0], "down-weighted": weighed(audited, args.level)[0]}
    held: NDArray[np.bool_] = np.arange(len(labels.images)) >= len(labels.images) - min(HELD, len(labels.images) // 5)
    found = {}
    for name, copy in copies.items():
        keypoints = np.where(held[labels.image][:, None, None], labels.keypoints, copy.keypoints)
        boxes = np.where(held[labels.image][:, None], labels.boxes, copy.boxes)
        images = [replace(im, split="val" if h else "train") for im, h in zip(labels.images, held.tolist())]
        usable = (keypoints[..., 2] > 0).any(1)
        given = replace(copy, images=images, keypoints=keypoints, boxes=boxes).objects(usable)
        config = TrainConfig(
            model="hourglass_s1_tiny",
            init=args.init,
            input_size="128",
            margin=1.1,
            epochs=args.epochs,
            seed=seed,
            device=args.device,
            threads=args.threads,
            output=str(args.output / f"train_{name.replace(' ', '_')}_{seed}"),
        )
        seconds = train(config, given, export=True)
        predicted, truth = run_model(load(Path(config.output) / MODEL, "cpu"), given.of_split("val"))
        found[name] = evaluate(predicted.xy, truth)
        pck = found[name].metrics[f"PCK@{THRESHOLD:g}"]
        print(f"seed {seed}, {name}: {pck:.4f} after {seconds / 60:.1f} minutes", flush=True)
    return found


def gains(trained: list[dict[str, Evaluation]]) -> list[dict[str, Any]]:
    """PCK of each copy, and how far it is from the spoilt one's over the same pictures."""
    rows = []
    for name in trained[0]:
        each = [found[name].metrics[f"PCK@{THRESHOLD:g}"] for found in trained]
        row: dict[str, Any] = {"trained on": name, f"PCK@{THRESHOLD:g}": float(np.mean(each))}
        row["of each seed"] = " ".join(f"{pck:.4f}" for pck in each)
        if name != "spoilt":
            sides = [np.stack([found[arm].normalised for found in trained]) for arm in ("spoilt", name)]
            over = paired_bootstrap(*sides, np.arange(sides[0].shape[1]), THRESHOLD)  # one object a picture
            row["over spoilt"] = over.difference
            row["95 % interval"] = f"{over.low:+.4f} to {over.high:+.4f}"
        rows.append(row)
    return rows


def main(args: Args) -> None:
    published = read_annotations(args.data, options=ReadOptions(skip_bad=True))
    if args.objects and args.objects < len(published.images):
        chosen = np.random.default_rng(args.seed).permutation(len(published.images))[: args.objects]
        published = published.subset(np.sort(chosen))
    result: dict[str, Any] = {"model": args.model or f"{args.folds} out-of-fold nets", "objects": len(published)}
    rounds: list[dict[str, Any]] = []
    trained: list[dict[str, Evaluation]] = []
    for seed in range(args.seed, args.seed + args.seeds):
        planted = plant(published, args.planted, seed, args.scale, args.swaps, args.lone)
        audited = audit(planted.labels, evidence_on(planted.labels, args, seed), seed)
        how = {"seed": seed, "swaps": args.swaps, "lone ones, too": args.lone, "shifts by": args.scale}
        rounds.append(how | figures(planted, audited))
        write_csv(audited, args.output / f"audit_{args.scale}_{seed}.csv")
        others = [f for f in by_rank(audited) if f.object not in planted.swaps and f.object not in planted.shifts]
        picture, _ = sheet(audited, others[:40])
        if picture is not None:
            write_picture(args.output / f"unplanted_{args.scale}_{seed}.png", picture)
        if args.train:
            trained.append(spoilt_and_mended(args, published, planted, audited, seed))
    result |= {"rounds": rounds, "trained": gains(trained) if trained else []}
    write_text(args.output / "audit.json", json.dumps(result, indent=1) + "\n")
    print_table(rounds, f"{result['model']}, {len(published)} objects; only what was planted counts as found.")
    if trained:
        print_table(
            result["trained"], f"On held-out pictures with the labels as published, {args.epochs} epochs a net."
        )
    print(f"{args.output} holds audit.json, every list, and the first unplanted finds to look at.")


if __name__ == "__main__":
    main(tyro.cli(Args))
