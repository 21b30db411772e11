"""Labelled pictures as a locator's training samples: the whole picture, and the boxes of what it shows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from posewright.annotations import Annotations
from posewright.geometry import CropRule, Similarity, picture_box
from posewright.media.labelled import picture_of
from posewright.models.centres import ABSENT, IGNORED, OBJECT
from posewright.training.augment import vary_pixels
from posewright.training.augment_config import SceneAugment
from posewright.training.colour import strength_factor
from posewright.warp import warp

Array = NDArray[np.float64]
Rng = np.random.Generator

SEEN = 0.4
"""Objects of which a smaller share of the box is left in the input are neither learned nor held against the net."""
MIDDLE = (0.35, 0.65)
"""Where the four pictures of a mosaic meet, as shares of its sides."""


class SceneSample(TypedDict):
    """One training sample, or a batch of them.

    ``image`` uint8 [H, W, 3] RGB; ``boxes`` float32 [M, 4] (x0, y0, x1, y1) in pixels of it; ``state`` uint8 [M], ``OBJECT``
    or ``IGNORED``, in a batch also ``ABSENT`` to fill up; ``index`` int64, which picture of the set.
    """

    image: Tensor
    boxes: Tensor
    state: Tensor
    index: Tensor


class SceneDataset(Dataset[SceneSample]):
    """The pictures of a set, with or without objects, fitted whole into the input.

    An item is asked for by (epoch, picture), and with the seed these two decide it completely: nothing depends on which
    process makes it or when.

    Args:
        annotations: pictures and objects. Crowds, and objects too small or too far outside the input to be found, are
            marked as places of which nothing is known.
        rule: the model's crop rule, of which size, border and reduction count.
        augment: how to vary the pictures; None for none.
        seed: of the augmentation.
        least_side: see :class:`posewright.training.locator_config.LocatorConfig`.
    """

    def __init__(
        self,
        annotations: Annotations,
        rule: CropRule,
        augment: SceneAugment | None = None,
        seed: int = 0,
        least_side: float = 4.0,
    ) -> None:
        self.annotations, self.rule, self.augment, self.seed = annotations, rule, augment, seed
        self.least_side = least_side
        order = np.argsort(annotations.image, kind="stable")
        starts = np.searchsorted(annotations.image[order], np.arange(len(annotations.images) + 1))
        self._of_image = [order[a:b] for a, b in itertools.pairwise(starts)]

    def __len__(self) -> int:
        return len(self.annotations.images)

    def __getitem__(self, key: tuple[int, ...] | int) -> SceneSample:
        epoch, item, *turn = key if isinstance(key, tuple) else (0, key)
        rng = np.random.default_rng((self.seed, epoch, int(item), *turn))
        config = self.augment
        if config is not None and config.mosaic and rng.random() < config.mosaic:
            image, boxes, state = self._mosaic(int(item), rng)
        else:
            image, boxes, state = self._single(int(item), self.rule, rng)
        if config is not None:
            image = vary_pixels(image, config, rng)
        return {
            "image": torch.from_numpy(image),
            "boxes": torch.from_numpy(boxes.astype(np.float32)),
            "state": torch.from_numpy(state),
            "index": torch.tensor(int(item)),
        }

    def _single(self, item: int, rule: CropRule, rng: Rng) -> tuple[NDArray[np.uint8], Array, NDArray[np.uint8]]:
        """One picture fitted into the rule's size: its pixels, boxes and their states."""
        picture = picture_of(self.annotations, item)
        place = self._place(picture.shape[1], picture.shape[0], rule, rng)
        objects = self._of_image[item]
        boxes, state = self._seen(self.annotations.boxes[objects], self.annotations.iscrowd[objects], place, rule.size)
        image = warp(picture, place, rule)
        return (image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)), boxes, state

    def _place(self, width: int, height: int, rule: CropRule, rng: Rng) -> Similarity:
        """The map from a picture to the input: fitted whole, then zoomed, moved and mirrored at random."""
        config = self.augment
        if config is None:
            return rule.letterbox(width, height)
        zoom = float(strength_factor(config.scale, rng))
        whole = rule.letterbox(width, height).scale * zoom
        room = np.abs(np.array(rule.size) - whole * np.array([width, height])) / 2
        dx, dy = (rng.uniform(-1, 1, 2) * config.shift * room / np.array(rule.size)).tolist()
        flip, flip_vertical = (bool(m) for m in rng.random(2) < (config.flip, config.flip_vertical))
        box = picture_box(width, height)
        return Similarity.crop(box, rule.size, scale=zoom, shift=(dx, dy), flip=flip, flip_vertical=flip_vertical)

    def _seen(
        self, boxes: Array, crowd: NDArray[np.bool_], place: Similarity, size: tuple[int, int]
    ) -> tuple[Array, NDArray[np.uint8]]:
        """Boxes of the picture as boxes of the input, cut at its edges, and what each is; those outside are left out."""
        corners = place.apply(boxes.reshape(-1, 2, 2))
        moved = np.concatenate([corners.min(1), corners.max(1)], 1)
        low, high = np.full(2, -0.5), np.array(size) - 0.5
        cut = np.concatenate([np.clip(moved[:, :2], low, high), np.clip(moved[:, 2:], low, high)], 1)
        sides = cut[:, 2:] - cut[:, :2]
        share = sides.prod(1) / np.maximum((moved[:, 2:] - moved[:, :2]).prod(1), 1e-9)
        known = ~crowd & (share >= SEEN) & (sides.min(1) >= self.least_side)
        there = (sides > 0).all(1)
        return cut[there], np.where(known, OBJECT, IGNORED).astype(np.uint8)[there]

    def _mosaic(self, item: int, rng: Rng) -> tuple[NDArray[np.uint8], Array, NDArray[np.uint8]]:
        """Four pictures, the one asked for and three others, each in its quarter of the input."""
        width, height = self.rule.size
        across, down = (rng.uniform(*MIDDLE, 2) * (width, height)).round().astype(int).tolist()
        items = rng.permutation([item, *rng.integers(0, len(self), 3).tolist()]).tolist()
        image = np.empty((height, width, 3), np.uint8)
        boxes, states = [], []
        quarters = itertools.product(((0, down), (down, height)), ((0, across), (across, width)))
        for which, ((top, bottom), (left, right)) in zip(items, quarters, strict=True):
            rule = CropRule((right - left, bottom - top), border=self.rule.border, reduce_above=self.rule.reduce_above)
            part, found, state = self._single(which, rule, rng)
            image[top:bottom, left:right] = part
            boxes.append(found + np.array([left, top, left, top]))
            states.append(state)
        return image, np.concatenate(boxes), np.concatenate(states)


def collate_scenes(samples: Sequence[SceneSample]) -> SceneSample:
    """Samples to one batch, their boxes filled up to the same number; stacked by numpy, as
    :func:`posewright.training.dataset.collate` does and for the same reason."""
    most = max(len(s["boxes"]) for s in samples)
    boxes = np.zeros((len(samples), most, 4), np.float32)
    state = np.full((len(samples), most), ABSENT, np.uint8)
    for i, sample in enumerate(samples):
        count = len(sample["boxes"])
        boxes[i, :count], state[i, :count] = sample["boxes"].numpy(), sample["state"].numpy()
    return {
        "image": torch.from_numpy(np.stack([s["image"].numpy() for s in samples])),
        "boxes": torch.from_numpy(boxes),
        "state": torch.from_numpy(state),
        "index": torch.from_numpy(np.stack([s["index"].numpy() for s in samples])),
    }
