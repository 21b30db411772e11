"""Training samples as recipes: everything about them but their pixels, drawn as :class:`CropDataset` draws it.

A recipe costs an eighth of the time of the crop it stands for, and loader processes hand it on for next to nothing. Where the
pictures lie on the device (:mod:`posewright.training.on_device`), the crops are made there from recipes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posewright.annotations import Annotations
from posewright.geometry import CropRule
from posewright.media.labelled import labelled_size
from posewright.training.augment import PixelChange, random_pixels
from posewright.training.augment_config import AugmentConfig
from posewright.training.dataset import CropDataset, Placed
from posewright.training.perspective import CropMap


@dataclass(frozen=True)
class Recipe:
    """One sample without its pixels.

    Attributes:
        image: which picture it is cut from.
        place: the map from picture pixels to crop pixels.
        change: what happens to the crop's pixels.
        points, state, visible, present, inverse, index: as in :class:`posewright.training.dataset.Sample`, in numpy.
    """

    image: int
    place: CropMap
    change: PixelChange
    points: NDArray[np.float32]
    state: NDArray[np.uint8]
    visible: NDArray[np.uint8]
    present: bool
    inverse: NDArray[np.float32]
    index: int


class RecipeDataset(CropDataset):
    """The recipes of the samples that a :class:`CropDataset` of the same arguments gives, one for one.

    Their randomness is drawn from the same generators in the same order, so that it makes no difference to a run where its
    crops are made.
    """

    def __init__(
        self, annotations: Annotations, rule: CropRule, augment: AugmentConfig | None = None, seed: int = 0
    ) -> None:
        super().__init__(annotations, rule, augment, seed)
        self.sizes = [labelled_size(annotations, i) for i in range(len(annotations.images))]

    def _positive(self, index: int, rng: np.random.Generator) -> Recipe:  # type: ignore[override]
        return self._recipe(int(self.annotations.image[index]), self._place(index, rng), index, rng)

    def _negative(self, index: int, rng: np.random.Generator) -> Recipe | None:  # type: ignore[override]
        image = self._negative_image(index, rng)
        similarity = self._negative_place(index, image, self.sizes[image], rng)
        if similarity is None:
            return None
        return self._recipe(image, Placed.silent(similarity, len(self.annotations.skeleton)), index, rng)

    def _recipe(self, image: int, placed: Placed, index: int, rng: np.random.Generator) -> Recipe:
        width, height = self.rule.size
        change = random_pixels((height, width), self.augment, rng) if self.augment else PixelChange()
        inverse = placed.place.similarity.inverse().matrix.astype(np.float32)
        points = placed.points.astype(np.float32)
        return Recipe(image, placed.place, change, points, placed.state, placed.visible, placed.present, inverse, index)


def as_they_are(recipes: Sequence[Recipe]) -> list[Recipe]:
    """What a loader of recipes collates them by."""
    return list(recipes)


def cannot(dataset: CropDataset) -> str | None:
    """What of a data set's augmentation is not made on a device, in words; None where all of it is."""
    augment = dataset.augment
    if type(dataset) is not CropDataset:
        return "a teacher's pictures"
    if augment is not None and augment.clahe:
        return "augment.clahe"
    if augment is not None and dataset.pastes:
        return "augment.background"
    return None
