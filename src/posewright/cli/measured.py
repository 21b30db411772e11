"""What the commands that measure models have in common: which model, which pictures, which thresholds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from posewright.cli.running import Running
from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.annotations import Annotations
    from posewright.runtime import Predictor

TORCH = "torch"
"""Stands for a checkpoint's own net where an engine is named."""
GENERIC = ("model", "best", "last")
"""File names that say nothing; the folder's name stands for them."""


def thresholds_of(text: str | None) -> list[float] | None:
    """PCK thresholds as they are typed, with commas."""
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise PosewrightError(f"thresholds '{text}' are not numbers", fix="Write them like 0.05,0.1,0.2") from None
    if not all(0 < value < float("inf") for value in values):
        raise PosewrightError(f"thresholds '{text}': each must be above 0")
    return sorted(set(values))


def open_measured(spec: str, running: Running) -> Predictor:
    """The model that is meant: a model file by its engine, a checkpoint by torch, which takes the threads too.

    Args:
        spec: whatever names a model; with :data:`TORCH` for an engine, whatever names a checkpoint.
        running: how it is run.
    """
    if Path(spec).suffix != ".safetensors" and running.engine != TORCH:
        return running.load(spec)
    if running.engine not in (None, TORCH):
        what = f"is a checkpoint, which {running.engine} does not run"
        raise PosewrightError(what, file=spec, fix="Export it first")
    from posewright.export import checkpoint_predictor
    from posewright.runtime.names import find_checkpoint

    if running.threads is not None:
        import torch

        torch.set_num_threads(running.threads)
    return checkpoint_predictor(find_checkpoint(spec), running.device)


def part_of_labels(
    truth: Annotations,
    split: str | None,
    held: Callable[[Annotations], Annotations] | None,
    limit: int | None,
) -> tuple[Annotations, str]:
    """The pictures to measure on, and which they are, in words.

    Args:
        truth: the whole set.
        split, held: see :func:`posewright.training.parting.choose_split`.
        limit: so many pictures, spread evenly.
    """
    from posewright.training.parting import choose_split

    truth, words = choose_split(truth, split, held)
    if limit is not None and limit < len(truth.images):
        from posewright.annotations.splits import spread_evenly

        truth = truth.subset(spread_evenly(len(truth.images), limit))
        words = f"{limit} pictures, spread evenly over {words}"
    return truth, words


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files)


def title_of(model: str) -> str:
    """What a report calls the model: a run's folder, a file's name, or the shipped name."""
    from posewright.runtime.formats import ENDINGS

    path = Path(model)
    if path.is_dir() and path.suffix not in ENDINGS:
        return path.resolve().name
    name = path.stem if path.suffix in (*ENDINGS, ".safetensors", ".json") else path.name
    return path.resolve().parent.name if path.is_file() and name in GENERIC else name
