"""Which part of a labelled set a model is measured on: a split of its own, or what the model's run held out of it.

Free of torch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from posewright.annotations.splits import one_split
from posewright.annotations.tables import Annotations
from posewright.training.config import TrainConfig


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
    return one_split(truth, part), f"the {part} split"


def held_out(model: str, data: Path) -> Callable[[Annotations], Annotations] | None:
    """How a run split the labels it was trained on, where ``model`` is that run's and ``data`` are those labels."""
    path = Path(model)
    settings = (path if path.is_dir() else path.parent) / "config.yaml"
    if not settings.is_file() or not path.exists():
        return None
    config = TrainConfig.load(settings)
    if not config.data or Path(config.data).resolve() != data.resolve():
        return None
    return lambda truth: truth.with_validation(config.val_share, config.seed)
