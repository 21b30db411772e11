"""Which part of which picture a packed set keeps: each object with the room its crops need, and background without any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations import Annotations
from posewright.annotations.images import Part
from posewright.annotations.masks import decode_rle, encode_rle
from posewright.geometry import CropRule, negative_box
from posewright.training.augment_config import AugmentConfig
from posewright.training.reach import crop_sides, reach, shrinkage
from posewright.warp import area_reduced

Array = NDArray[np.float64]

BLOCKS = 12
"""A part from which training may take averages again begins at a multiple of so many pixels: it then averages the same
pixels together as it would of the whole picture, by any factor that divides this."""
WHOLE = 0.8
"""A part that would be at least this share of its picture is the whole picture."""
ROOM = 2.0
"""Side of what is kept of a picture without objects, in the longest crops' sides."""


@dataclass(frozen=True)
class Cut:
    """One part of a picture: which picture and object (None for background), and the place in the picture.

    The columns from x0 up to but not x1 and the rows likewise, reduced by ``factor``.
    """

    image: int
    object: int | None
    x0: int
    y0: int
    x1: int
    y1: int
    factor: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the packed picture."""
        return -(-(self.x1 - self.x0) // self.factor), -(-(self.y1 - self.y0) // self.factor)

    def part(self, annotations: Annotations, size: tuple[int, int]) -> Part:
        """The cut as the tables describe it, of a picture of that (width, height)."""
        im = annotations.images[self.image]
        return Part(im.path, *size, self.x0, self.y0, self.factor, im.frame, im.id)

    def apply(self, picture: NDArray[np.uint8], rule: CropRule) -> NDArray[np.uint8]:
        """The part itself, ``uint8 [H, W, 3]``; a rest of a block at the far edge is filled up with the rule's border."""
        return area_reduced(picture, (self.x0, self.y0, self.x1, self.y1), self.factor, rule.border)

    def outline(self, outline: Any, part: Part) -> Any:
        """An object's polygons or run-length mask in pixels of the packed picture."""
        if isinstance(outline, dict):
            mask = 255 * decode_rle(outline)
            cut = area_reduced(mask, (self.x0, self.y0, self.x1, self.y1), self.factor, 0)
            return encode_rle(cut >= 128)
        return [part.from_whole(polygon) for polygon in outline]


def plan(
    annotations: Annotations,
    sizes: list[tuple[int, int]],
    rule: CropRule,
    augment: AugmentConfig,
    backgrounds: float = 0.05,
    seed: int = 0,
    detail: float = 1.0,
) -> list[list[Cut]]:
    """What to cut out of each picture.

    Args:
        annotations: the set; objects that are trained on (no crowd, a labelled keypoint) get a part each.
        sizes: (width, height) of each picture in pixels.
        rule, augment: what crops will be made of the parts, at most.
        backgrounds: parts without any object from pictures with objects, as a share of the number of objects, where the
            objects' own parts leave much of their pictures out.
        seed: of what is chosen by chance.
        detail: packed pixels along a side for each pixel of the closest crop, at least, where a part is reduced. With 1
            no crop is enlarged that the whole picture's would not be, but other pixels are averaged together than of the
            whole picture; the more, the less that differs.

    Returns:
        For each picture its parts; none where there is nothing on it to learn from, but something that is no background.
    """
    objects = np.flatnonzero(annotations.usable)
    own = annotations.objects(objects)
    needed, shrink = reach(own, rule, augment), shrinkage(own.boxes, rule, augment)
    factors = np.maximum(np.floor(shrink[:, 0] / detail + 1e-9), 1).astype(int)
    cuts: list[list[Cut]] = [[] for _ in sizes]
    for row, index in enumerate(objects.tolist()):
        image, factor = int(annotations.image[index]), int(factors[row])
        grain = factor * (BLOCKS if shrink[row, 1] / factor > rule.reduce_above else 1)
        # What is averaged or interpolated reaches over the crop's edge.
        pad = 2 * max(1.0, float(shrink[row, 1]))
        box = needed[row] + (-pad, -pad, pad, pad)
        cuts[image].append(_cut(image, index, box, sizes[image], factor, grain))
    _add_empty(cuts, annotations, sizes, crop_sides(own.boxes, rule), factors, seed)
    _add_backgrounds(cuts, annotations, sizes, rule, round(backgrounds * len(objects)), seed)
    return cuts


def _cut(
    image: int, index: int | None, box: Array, size: tuple[int, int], factor: int = 1, grain: int | None = None
) -> Cut:
    """The part of a picture inside a box, in whole grains from the picture's corner."""
    grain, extent = grain or factor, np.array(size)
    # At least one grain of the picture, however far outside a wrong box lies.
    low = np.clip(np.floor((box[:2] + 0.5) / grain), 0, (extent - 1) // grain) * grain
    high = np.minimum(np.maximum(np.ceil((box[2:] + 0.5) / grain) * grain, low + grain), extent)
    if factor == 1 and (high - low).prod() >= WHOLE * extent.prod():
        low, high = np.zeros(2), extent
    (x0, y0), (x1, y1) = low.astype(int).tolist(), high.astype(int).tolist()
    return Cut(image, index, x0, y0, x1, y1, factor)


def _add_empty(
    cuts: list[list[Cut]],
    annotations: Annotations,
    sizes: list[tuple[int, int]],
    sides: Array,
    factors: NDArray[np.int64],
    seed: int,
) -> None:
    """Of each picture without any object, a place as large as crops without objects are taken from."""
    if not len(sides):
        return
    room, factor = ROOM * float(np.percentile(sides.max(1), 90)), int(np.median(factors))
    shown = set(annotations.image.tolist())
    for image, size in enumerate(sizes):
        if image in shown:
            continue
        rng = np.random.default_rng((seed, image))
        extent = np.minimum(np.array(size), room)
        low = rng.uniform(0, 1, 2) * (np.array(size) - extent) - 0.5
        cuts[image].append(_cut(image, None, np.concatenate([low, low + extent]), size, factor))


def _add_backgrounds(
    cuts: list[list[Cut]], annotations: Annotations, sizes: list[tuple[int, int]], rule: CropRule, count: int, seed: int
) -> None:
    """Places without any object on pictures of which the objects' parts leave much out, one a picture at most."""
    rng = np.random.default_rng((seed, 1 << 22))
    of_image: dict[int, list[int]] = {}
    for i, image in enumerate(annotations.image.tolist()):
        of_image.setdefault(image, []).append(i)
    taken = 0
    for image in rng.permutation([i for i, own in enumerate(cuts) if own and own[0].object is not None]).tolist():
        if taken >= count:
            return
        size, largest = sizes[image], max(cuts[image], key=lambda cut: (cut.x1 - cut.x0) * (cut.y1 - cut.y0))
        if (largest.x1 - largest.x0) * (largest.y1 - largest.y0) >= WHOLE * size[0] * size[1]:
            continue
        assert largest.object is not None
        box = annotations.boxes[largest.object]
        side = float((box[2:] - box[:2]).max()) * rule.margin
        found = [negative_box(size, annotations.boxes[of_image[image]], side, rng) for _ in range(4)]
        places = [place for place in found if place is not None]
        if places:
            place = max(places, key=lambda place: float(place[2] - place[0]))
            # Inwards to whole blocks: what lies beside the place may be an object.
            low, high = np.ceil((place[:2] + 0.5) / largest.factor), np.floor((place[2:] + 0.5) / largest.factor)
            if (high > low).all():
                x0, y0, x1, y1 = (np.concatenate([low, high]) * largest.factor).astype(int).tolist()
                cuts[image].append(Cut(image, None, x0, y0, x1, y1, largest.factor))
                taken += 1
