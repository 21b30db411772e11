"""Labelled pictures as training samples: crop, keypoints in the crop, and what each keypoint asks of the net."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule, Similarity, negative_box
from posewright.media.labelled import picture_of
from posewright.training.accumulation import batches_before
from posewright.training.augment import mirror_order, random_similarity, vary_pixels
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.half_body import part_box
from posewright.training.paste import Backgrounds, object_opacity
from posewright.training.perspective import CropMap, random_tilt
from posewright.warp import warp

IGNORED, DRAWN, EMPTY = 0, 1, 2
"""What a keypoint asks of its map: nothing, a gaussian, or silence."""


class Sample(TypedDict):
    """One training sample, or a batch of them.

    ``image`` uint8 [H, W, 3] RGB; ``points`` float32 [K, 2] in crop pixels; ``state`` uint8 [K], one of IGNORED, DRAWN,
    EMPTY; ``visible`` uint8 [K]: of drawn keypoints the label's v (1 hidden, 2 visible), else 0; ``present`` bool: whether
    the crop is around an object; ``inverse`` float32 [2, 3], crop pixels to picture
    pixels, of the similarity alone where the crop is tilted; ``index`` int64, which object.
    """

    image: Tensor
    points: Tensor
    state: Tensor
    visible: Tensor
    present: Tensor
    inverse: Tensor
    index: Tensor


@dataclass(frozen=True)
class Placed:
    """Where a crop lies, and what it asks of the net.

    Attributes:
        place: picture pixels to crop pixels.
        order: ``[K]``, which of the object's keypoints stands in each place after the mirrors.
        points: ``[K, 2]`` in crop pixels.
        state, visible, present: as in :class:`Sample`.
    """

    place: CropMap
    order: NDArray[np.int64]
    points: NDArray[np.float64]
    state: NDArray[np.uint8]
    visible: NDArray[np.uint8]
    present: bool = True

    @classmethod
    def silent(cls, similarity: Similarity, keypoints: int) -> Placed:
        """A crop that shows no object."""
        nothing, silence = np.zeros(keypoints, np.uint8), np.full(keypoints, EMPTY, np.uint8)
        points = np.zeros((keypoints, 2))
        return cls(CropMap(similarity), np.arange(keypoints), points, silence, nothing, present=False)


class CropDataset(Dataset[Sample]):
    """Crops around the objects of a set.

    An item is asked for by (epoch, object), and with the seed these two decide it completely: nothing depends on which
    process makes it or when.

    Args:
        annotations: pictures and objects; crowds and objects without a labelled keypoint are left out as positives.
        rule: the model's crop rule.
        augment: how to vary the crops; None for plain crops.
        seed: of the augmentation.
        negatives: share of items replaced by a crop without the object; the augmentation's own where None.

    Raises:
        PosewrightError: where the augmentation's folder of backgrounds holds no picture, or no object has an outline to
            be cut out by.
    """

    def __init__(
        self,
        annotations: Annotations,
        rule: CropRule,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        negatives: float | None = None,
    ) -> None:
        self.annotations, self.rule, self.augment, self.seed = annotations, rule, augment, seed
        self.negatives = negatives if negatives is not None else (augment.negative if augment else 0.0)
        self.objects = np.flatnonzero(annotations.usable)
        order = np.argsort(annotations.image, kind="stable")
        starts = np.searchsorted(annotations.image[order], np.arange(len(annotations.images) + 1))
        self._of_image = [order[a:b] for a, b in itertools.pairwise(starts)]
        self.empty_images = np.array([i for i, o in enumerate(self._of_image) if len(o) == 0], int)
        self._backgrounds = self._find_backgrounds()
        self.drawn = rule

    @property
    def pastes(self) -> bool:
        """Whether objects are pasted onto other backgrounds."""
        return self._backgrounds is not None

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, key: tuple[int, ...] | int) -> Sample:
        epoch, item, *turn = key if isinstance(key, tuple) else (0, key)
        rng = np.random.default_rng((self.seed, epoch, int(item), *turn))
        index = int(self.objects[item])
        if self.negatives and rng.random() < self.negatives:
            sample = self._negative(index, rng)
            if sample is not None:
                return sample
        return self._positive(index, rng)

    def _place(self, index: int, rng: np.random.Generator) -> Placed:
        """Where an object's crop lies, and what its keypoints ask there."""
        a, config = self.annotations, self.augment
        box, mirrors = a.boxes[index], [False, False]
        if config is None:
            place = CropMap(self.rule.similarity(box))
        else:
            if config.half_body and rng.random() < config.half_body:
                part = part_box(a.keypoints[index], box, a.skeleton, rng)
                box = box if part is None else part
            similarity, *mirrors = random_similarity(box, self.rule, config, rng)
            place = CropMap(similarity, random_tilt(self.rule.size, config.perspective, rng))
        order = mirror_order(a.skeleton, *mirrors)
        keypoints = a.keypoints[index][order]
        points, state = self._targets(keypoints, place)
        visible = np.where(state == DRAWN, keypoints[:, 2], 0).astype(np.uint8)
        return Placed(place, order, points, state, visible)

    def _positive(self, index: int, rng: np.random.Generator) -> Sample:
        a, config = self.annotations, self.augment
        placed = self._place(index, rng)
        picture = picture_of(a, int(a.image[index]))
        drawn = self.drawing(placed.place)
        crop = warp(picture, drawn.similarity, self.drawn, drawn.tilt_matrix)
        if config and self._backgrounds and len(a.polygons[index]) and rng.random() < config.background_share:
            opacity = self._opacity(index, picture.shape[:2], drawn)
            crop = self._backgrounds.behind(crop, opacity, self.drawn, rng)
        return self._sample(crop, placed, index, rng)

    def drawing(self, place: CropMap) -> CropMap:
        """Picture to what is drawn, of the size of ``self.drawn``: the crop itself, unless a subclass draws more than that."""
        return place

    def inputs(self, drawn: NDArray[np.uint8]) -> dict[str, Tensor]:
        """The nets' inputs from what was drawn and varied, among them ``image``."""
        return {"image": torch.from_numpy(drawn)}

    def _find_backgrounds(self) -> Backgrounds | None:
        a = self.annotations
        if self.augment is None or not self.augment.background or not self.augment.background_share:
            return None
        if not any(len(a.polygons[i]) for i in self.objects):
            what = "no object has an outline (a polygon or a mask) to be cut out by"
            raise PosewrightError(what, file=a.source or None, fix="Leave --augment.background out")
        return Backgrounds(self.augment.background)

    def _opacity(self, index: int, size: tuple[int, int], place: CropMap) -> NDArray[np.uint8]:
        """How much of each pixel of the crop is the object's; ``size`` is the picture's (height, width)."""
        a = self.annotations
        try:
            return object_opacity(a.polygons[index], size, place, self.drawn)
        except ValueError as error:
            raise PosewrightError(f"the mask {error}", file=a.source or None, record=a.record(index)) from None

    def _negative_image(self, index: int, rng: np.random.Generator) -> int:
        """The picture of a crop that shows no object: one without any where there are such, else the object's own."""
        if len(self.empty_images) and rng.random() < 0.5:
            return int(rng.choice(self.empty_images))
        return int(self.annotations.image[index])

    def _negative_place(
        self, index: int, image: int, size: tuple[int, int], rng: np.random.Generator
    ) -> Similarity | None:
        """Where on that picture, of this (width, height), such a crop lies; None where there is no room for one."""
        a = self.annotations
        side = float((a.boxes[index, 2:] - a.boxes[index, :2]).max()) * self.rule.margin
        box = negative_box(size, a.boxes[self._of_image[image]], side, rng)
        if box is None:
            return None
        # No zoom and no shift: both would bring into view what the box was chosen to leave out.
        still = replace(self.augment or PLAIN, scale=0.0, shift=0.0, rotation=0.0)
        return random_similarity(box, replace(self.rule, margin=1.0), still, rng)[0]

    def _negative(self, index: int, rng: np.random.Generator) -> Sample | None:
        """A crop that shows no object; None where there is no room for one."""
        a = self.annotations
        image = self._negative_image(index, rng)
        picture = picture_of(a, image)
        similarity = self._negative_place(index, image, (picture.shape[1], picture.shape[0]), rng)
        if similarity is None:
            return None
        placed = Placed.silent(similarity, len(a.skeleton))
        crop = warp(picture, self.drawing(placed.place).similarity, self.drawn)
        return self._sample(crop, placed, index, rng)

    def _sample(self, crop: NDArray[np.uint8], placed: Placed, index: int, rng: np.random.Generator) -> Sample:
        if self.augment is not None:
            crop = vary_pixels(crop, self.augment, rng)
        return {
            **self.inputs(crop),  # type: ignore[typeddict-item]
            "points": torch.from_numpy(placed.points.astype(np.float32)),
            "state": torch.from_numpy(placed.state),
            "visible": torch.from_numpy(placed.visible),
            "present": torch.tensor(placed.present),
            "inverse": torch.from_numpy(placed.place.similarity.inverse().matrix.astype(np.float32)),
            "index": torch.tensor(index),
        }

    def _targets(self, keypoints: NDArray[np.float64], place: CropMap) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Keypoints ``[K, 3]`` of the picture as points in the crop, and what each asks of its map."""
        points, labelled = place.apply(keypoints[:, :2]), keypoints[:, 2] > 0
        width, height = self.rule.size
        inside = (points >= -0.5).all(1) & (points[:, 0] < width - 0.5) & (points[:, 1] < height - 0.5)
        return points, np.where(labelled, np.where(inside, DRAWN, EMPTY), IGNORED).astype(np.uint8)


class EpochSampler(Sampler[tuple[int, ...]]):
    """All items once an epoch, in an order decided by seed and epoch, from any position on.

    Several processes take equal, separate parts of the same batches: together they see what one process alone would see,
    step by step, so a run may be resumed with another number of them.

    Args:
        count: items a pass.
        seed: of the order.
        batch_size: items a step, over all ranks; the rest of a pass that fills no batch is dropped.
        start: steps already taken; the first pass begins there.
        rank: which of the processes this is.
        ranks: how many there are; ``batch_size`` is a multiple of it.
        weights: ``[count]``, how often each item is seen in a pass on average: 0 never, 1 once, 2.5 two or three times.
            A pass then has as many samples as the weights' sum, rounded down.
        accumulate: batches that make a step of the optimiser, of which ``start`` counts whole ones.

    Yields:
        (epoch, item), and (epoch, item, turn) from an item's second time in a pass on, so that each is augmented anew.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        batch_size: int,
        start: int = 0,
        rank: int = 0,
        ranks: int = 1,
        weights: NDArray[np.float64] | None = None,
        accumulate: int = 1,
    ) -> None:
        if batch_size % ranks:
            raise ValueError(f"a batch of {batch_size} does not divide evenly among {ranks} processes")
        self.count, self.seed, self.batch_size = count, seed, batch_size
        self.rank, self.ranks = rank, ranks
        self.ends = None if weights is None else np.cumsum(_checked(weights, count))
        # A sum such as ten times 0.1 falls short of what it means by a rounding error.
        self.samples = count if self.ends is None else int(self.ends[-1] + 1e-6)
        self.steps = self.samples // batch_size
        self.start = batches_before(start, self.steps, accumulate)
        self.epoch = self.start // max(self.steps, 1)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps * (self.batch_size // self.ranks)

    def _drawn(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The items of a pass in ascending order, and which time of each it is."""
        if self.ends is None:
            return np.arange(self.count), np.zeros(self.count, int)
        # Systematic sampling (Madow 1949): evenly spaced marks along the summed weights meet an item of weight w either
        # floor(w) or ceil(w) times. Marks and weights are laid out in an order of each epoch's own, or neighbours would
        # never be drawn together.
        rng = np.random.default_rng((self.seed, epoch, 1 << 21))
        shuffled = rng.permutation(self.count)
        ends = np.cumsum(np.diff(self.ends, prepend=0.0)[shuffled])
        marks = (rng.random() + np.arange(self.samples)) * (ends[-1] / self.samples)
        places = np.minimum(np.searchsorted(ends, marks, side="right"), self.count - 1)
        items = np.sort(shuffled[places])
        return items, np.arange(self.samples) - np.searchsorted(items, items)

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        epoch = self.epoch
        items, turns = self._drawn(epoch)
        order = np.random.default_rng((self.seed, epoch, 1 << 20)).permutation(self.samples)
        skip = self.start % self.steps if epoch == self.start // self.steps else 0
        batches = order[: self.steps * self.batch_size].reshape(self.steps, self.ranks, -1)
        for k in batches[skip:, self.rank].ravel():
            item, turn = int(items[k]), int(turns[k])
            yield (epoch, item, turn) if turn else (epoch, item)


def _checked(weights: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    weights = np.asarray(weights, float)
    if weights.shape != (count,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"weights are {count} finite numbers, none below 0")
    if weights.sum() < 1 - 1e-6:
        raise ValueError("the weights' sum is below 1: a pass would be empty")
    return weights


class ShareSampler(Sampler[int]):
    """One process's share of ``count`` items, each of which goes to exactly one process: none is repeated to even out."""

    def __init__(self, count: int, rank: int = 0, ranks: int = 1) -> None:
        self.items = range(rank, count, ranks)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[int]:
        return iter(self.items)


def collate(samples: Sequence[Sample]) -> Sample:
    """Samples to one batch, stacked by numpy.

    A torch operation on the loader's thread would start a second team of OpenMP threads, and where there are more of them
    than cores OpenMP no longer lets any team wait actively: every layer of the net then pays for waking its threads.
    """
    stacked = {key: torch.from_numpy(np.stack([s[key].numpy() for s in samples])) for key in samples[0]}  # type: ignore[literal-required]
    return Sample(**stacked)  # type: ignore[typeddict-item]


def single_threaded(_worker: int) -> None:
    """Loader processes share the cores with the training process: OpenCV must not spread out in each."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
