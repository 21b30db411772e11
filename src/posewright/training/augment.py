"""Augmentation: one random map a sample, then colour, sharpness, blur and patches on the crop.

All randomness of a sample comes from the generator it is given, so that (seed, epoch, object) decides a sample completely.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class PixelChange:
    """What happens to one crop's pixels, drawn without looking at them; None or 0 where nothing does.

    Attributes:
        colour: a 3 x 4 map of RGB in 0..255.
        sharpness: factor on what a small smoothing takes away.
        equalise: local contrast.
        blur: standard deviation of a gaussian in pixels; 0 for none.
        patch: (top, left, bottom, right) of what is painted over, within the crop.
        fill: what with: ``uint8 [3]``, or a colour for each of the patch's pixels.
    """

    colour: NDArray[np.float64] | None = None
    sharpness: float | None = None
    equalise: bool = False
    blur: float = 0.0
    patch: tuple[int, int, int, int] | None = None
    fill: NDArray[np.uint8] | None = None


def random_pixels(size: tuple[int, int], config: PixelConfig, rng: Rng) -> PixelChange:
    """Colour, sharpness, blur and cut-out for a crop of that (height, width)."""
    height, width = size
    colour = colour_matrix(config, rng)
    sharpness = float(strength_factor(config.sharpness, rng)) if config.sharpness else None
    equalise = bool(config.clahe) and rng.random() < config.clahe
    blur, patch, fill = 0.0, None, None
    if rng.random() < config.blur:
        blur = max(0.4, rng.uniform(0.4, 1.6) * max(height, width) / 256)  # any less leaves a small crop as it is
    if rng.random() < config.cutout and config.cutout_size > 0:
        sides = rng.uniform(0.3, 1.0, 2) * config.cutout_size * (height, width)
        top, left = (rng.random(2) * (height, width) - sides / 2).astype(int).tolist()
        bottom, right = min(top + int(sides[0]), height), min(left + int(sides[1]), width)
        patch = max(top, 0), max(left, 0), bottom, right
        shape = (max(bottom - patch[0], 0), max(right - patch[1], 0), 3)
        fill = rng.integers(0, 256, 3 if rng.random() < 0.5 else shape, np.uint8)
    return PixelChange(colour, sharpness, equalise, blur, patch, fill)


def vary_pixels(crop: NDArray[np.uint8], config: PixelConfig, rng: Rng) -> NDArray[np.uint8]:
    """Colour, sharpness, blur and cut-out on a crop ``uint8 [H, W, 3]``; keypoints stay where they are."""
    change = random_pixels((crop.shape[0], crop.shape[1]), config, rng)
    if change.colour is not None:
        crop = np.asarray(cv2.transform(crop, change.colour), np.uint8)
    if change.sharpness is not None:
        crop = sharpened(crop, change.sharpness)
    if change.equalise:
        crop = equalised(crop)
    if change.blur:
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), change.blur), np.uint8)
    if change.patch is not None and change.fill is not None:
        top, left, bottom, right = change.patch
        crop[top:bottom, left:right] = change.fill
    return crop
