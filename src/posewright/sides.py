"""Left and right in the names of keypoints."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SIDES = (
    re.compile(r"(?<![a-zA-Z])(?i:(left|right))(?![a-z])"),  # left_knee, LEFT KNEE, leftKnee, knee-right
    re.compile(r"(?<=[a-z0-9])(Left|Right)(?![a-z])"),  # kneeLeft
    re.compile(r"(?:^|(?<=[_\-. ]))([lrLR])(?=$|[_\-. ])"),  # l_knee, knee.R
    re.compile(r"^([LR])(?=[A-Z])"),  # RKnee
    re.compile(r"(?<=[a-z])([LR])$"),  # kneeL
    re.compile(r"^(?i:(left|right))"),  # leftear
)
"""How names tell a side, from the plainest to the shortest."""


def _split_side(name: str) -> tuple[str, str]:
    """ "left", "right" or "", and the name with a mark in the side's place."""
    for pattern in _SIDES:
        match = pattern.search(name)
        if match:
            side = "left" if match.group(1)[0] in "lL" else "right"
            return side, (name[: match.start()] + "*" + name[match.end() :]).lower()
    return "", name.lower()


def side_of(name: str) -> str:
    """ "left", "right" or "" for a keypoint name such as ``left_knee``, ``kneeLeft``, ``knee_L`` or ``RKnee``."""
    return _split_side(name)[0]


def swaps_from_names(names: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of names that differ only by left and right."""
    found: dict[str, dict[str, int]] = {}
    for i, name in enumerate(names):
        side, core = _split_side(name)
        if side:
            found.setdefault(core, {})[side] = i
    pairs = [(d["left"], d["right"]) for d in found.values() if len(d) == 2]
    return tuple(sorted((min(p), max(p)) for p in pairs))
