"""A model in three parts, which the service runs on different threads: cutting crops out, the net, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.poses import Poses
from posewright.runtime.predictor import CropJob, Predictor

Array = NDArray[np.float64]

FARTHEST = 4.0
"""Sides of a box, in longer sides of its picture; each crop is made by averaging over whole blocks of a size that grows with
the box, so that its memory does, too."""
LEAST = 0.01
"""Pixels of a box's side."""


@dataclass(frozen=True)
class Cut:
    """The crops of one picture, and where they came from; the picture itself is not kept."""

    job: CropJob
    crops: list[NDArray[np.uint8]]


class PartedNet(Predictor):
    """A model like the one given, and sharing its engine, whose parts can be called one by one."""

    def __init__(self, model: Predictor) -> None:
        vars(self).update(vars(model))

    @property
    def flips(self) -> bool:
        """Whether its results can be averaged with those of mirrored crops."""
        return "heatmaps" in self.info.outputs

    def cut(self, image: NDArray[np.uint8], boxes: Array | None, source: str) -> Cut:
        """Cut the crops of boxes ``[N, 4]`` (x0, y0, x1, y1) out of a picture, or fit it in as a whole."""
        jobs: list[CropJob] = []
        crops = list(self._crops([image], [boxes], [None], jobs))
        jobs[0].source = source
        return Cut(jobs[0], crops)

    def run(self, crops: list[NDArray[np.uint8]], flip: bool) -> dict[str, NDArray[Any]]:
        """Run the net; arrays ``[B, ...]`` by name, in crop pixels."""
        return self._run(crops, flip, None)

    def poses(self, cut: Cut, found: dict[str, NDArray[Any]], min_presence: float) -> Poses:
        """What :meth:`run` found in the crops of a picture, in pixels of the picture."""
        return self._poses(cut.job, found, min_presence)


def checked_boxes(boxes: list[list[float]], width: int, height: int, where: str) -> Array:
    """Boxes ``[N, 4]`` (x0, y0, x1, y1) of a picture of this size; ``where`` is how messages call it.

    Raises:
        PosewrightError: where one has no area, lies outside of the picture, or is so large that there is nothing to see.
    """
    array = np.asarray(boxes, float).reshape(-1, 4)
    most = FARTHEST * max(width, height)
    for i, (x0, y0, x1, y1) in enumerate(array.tolist()):
        record = f"{where}: box {i}"
        if not np.isfinite([x0, y0, x1, y1]).all() or not (x1 - x0 >= LEAST and y1 - y0 >= LEAST):
            fix = "Give left, top, right and bottom in pixels"
            raise PosewrightError(f"[{x0:g}, {y0:g}, {x1:g}, {y1:g}] has no area", record=record, fix=fix)
        if x0 >= width - 0.5 or y0 >= height - 0.5 or x1 <= -0.5 or y1 <= -0.5:
            raise PosewrightError(f"lies outside of the picture, which has {width} x {height} pixels", record=record)
        if max(x1 - x0, y1 - y0) > most:
            what = f"is more than {FARTHEST:g} times as large as the picture, which has {width} x {height} pixels"
            raise PosewrightError(what, record=record)
    return array
