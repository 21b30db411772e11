"""How well boxes are found: recall, false boxes and average precision at one overlap.

From the highest score down, each found box takes the labelled box that it overlaps most among those that are free and
overlap it enough (intersection over union). A found box that takes none is false, unless most of it lies within a place of
which nothing is known, such as a crowd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posewright.geometry import intersections, overlaps

Array = NDArray[np.float64]

OVERLAP = 0.5
"""Intersection over union from which a found box is right."""
WITHIN = 0.5
"""Share of a found box that has to lie within an unknown place for it not to count as false."""


@dataclass(frozen=True)
class Finds:
    """Found boxes of a set, judged.

    Attributes:
        score: ``[D]``, highest first; those that do not count are left out.
        right: ``[D]``, whether each took a labelled box.
        objects: how many labelled boxes there were to find.
        pictures: on how many pictures.
    """

    score: Array
    right: NDArray[np.bool_]
    objects: int
    pictures: int

    def at(self, threshold: float) -> tuple[float, float]:
        """Recall (NaN without an object), and false boxes a picture, of the boxes with at least this score."""
        taken = self.right[self.score >= threshold]
        recall = float(taken.sum()) / self.objects if self.objects else float("nan")
        return recall, float((~taken).sum()) / max(self.pictures, 1)

    @property
    def ap(self) -> float:
        """Average precision: the mean, over the objects, of the highest precision at which each is still found."""
        if not self.objects:
            return float("nan")
        precision = np.cumsum(self.right) / np.arange(1, len(self.right) + 1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        return float(best[self.right].sum()) / self.objects

    def threshold(self, false_boxes: float) -> float:
        """The score threshold with the best F-score among those with at most so many false boxes a picture.

        It lies halfway between the last score that is taken and the first that is not. Where every threshold would find
        too many, it lies above all scores.
        """
        if not len(self.score):
            return 0.5
        right, false = np.cumsum(self.right), np.cumsum(~self.right)
        value = 2 * right / (np.arange(1, len(right) + 1) + max(self.objects, 1))
        # Boxes of one score are taken together.
        whole = np.append(np.diff(self.score) < 0, True)
        value = np.where(whole & (false <= false_boxes * self.pictures), value, -1.0)
        last = int(value.argmax())
        if value[last] < 0:
            return float(min((self.score[0] + 1) / 2, 1.0))
        following = self.score[last + 1] if last + 1 < len(self.score) else self.score[last] / 2
        return float((self.score[last] + following) / 2)


def judge(
    found: Sequence[tuple[Array, Array]],
    truth: Sequence[Array],
    unknown: Sequence[Array] | None = None,
    least: float = OVERLAP,
) -> Finds:
    """Judge the boxes found on a set of pictures.

    Args:
        found: for each picture its boxes ``[N, 4]`` (x0, y0, x1, y1) and their scores ``[N]``.
        truth: for each picture the labelled boxes ``[M, 4]``, in the same frame.
        unknown: for each picture places ``[C, 4]`` of which nothing is known.
        least: intersection over union from which a box is right.
    """
    scores, rights, objects = [np.zeros(0)], [np.zeros(0, bool)], 0
    for i, ((boxes, score), labelled) in enumerate(zip(found, truth, strict=True)):
        order = np.argsort(-score, kind="stable")
        boxes, score, objects = boxes[order], score[order], objects + len(labelled)
        over, free = overlaps(boxes, labelled), np.ones(len(labelled), bool)
        right = np.zeros(len(boxes), bool)
        for k in range(len(boxes)):
            fits = np.where(free, over[k], 0.0)
            if len(fits) and fits.max() >= least:
                free[fits.argmax()] = False
                right[k] = True
        counts = right | ~_within(boxes, unknown[i] if unknown is not None else np.zeros((0, 4)))
        scores.append(score[counts])
        rights.append(right[counts])
    score, right = np.concatenate(scores), np.concatenate(rights)
    order = np.argsort(-score, kind="stable")
    return Finds(score[order], right[order], objects, len(found))


def _within(boxes: Array, places: Array) -> NDArray[np.bool_]:
    """``[N]``: boxes that lie mostly within one of the places."""
    if not len(places) or not len(boxes):
        return np.zeros(len(boxes), bool)
    share = intersections(boxes, places) / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(-1), 1e-9)[:, None]
    return np.asarray(share.max(1) > WITHIN)
