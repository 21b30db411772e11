"""A model that remembers what it looked at: the crops of a frame and the maps that it read the keypoints from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.geometry import Similarity
from posewright.poses import Poses
from posewright.runtime.predictor import Mapped, Picture, Predictor

Watch = Literal["nothing", "crops", "maps"]
View = Literal["overlay", "stages", "heatmaps", "crop"]
VIEWS: tuple[View, ...] = get_args(View)
NEEDS: dict[View, Watch] = {"overlay": "nothing", "stages": "maps", "heatmaps": "maps", "crop": "crops"}
"""What of its looks a model has to remember for a view."""


@dataclass(frozen=True)
class Look:
    """One crop that the net saw.

    Attributes:
        pose: what it found there, one pose in pixels of the picture, unfiltered.
        to_crop: the map from the picture to the crop.
        maps: ``[S, K, h, w]``, the heat maps of all stages; None where they were not kept.
    """

    pose: Poses
    to_crop: Similarity
    maps: NDArray[np.float32] | None


class Watched(Predictor):
    """A model like the one given, and sharing its engine, whose looks can be taken after each call.

    Attributes:
        watch: "nothing", where each crop was ("crops"), or its maps, too ("maps").
    """

    def __init__(self, model: Predictor, watch: Watch = "nothing") -> None:
        vars(self).update(vars(model))
        self.watch: Watch = watch
        self._seen: list[Mapped] = []

    def _predict(
        self,
        pictures: Sequence[Picture],
        boxes: Sequence[ArrayLike | None] | None,
        flip: bool,
        min_presence: float,
        batch_size: int,
        to_crop: Sequence[Sequence[Similarity] | None] | None,
        keep: str | None,
    ) -> list[Mapped]:
        if self.watch == "nothing" or keep is not None:
            return super()._predict(pictures, boxes, flip, min_presence, batch_size, to_crop, keep)
        keep = "stages" if self.watch == "maps" and "heatmaps" in self.info.outputs else None
        found = super()._predict(pictures, boxes, flip, 0.0, batch_size, to_crop, keep)
        self._seen += found
        if min_presence <= 0:
            return found
        return [replace(m, poses=m.poses.only(m.poses.presence >= min_presence)) for m in found]

    def take(self) -> list[Mapped]:
        """What was looked at since the last call: one entry a picture and call."""
        seen, self._seen = self._seen, []
        return seen

    def again(self, image: NDArray[np.uint8], looks: Sequence[Look]) -> list[Look]:
        """The same looks with their maps, where these were not kept."""
        if all(look.maps is not None for look in looks):
            return list(looks)
        boxes: Any = [np.concatenate([look.pose.boxes for look in looks])]
        (mapped,) = self.predict_maps([image], boxes, to_crop=[[look.to_crop for look in looks]], stages=True)
        return looks_of([mapped], len(looks))


def looks_of(seen: Sequence[Mapped], most: int, reported: Poses | None = None) -> list[Look]:
    """The best looks, best first: those that are reported before others, then by presence."""
    boxes = set() if reported is None else {tuple(box) for box in reported.boxes.tolist()}
    looks = [
        Look(mapped.poses.only([i]), to_crop, None if mapped.maps is None else mapped.maps[i])
        for mapped in seen
        for i, to_crop in enumerate(mapped.to_crop)
    ]
    return sorted(looks, key=lambda k: (tuple(k.pose.boxes[0].tolist()) not in boxes, -float(k.pose.presence[0])))[
        :most
    ]
