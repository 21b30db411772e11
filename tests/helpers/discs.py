"""A small labelled set that the tests draw themselves: bright discs of three colours on a textured ground."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from posewright.annotations import Annotations, Image
from posewright.skeleton import Skeleton

DISCS = Skeleton("discs", ("left_disc", "right_disc", "top"), swaps=((0, 1),), links=((0, 1), (1, 2)))
COLOURS = ((230, 40, 40), (40, 80, 230), (40, 220, 60))


def draw_discs(folder, count: int = 24, seed: int = 0, size: int = 96, empty: int = 2) -> Annotations:
    """``count`` pictures with three discs each, the last ``empty`` of them without any."""
    rng = np.random.default_rng(seed)
    images, boxes, keypoints, owner = [], [], [], []
    for i in range(count):
        picture = cv2.resize(rng.integers(60, 120, (8, 8, 3), dtype=np.uint8), (size, size))
        split = "val" if i % 4 == 0 else "train"
        images.append(Image(f"{i:03d}.png", size, size, split=split))
        if i < count - empty:
            centre = rng.uniform(0.4, 0.6, 2) * size
            points = centre + np.array([(-0.15, 0.08), (0.15, 0.08), (0, -0.15)]) * size + rng.uniform(-3, 3, (3, 2))
            for (x, y), colour in zip(points, COLOURS, strict=True):
                at = (round(float(x) * 16), round(float(y) * 16))
                cv2.circle(picture, at, 5 * 16, colour, -1, cv2.LINE_AA, shift=4)
            keypoints.append(np.column_stack([points, [2, 2, 1 if i % 5 == 0 else 2]]))
            low, high = points.min(0) - 8, points.max(0) + 8
            boxes.append([*low, *high])
            owner.append(i)
        cv2.imwrite(str(folder / f"{i:03d}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return Annotations(
        DISCS, images, np.array(owner), np.array(keypoints), np.array(boxes), root=folder, source="discs"
    )


def six_points(discs) -> Annotations:
    """The discs with each keypoint named twice, the second time a little aside: enough of them for a half."""
    again = discs.keypoints + np.array([6.0, 2.0, 0.0])
    names = tuple(f"{name}_{part}" for part in ("a", "b") for name in discs.skeleton.keypoints)
    skeleton = replace(discs.skeleton, keypoints=names, links=(), link_colours=())
    return replace(discs, skeleton=skeleton, keypoints=np.concatenate([discs.keypoints, again], 1))
