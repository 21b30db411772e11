"""A small set for locators that the tests draw themselves: bright squares of several sizes on a dark, uneven ground."""

from __future__ import annotations

import cv2
import numpy as np

from posewright.annotations import Annotations, Image
from posewright.skeleton import Skeleton

BLOBS = Skeleton("blobs", ("middle",))


def draw_blobs(folder, count: int = 24, seed: int = 0, size: tuple[int, int] = (96, 64), empty: int = 4) -> Annotations:
    """``count`` pictures of ``size`` = (width, height) with one or two squares each, the last ``empty`` of them without."""
    rng = np.random.default_rng(seed)
    width, height = size
    images, boxes, keypoints, owner = [], [], [], []
    for i in range(count):
        picture = cv2.resize(rng.integers(20, 90, (6, 8, 3), dtype=np.uint8), size)
        images.append(Image(f"{i:03d}.png", width, height, split="val" if i % 4 == 0 else "train"))
        for half in range(0 if i >= count - empty else int(rng.integers(1, 3))):
            side = int(rng.integers(14, 30))
            x = int(rng.integers(half * width // 2, (half + 1) * width // 2 - side))
            y = int(rng.integers(0, height - side))
            picture[y : y + side, x : x + side] = rng.integers(200, 256, 3)
            boxes.append([x - 0.5, y - 0.5, x + side - 0.5, y + side - 0.5])
            keypoints.append([[x + side / 2, y + side / 2, 2]])
            owner.append(i)
        cv2.imwrite(str(folder / f"{i:03d}.png"), picture)
    return Annotations(
        BLOBS, images, np.array(owner), np.array(keypoints, float), np.array(boxes), root=folder, source="blobs"
    )
