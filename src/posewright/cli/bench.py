"""``posewright bench``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from posewright.cli.measured import TORCH, open_measured, part_of_labels, size_on_disk
from posewright.cli.reading import Reading
from posewright.cli.running import Running
from posewright.console import progress_bar
from posewright.errors import PosewrightError, did_you_mean
from posewright.machine import cores

if TYPE_CHECKING:
    from posewright.annotations import Annotations
    from posewright.metrics.figure import Agreement, Figure
    from posewright.reports.bench import Benched
    from posewright.runtime import Predictor
    from posewright.runtime.timing import Shown
    from posewright.skeleton import Skeleton

HANDS, SEED = 200, 20_261
"""How many synthetic hands are drawn where there are no labels, and their seed, which no training uses."""
LOOKED_AT = 64
"""Pictures that are held in memory to be timed on, at most."""
STARTS = 3
"""Fresh processes for each model."""


@dataclass(frozen=True)
class Contender:
    """One model of the comparison.

    Attributes:
        name: as it was typed.
        spec: the MODEL of MODEL@ENGINE.
        running: how it is run.
        model: loaded.
        size: bytes on disk.
    """

    name: str
    spec: str
    running: Running
    model: Predictor
    size: int

    @property
    def runs_on(self) -> str:
        """What runs it, what it computes in and where, as far as that is nothing usual."""
        words = [self.model.engine]
        if self.model.computes != "fp32":
            words.append(self.model.computes)
        if str(self.model.device) != "cpu":
            words.append(str(self.model.device))
        return " ".join(words)

    def order(self, skeleton: Skeleton) -> list[int]:
        """For each keypoint of a skeleton, its place in the model's; an error that names the model where it has none."""
        from posewright.metrics.running import keypoint_order

        try:
            return keypoint_order(self.model.skeleton, skeleton)
        except PosewrightError as error:
            raise PosewrightError(error.what, file=self.name, fix=error.fix) from None


@dataclass(frozen=True)
class Command:
    """Set models side by side on the same pictures: accuracy, time, size and memory, one row a file.

    Takes whatever posewright runs, of any format and precision; a checkpoint (*.safetensors) is run by torch, and
    MODEL@ENGINE says which engine is to run a file, such as hand.onnx@openvino or hand@torch. The first is what the others
    are compared with: differences come with the interval of a paired bootstrap over pictures.

    Accuracy is measured on labels, of hand models without any on synthetic hands. With --images and no --data, on pictures
    without labels, it is how far the others agree with the first.

    The models take turns in one process, so that whatever else the machine does hits all of them alike. Start and memory are
    measured in a fresh process for each.

    examples:
      posewright bench hand hand-int8.onnx
      posewright bench body.onnx body-int8.onnx body.onnx@openvino --data lsp/ --csv bench.csv --plot bench.png
      posewright bench runs/mine runs/small --data labels.json --threads 1 --rounds 50
      posewright bench a.onnx b.tflite --images photos/
    """

    models: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="MODEL")]
    """Model files, runs' folders, checkpoints or shipped names, each with @ENGINE where it matters."""
    data: Path | None = None
    """Labels: a file or folder in any known format. Without them hand models see synthetic hands."""
    split: Literal["val", "train", "test", "all"] | None = None
    """Which part of the labels. Unless given: val where the labels have one; what the first run among the models held out of
    these labels; else all."""
    metric: Literal["pck", "nme", "ap"] | None = None
    """pck (share of keypoints found), nme (mean distance) or ap (COCO's, in the labelled boxes; needs sigmas). Unless given
    nme for faces, else pck."""
    threshold: float | None = None
    """Of PCK; 0.2 unless given (0.1 by outer_eye_corners or a box)."""
    normaliser: str | None = None
    """What distances are divided by, as in `posewright evaluate`; the skeleton's own unless given."""
    sigmas: str | None = None
    """OKS sigmas for --metric ap, as in `posewright evaluate`."""
    flip: bool = False
    """Average with the mirrored picture: steadier, at twice the time."""
    limit: int | None = None
    """Measure accuracy on this many pictures only, spread evenly."""
    rounds: int = 30
    """How often each model is timed."""
    threads: int | None = None
    """Processor threads of each model; as many as this process may use unless given."""
    device: str = "auto"
    """auto, cpu, cuda and so on, as in `posewright predict`."""
    trust: bool = False
    """Load model files that bring code of their own."""
    csv: Path | None = None
    """Write the table to this file as well, with all digits."""
    plot: Path | None = None
    """Draw accuracy against time to this picture (.png, .svg, .pdf)."""
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)

    def run(self) -> int:
        from posewright.reports.bench import Bench
        from posewright.reports.plots import check_ending
        from posewright.reports.tables import print_table

        self._check()
        if self.plot is not None:
            check_ending(self.plot)
        threads = self.threads or cores()
        contenders = self._open(threads)
        with self._pictures(contenders) as (truth, paths, words):
            figure = None if truth is None else self._figure(truth)
            models = self._measure(contenders, truth, figure, paths)
        bench = Bench(models, figure, threads)
        print(f"{len(models)} model{'s' if len(models) > 1 else ''} on {words}")
        strong = [0] if len(models) > 1 else []
        print_table(bench.rows(), "Differences are to the first row." if strong else "")
        for line in [*bench.summary(), *bench.conventions()]:
            print(line)
        if self.csv is not None:
            print(f"{bench.write_csv(self.csv)} holds all figures.")
        if self.plot is not None:
            print(f"{bench.write_plot(self.plot)} shows accuracy against time.")
        print(f"Next: {self._next(contenders)}")
        return 0

    def _check(self) -> None:
        """Refuse what does not go together, before anything long begins."""
        if not self.models:
            raise PosewrightError("no model to measure", fix="Name one or more: posewright bench hand hand-int8.onnx")
        twice = [name for i, name in enumerate(self.models) if name in self.models[:i]]
        if twice:
            raise PosewrightError(f"model '{twice[0]}' is named twice")
        for name, value in (("rounds", self.rounds), ("limit", self.limit), ("threads", self.threads)):
            if value is not None and value < 1:
                raise PosewrightError(f"--{name} must be at least 1, not {value}")
        if self.threshold is not None and not 0 < self.threshold < float("inf"):
            raise PosewrightError(f"--threshold is a share above 0, not {self.threshold:g}")
        if self.data is None and self.reading != Reading(images=self.reading.images):
            raise PosewrightError("options for reading labels need labels: give --data as well")
        unlabelled = self.data is None and self.reading.images is not None
        if unlabelled and (self.metric or self.threshold or self.normaliser or self.sigmas or self.split):
            raise PosewrightError("accuracy is measured on labels: give --data, or leave its options out")

    # -- models --------------------------------------------------------------------------------------------------------

    def _open(self, threads: int) -> list[Contender]:
        contenders = []
        for name in self.models:
            spec, engine = _parts(name)
            running = Running(self.device, threads, engine, self.trust)
            model = open_measured(spec, running)
            contenders.append(Contender(name, spec, running, model, size_on_disk(model.path)))
        return contenders

    def _next(self, contenders: Sequence[Contender]) -> str:
        if self.data is None:
            return f"posewright predict {contenders[-1].spec} PICTURES -o out"
        return f"posewright evaluate {contenders[-1].spec} {self.reading.words(self.data)}, for its worst cases"

    # -- pictures ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _pictures(self, contenders: Sequence[Contender]) -> Iterator[tuple[Annotations | None, list[Path], str]]:
        """Labels, or pictures without any; and which they are, in words."""
        if self.data is not None:
            yield self._labels(self.data, contenders)
        elif self.reading.images is not None:
            from posewright.media.sources import folder_pictures

            paths = folder_pictures(self.reading.images, "--images")
            if self.limit is not None and self.limit < len(paths):
                paths = [paths[i * len(paths) // self.limit] for i in range(self.limit)]
            yield None, paths, f"{len(paths)} pictures of {self.reading.images}, whole and without labels"
        else:
            with tempfile.TemporaryDirectory(prefix="posewright_bench_") as folder:
                yield self._hands(Path(folder) / "hands", contenders), [], "synthetic hands"

    def _labels(self, data: Path, contenders: Sequence[Contender]) -> tuple[Annotations, list[Path], str]:
        from posewright.training.parting import held_out

        options = self.reading.options()
        truth = self.reading.read(data, options)
        runs = [held for held in (held_out(each.spec, data) for each in contenders) if held is not None]
        truth, words = part_of_labels(truth, self.split, runs[0] if runs else None, self.limit)
        truth = truth.require_pictures(options.bad if self.reading.skip_bad else None)
        if self.sigmas:
            from posewright.metrics.sigmas import parse_sigmas

            truth = replace(truth, skeleton=replace(truth.skeleton, sigmas=parse_sigmas(self.sigmas, truth.skeleton)))
        for line in options.skipped:
            print(f"left out: {line}")
        return truth, [], f"{words} of {data}"

    def _hands(self, folder: Path, contenders: Sequence[Contender]) -> Annotations:
        from posewright.skeletons import HAND_21
        from posewright.synthetic import make_hand_set

        if any(each.model.skeleton.keypoints != HAND_21.keypoints for each in contenders):
            raise PosewrightError(
                "there is nothing to measure on",
                fix="Give labelled pictures with --data, or with --images pictures to measure speed and agreement on",
            )
        count = self.limit or HANDS
        with progress_bar("drawing synthetic hands", count) as advance:
            return make_hand_set(folder, count, seed=SEED, val_share=0, empty_share=0, progress=advance)

    # -- measuring -----------------------------------------------------------------------------------------------------

    def _figure(self, truth: Annotations) -> Figure:
        from posewright.metrics import parse_normaliser
        from posewright.metrics.figure import Figure

        normaliser = parse_normaliser(self.normaliser, truth.skeleton) if self.normaliser else truth.skeleton.normaliser
        return Figure.choose(self.metric, normaliser, self.threshold)

    def _measure(
        self,
        contenders: Sequence[Contender],
        truth: Annotations | None,
        figure: Figure | None,
        paths: list[Path],
    ) -> list[Benched]:
        from posewright.runtime.timing import in_turn

        if truth is None or figure is None:
            accuracy = self._agreements(contenders, paths)
        else:
            accuracy, truth = self._accuracy(contenders, truth, figure)
        shown = _shown(truth, paths)
        with progress_bar("timing", self.rounds) as advance:
            timings = in_turn([c.model for c in contenders], shown, self.rounds, flip=self.flip, progress=advance)
        starts = self._starts(contenders)
        return [
            replace(found, timing=timing, cold=cold, memory=memory)
            for found, timing, (cold, memory) in zip(accuracy, timings, starts, strict=True)
        ]

    def _accuracy(
        self, contenders: Sequence[Contender], truth: Annotations, figure: Figure
    ) -> tuple[list[Benched], Annotations]:
        """The accuracy of each, and the labels without the pictures that could not be used."""
        from posewright.metrics import run_model
        from posewright.training.reach import check_packed

        for each in contenders:
            each.order(truth.skeleton)
        found, notes = [], []
        with progress_bar("evaluating", len(contenders) * int(truth.usable.sum())) as advance:
            for each in contenders:
                notes += check_packed(truth, each.model.info.crop)
                predicted, truth = run_model(
                    each.model, truth, flip=self.flip, skip_bad=self.reading.skip_bad, progress=advance
                )
                notes += [f"left out: {line}" for line in predicted.skipped]
                found.append(figure.measure(predicted, truth))
        for line in dict.fromkeys(notes):
            print(line)
        rows = []
        for each, measured in zip(contenders, found, strict=True):
            difference = None if measured is found[0] else figure.difference(found[0], measured)
            rows.append(_row(each, value=figure.value(measured), difference=difference))
        return rows, truth

    def _agreements(self, contenders: Sequence[Contender], paths: list[Path]) -> list[Benched]:
        from posewright.metrics.figure import agreement

        first = contenders[0].model.skeleton
        orders = [each.order(first) for each in contenders]
        poses = []
        with progress_bar("running", len(contenders) * len(paths)) as advance:
            for each in contenders:
                seen = []
                for start in range(0, len(paths), 16):
                    part = paths[start : start + 16]
                    seen += each.model.predict_batch(part, flip=self.flip)
                    advance(len(part))
                poses.append(seen)
        rows = []
        for each, seen, order in zip(contenders, poses, orders, strict=True):
            found: Agreement | None = None if seen is poses[0] else agreement(poses[0], seen, order)
            rows.append(_row(each, agreement=found))
        return rows

    def _starts(self, contenders: Sequence[Contender]) -> list[tuple[float | None, float | None]]:
        """Seconds and memory of each model in fresh processes, in turn as well; the medians."""
        from statistics import median

        from posewright.cli.cold_start import Started, start_fresh

        found: list[list[Started]] = [[] for _ in contenders]
        with progress_bar("starting fresh", STARTS * len(contenders)) as advance:
            for _ in range(STARTS):
                for each, starts in zip(contenders, found, strict=True):
                    started = start_fresh(each.spec, each.running)
                    if started is not None:
                        starts.append(started)
                    advance(1)
        medians: list[tuple[float | None, float | None]] = []
        for starts in found:
            memory = [s.memory for s in starts if s.memory is not None]
            medians.append((median(s.seconds for s in starts) if starts else None, median(memory) if memory else None))
        return medians


def _parts(name: str) -> tuple[str, str | None]:
    """MODEL and ENGINE of what was typed; an @ may also be part of the model's name.

    Raises:
        PosewrightError: where what stands before an @ is a model, and what follows it no engine.
    """
    from posewright.runtime.engines import ENGINES
    from posewright.runtime.names import shipped_models

    known = (*ENGINES, TORCH)
    spec, at, engine = name.rpartition("@")
    if not at or not spec or Path(name).exists():
        return name, None
    if engine in known:
        return spec, engine
    if Path(spec).exists() or spec in shipped_models():
        raise PosewrightError(f"unknown engine '{engine}'", file=name, fix=did_you_mean(engine, known))
    return name, None


def _shown(truth: Annotations | None, paths: list[Path]) -> list[Shown]:
    """Pictures in memory, spread evenly over those measured on, each with the box of an object."""
    import numpy as np

    from posewright.annotations.splits import spread_evenly
    from posewright.media.labelled import picture_of
    from posewright.media.pictures import read_picture

    if truth is None:
        chosen = spread_evenly(len(paths), LOOKED_AT)
        return [(read_picture(paths[i]), None) for i in chosen]
    objects = np.flatnonzero(truth.usable)
    objects = objects[spread_evenly(len(objects), LOOKED_AT)]
    return [(picture_of(truth, int(truth.image[i])), truth.boxes[i]) for i in objects]


def _row(each: Contender, **found: object) -> Benched:
    """A model's row with its times still to come."""
    import numpy as np

    from posewright.reports.bench import Benched
    from posewright.runtime.timing import Timing

    none = Timing(np.empty(0), np.empty(0), np.empty(0))
    return Benched(each.name, each.runs_on, each.model.info.precision, each.size / 1e6, none, **found)  # type: ignore[arg-type]
