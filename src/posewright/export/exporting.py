"""Exporting: written under a temporary name, run, held against the net, and only then put in its place."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.export.deploy import Wanted
from posewright.export.job import AIM, make_job
from posewright.export.parity import BOUNDS, Bounds, CheckSet, Parity, compare, patterns
from posewright.export.targets import Target, get_target
from posewright.files import whole_file, whole_folder
from posewright.models.checkpoint import Checkpoint
from posewright.runtime.engines import ENGINES, open_engine


def export(
    checkpoint: Checkpoint,
    path: str | Path,
    to: str = "onnx",
    precision: str = "fp32",
    wanted: Wanted = "all",
    *,
    flip: bool = False,
    batch: int | None = None,
    calibration: CheckSet | NDArray[np.uint8] | None = None,
    check: CheckSet | None = None,
    bounds: Bounds | None = None,
) -> Parity | None:
    """Write a checkpoint's model file.

    Args:
        checkpoint: the trained net and what belongs to it; left as it was.
        path: where to write; what is there is replaced once the new one has passed.
        to: one of :data:`posewright.export.targets.TARGETS`.
        precision: one of those that the target has.
        wanted: what the file returns.
        flip: average each crop with its mirror image inside the graph.
        batch: the one batch size of the file; any where None and the target allows it, else 1.
        calibration: crops of training pictures, with their labels where there are any; int8 needs them.
        check: what file and net are compared on; patterns unless given.
        bounds: how far they may be apart; those of the precision unless given.

    Returns:
        How they compare; None where no engine here runs such files.

    Raises:
        PosewrightError: where something is missing, or file and net are further apart than the bounds; nothing is kept then.
    """
    target = get_target(to, precision)
    if precision in target.seeing and calibration is None:
        raise PosewrightError(
            f"{precision} has to see training pictures to be written", fix="Give it some: --data LABELS"
        )
    write = target.writer()
    if target.fixed_batch and batch is None:
        batch = 1
    seen = CheckSet(calibration, "crops") if isinstance(calibration, np.ndarray) else calibration
    if seen is not None:
        _fits(seen, checkpoint)
    bounds = bounds or BOUNDS[precision]
    aim = AIM if bounds.loss is None else min(AIM, bounds.loss / 2)
    aim = aim if seen is None else max(aim, seen.share(bounds.grain))
    job = make_job(checkpoint, precision, wanted, flip=flip, seen=seen, batch=batch, aim=aim)
    with _place(target, path) as temporary:
        write(job, temporary)
        engines = [name for name in target.format.engines if ENGINES[name].installed]
        if not engines:
            return None
        check = check or patterns(job.size)
        # What a file in fp32 holds shows only where the engine computes in fp32.
        engine = open_engine(temporary, "cpu", engine=engines[0], trust=True, exact=precision == "fp32")
        report = compare(job.net, engine.run, check)
        del engine
        try:
            report.require(bounds, job.info.stride)
        except PosewrightError as error:
            raise PosewrightError(error.what, file=path, fix=_advice(precision)) from None
        if precision == "fp32":
            engine = open_engine(temporary, "cpu", engine=engines[0], trust=True)
            if engine.computes != "fp32":
                words = compare(job.net, engine.run, check).sentence()
                job.notes.append(
                    f"{engine.name} computes it in {engine.computes} here unless it is loaded with exact: {words}"
                )
            del engine
    return replace(report, notes=tuple(job.notes))


def _fits(seen: CheckSet, checkpoint: Checkpoint) -> None:
    width, height = checkpoint.rule.size
    shape = seen.crops.shape
    if seen.crops.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or not len(seen.crops):
        raise PosewrightError(f"calibration crops are uint8 [N, H, W, 3], not {seen.crops.dtype} {list(shape)}")
    if shape[1:3] != (height, width):
        what = f"calibration crops are {shape[2]} x {shape[1]}, the model takes {width} x {height}"
        raise PosewrightError(what, fix="Cut them out by the model's crop rule")


def _advice(precision: str) -> str | None:
    return None if precision == "fp32" else "Take a higher precision, or allow more with --max-loss"


def _place(target: Target, path: str | Path) -> AbstractContextManager[Path]:
    return whole_folder(path) if target.format.folder else whole_file(path)


def with_ending(path: Path, target: Target) -> Path:
    """A path with the target's ending, added where it is not there."""
    ending = target.format.ending
    return path if path.suffix.lower() == ending else path.with_name(path.name + ending)


def default_path(source: Path, target: Target, precision: str, extra: Sequence[str] = ()) -> Path:
    """Beside a checkpoint: ``model.onnx``, or ``model-int8.tflite`` in another precision."""
    words = [source.stem, *(() if precision == "fp32" else (precision,)), *extra]
    return source.with_name("-".join(words) + target.format.ending)


def export_onnx(checkpoint: Checkpoint, path: str | Path, crops: NDArray[np.uint8] | None = None) -> Parity:
    """Write a checkpoint's ONNX model file in full precision; see :func:`export`.

    Args:
        crops: ``uint8 [N, H, W, 3]`` on which file and net are compared; smooth random pictures unless given.
    """
    report = export(checkpoint, path, check=None if crops is None else CheckSet(crops, "crops"))
    assert report is not None
    return report
