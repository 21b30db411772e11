"""Hands that are only numbers, and a model that finds those that a crop shows."""

from __future__ import annotations

import numpy as np

from posewright.geometry import CropRule
from posewright.poses import Poses
from posewright.runtime import ModelInfo
from posewright.skeletons import HAND_21

WIDTH, HEIGHT, FPS = 640, 480, 30.0
PICTURE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
SHAPE = np.random.default_rng(2).uniform(-1, 1, (21, 2))
SHAPE[0], SHAPE[9] = (0, 1), (0, -0.2)


def hand(x: float, y: float, size: float = 60.0) -> np.ndarray:
    return np.array([x, y]) + size * SHAPE


class Shown:
    """A model that finds each of ``hands`` in the crops that show all of it at about the right size, give or take a pixel.

    With ``sides``, hand 1 is a left one, which only mirrored crops show as the model knows it.
    """

    def __init__(self, *hands: np.ndarray, sides: bool = False) -> None:
        self.hands, self.sides, self.crops = list(hands), sides, 0
        self.skeleton = HAND_21
        self.info = ModelInfo(HAND_21, CropRule((128, 128), 1.25), 4, "shown", ("keypoints", "presence", "heatmaps"))
        self.rng = np.random.default_rng(0)
        self.angles: list[float] = []

    def predict_batch(self, pictures, boxes, *, flip=False, min_presence=0.0, batch_size=16, to_crop=None):
        return [self._one(np.asarray(b), None if to_crop is None else to_crop[i]) for i, b in enumerate(boxes)]

    def _one(self, boxes, maps) -> Poses:
        self.crops += len(boxes)
        maps = maps or [self.info.crop.similarity(b) for b in boxes]
        xy, score, presence = [], [], []
        for to_crop in maps:
            self.angles.append(float(np.degrees(np.arctan2(*to_crop.matrix[::-1, 0]))))
            best = None
            for number, points in enumerate(self.hands):
                inside = to_crop.apply(points)
                extent = (inside.max(0) - inside.min(0)).max()
                fits = ((inside > 0) & (inside < 128)).all() and 25 < extent < 128
                if fits and not (self.sides and to_crop.mirrored != (number == 1)):
                    best = points
            xy.append(self.rng.uniform(0, 100, (21, 2)) if best is None else best + self.rng.normal(0, 1, (21, 2)))
            score.append(np.full(21, 0.05 if best is None else 0.9))
            presence.append(0.02 if best is None else 0.98)
        return Poses(HAND_21, np.stack(xy), np.stack(score), np.array(presence), boxes, width=WIDTH, height=HEIGHT)
