"""A corrected and a down-weighted copy of an audited set; the set itself is left as it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from posewright.annotations.tables import Annotations
from posewright.audit.findings import Audited, Finding
from posewright.errors import PosewrightError

CHOICES = ("unlabel", "move")
"""What becomes of a keypoint far off: it is no longer labelled, or it goes to where the model has it."""


def mended(audited: Audited, level: float, points: str = "unlabel") -> tuple[Annotations, Counter[str]]:
    """A copy in which what is probably wrong has been corrected.

    Exchanged left and right keypoints change places; single keypoints far off are unlabelled (v = 0), or moved to where the
    model has them; a whole pose that is another object's is unlabelled; a wrong box becomes a usual one. Keypoints that are
    missing are left to a person.

    Args:
        audited: the set and its findings.
        level: only findings at least this probable, 0..1.
        points: one of :data:`CHOICES`.

    Returns:
        The copy, and how many findings of each kind were obeyed.

    Raises:
        PosewrightError: where the choice or the level cannot be.
    """
    if points not in CHOICES:
        raise PosewrightError(f"keypoints far off are told to '{points}', which is neither of {', '.join(CHOICES)}")
    labels, done = audited.annotations, Counter[str]()
    keypoints, boxes = labels.keypoints.copy(), labels.boxes.copy()
    # Exchanges first: a keypoint that is far off even so stands where the exchange has put it.
    for f in sorted(_above(audited, level), key=lambda f: f.kind != "swap"):
        if f.kind == "swap":
            first, second = list(f.keypoints[::2]), list(f.keypoints[1::2])
            keypoints[f.object, first + second] = keypoints[f.object, second + first]
        elif f.kind == "point" and points == "move" and np.isfinite(f.proposed).all():
            keypoints[f.object, f.keypoints[0], :2] = f.proposed[0]
        elif f.kind in ("point", "pose"):
            keypoints[f.object, list(f.keypoints)] = 0
        elif f.kind == "box":
            boxes[f.object] = f.proposed.ravel()
        else:
            continue
        done[f.kind] += 1
    return replace(labels, keypoints=keypoints, boxes=boxes), done


def weighed(audited: Audited, level: float) -> tuple[Annotations, Counter[str]]:
    """A copy in which what is probably wrong counts less, and nothing has another place.

    A single keypoint far off is unlabelled (v = 0). An object with exchanged sides, another's pose or a wrong box keeps its
    labels, but its weight is multiplied by the probability that they are right: training shows it that much less often.

    Args:
        audited, level: see :func:`mended`.

    Returns:
        The copy, and how many findings of each kind were obeyed.
    """
    labels, done = audited.annotations, Counter[str]()
    keypoints, weight = labels.keypoints.copy(), labels.weight.copy()
    for f in _above(audited, level):
        if f.kind == "missing":
            continue
        if f.kind == "point":
            keypoints[f.object, f.keypoints[0]] = 0
        else:
            weight[f.object] *= 1 - f.probability
        done[f.kind] += 1
    return replace(labels, keypoints=keypoints, weight=weight), done


def _above(audited: Audited, level: float) -> list[Finding]:
    if not 0 < level <= 1:
        raise PosewrightError(f"the level is a probability above 0, at most 1, not {level:g}")
    return [f for f in audited.findings if f.probability >= level]
