"""A small labelled set of pictures that are larger than their objects: several a picture, crowds, outlines, none at all."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from helpers.discs import DISCS
from posewright.annotations import Annotations, Image
from posewright.annotations.masks import encode_rle

SIZES = ((403, 301), (320, 240), (700, 523), (200, 260), (641, 480), (240, 240))


def textured(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """``uint8 [H, W, 3]`` with detail at every scale, and no two places alike."""
    picture = np.zeros((height, width, 3))
    for cells, weight in ((4, 90.0), (16, 60.0), (64, 40.0)):
        coarse = rng.uniform(0, 1, (cells, cells, 3))
        picture += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture + 20, 0, 255).astype(np.uint8)


def draw_scenes(folder: Path, count: int = 12, seed: int = 0, ending: str = ".png") -> Annotations:
    """``count`` pictures: the first of each six empty, the others with one to three objects, and a crowd on one of them.

    Sides of the objects go from 30 to 250 pixels; some stick out of their picture.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    images, owner, boxes, keypoints, crowd, polygons = [], [], [], [], [], []
    for i in range(count):
        width, height = SIZES[i % 6]
        name = f"{i:03d}{ending}"
        cv2.imwrite(str(folder / name), textured(width, height, rng))
        images.append(Image(name, width, height, split="val" if i % 4 == 1 else "train", id=100 + i))
        for number in range(0 if i % 6 == 0 else 1 + i % 3):
            sides = rng.uniform(30, 250, 2) if number == 0 else rng.uniform(30, 60, 2)
            low = rng.uniform(-0.1, 0.9, 2) * (width, height) - sides * 0.3
            box = np.concatenate([low, low + sides])
            points = low + rng.uniform(0.05, 0.95, (3, 2)) * sides
            owner.append(i)
            boxes.append(box)
            keypoints.append(np.column_stack([points, [2, 1, rng.integers(0, 3)]]))
            crowd.append(i % 6 == 2 and number == 2)
            polygons.append(_outline(box, width, height, len(owner)))
    n = len(owner)
    return Annotations(
        DISCS,
        images,
        np.array(owner),
        np.array(keypoints),
        np.array(boxes),
        folder,
        iscrowd=np.array(crowd),
        weight=np.where(np.arange(n) % 5 == 0, 0.5, 1.0),
        track=np.arange(n),
        head_size=np.where(np.arange(n) % 3 == 0, 12.5, np.nan),
        polygons=polygons,
        source="scenes",
    )


def _outline(box: np.ndarray, width: int, height: int, number: int):
    """None, a polygon or a run-length mask of the box, in turn."""
    x0, y0, x1, y1 = np.clip(box, 0, [width - 1, height - 1] * 2)
    if number % 3 == 0:
        return [np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])]
    if number % 3 == 1:
        mask = np.zeros((height, width), np.uint8)
        mask[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = 1
        return encode_rle(mask)
    return []
