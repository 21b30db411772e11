"""Augmentation: one random map a sample, then colour, sharpness, blur and patches on the crop.

All randomness of a sample comes from the generator it is given, so that (seed, epoch, object) decides a sample completely.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.geometry import CropRule, Similarity
from posewright.skeleton import Skeleton
from posewright.training.augment_config import AugmentConfig, PixelConfig
from posewright.training.colour import colour_matrix, equalised, sharpened, strength_factor

Rng = np.random.Generator


def random_similarity(
    box: NDArray[np.float64], rule: CropRule, config: AugmentConfig, rng: Rng
) -> tuple[Similarity, bool, bool]:
    """The crop's map with random zoom, turn, shift and mirrors composed into it, and which mirrors those are."""
    zoom = strength_factor(config.scale, rng)
    turn = rng.uniform(-1, 1) * config.rotation if rng.random() < config.rotation_share else 0.0
    shift = rng.uniform(-1, 1, 2) * config.shift
    flip, flip_vertical = (bool(m) for m in rng.random(2) < (config.flip, config.flip_vertical))
    similarity = Similarity.crop(
        box,
        rule.size,
        margin=rule.margin,
        rotation=turn,
        scale=float(zoom),
        shift=(float(shift[0]), float(shift[1])),
        flip=flip,
        flip_vertical=flip_vertical,
    )
    return similarity, flip, flip_vertical


def mirror_order(skeleton: Skeleton, flip: bool, flip_vertical: bool) -> NDArray[np.int64]:
    """Which keypoint stands in each place after the mirrors.

    A skeleton that names no pairs for the vertical mirror swaps its left and right there too: every mirror image shows a
    body's left side as a right one.
    """
    order = np.arange(len(skeleton))
    if flip:
        order = order[skeleton.flip_order()]
    if flip_vertical:
        order = order[skeleton.flip_order(vertical=bool(skeleton.vertical_swaps))]
    return order


def vary_pixels(crop: NDArray[np.uint8], config: PixelConfig, rng: Rng) -> NDArray[np.uint8]:
    """Colour, sharpness, blur and cut-out on a crop ``uint8 [H, W, 3]``; keypoints stay where they are."""
    matrix = colour_matrix(config, rng)
    if matrix is not None:
        crop = np.asarray(cv2.transform(crop, matrix), np.uint8)
    if config.sharpness:
        crop = sharpened(crop, strength_factor(config.sharpness, rng))
    if config.clahe and rng.random() < config.clahe:
        crop = equalised(crop)
    height, width = crop.shape[:2]
    if rng.random() < config.blur:
        sigma = max(0.4, rng.uniform(0.4, 1.6) * max(height, width) / 256)  # any less leaves a small crop as it is
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.uint8)
    if rng.random() < config.cutout and config.cutout_size > 0:
        sides = rng.uniform(0.3, 1.0, 2) * config.cutout_size * (height, width)
        top, left = (rng.random(2) * (height, width) - sides / 2).astype(int)
        patch = crop[max(top, 0) : top + int(sides[0]), max(left, 0) : left + int(sides[1])]
        patch[:] = rng.integers(0, 256, 3) if rng.random() < 0.5 else rng.integers(0, 256, patch.shape, np.uint8)
    return crop
