"""How far around an object training crops can see: what has to be packed, and whether what was packed is enough.

Free of torch: ``posewright pack`` asks before anything is trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.annotations import Annotations
from posewright.annotations.keypoints import BOX_MARGIN, boxes_from_keypoints
from posewright.errors import PosewrightError
from posewright.geometry import CropRule, picture_box
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.half_body import SMALLEST, body_halves
from posewright.training.perspective import Tilt

Array = NDArray[np.float64]

TOLERANCE = 0.51
"""Packed pixels that a crop may see beyond what was packed without anybody being told: less than one is visible."""


def crop_sides(boxes: Array, rule: CropRule) -> Array:
    """``[N, 2]``: width and height, in the boxes' pixels, of the plain crops around boxes ``[N, 4]``."""
    width, height = ((boxes[:, 2:] - boxes[:, :2]) * rule.margin).T
    aspect = rule.size[0] / rule.size[1]
    return np.column_stack([np.maximum(width, height * aspect), np.maximum(height, width / aspect)])


def reach(annotations: Annotations, rule: CropRule, augment: AugmentConfig, seen: ArrayLike | None = None) -> Array:
    """``[N, 4]``: boxes around all that crops of each object can show, in the pixels of its picture.

    No picture's border is regarded. The bounds are exact for shift, zoom and turn, each alone; together they may be a
    little wide, never too narrow.

    Args:
        annotations: the objects.
        rule: the model's crop rule.
        augment: how crops are varied.
        seen: (x0, y0, x1, y1) in crop pixels: what is drawn of each crop; the crop itself where None.
    """
    found = _around(annotations.boxes, rule, augment, seen)
    if augment.half_body:
        for boxes in _part_boxes(annotations):
            part = _around(boxes, rule, augment, seen)
            part = np.where(np.isfinite(part), part, found)
            found = np.column_stack([np.minimum(found, part)[:, :2], np.maximum(found, part)[:, 2:]])
    return found


def shrinkage(boxes: Array, rule: CropRule, augment: AugmentConfig) -> Array:
    """``[N, 2]``: how many pixels of the picture become one of the crop, at least and at most."""
    plain = crop_sides(boxes, rule)[:, 0] / rule.size[0]
    least = plain / (1 + augment.scale)
    if augment.half_body:
        # A part's box may have sides of that share of the object's longer one.
        sides = np.maximum(*(boxes[:, 2:] - boxes[:, :2]).T)
        square = np.column_stack([np.zeros((len(boxes), 2)), np.tile(sides[:, None] * SMALLEST, (1, 2))])
        least = np.minimum(least, crop_sides(square, rule)[:, 0] / rule.size[0] / (1 + augment.scale))
    return np.column_stack([least, plain * (1 + augment.scale)])


def _around(boxes: Array, rule: CropRule, augment: AugmentConfig, seen: ArrayLike | None) -> Array:
    low, high = np.array(picture_box(*rule.size) if seen is None else seen, float).reshape(2, 2)
    sides = np.array(rule.size)
    middle = (sides - 1) / 2
    # Half of what is seen, in crop sides; what hangs in space is looked up where it was before it was turned.
    half = _untilted(np.maximum(np.abs(low - middle), np.abs(high - middle)), rule.size, augment.perspective) / sides
    half = (half + augment.shift) * crop_sides(boxes, rule) * (1 + augment.scale)
    if augment.rotation_share:
        half = _turned(half, augment.rotation)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.column_stack([centre - half, centre + half])


def _turned(half: Array, degrees: float) -> Array:
    """Half sides ``[N, 2]`` of the box around a rectangle in every position up to that angle."""
    angle = math.radians(min(degrees, 90))
    found = []
    for own, other in (half.T, half.T[::-1]):
        most = np.minimum(np.arctan2(other, own), angle)  # where own * cos + other * sin has its maximum
        found.append(own * np.cos(most) + other * np.sin(most))
    return np.column_stack(found)


def _untilted(half: Array, size: tuple[int, int], strength: float) -> Array:
    """Half sides, in crop pixels, of the box around all that any tilt up to ``strength`` degrees brings into view."""
    if not strength:
        return half
    middle = (np.array(size) - 1) / 2
    corners = np.array([[x, y, 1] for x in (-1, 1) for y in (-1, 1)], float)
    corners[:, :2] = corners[:, :2] * half + middle
    most = half
    for angle in np.linspace(0, strength, 7)[1:]:
        for axis in range(0, 180, 3):
            for sign in (-1, 1):
                back = corners @ np.linalg.inv(Tilt(size, float(sign * angle), axis).matrix).T
                if (back[:, 2] <= 0).any():
                    return np.full(2, np.inf)
                most = np.maximum(most, np.abs(back[:, :2] / back[:, 2:] - middle).max(0))
    return most * 1.01  # the grid's steps miss a little of the maximum


def _part_boxes(annotations: Annotations) -> list[Array]:
    """Boxes ``[N, 4]`` that together stand for every part that :func:`half_body.part_box` may choose, NaN where none."""
    keypoints = annotations.keypoints
    least = SMALLEST * (annotations.boxes[:, 2:] - annotations.boxes[:, :2]).max(1, keepdims=True)
    halves = body_halves(annotations.skeleton)
    if halves is not None:
        found = []
        for half in halves:
            boxes = boxes_from_keypoints(keypoints[:, half], BOX_MARGIN)
            centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, np.maximum(boxes[:, 2:] - boxes[:, :2], least) / 2
            found.append(np.column_stack([centre - sides, centre + sides]))
        return found
    # Any part lies among the keypoints, and is at most as long as they are: as if it were that long at each of them.
    spread = boxes_from_keypoints(keypoints, 1.0)
    side = np.maximum((spread[:, 2:] - spread[:, :2]).max(1, keepdims=True) * BOX_MARGIN, least)
    points = np.where(annotations.labelled[..., None], keypoints[..., :2], np.nan)
    return [np.column_stack([points[:, k] - side / 2, points[:, k] + side / 2]) for k in range(points.shape[1])]


# -- what was packed, against what a run asks for ----------------------------------------------------------------------


def check_packed(
    annotations: Annotations,
    rule: CropRule,
    augment: AugmentConfig | None = None,
    objects: Sequence[int] | NDArray[np.int64] | None = None,
    seen: ArrayLike | None = None,
) -> list[str]:
    """Hold what a run's crops show against what was packed of the pictures.

    Args:
        annotations: the set; pictures that are no parts of larger ones need no check.
        rule: the run's crop rule.
        augment: of its training crops; None for plain ones.
        objects: those that are cropped; all that can be trained on where None.
        seen: as in :func:`reach`.

    Returns:
        Warnings: crops that would be filled up with grey where the picture goes on, or enlarged where the original
        would not have been.

    Raises:
        PosewrightError: where this happens to crops without any augmentation.
    """
    parts = [im.part for im in annotations.images]
    if not any(parts):
        return []
    rows = np.flatnonzero(annotations.usable) if objects is None else np.asarray(objects, np.int64)
    rows = rows[[parts[i] is not None for i in annotations.image[rows].tolist()]]
    if not len(rows):
        return []
    packed = annotations.objects(rows)
    source, lines = packed.source or None, []
    plain = _shortfall(packed, rule, PLAIN, seen)
    if plain.max() > 0:
        what = (
            f"was packed too tightly for a margin of {rule.margin:g} at {rule.size[1]}x{rule.size[0]}: of "
            f"{int((plain > 0).sum())} of {len(rows)} objects up to {plain.max():.0%} of the crop's side is missing"
        )
        raise PosewrightError(what, file=source, fix="Pack again with the run's --margin and --input-size")
    if augment is not None:
        short = _shortfall(packed, rule, augment, seen)
        if short.max() > 0:
            lines.append(
                f"{source}: this augmentation reaches beyond what was packed: crops of {int((short > 0).sum())} of "
                f"{len(rows)} objects are filled up with grey on up to {short.max():.0%} of their side. Pack again with "
                "the run's --augment options, --margin and --input-size"
            )
    reduced = np.array([packed.images[i].part.factor > 1 for i in packed.image.tolist()])  # type: ignore[union-attr]
    enlarged = 1 / shrinkage(packed.boxes, rule, augment or PLAIN)[:, 0]
    coarse = reduced & (enlarged > 1.02)
    if coarse.any():
        lines.append(
            f"{source}: {int(coarse.sum())} of {len(rows)} objects were reduced when they were packed, for a smaller input "
            f"or less zoom: crops of {rule.size[1]}x{rule.size[0]} enlarge them up to {enlarged[coarse].max():.2f} times. "
            "Pack again with the run's --input-size"
        )
    return lines


def _shortfall(packed: Annotations, rule: CropRule, augment: AugmentConfig, seen: ArrayLike | None) -> Array:
    """``[N]``: the largest part of a crop's side that can show what the picture has and the packed part has not."""
    needed = reach(packed, rule, augment, seen)
    part, whole = np.empty_like(needed), np.empty_like(needed)
    for row, image in enumerate(packed.image.tolist()):
        im = packed.images[image]
        assert im.part is not None
        part[row] = picture_box(im.width, im.height)
        whole[row] = im.part.from_whole(picture_box(im.part.width, im.part.height).reshape(2, 2)).ravel()
    low = part[:, :2] - np.maximum(needed, whole)[:, :2]
    high = np.minimum(needed, whole)[:, 2:] - part[:, 2:]
    lacking = np.maximum(low, high)
    return np.where(lacking > TOLERANCE, lacking / crop_sides(packed.boxes, rule), 0).max(1)
