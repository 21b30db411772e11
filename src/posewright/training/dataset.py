"""Labelled pictures as training samples: crop, keypoints in the crop, and what each keypoint asks of the net."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypedDict

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from posewright.annotations import Annotations
from posewright.geometry import CropRule, Similarity
from posewright.media.pictures import read_picture
from posewright.training.augment import mirror_order, negative_box, random_similarity, vary_pixels
from posewright.training.augment_config import AugmentConfig
from posewright.warp import warp

IGNORED, DRAWN, EMPTY = 0, 1, 2
"""What a keypoint asks of its map: nothing, a gaussian, or silence."""
PLAIN = AugmentConfig(scale=0, rotation=0, shift=0, flip=0, colour=0, grey=0, blur=0, cutout=0, negative=0)
"""No augmentation at all."""


class Sample(TypedDict):
    """One training sample, or a batch of them.

    ``image`` uint8 [H, W, 3] RGB; ``points`` float32 [K, 2] in crop pixels; ``state`` uint8 [K], one of IGNORED, DRAWN,
    EMPTY; ``present`` bool: whether the crop is around an object; ``inverse`` float32 [2, 3], crop pixels to picture
    pixels; ``index`` int64, which object.
    """

    image: Tensor
    points: Tensor
    state: Tensor
    present: Tensor
    inverse: Tensor
    index: Tensor


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
        self.objects = np.flatnonzero(annotations.labelled.any(1) & ~annotations.iscrowd)
        order = np.argsort(annotations.image, kind="stable")
        starts = np.searchsorted(annotations.image[order], np.arange(len(annotations.images) + 1))
        self._of_image = [order[a:b] for a, b in itertools.pairwise(starts)]
        self.empty_images = np.array([i for i, o in enumerate(self._of_image) if len(o) == 0], int)

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, key: tuple[int, int] | int) -> Sample:
        epoch, item = key if isinstance(key, tuple) else (0, key)
        rng = np.random.default_rng((self.seed, epoch, int(item)))
        index = int(self.objects[item])
        if self.negatives and rng.random() < self.negatives:
            sample = self._negative(index, rng)
            if sample is not None:
                return sample
        return self._positive(index, rng)

    def _positive(self, index: int, rng: np.random.Generator) -> Sample:
        a = self.annotations
        box = a.boxes[index]
        if self.augment is None:
            similarity, mirrors = self.rule.similarity(box), [False, False]
        else:
            similarity, *mirrors = random_similarity(box, self.rule, self.augment, rng)
        order = mirror_order(a.skeleton, *mirrors)
        points, state = self._targets(a.keypoints[index][order], similarity)
        picture = read_picture(a.image_path(int(a.image[index])))
        return self._sample(picture, similarity, index, rng, points, state)

    def _negative(self, index: int, rng: np.random.Generator) -> Sample | None:
        """A crop that shows no object: of a picture without any where there are such, else beside the objects."""
        a = self.annotations
        image = int(a.image[index])
        side = float((a.boxes[index, 2:] - a.boxes[index, :2]).max()) * self.rule.margin
        if len(self.empty_images) and rng.random() < 0.5:
            image = int(rng.choice(self.empty_images))
        picture = read_picture(a.image_path(image))
        box = negative_box((picture.shape[1], picture.shape[0]), a.boxes[self._of_image[image]], side, rng)
        if box is None:
            return None
        # No zoom and no shift: both would bring into view what the box was chosen to leave out.
        still = replace(self.augment or PLAIN, scale=0.0, shift=0.0, rotation=0.0)
        similarity, *_ = random_similarity(box, replace(self.rule, margin=1.0), still, rng)
        k = len(a.skeleton)
        return self._sample(
            picture, similarity, index, rng, np.zeros((k, 2)), np.full(k, EMPTY, np.uint8), present=False
        )

    def _sample(
        self,
        picture: NDArray[np.uint8],
        similarity: Similarity,
        index: int,
        rng: np.random.Generator,
        points: NDArray[np.float64],
        state: NDArray[np.uint8],
        present: bool = True,
    ) -> Sample:
        crop = warp(picture, similarity, self.rule)
        if self.augment is not None:
            crop = vary_pixels(crop, self.augment, rng)
        return {
            "image": torch.from_numpy(crop),
            "points": torch.from_numpy(points.astype(np.float32)),
            "state": torch.from_numpy(state),
            "present": torch.tensor(present),
            "inverse": torch.from_numpy(similarity.inverse().matrix.astype(np.float32)),
            "index": torch.tensor(index),
        }

    def _targets(
        self, keypoints: NDArray[np.float64], similarity: Similarity
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Keypoints ``[K, 3]`` of the picture as points in the crop, and what each asks of its map."""
        points, labelled = similarity.apply(keypoints[:, :2]), keypoints[:, 2] > 0
        width, height = self.rule.size
        inside = (points >= -0.5).all(1) & (points[:, 0] < width - 0.5) & (points[:, 1] < height - 0.5)
        return points, np.where(labelled, np.where(inside, DRAWN, EMPTY), IGNORED).astype(np.uint8)


class EpochSampler(Sampler[tuple[int, int]]):
    """All items once an epoch, in an order decided by seed and epoch, from any position on.

    Args:
        count: items a pass.
        seed: of the order.
        batch_size: items a step; the rest of a pass that fills no batch is dropped.
        start: steps already taken; the first pass begins there.
    """

    def __init__(self, count: int, seed: int, batch_size: int, start: int = 0) -> None:
        self.count, self.seed, self.batch_size = count, seed, batch_size
        self.steps = count // batch_size
        self.start = start
        self.epoch = start // max(self.steps, 1)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        order = np.random.default_rng((self.seed, epoch, 1 << 20)).permutation(self.count)
        skip = self.start % self.steps if epoch == self.start // self.steps else 0
        for item in order[skip * self.batch_size : len(self)]:
            yield epoch, int(item)


def collate(samples: Sequence[Sample]) -> Sample:
    """Samples to one batch, stacked by numpy.

    A torch operation on the loader's thread would start a second team of OpenMP threads, and where there are more of them
    than cores OpenMP no longer lets any team wait actively: every layer of the net then pays for waking its threads.
    """
    stacked = {key: torch.from_numpy(np.stack([s[key].numpy() for s in samples])) for key in Sample.__annotations__}  # type: ignore[literal-required]
    return Sample(**stacked)  # type: ignore[typeddict-item]


def single_threaded(_worker: int) -> None:
    """Loader processes share the cores with the training process: OpenCV must not spread out in each."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
