"""Objects cut out by their outlines and laid onto other pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.annotations.masks import decode_rle
from posewright.geometry import CropRule, Similarity
from posewright.media.pictures import read_picture
from posewright.media.sources import folder_pictures
from posewright.training.perspective import CropMap
from posewright.warp import warp

Picture = NDArray[np.uint8]
Rng = np.random.Generator

SOFT_EDGE = 1 / 256
"""Standard deviation of the smoothing of an outline's edge, as a share of the crop's longer side."""
_SMALLEST = 0.002
"""Least share of the crop that an object must cover to be cut out: less is a wrong outline, or an object out of view."""
_BITS, _FAR = 4, 3e4


class Backgrounds:
    """A folder of pictures that objects are laid onto.

    Args:
        folder: with its subfolders; the pictures' order is that of their paths.

    Raises:
        PosewrightError: where it does not exist or holds no picture.
    """

    def __init__(self, folder: str | Path) -> None:
        self.pictures = folder_pictures(folder, "--augment.background")

    def crop(self, rule: CropRule, rng: Rng) -> Picture:
        """A random part of a random picture, ``uint8`` RGB of the rule's size."""
        picture = read_picture(self.pictures[int(rng.integers(len(self.pictures)))])
        height, width = picture.shape[:2]
        aspect = rule.size[0] / rule.size[1]
        longest = np.array([min(width, height * aspect), min(height, width / aspect)])
        extent = longest * rng.uniform(0.4, 1.0)
        corner = rng.uniform(-0.5, np.array([width, height]) - extent - 0.5)
        flip = bool(rng.random() < 0.5)
        return warp(picture, Similarity.crop([*corner, *(corner + extent)], rule.size, flip=flip), rule)

    def behind(self, crop: Picture, opacity: Picture, rule: CropRule, rng: Rng) -> Picture:
        """An object on another background.

        Args:
            crop: ``uint8 [H, W, 3]`` RGB.
            opacity: ``uint8 [H, W]`` from :func:`object_opacity`; where it shows next to nothing of the object, the crop
                is returned as it is.
            rule: gives the crop's size.
        """
        if opacity.sum() < 255 * _SMALLEST * opacity.size:
            return crop
        other = self.crop(rule, rng).astype(np.uint16)
        alpha = opacity.astype(np.uint16)[..., None]
        return ((crop * alpha + other * (255 - alpha) + 127) // 255).astype(np.uint8)


def object_opacity(outline: Any, size: tuple[int, int], place: CropMap, rule: CropRule) -> Picture:
    """How much of each pixel of a crop is the object's: ``uint8 [H, W]``, 255 inside and soft at the edge.

    Args:
        outline: polygons ``[P, 2]`` in pixels of the picture, whose union is the object, or a run-length mask.
        size: (height, width) of the picture, which a mask must have, too.
        place: the map from picture to crop.
        rule: gives the crop's size.

    Raises:
        ValueError: where the run-length mask cannot be read or has another size than the picture.
    """
    width, height = rule.size
    if isinstance(outline, dict):
        clear = CropRule(rule.size, border=0, reduce_above=rule.reduce_above)
        mask = decode_rle(outline)
        if mask.shape != tuple(size):
            raise ValueError(f"is {mask.shape[1]} x {mask.shape[0]}, its picture {size[1]} x {size[0]}")
        opacity = warp(255 * mask, place.similarity, clear, place.tilt_matrix)
    else:
        opacity = np.zeros((height, width), np.uint8)
        for polygon in outline:
            points = np.clip(place.apply(polygon), -_FAR, _FAR)
            # One at a time: where two overlap, filled together they would cancel out.
            cv2.fillPoly(opacity, [np.round(points * 2**_BITS).astype(np.int32)], 255, cv2.LINE_AA, _BITS)
    return np.asarray(cv2.GaussianBlur(opacity, (0, 0), max(0.5, SOFT_EDGE * max(width, height))), np.uint8)
