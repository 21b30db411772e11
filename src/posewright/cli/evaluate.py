"""``posewright evaluate``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from posewright.console import progress_bar
from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.annotations import Annotations, ReadOptions
    from posewright.metrics import Predicted
    from posewright.metrics.hourglass import HourglassPck
    from posewright.metrics.mpii import MpiiPckh
    from posewright.runtime import Predictor
    from posewright.skeleton import Skeleton


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

    examples:
      posewright evaluate runs/mine labels.json
      posewright evaluate body lsp/ --thresholds 0.1,0.2,0.5 --normaliser torso --flip
      posewright evaluate other-tool-results.json labels.json --json figures.json
      posewright evaluate runs/mpii mpii/annotations.json --protocol mpii
      posewright evaluate face.onnx helen/ --normaliser fixed:5 --save-pictures -o out
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A model file, a run's folder, a checkpoint (*.safetensors), a shipped name, or COCO results (*.json)."""
    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
    """Labels: a file or folder in any known format."""
    format: str | None = None
    """Format of the labels; found by itself unless given."""
    images: Path | None = None
    """Folder of the pictures, where they do not lie beside the labels."""
    skeleton: str | None = None
    """Shipped skeleton's name or skeleton files, where the labels do not say."""
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
    """OKS sigmas for AP and AR: one number for all keypoints, or one for each, with commas. The skeleton's own unless given;
    no AP without any."""
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
    device: str = "auto"
    """auto, cpu, cuda, tensorrt, coreml or directml; for a checkpoint auto, cpu, cuda or mps."""
    batch_size: int = 16
    """Objects in one run of the model."""
    skip_bad: bool = False
    """Leave records and pictures that cannot be used out and list them, instead of stopping at the first."""

    def run(self) -> int:
        from posewright.annotations import ReadOptions, read_annotations
        from posewright.metrics import evaluate, parse_normaliser, read_results
        from posewright.reports.evaluation import PICTURES, REPORT, Evaluated, save_pictures
        from posewright.reports.tables import print_table
        from posewright.skeleton import load_skeleton

        thresholds = _thresholds(self.thresholds)
        if self.worst < 0 or (self.limit is not None and self.limit < 1):
            raise PosewrightError("--worst must not be below 0, nor --limit below 1")
        results = Path(self.model).suffix.lower() == ".json"
        if results and (self.flip or self.device != "auto" or self.batch_size != 16):
            raise PosewrightError("is a results file: --flip, --device and --batch-size need a model", file=self.model)
        model = None if results else _model(self.model, self.device)
        skeleton = load_skeleton(self.skeleton) if self.skeleton else None
        options = ReadOptions(skeleton=skeleton, images=self.images, skip_bad=self.skip_bad)
        truth, words = self._part(read_annotations(self.data, self.format, options))
        if self.sigmas:
            truth = replace(truth, skeleton=replace(truth.skeleton, sigmas=_sigmas(self.sigmas, truth.skeleton)))
        normaliser = parse_normaliser(self.normaliser, truth.skeleton) if self.normaliser else None
        if model is None:
            if self.save_pictures:
                truth = truth.require_pictures(options.bad if self.skip_bad else None)
            predicted = read_results(self.model, truth, skip_bad=self.skip_bad)
        else:
            predicted, truth = self._predict(model, truth, options)
        predicted.skipped[:0] = options.skipped
        measured = evaluate(
            predicted.xy,
            truth,
            normaliser=normaliser,
            thresholds=thresholds,
            visible_only=self.visible_only,
            covariance=predicted.covariance,
            tail=model.info.covariance_tail if model is not None else None,
            visibility=predicted.visibility,
            detections=predicted.all_detections(truth),
        )
        protocol = self._protocol(predicted, truth, model)
        done = Evaluated(measured, truth, predicted, _title(self.model), f"{words} of {self.data}", protocol)
        folder = self.output or _folder(self.model)

        names = done.write(
            folder, worst=self.worst, results=model is not None, then=self._next(model is not None, folder)
        )
        if self.save_pictures:
            with progress_bar("drawing", len(list(done.pictures()))) as advance:
                predicted.skipped += save_pictures(done, folder / PICTURES, skip_bad=self.skip_bad, progress=advance)
        if self.json:
            from posewright.files import write_text

            write_text(self.json, done.dumps())
        print(f"{_title(self.model)} on {words} of {self.data}")
        print_table(done.rows(), f"PCK normalised by {measured.normaliser}.", strong=[-2, -1])
        if protocol:
            print_table(protocol.rows(), f"{protocol.to_json()['name']}; its rules are stated below.")
        for line in done.statements():
            print(line)
        for line in predicted.skipped:
            print(f"left out: {line}")
        more = f", {PICTURES}/" if self.save_pictures else ""
        print(f"\n{folder} holds {', '.join(names)}{more}; open {folder / REPORT}.")
        print(f"Next: {self._next(model is not None, folder)}")
        return 0

    def _part(self, truth: Annotations) -> tuple[Annotations, str]:
        """The pictures to measure on, and which they are, in words."""
        truth, words = choose_split(truth, self.split, held_out(self.model, self.data))
        if self.limit is not None and self.limit < len(truth.images):
            import numpy as np

            truth = truth.subset(np.linspace(0, len(truth.images) - 1, self.limit).round().astype(int))
            words = f"{self.limit} pictures, spread evenly over {words}"
        return truth, words

    def _predict(self, model: Predictor, truth: Annotations, options: ReadOptions) -> tuple[Predicted, Annotations]:
        from posewright.metrics import run_model
        from posewright.metrics.running import objects_to_run

        truth = truth.require_pictures(options.bad if self.skip_bad else None)
        with progress_bar("evaluating", int(objects_to_run(truth).sum())) as advance:
            return run_model(
                model, truth, flip=self.flip, batch_size=self.batch_size, skip_bad=self.skip_bad, progress=advance
            )

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

    def _next(self, is_model: bool, folder: Path) -> str:
        if is_model:
            return f"posewright predict {self.model} PICTURES -o out"
        return f"posewright train --data {self.data}, then posewright evaluate runs/last {self.data}"


def choose_split(
    truth: Annotations, wanted: str | None, held: Callable[[Annotations], Annotations] | None
) -> tuple[Annotations, str]:
    """One part of a labelled set, and which it is, in words.

    Args:
        truth: the whole set.
        wanted: "val", "train", "test", "all"; or None for val where the set has it, else all.
        held: assigns the splits that a run made itself of a set that came without.

    Raises:
        PosewrightError: where the set has no such part.
    """
    own = truth.splits
    if held is not None and not {"train", "val"} <= own and wanted in (None, "train", "val"):
        part = wanted or "val"
        said = "held out" if part == "val" else "was trained on"
        return held(truth).of_split(part), f"the {part} split (what this run {said})"
    if wanted == "all" or (wanted is None and "val" not in own):
        return truth, "all pictures" if not own else f"all splits ({', '.join(sorted(own))})"
    part = wanted or "val"
    if part not in own:
        there = f"its splits are {', '.join(sorted(own))}" if own else "it has no splits"
        raise PosewrightError(f"has no split '{part}'; {there}", file=truth.source or None, fix="Use --split all")
    return truth.of_split(part), f"the {part} split"


def held_out(model: str, data: Path) -> Callable[[Annotations], Annotations] | None:
    """How a run split the labels it was trained on, where ``model`` is that run's and ``data`` are those labels."""
    path = Path(model)
    settings = (path if path.is_dir() else path.parent) / "config.yaml"
    if not settings.is_file() or not path.exists():
        return None
    from posewright.training.config import TrainConfig

    config = TrainConfig.load(settings)
    if not config.data or Path(config.data).resolve() != data.resolve():
        return None
    return lambda truth: truth.with_validation(config.val_share, config.seed)


def _thresholds(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise PosewrightError(f"thresholds '{text}' are not numbers", fix="Write them like 0.05,0.1,0.2") from None
    if not all(0 < value < float("inf") for value in values):
        raise PosewrightError(f"thresholds '{text}': each must be above 0")
    return sorted(set(values))


def _sigmas(text: str, skeleton: Skeleton) -> tuple[float, ...]:
    """What ``--sigmas`` says, one for each keypoint."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise PosewrightError(
            f"sigmas '{text}' are not numbers", fix="Write them like 0.05 or 0.026,0.025,..."
        ) from None
    if not all(0 < value < float("inf") for value in values):
        raise PosewrightError(f"sigmas '{text}': each must be above 0")
    if len(values) not in (1, len(skeleton)):
        raise PosewrightError(f"--sigmas has {len(values)} numbers; give one, or {len(skeleton)} for '{skeleton.name}'")
    return tuple(values) if len(values) > 1 else tuple(values * len(skeleton))


def _model(spec: str, device: str) -> Predictor:
    if Path(spec).suffix == ".safetensors":
        from posewright.export import checkpoint_predictor

        return checkpoint_predictor(Path(spec), device)
    from posewright.runtime import load

    return load(spec, device)


GENERIC = ("model", "best", "last")
"""File names that say nothing; the folder's name stands for them."""


def _title(model: str) -> str:
    """What a report calls the model: a run's folder, a file's name, or the shipped name."""
    path = Path(model)
    if path.is_dir():
        return path.resolve().name
    name = path.stem if path.suffix in (".onnx", ".safetensors", ".json") else path.name
    return path.resolve().parent.name if path.is_file() and name in GENERIC else name


def _folder(model: str) -> Path:
    path = Path(model)
    return path / "evaluation" if path.is_dir() else Path("evaluation") / _title(model)
