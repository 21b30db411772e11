"""A labelled set of stick figures, and a model that knows where they are: its maps are drawn, not learned."""

from __future__ import annotations

import numpy as np

from posewright.annotations import Annotations, Image
from posewright.geometry import CropRule, input_to_cell
from posewright.poses import Poses
from posewright.runtime import ModelInfo
from posewright.runtime.predictor import Mapped
from posewright.skeleton import Skeleton

NAMES = ("head", "left_hand", "right_hand", "left_hip", "right_hip", "left_foot", "right_foot")
WALKER = Skeleton(
    "walker", NAMES, swaps=((1, 2), (3, 4), (5, 6)), links=((0, 1), (0, 2), (0, 3), (0, 4), (3, 5), (4, 6))
)
STANDING = np.array([(0, -40), (-22, -5), (22, -5), (-9, 0), (9, 0), (-12, 42), (12, 42)], float)


def walkers(count: int = 200, seed: int = 0) -> Annotations:
    """Figures that stand about upright, limbs a little different on each; the boxes are not made from the keypoints."""
    rng = np.random.default_rng(seed)
    points = STANDING * rng.uniform(0.8, 1.2, (count, 1, 1)) + rng.normal(0, 4, (count, 7, 2)) + 100
    middle, half = points.mean(1) + rng.normal(0, 1.5, (count, 2)), rng.uniform(58, 64, (count, 1))
    return Annotations(
        WALKER,
        [Image(f"{i:04d}.png", 200, 200) for i in range(count)],
        np.arange(count),
        np.concatenate([points, np.full((count, 7, 1), 2)], 2),
        np.concatenate([middle - half, middle + half], 1),
        source="walkers",
    )


class Knowing:
    """Finds what ``truth`` has, give or take ``noise`` pixels; every ``confused``-th object with left and right exchanged."""

    def __init__(self, truth: Annotations, noise: float = 2.0, confused: int = 0, maps: bool = True) -> None:
        self.truth, self.noise, self.confused, self.maps = truth, noise, confused, maps
        self.skeleton = truth.skeleton
        outputs = ("keypoints", "presence", "heatmaps") if maps else ("keypoints", "presence")
        self.info = ModelInfo(truth.skeleton, CropRule((64, 64), 1.1), 2, "drawn", outputs)
        self.row = {im.path.rsplit("/", 1)[-1]: i for i, im in enumerate(truth.images)}

    def predict_maps(self, pictures, boxes, *, flip, batch_size):
        return [self._one(self.row[str(p).rsplit("/", 1)[-1]], np.asarray(b)) for p, b in zip(pictures, boxes)]

    def _one(self, image: int, boxes: np.ndarray) -> Mapped:
        rng = np.random.default_rng(image)
        im = self.truth.images[image]
        true = self.truth.keypoints[np.flatnonzero(self.truth.image == image), :, :2]
        xy = true + rng.normal(0, self.noise, true.shape)
        if self.confused and image % self.confused == 0:
            xy = xy[:, self.skeleton.flip_order()]
        to_crop = [self.info.crop.similarity(box) for box in boxes]
        grid = np.arange(32)
        maps = []
        for points, similarity in zip(xy, to_crop):
            x, y = input_to_cell(similarity.apply(points), 2).T
            across, down = (grid - x[:, None]) ** 2, (grid - y[:, None]) ** 2
            maps.append(
                0.8 * np.exp(-(across[:, None, :] + down[:, :, None]) / 4.5) + rng.uniform(0, 0.002, (7, 32, 32))
            )
        poses = Poses(
            self.skeleton, xy=xy, score=np.full(xy.shape[:2], 0.8), boxes=boxes, presence=np.ones(len(xy)),
            width=im.width, height=im.height,
        )  # fmt: skip
        return Mapped(poses, np.stack(maps).astype(np.float32) if self.maps else None, to_crop)
