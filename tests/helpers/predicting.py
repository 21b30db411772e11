"""The predict command called in this process, and what it wrote and said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from helpers.spots import SPOTS, picture_with_spots
from posewright.cli import main
from posewright.poses import Poses

PLACES = [(60.0, 40.0), (100.0, 80.0), (140.0, 60.0)]
"""Of the spots on a picture."""


def run(*args: str) -> int:
    return main(["predict", *map(str, args)])


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def places(record: dict) -> np.ndarray:
    return Poses.from_record(record, SPOTS).xy[0]


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def complaint(capsys, *args: str) -> str:
    """The one line of a call that cannot succeed; nothing else may be said and nothing half written be left."""
    assert run(*args) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("posewright: ") and err.count("\n") == 1, err
    assert not [p for p in Path.cwd().rglob("*") if p.suffix == ".tmp" or ".tmp" in p.name]
    return err


# -- a clip of spots on their way, its second half later than its rate says ---------------------------------------------

COUNT = 30
"""Frames of the clip."""


def clip_shot(i: float, width: int = 256, height: int = 160) -> np.ndarray:
    """The clip's frame ``i``."""
    return picture_with_spots(width, height, [(x + i, y + i / 2) for x, y in PLACES], 7)


def clip_time(i: int) -> float:
    return i / 20 + (0.1 if i >= 15 else 0)
