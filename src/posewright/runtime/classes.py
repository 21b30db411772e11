"""Which numbers a detector's classes have: by the names in its file, by COCO's, or as given."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from posewright.errors import PosewrightError, did_you_mean

COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot",
    "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop",
    "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock",
    "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""COCO's 80 classes in order."""
LEFT_OUT = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Numbers of COCO's list, counted from 1 to 90, that no class has."""


def coco_numbers(first: int) -> dict[str, int]:
    """COCO's classes by name: numbered 0 to 79, or where ``first`` is 1 by COCO's own category ids, 1 to 90."""
    if first == 0:
        return {name: i for i, name in enumerate(COCO)}
    ids = [i for i in range(1, 91) if i not in LEFT_OUT]
    return dict(zip(COCO, ids, strict=True))


def class_numbers(classes: Sequence[str], told: Mapping[str, str], first: int, file: Path) -> list[int]:
    """The numbers of the classes that a person asks for.

    Args:
        classes: names, or numbers as the net has them.
        told: the file's metadata; an entry "names" or "classes" may hold the names, as JSON or a Python literal: a list, or
            a table from number to name.
        first: the number of COCO's first class where the file does not tell names.
        file: for messages.

    Raises:
        PosewrightError: where a class is neither a number nor known by name.
    """
    own = _told(told, first)
    known = own or coco_numbers(first)
    numbers = []
    for name in classes:
        if name.strip().isdigit():
            numbers.append(int(name))
        elif name.strip() in known:
            numbers.append(known[name.strip()])
        else:
            whose = "the file's" if own else "COCO's (the file does not tell its own)"
            near = did_you_mean(name, known)
            fix = near if near.startswith("Did") else "Give its number"
            raise PosewrightError(f"class '{name}' is none of {whose} {len(known)}", file=file, fix=fix)
    return numbers


def _told(told: Mapping[str, str], first: int) -> dict[str, int]:
    for key in ("names", "classes"):
        text = told.get(key, "")
        for read in (json.loads, ast.literal_eval):
            try:
                value = read(text)
                if isinstance(value, Mapping):
                    return {str(name): int(number) for number, name in value.items()}
                if isinstance(value, list):
                    return {str(name): i + first for i, name in enumerate(value)}
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue
    return {}
