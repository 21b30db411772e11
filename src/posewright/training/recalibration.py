"""Giving a finished model's score a meaning: fit its curve to labelled pictures, and put it into checkpoint and model file.

The net is run without any curve, so that a model calibrated before is fitted anew from the heights of its peaks, not from
scores of another meaning. The pictures are parted in two: the curve is fitted to one half, and kept only where it holds on
the other. Presence is fitted again likewise, for models whose presence nobody fitted or that see other pictures than those
they were trained on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.export.deploy import outputs_of
from posewright.export.exporting import export_onnx
from posewright.export.parity import Parity
from posewright.export.torch_engine import TorchEngine
from posewright.files import whole_file
from posewright.metrics.absence import Absent, presence_reliability
from posewright.metrics.evaluation import Evaluation
from posewright.metrics.reliability import Reliability, log_loss
from posewright.metrics.results import Predicted
from posewright.metrics.running import keypoint_order
from posewright.metrics.score_fit import Calibrated, calibrate_score
from posewright.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, stored_as_half
from posewright.runtime.graph import read_graph
from posewright.runtime.modelfile import read_info
from posewright.runtime.names import find_checkpoint, shipped_models
from posewright.runtime.predictor import Predictor
from posewright.training.presence import fit_presence

Array = NDArray[np.float64]

GAIN = 0.002
"""Nats by which a new presence must be the less surprised one, of crops it was not fitted to."""


@dataclass(frozen=True)
class Recalibrated:
    """What came of it.

    Attributes:
        checkpoint: with the new curve, and where that was better, the new presence.
        score: what was fitted and measured.
        presence: before and after, on crops that neither was fitted to; None where it was not measured or not changed.
        presence_now: as the model has it from now on; None where it was not measured.
    """

    checkpoint: Checkpoint
    score: Calibrated
    presence: tuple[Reliability, Reliability] | None
    presence_now: Reliability | None


@dataclass(frozen=True)
class Candidate:
    """A model that is to be calibrated.

    Attributes:
        source: its checkpoint.
        target: where the calibrated checkpoint goes: ``source``, unless that belongs to a shipped model.
        checkpoint: as it was read.
        model: runs it without any curve.
    """

    source: Path
    target: Path
    checkpoint: Checkpoint
    model: Predictor

    @classmethod
    def open(cls, spec: str, folder: Path, device: str = "auto") -> Candidate:
        """Find a model's checkpoint, and see that its model file may be written again.

        Args:
            spec: a run's folder, a checkpoint, a model file with its checkpoint beside it, or a shipped name.
            folder: gets the calibrated pair of a shipped model, which itself is left as it is.
            device: "auto", "cpu", "cuda" or "mps".

        Raises:
            PosewrightError: where there is no checkpoint, or the model file is not one that it alone makes.
        """
        source = find_checkpoint(spec)
        checkpoint = load_checkpoint(source)
        shipped = source.resolve() in [s.model.with_suffix(".safetensors").resolve() for s in shipped_models().values()]
        target = folder / source.name if shipped else source
        own = source.with_suffix(".onnx")
        if own.is_file():
            _check_model_file(own, checkpoint)
        bare = replace(checkpoint, score_curve=None)
        return cls(source, target, checkpoint, Predictor(TorchEngine(bare, source, device)))

    def fit(
        self,
        predicted: Predicted,
        truth: Annotations,
        measured: Evaluation,
        threshold: float,
        data: str,
        absent: Absent | None = None,
    ) -> Recalibrated:
        """Fit curve and presence to what :attr:`model` found.

        Args:
            predicted: of :attr:`model`, for the objects of ``truth``.
            measured: their evaluation.
            threshold: of the PCK by which a keypoint is right.
            data: which pictures these are, in words.
            absent: what :attr:`model` says of crops without the object; None to leave presence as it is.

        Raises:
            PosewrightError: where there is too little to fit to, or the curve does not hold on the other half.
        """
        names = {name: i for i, name in enumerate(sorted({im.group or im.path for im in truth.images}))}
        of_image = np.array([names[im.group or im.path] for im in truth.images], np.int64)
        group = of_image[truth.image]
        found = calibrate_score(
            predicted.score,
            measured.normalised,
            group,
            threshold,
            str(measured.normaliser),
            data,
            visible_only=measured.visible_only,
        )
        if not found.better:
            what = f"the fitted score is no better on the other half (Brier {found.before.brier:.3f} before, "
            what += f"{found.after.brier:.3f} after); nothing was written"
            raise PosewrightError(what, fix="Take more pictures")
        order = keypoint_order(self.checkpoint.skeleton, truth.skeleton)
        mean = float(np.mean(found.curve.offset))
        offset = [mean] * len(self.checkpoint.skeleton)
        for place, value in zip(order, found.curve.offset, strict=True):
            offset[place] = value
        curve = replace(found.curve, offset=tuple(offset))
        checkpoint = replace(self.checkpoint, score_curve=curve, metrics=self.checkpoint.metrics | _figures(found))
        presence, now = None, None
        if absent is not None:
            there = np.where(truth.usable, predicted.presence, np.nan)
            mine = np.isin(of_image, np.unique(group[found.halves.fit]))
            bare = ~np.isin(np.arange(len(of_image)), truth.image)
            mine[bare] = np.arange(int(bare.sum())) % 2 == 0
            fits = {(im.path, im.frame): bool(m) for im, m in zip(truth.images, mine, strict=True)}
            of_crop = [absent.crops.images[i] for i in absent.crops.image]
            theirs = np.array([fits[im.path, im.frame] for im in of_crop], bool)
            presence = _fit_presence(checkpoint, there, mine[truth.image], absent.presence, theirs)
            now = presence[1] if presence else absent.reliability(predicted, truth)
        return Recalibrated(checkpoint, found, presence, now)

    def warning(self, truth: Annotations, data: Path, part: str, own_run: object) -> str | None:
        """See :func:`trained_on`; ``own_run`` is None where the model's run was not trained on these labels."""
        return trained_on(self.checkpoint, truth, data, part, own_run is not None)

    def write(self, found: Recalibrated) -> tuple[list[Path], Parity | None]:
        """Write the calibrated checkpoint, and the model file where there is one: both or neither.

        Returns:
            The files, and how the model file compares with the net.

        Raises:
            PosewrightError: where the model file differs from the net, or a place cannot be written.
        """
        parity, files = None, [self.target]
        with whole_file(self.target) as temporary:
            save_checkpoint(found.checkpoint, temporary, half=stored_as_half(self.source))
            if self.source.with_suffix(".onnx").is_file():
                files.append(self.target.with_suffix(".onnx"))
                parity = export_onnx(found.checkpoint, files[-1])
        return files, parity


def _check_model_file(path: Path, checkpoint: Checkpoint) -> None:
    """Refuse a model file that holds something else than what exporting the checkpoint gives: it would be lost."""
    info, graph = read_info(path), read_graph(path)
    fix = "Calibrate the checkpoint under another name, then export it as that file was"
    if any("quantize" in name.lower() or name.startswith("QLinear") for name in graph.operators):
        raise PosewrightError("is quantised, and would be replaced by a file that is not", file=path, fix=fix)
    if not info.skeleton.same_keypoints(checkpoint.skeleton) or info.crop != checkpoint.rule:
        raise PosewrightError("is not the model file of the checkpoint beside it", file=path, fix=fix)
    if set(info.outputs) != set(outputs_of(checkpoint)):
        raise PosewrightError(f"has only the outputs {', '.join(info.outputs)}", file=path, fix=fix)


def _figures(found: Calibrated) -> dict[str, Any]:
    """ECE and Brier score as metrics of a checkpoint."""
    of = {"right by": found.curve.meaning, "data": found.words(), "bins": len(found.after.said)}
    values = {"score_ECE": (found.after.ece, found.before.ece), "score_Brier": (found.after.brier, found.before.brier)}
    return {name: {"value": round(a, 4), "before": round(b, 4), **of} for name, (a, b) in values.items()}


def _fit_presence(
    checkpoint: Checkpoint, there: Array, there_fit: NDArray[np.bool_], absent: Array, absent_fit: NDArray[np.bool_]
) -> tuple[Reliability, Reliability] | None:
    """Fit ``checkpoint.presence`` anew where that is better on the crops it was not fitted to.

    Args:
        there, absent: the presence told of crops with and without the object, by the curve as it is; NaN does not count.
        there_fit, absent_fit: which of them to fit to.

    Returns:
        The presence before and after, on the other crops; None where it was left as it is.
    """
    a, b = checkpoint.presence
    told = np.concatenate([there, absent])
    present, fit = np.repeat([True, False], [len(there), len(absent)]), np.concatenate([there_fit, absent_fit])
    known = np.isfinite(told)
    told, present, fit = told[known], present[known], fit[known]
    p = np.clip(told, 1e-9, 1 - 1e-7)
    mean_height = (np.log(p) - np.log1p(-p) - b) / a
    curve = fit_presence(mean_height[fit], present[fit])
    if curve is None:
        return None
    again = 1 / (1 + np.exp(-(curve[0] * mean_height + curve[1])))
    rest, weight = ~fit, np.where(present, 1 / max((present & ~fit).sum(), 1), 1 / max((~present & ~fit).sum(), 1))
    before, after = (presence_reliability(v[rest & present], v[rest & ~present]) for v in (told, again))
    if before is None or after is None:
        return None
    surprise = [log_loss(v[rest], present[rest], weight[rest]) for v in (told, again)]
    if not surprise[1] < surprise[0] - GAIN:
        return None
    checkpoint.presence = curve
    of = f"{after.n} crops that it was not fitted to"
    checkpoint.metrics = checkpoint.metrics | {
        "presence_ECE": {"value": round(after.ece, 4), "before": round(before.ece, 4), "data": of},
    }
    return before, after


def trained_on(checkpoint: Checkpoint, truth: Annotations, data: Path, part: str, own_run: bool) -> str | None:
    """A warning where the pictures of a calibration were, or may have been, trained on; else None.

    Args:
        truth: the pictures that are used.
        data: where their labels are.
        part: which split was asked for, or "".
        own_run: whether the model's run was trained on these labels.
    """
    known = checkpoint.training.get("data")
    same = own_run or (bool(known) and Path(str(known)).resolve() == data.resolve())
    if "train" in truth.splits or (same and part in ("train", "all")):
        return (
            "Warning: among these pictures are those of a train split. Where the model was trained on them, the fitted score "
            "is too sure of itself: take --split val, or other pictures."
        )
    if same and not own_run and not truth.splits:
        return (
            "Warning: the model was trained on these labels, and nothing says which of them it held out: the fitted score is "
            "too sure of itself. Name the run's folder as MODEL, or take other pictures."
        )
    if known and not same and not Path(str(known)).exists():
        # In words, as a shipped model has it, or a place on another machine: nothing to compare with.
        return (
            f"Warning: the model was trained on {known}. Where these pictures are among those, the fitted score is too sure of "
            "itself: take others."
        )
    return None
