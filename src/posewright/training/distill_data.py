"""The samples of a student: its own crop, the teacher's view of the same crop, and pictures without labels among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posewright.annotations import Annotations, Image
from posewright.annotations.keypoints import BOX_MARGIN
from posewright.errors import PosewrightError
from posewright.geometry import CropRule, Similarity, expand_box, keypoints_box, picture_box
from posewright.media.header import picture_size
from posewright.media.pictures import read_picture
from posewright.training.augment_config import AugmentConfig
from posewright.training.dataset import CropDataset, Placed, Sample
from posewright.training.perspective import CropMap
from posewright.training.teachers import Teacher
from posewright.training.views import Views
from posewright.warp import warp

if TYPE_CHECKING:
    from posewright.training.teacher_cache import TeacherCache

THERE = 0.5
"""The presence from which on a teacher's find on an unlabelled picture is believed."""
SURE = 0.2
"""The score from which on a keypoint that the teacher found there counts for the box."""


@dataclass(frozen=True)
class CanvasMap(CropMap):
    """Picture to canvas: the way to the student's crop, and on from there."""

    onwards: Similarity = Similarity(np.eye(2, 3))  # noqa: RUF009  frozen

    @classmethod
    def after(cls, place: CropMap, onwards: Similarity) -> CanvasMap:
        return cls(onwards @ place.similarity, place.tilt, onwards)

    @property
    def tilt_matrix(self) -> NDArray[np.float64] | None:
        """The tilt, which is one of the crop's pixels, as a map of canvas pixels."""
        if self.tilt is None:
            return None
        there = np.vstack([self.onwards.matrix, [0, 0, 1]])
        return np.asarray(there @ self.tilt.matrix @ np.linalg.inv(there))

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:  # type: ignore[override]
        """Map points ``[..., 2]`` from picture pixels to canvas pixels."""
        back = self.onwards.inverse()
        return self.onwards.apply(CropMap(back @ self.similarity, self.tilt).apply(points))


class DistillDataset(CropDataset):
    """Crops for a student and its teacher, cut from one canvas.

    Beside what :class:`CropDataset` gives, a sample has ``teacher_image``, ``uint8 [H, W, 3]`` of the teacher's size; or,
    where the teacher's outputs are kept, ``teacher_maps`` and ``teacher_weight`` as they are kept; with ``teacher_way``
    ``[3, 3]`` where they are of the plain crop: pixels of this one to pixels of that.

    Args:
        annotations: the labelled pictures, and behind them any unlabelled (:func:`with_unlabelled`), whose objects have no
            labelled keypoint.
        unlabelled: how many of the objects, at the end, are such.
        views: the geometry between the two nets.
        augment, seed: as for :class:`CropDataset`.
        turns: how many augmented views of each object there are, used in turn over the epochs; 0 for a new one each epoch.
    """

    def __init__(
        self,
        annotations: Annotations,
        views: Views,
        augment: AugmentConfig | None,
        seed: int,
        *,
        unlabelled: int = 0,
        turns: int = 0,
    ) -> None:
        super().__init__(annotations, views.student, augment, seed)
        self.objects = np.concatenate([self.objects, np.arange(len(annotations) - unlabelled, len(annotations))])
        self.first_unlabelled = len(annotations) - unlabelled
        self.views, self.turns, self.drawn = views, turns, views.canvas
        self.cache: TeacherCache | None = None
        self.memory: TeacherCache | None = None
        """What the teacher found on the plain crops, channels in their order there."""

    def __getitem__(self, key: tuple[int, ...] | int) -> Sample:
        epoch, item, *again = key if isinstance(key, tuple) else (0, key)
        if not self.turns:
            return super().__getitem__((epoch, item, *again))
        # An object that is shown again in the same epoch shows its next view.
        view = (epoch + sum(again)) % self.turns
        sample = super().__getitem__((view, item))
        if self.cache is not None:
            sample.update(self.cache.read(view, item))  # type: ignore[typeddict-item]
        return sample

    def _negative(self, index: int, rng: np.random.Generator) -> Sample | None:
        # Nobody knows what else is on an unlabelled picture.
        return super()._negative(index, rng) if index < self.first_unlabelled else None

    def drawing(self, place: CropMap) -> CropMap:
        return CanvasMap.after(place, self.views.to_canvas)

    def _sample(self, crop: NDArray[np.uint8], placed: Placed, index: int, rng: np.random.Generator) -> Sample:
        sample = super()._sample(crop, placed, index, rng)
        if self.memory is not None:
            kept = self.memory.read(0, int(np.searchsorted(self.objects, index)))
            maps, weight = kept["teacher_maps"], kept["teacher_weight"]
            # Behind the keypoints, the background stays where it is.
            order = np.r_[placed.order, len(placed.order) : len(weight)]
            way = _homogeneous(self.rule.similarity(self.annotations.boxes[index])) @ np.linalg.inv(
                _matrix(placed.place)
            )
            sample.update(  # type: ignore[call-arg]
                teacher_maps=maps[:, order],
                teacher_weight=weight[order],
                teacher_way=torch.from_numpy(way.astype(np.float32)),
            )
        return sample

    def inputs(self, drawn: NDArray[np.uint8]) -> dict[str, Tensor]:
        found = {"image": torch.from_numpy(self.views.for_student(drawn))}
        if self.cache is None and self.memory is None:
            found["teacher_image"] = torch.from_numpy(self.views.for_teacher(drawn))
        return found


def _homogeneous(similarity: Similarity) -> NDArray[np.float64]:
    return np.vstack([similarity.matrix, [0, 0, 1]])


def _matrix(place: CropMap) -> NDArray[np.float64]:
    """``[3, 3]``: picture to crop pixels."""
    flat = _homogeneous(place.similarity)
    return flat if place.tilt is None else np.asarray(place.tilt.matrix @ flat)


def with_unlabelled(labelled: Annotations, pictures: list[Path], boxes: NDArray[np.float64]) -> Annotations:
    """The labelled set with unlabelled pictures behind it, each with one object of which no keypoint is labelled.

    Args:
        boxes: ``[N, 4]``, the object's box on each picture, in its pixels.
    """
    k, n, first = len(labelled.skeleton), len(pictures), len(labelled.images)
    known = {labelled.image_path(i).resolve() for i in range(first)}
    for path in pictures:
        if path.resolve() in known:
            raise PosewrightError(
                "is among the labelled pictures, too", file=path, fix="Give --unlabelled a folder of other pictures"
            )
    images = [Image(str(p.resolve()), *picture_size(p), split="train") for p in pictures]
    return replace(
        labelled,
        images=[*labelled.images, *images],
        image=np.concatenate([labelled.image, np.arange(first, first + n)]),
        keypoints=np.concatenate([labelled.keypoints, np.zeros((n, k, 3))]),
        boxes=np.concatenate([labelled.boxes, boxes]),
        iscrowd=np.concatenate([labelled.iscrowd, np.zeros(n, bool)]),
        area=np.concatenate([labelled.area, (boxes[:, 2:] - boxes[:, :2]).prod(1)]),
        weight=np.concatenate([labelled.weight, np.ones(n)]),
        track=np.concatenate([labelled.track, np.full(n, -1)]),
        head_size=np.concatenate([labelled.head_size, np.full(n, np.nan)]),
        polygons=[*labelled.polygons, *([] for _ in range(n))],
    )


def whole_boxes(pictures: list[Path], rule: CropRule) -> NDArray[np.float64]:
    """``[N, 4]``: the boxes whose crops by this rule, margin included, show just the whole pictures."""
    aspect = rule.size[0] / rule.size[1]
    return np.stack([expand_box(picture_box(*picture_size(p)), 1 / rule.margin, aspect) for p in pictures])


def found_boxes(
    pictures: list[Path],
    teacher: Teacher,
    rule: CropRule,
    device: str,
    batch: int = 32,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """``[N, 4]``: boxes around what the teacher finds on the whole pictures.

    Where its presence (its mean score, if it has none) says that nothing is there, the box of :func:`whole_boxes`.

    Args:
        rule: the student's crop rule.
        device: where the crops are put for the teacher.
        progress: called with the number of pictures done since the last call.
    """
    boxes = whole_boxes(pictures, rule)
    for start in range(0, len(pictures), batch):
        part = pictures[start : start + batch]
        places = [teacher.rule.letterbox(*picture_size(p)) for p in part]
        crops = [warp(read_picture(p), place, teacher.rule) for p, place in zip(part, places, strict=True)]
        seen = teacher(torch.from_numpy(np.stack(crops)).to(device))
        points = seen.points.cpu().double().numpy()
        presence = points[..., 2].mean(1) if seen.presence is None else seen.presence.cpu().numpy()
        for i, (place, found) in enumerate(zip(places, points, strict=True)):
            sure = found[:, 2] >= SURE
            xy = place.inverse().apply(found[:, :2])
            box = keypoints_box(np.column_stack([xy, sure]), BOX_MARGIN)
            if presence[i] >= THERE and sure.sum() > 1 and box is not None:
                boxes[start + i] = box
        if progress:
            progress(len(part))
    return boxes
