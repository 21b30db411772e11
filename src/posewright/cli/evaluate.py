"""``posewright evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from posewright.cli.measured import part_of_labels, thresholds_of, title_of
from posewright.cli.reading import Reading
from posewright.cli.running import Running
from posewright.console import progress_bar
from posewright.errors import PosewrightError
from posewright.score import CALIBRATED, HEIGHT, curve_meaning

if TYPE_CHECKING:
    from posewright.annotations import Annotations, ReadOptions
    from posewright.metrics import Predicted
    from posewright.metrics.absence import Absent
    from posewright.metrics.hourglass import HourglassPck
    from posewright.metrics.located import Located
    from posewright.metrics.mpii import MpiiPckh
    from posewright.runtime import Predictor
    from posewright.score import ScoreCurve
    from posewright.tracking.crowd import Locator
    from posewright.training.recalibration import Candidate, Recalibrated


@dataclass(frozen=True)
class Command:
    """Measure a model, or any tool's COCO results, on labelled pictures.

    A model sees every labelled object in its labelled box. Prints a table by keypoint (PCK, errors in px, and where the
    model tells a covariance, how often its 50 % and 90 % ellipses hold the truth) and writes a folder: report.html,
    results.json (COCO results of the model), PCK curve, figures by keypoint, the worst cases.

    Hidden keypoints count like visible ones; unlabelled ones do not. A hit lies within threshold x normaliser. Where a
    segment such as the torso is not fully labelled, or shorter than a tenth of the box, the object is left out of
    normalised figures, and their number is stated.

    Where the skeleton has OKS sigmas, COCO's AP and AR are measured as well: of a results file with all its detections, of a
    model with the one pose in every labelled box, which misses nobody and is not comparable with a detector's figures.
    With --locator also of the poses in the boxes that this finds by itself, which is.

    examples:
      posewright evaluate runs/mine labels.json
      posewright evaluate body lsp/ --thresholds 0.1,0.2,0.5 --normaliser torso --flip
      posewright evaluate other-tool-results.json labels.json --json figures.json
      posewright evaluate runs/mpii mpii/annotations.json --protocol mpii
      posewright evaluate face.onnx helen/ --normaliser fixed:5 --save-pictures -o out
      posewright evaluate runs/mine labels.json --calibrate
      posewright evaluate body coco/ --locator runs/people
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A model file, a run's folder, a checkpoint (*.safetensors), a shipped name, or COCO results (*.json)."""
    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
    """Labels: a file or folder in any known format."""
    heads: Path | None = None
    """A second file with head boxes, for PCKh and --normaliser head: MPII's .mat, gt_valid.mat, or JSON or CSV of path and
    x0, y0, x1, y1. A head's size is 0.6 of its diagonal."""
    split: Literal["val", "train", "test", "all"] | None = None
    """Which part of the labels. Unless given: val where the labels have one; what the run held out of these labels,
    where MODEL is a run that was trained on them; else all."""
    thresholds: str | None = None
    """PCK thresholds, with commas; 0.05,0.1,0.2 unless given (0.1,0.2,0.5 by head or hourglass)."""
    normaliser: str | None = None
    """What PCK divides by: torso, head, palm, outer_eye_corners, box (its longer side), diagonal (the box's), box_area
    (the square root of the box's area), segment:NAME,NAME, fixed:PIXELS, hourglass (a tenth of that system's crop). The
    skeleton's own unless given."""
    protocol: Literal["mpii", "hourglass"] | None = None
    """One more table by another system's rules: mpii (PCKh as MPII has it: below 0.5 x head size, Head to Ankle), hourglass
    (that system's own PCK in heatmap cells; of a 256 x 256 input where MODEL is a results file)."""
    sigmas: str | None = None
    """OKS sigmas for AP and AR: one number for all keypoints, one for each, with commas, or a file that `posewright sigmas`
    wrote. The skeleton's own unless given; no AP without any."""
    locator: Annotated[str | None, tyro.conf.arg(metavar="L")] = None
    """Measure with the boxes that this finds, too: a locator's run folder, model file or shipped name, or another project's
    detector (*.onnx)."""
    classes: Annotated[str | None, tyro.conf.arg(metavar="NAME,...")] = None
    """Of another project's detector: names or numbers of the classes that count, such as person."""
    locator_score: float | None = None
    """Boxes of the locator with a lower score are left out; unless given, what its file says, or 0.3. AP wants a low one."""
    tiles: int = 0
    """Let the locator look at N x N parts of each picture as well."""
    calibrate: bool = False
    """Fit the score so that it is the share of such keypoints that are right, by PCK at --calibrate-at, to half of the
    pictures, measure it on the other half, and store it in checkpoint and model file (of a shipped model, in a copy in
    OUTPUT). Needs the checkpoint, and torch."""
    calibrate_at: float | None = None
    """The PCK threshold by which a keypoint is right; 0.2 unless given (0.1 by outer_eye_corners or a box)."""
    negatives: int = 200
    """Crops without any object, beside the labelled ones, that presence is measured on; 0 for none."""
    visible_only: bool = False
    """Leave hidden keypoints out."""
    flip: bool = False
    """Average with the mirrored picture: steadier, at twice the time."""
    json: Path | None = None
    """Write all figures to this file as well."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Folder to write to; RUN/evaluation for a run, else evaluation/MODEL."""
    save_pictures: bool = False
    """Write all pictures with truth (rings) and prediction to OUTPUT/pictures."""
    worst: int = 12
    """How many of the worst cases to show; 0 for none."""
    limit: int | None = None
    """Measure on this many pictures only, spread evenly."""
    batch_size: int = 16
    """Objects in one run of the model."""
    running: tyro.conf.OmitArgPrefixes[Running] = field(default_factory=Running)
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)

    def run(self) -> int:
        from posewright.metrics import parse_normaliser, read_results
        from posewright.metrics.measuring import Rules
        from posewright.reports.evaluation import PICTURES, REPORT, Evaluated, save_pictures
        from posewright.reports.tables import print_table
        from posewright.training.parting import held_out

        thresholds = thresholds_of(self.thresholds)
        results = Path(self.model).suffix.lower() == ".json"
        self._check(results)
        folder = self.output or _folder(self.model)
        candidate = self._candidate(folder) if self.calibrate else None
        model = None if results else candidate.model if candidate else self.running.load(self.model)
        locator = self._locator()
        options = self.reading.options()
        labels, heads = self.reading.read(self.data, options), ""
        if self.heads is not None:
            from posewright.annotations.heads import merge_heads

            labels, heads = merge_heads(labels, self.heads, options.bad if self.reading.skip_bad else None)
        truth, words = self._part(labels)
        if self.sigmas:
            from posewright.metrics.sigmas import parse_sigmas

            truth = replace(truth, skeleton=replace(truth.skeleton, sigmas=parse_sigmas(self.sigmas, truth.skeleton)))
        normaliser = parse_normaliser(self.normaliser, truth.skeleton) if self.normaliser else truth.skeleton.normaliser
        if model is None:
            if self.save_pictures:
                truth = truth.require_pictures(options.bad if self.reading.skip_bad else None)
            predicted = read_results(self.model, truth, skip_bad=self.reading.skip_bad)
        else:
            predicted, truth = self._predict(model, truth, options)
        predicted.skipped[:0] = options.skipped
        name = f"{words} of {self.data.resolve().name}"  # for the files: no path of this machine
        words = f"{words} of {self.data}"
        curve = model.info.score_curve if model is not None else None
        tail = model.info.covariance_tail if model is not None else None
        rules = Rules(normaliser, thresholds, self.visible_only, tail)
        rules = rules.for_calibration(self.calibrate_at) if self.calibrate else rules.for_score(curve)
        measured = rules.measure(predicted, truth)
        absent = self._absent(model, truth) if model is not None else None
        located = self._located(locator, model, truth) if model is not None and locator is not None else None
        calibrated = None
        if candidate is not None:
            calibrated = candidate.fit(predicted, truth, measured, rules.score_at, name, absent)
            curve = calibrated.score.curve
            predicted.score = curve.apply(predicted.score)
            measured = rules.measure(predicted, truth, calibrated.score.unseen(predicted.score))
        presence = absent.reliability(predicted, truth) if absent is not None else None
        done = Evaluated(
            measured,
            truth,
            predicted,
            title_of(self.model),
            words,
            self._protocol(predicted, truth, model),
            calibrated.presence_now if calibrated else presence,
            calibrated.score if calibrated else None,
            [*([heads] if heads else []), *self._told(model, curve, absent)],
            "as given" if model is None else CALIBRATED if curve else HEIGHT,
            located,
        )

        names = done.write(folder, worst=self.worst, results=model is not None, then=self._next(candidate))
        if self.save_pictures:
            with progress_bar("drawing", len(list(done.pictures()))) as advance:
                predicted.skipped += save_pictures(
                    done, folder / PICTURES, skip_bad=self.reading.skip_bad, progress=advance
                )
        if self.json:
            from posewright.files import write_text

            write_text(self.json, done.dumps())
        print(f"{title_of(self.model)} on {words}")
        print_table(done.rows(), f"PCK normalised by {measured.normaliser}.", strong=[-2, -1])
        if done.protocol:
            print_table(done.protocol.rows(), f"{done.protocol.to_json()['name']}; its rules are stated below.")
        if located is not None and (rows := located.rows(measured.average_precision)):
            print_table(rows, "COCO's AP and AR, in labelled boxes and in those that the locator found.")
        for line in [*done.statements(), *measured.cautions()]:
            print(line)
        for line in predicted.skipped:
            print(f"left out: {line}")
        if candidate is not None and calibrated is not None:
            part = self.split or ""
            own_run = held_out(self.model, self.data)
            self._store(candidate, calibrated, candidate.warning(truth, self.data, part, own_run))
        more = f", {PICTURES}/" if self.save_pictures else ""
        print(f"\n{folder} holds {', '.join(names)}{more}; open {folder / REPORT}.")
        print(f"Next: {self._next(candidate)}")
        return 0

    def _check(self, results: bool) -> None:
        """Refuse options that do not go together, before anything long begins."""
        if self.worst < 0 or self.negatives < 0 or (self.limit is not None and self.limit < 1):
            raise PosewrightError("--worst and --negatives must not be below 0, nor --limit below 1")
        if results and (self.flip or self.running.given or self.batch_size != 16):
            what = "is a results file: --flip, --batch-size, --device, --threads, --engine and --trust need a model"
            raise PosewrightError(what, file=self.model)
        if results and self.locator:
            raise PosewrightError("is a results file: --locator needs a model", file=self.model)
        if self.locator is None and (self.classes is not None or self.locator_score is not None or self.tiles):
            raise PosewrightError("--classes, --locator-score and --tiles are a locator's: give --locator too")
        if results and self.calibrate:
            raise PosewrightError("is a results file: --calibrate needs a model with its checkpoint", file=self.model)
        if self.calibrate and (self.running.threads is not None or self.running.engine or self.running.trust):
            raise PosewrightError(
                "--calibrate runs the checkpoint: --threads, --engine and --trust are for model files"
            )
        if self.calibrate and self.flip:
            raise PosewrightError("--calibrate fits the score of one run, not of the average that --flip makes")
        if self.calibrate_at is not None and not self.calibrate:
            raise PosewrightError("--calibrate-at needs --calibrate")
        if self.calibrate_at is not None and not 0 < self.calibrate_at < float("inf"):
            raise PosewrightError(f"--calibrate-at is a PCK threshold above 0, not {self.calibrate_at:g}")

    def _candidate(self, folder: Path) -> Candidate:
        """The model to be calibrated; without torch, the command says that it needs it."""
        from posewright.training.recalibration import Candidate

        return Candidate.open(self.model, folder, self.running.device)

    def _store(self, candidate: Candidate, found: Recalibrated, warning: str | None) -> None:
        """Write the calibrated pair, and say what was gained."""
        from posewright.reports.tables import print_table

        print_table(found.score.rows(), f"Right: by {found.score.curve.meaning}. {found.score.words()}")
        if found.presence:
            before, after = found.presence
            print(f"Presence was fitted anew as well: {before} before, {after} after, on crops it was not fitted to.")
        if warning:
            print(warning)
        files, parity = candidate.write(found)
        checked = "" if parity is None else f"; the model file's scores and points are the net's ({parity.crops} crops)"
        print(f"calibrated: {', '.join(map(str, files))}{checked}.")
        if parity is None:
            print(f"No model file lies beside it: posewright export {files[0]} makes one.")

    def _told(self, model: Predictor | None, curve: ScoreCurve | None, absent: Absent | None) -> list[str]:
        """What score and presence are worth, one sentence each."""
        if model is None:
            return []
        lines = [curve_meaning(curve)]
        if self.flip and curve is not None:
            lines.append(
                "That is without --flip: averaged maps have lower peaks, and the same curve says less of them."
            )
        if absent is None and "presence" in model.info.outputs:
            lines.append("Presence is not measured: too few crops without any object were asked for, or had room.")
        return lines

    def _absent(self, model: Predictor, truth: Annotations) -> Absent | None:
        """What the model says of crops without any object, where it tells presence and there is room for such crops."""
        from posewright.metrics.absence import LEAST, Absent, without_objects

        if "presence" not in model.info.outputs or self.negatives < LEAST:
            return None
        empty = without_objects(truth, model.info.crop, self.negatives)
        with progress_bar("crops without object", len(empty)) as advance:
            return Absent.measure(model, empty, self.batch_size, advance)

    def _locator(self) -> Locator | None:
        if self.locator is None:
            return None
        return self.running.open_locator(self.locator, self.classes, self.locator_score, self.tiles)

    def _located(self, locator: Locator, model: Predictor, truth: Annotations) -> Located:
        from posewright.metrics.located import run_located

        with progress_bar("locating", len(truth.images)) as advance:
            return run_located(model, locator, truth, flip=self.flip, batch_size=self.batch_size, progress=advance)

    def _part(self, truth: Annotations) -> tuple[Annotations, str]:
        """The pictures to measure on, and which they are, in words."""
        from posewright.training.parting import held_out

        return part_of_labels(truth, self.split, held_out(self.model, self.data), self.limit)

    def _predict(self, model: Predictor, truth: Annotations, options: ReadOptions) -> tuple[Predicted, Annotations]:
        from posewright.metrics import run_model
        from posewright.training.reach import check_packed

        truth = truth.require_pictures(options.bad if self.reading.skip_bad else None)
        coarse = check_packed(
            truth, model.info.crop
        )  # grey where the picture went on would be measured as the model's fault
        with progress_bar("evaluating", int(truth.usable.sum())) as advance:
            predicted, left = run_model(
                model,
                truth,
                flip=self.flip,
                batch_size=self.batch_size,
                skip_bad=self.reading.skip_bad,
                progress=advance,
            )
        predicted.notes += coarse
        return predicted, left

    def _protocol(
        self, predicted: Predicted, truth: Annotations, model: Predictor | None
    ) -> MpiiPckh | HourglassPck | None:
        """The table that ``--protocol`` asks for; the heatmap of a results file is taken for that of a 256 x 256 input."""
        if self.protocol == "mpii":
            from posewright.metrics.mpii import mpii_pckh

            return mpii_pckh(predicted.xy, truth)
        if self.protocol == "hourglass":
            from posewright.metrics.hourglass import hourglass_pck

            return hourglass_pck(predicted.xy, truth, input_size=model.info.crop.size if model else (256, 256))
        return None

    def _next(self, candidate: Candidate | None) -> str:
        if candidate is not None and candidate.target != candidate.source:
            return f"posewright predict {candidate.target.with_suffix('.onnx')} PICTURES -o out"
        if Path(self.model).suffix.lower() != ".json":
            return f"posewright predict {self.model} PICTURES -o out"
        return f"posewright train --data {self.data}, then posewright evaluate runs/last {self.data}"


def _folder(model: str) -> Path:
    path = Path(model)
    return path / "evaluation" if path.is_dir() else Path("evaluation") / title_of(model)
