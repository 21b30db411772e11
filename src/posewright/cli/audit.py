"""``posewright audit``."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from posewright.cli.reading import Reading, part_of
from posewright.cli.running import Running
from posewright.console import progress_bar
from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.annotations import Annotations, ReadOptions
    from posewright.audit import Audited
    from posewright.audit.evidence import Evidence


@dataclass(frozen=True)
class Command:
    """Rank the labels of a set that are most likely wrong.

    Looks for left and right exchanged (the whole object, a limb, a pair), single keypoints far off, poses of another object,
    wrong boxes, and keypoints that are there but not labelled. What is told is how likely each is, from where a model sees
    the keypoints and from where the set's other labels want them; what a model is bad at counts little by itself. Writes
    audit.csv with every finding, worst.png with the worst of all, and audit.html. The labels themselves are left as they are.

    The model must not have been trained on these labels, or it repeats their mistakes. Without --model, small nets are trained
    for this (--folds of them), and each object is judged by one that never saw it or its group. How long that takes is said
    before it begins; broken off, the same command goes on where it was.

    examples:
      posewright audit labels.json --model runs/other
      posewright audit labels.json --folds 3 --minutes 20 -o audit
      posewright audit labels.json --model body --fix fixed.json --level 0.95
      posewright audit labels.json --model body --weigh weighed.json
    """

    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
    """Labels: a file or folder in any known format."""
    model: str | None = None
    """A model file, a run's folder, a checkpoint (*.safetensors) or a shipped name; out-of-fold nets unless given."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("audit")
    """Folder to write to."""
    fix: Path | None = None
    """Write a corrected copy here (COCO JSON): sides changed back, far keypoints as --points says, others' poses unlabelled,
    wrong boxes made anew."""
    weigh: Path | None = None
    """Write a down-weighted copy here (COCO JSON): far keypoints unlabelled, other doubtful objects with a lower weight, so that
    training shows them less often."""
    level: float = 0.9
    """Only findings at least this probable change anything in those copies."""
    points: Literal["unlabel", "move"] = "unlabel"
    """What --fix does with a keypoint far off: take its label away, or move it to where the model has it."""
    folds: int | None = None
    """Nets to train where there is no --model; 3 unless given."""
    minutes: float | None = None
    """Time for all their training together; as many epochs as fit. A third of a usual training's unless given."""
    split: Literal["all", "train", "val", "test"] = "all"
    """Audit one split only."""
    flip: bool = True
    """Average with the mirrored picture; --no-flip halves the time and sees less well which side is which."""
    worst: int = 40
    """Objects on worst.png, and half as many on each sheet of the page; 0 for no sheets."""
    batch_size: int = 16
    """Objects in one run of the model."""
    seed: int = 0
    """Of the parts, and of the places that labels are compared with."""
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)
    running: tyro.conf.OmitArgPrefixes[Running] = field(default_factory=Running)

    def run(self) -> int:
        from posewright.audit import audit

        self._check()
        options = self.reading.options()
        labels = part_of(self.reading.read(self.data, options), self.split, self.data).require_labels()
        labels = labels.require_pictures(options.bad if self.reading.skip_bad else None)
        evidence = self._evidence(labels, options)
        evidence.skipped[:0] = options.skipped
        self._show(audit(labels, evidence, self.seed))
        return 0

    def _check(self) -> None:
        if not 0 < self.level <= 1:
            raise PosewrightError(f"--level is a probability above 0, at most 1, not {self.level:g}")
        if self.worst < 0 or self.seed < 0:
            raise PosewrightError("--worst and --seed must not be below 0")
        if self.batch_size < 1:
            raise PosewrightError(f"--batch-size must be at least 1, not {self.batch_size}")
        if self.model is not None and (self.folds is not None or self.minutes is not None):
            raise PosewrightError(
                "--folds and --minutes train nets, and --model names one", fix="Leave one of them out"
            )
        if self.model is None and replace(self.running, device="auto").given:
            raise PosewrightError("--threads, --engine and --trust are for --model")
        for copy in (self.fix, self.weigh):
            if copy is not None and copy.suffix.lower() != ".json":
                raise PosewrightError("is no name of a COCO file", file=copy, fix="End it with .json")
            if copy is not None and self.data.exists() and copy.resolve() == self.data.resolve():
                raise PosewrightError("is the audited labels themselves, which are left as they are", file=copy)
        if self.fix is not None and self.weigh is not None and self.fix.resolve() == self.weigh.resolve():
            raise PosewrightError("cannot be both the corrected and the down-weighted copy", file=self.fix)
        if self.points != "unlabel" and self.fix is None:
            raise PosewrightError("--points says what --fix does: name a file for the copy with --fix")

    # -- what models say --------------------------------------------------------------------------------------------

    def _evidence(self, labels: Annotations, options: ReadOptions) -> Evidence:
        from posewright.audit.evidence import gather

        if self.model is not None:
            model = self.running.load(self.model)
            with progress_bar("auditing", int(labels.usable.sum())) as advance:
                return gather(model, labels, progress=advance, **self._gathering())
        return self._out_of_fold(labels)

    def _gathering(self) -> dict:  # type: ignore[type-arg]
        return {"flip": self.flip, "batch_size": self.batch_size, "skip_bad": self.reading.skip_bad, "seed": self.seed}

    def _out_of_fold(self, labels: Annotations) -> Evidence:
        """Every object as the net saw it that was trained on the other parts."""
        import numpy as np

        from posewright.audit.evidence import Evidence, gather
        from posewright.training.folds import plan_folds

        where = self.output / "folds"
        plan = plan_folds(
            labels, where, folds=self.folds or 3, minutes=self.minutes, device=self.running.device, seed=self.seed
        )
        print(plan.describe(), flush=True)
        models = plan.train()
        whole = Evidence.nothing(len(labels), len(labels.skeleton))
        with progress_bar("auditing", int(labels.usable.sum())) as advance:
            for number, model in enumerate(models):
                pictures = plan.fold == number
                part = labels.subset(pictures)
                objects = np.flatnonzero(pictures[labels.image])
                whole.put(objects, gather(model, part, progress=advance, **self._gathering()))
        return whole

    # -- what came out ----------------------------------------------------------------------------------------------

    def _show(self, audited: Audited) -> None:
        from posewright.media.pictures import write_picture
        from posewright.reports.audit import count_rows, sheet, shown_first, top_rows, write_csv, write_page
        from posewright.reports.tables import print_table

        table = write_csv(audited, self.output / "audit.csv")
        written = [str(table)]
        missing: list[str] = []
        if self.worst and audited.findings:
            picture, missing = sheet(audited, shown_first(audited, None, self.worst))
            if picture is not None:
                written.append(str(write_picture(self.output / "worst.png", picture)))
        copies = self._copies(audited)
        then = self._next()
        by = f"judged by {self.model}" if self.model else "each object judged by a net that was not trained on it"
        page = write_page(
            audited,
            self.output / "audit.html",
            title=f"Audit of {self.data.name or self.data}",
            lead=f"{audited.looked_at} objects of {self.data}, {by}.",
            tiles=self.worst // 2,
            notes=audited.skipped,
            then=then,
        )
        print_table(count_rows(audited), "How many findings are that probable, and how many there probably are in all.")
        if audited.findings:
            print_table(top_rows(audited, 12), "The worst. score: log odds that the label is wrong.")
        if "box" not in audited.rates:
            print("Boxes were not judged: they are made from the keypoints, or too few objects are labelled.")
        for line in [*audited.skipped, *missing]:
            print(f"left out: {line}")
        for line in copies:
            print(line)
        print(f"\n{', '.join(written)} written; open {page}.")
        print(f"Next: {then}")

    def _copies(self, audited: Audited) -> list[str]:
        """Write the copies that were asked for; what was changed in each, in words."""
        from posewright.annotations import get_format
        from posewright.audit import mended, weighed

        lines = []
        for path, what, (labels, done) in (
            (self.fix, "corrected", mended(audited, self.level, self.points)),
            (self.weigh, "weighed down", weighed(audited, self.level)),
        ):
            if path is None:
                continue
            write = get_format("coco").write
            assert write is not None
            write(labels, path)
            counted = ", ".join(f"{n} {kind}" for kind, n in done.most_common()) or "nothing"
            how = f" (points: {self.points})" if path is self.fix and done["point"] else ""
            lines.append(f"{path}: {what} where at least {self.level:.0%} sure: {counted}{how}.")
        return lines

    def _next(self) -> str:
        data = self.reading.words(self.data)
        for copy in (self.fix, self.weigh):
            if copy is not None:
                return f"posewright train --data {shlex.quote(str(copy))}"
        model = f" --model {shlex.quote(self.model)}" if self.model else ""
        return f"posewright audit {data}{model} -o {shlex.quote(str(self.output))} --fix fixed.json"
