"""What a model's heat maps say about the places of a set's labels, as numbers: the maps themselves are not kept.

Each map, made to sum to 1, is read as the density of where its keypoint lies; so are blurred copies of it. They are read at
four places for every keypoint: at its label, at the label of its left-right partner, at a random place of the crop, and
where another object of the set has it. The last two show what the maps say of labels that are certainly wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.annotations.tables import Annotations
from posewright.geometry import cell_to_input, input_to_cell
from posewright.metrics.running import keypoint_order, over_objects
from posewright.runtime.modelfile import ModelInfo
from posewright.runtime.predictor import Mapped
from posewright.skeleton import Skeleton

Array = NDArray[np.float64]

LABEL, PARTNER, RANDOM, FOREIGN = range(4)
"""The places that a keypoint's map is read at."""
BLURS = (0.0, 0.03, 0.08, 0.16)
"""Standard deviations of the blurred copies, as shares of the map's longer side."""
DRAWN_SIGMA = 1.5
"""Cells: the gaussian drawn for a keypoint of a model file without heat maps that tells no covariance."""


class Model(Protocol):
    """What can be asked for maps; :class:`posewright.Predictor` is one."""

    skeleton: Skeleton
    info: ModelInfo

    def predict_maps(
        self, pictures: Sequence[Any], boxes: Sequence[ArrayLike | None], *, flip: bool, batch_size: int
    ) -> list[Mapped]: ...


@dataclass
class Evidence:
    """What a model says of N objects with K keypoints.

    Attributes:
        seen: ``[N]`` whether the model was run on the object.
        density: ``[N, K, 4, B]`` float32: of each keypoint's map at the four places, with B amounts of blur. Over the
            crop the densities have the mean 1; outside it they are 0.
        random: ``[N, K, 2]`` the random places, in pixels of the picture.
        score: ``[N, K]`` height of the own map's peak.
        found: ``[N, K, 2]`` where the model has the keypoint, in pixels of the picture.
        presence: ``[N]``.
        skipped: one line for each picture that could not be used.
    """

    seen: NDArray[np.bool_]
    density: NDArray[np.float32]
    random: Array
    score: Array
    found: Array
    presence: Array
    skipped: list[str] = field(default_factory=list)

    @classmethod
    def nothing(cls, objects: int, keypoints: int) -> Evidence:
        """For so many objects, before any has been looked at."""
        density, places = np.zeros((objects, keypoints, 4, len(BLURS)), np.float32), (objects, keypoints, 2)
        columns = np.zeros(places), np.zeros((objects, keypoints)), np.full(places, np.nan), np.zeros(objects)
        return cls(np.zeros(objects, bool), density, *columns)

    def put(self, objects: NDArray[np.int64], part: Evidence) -> None:
        """Take what ``part`` says of its own objects, which are ``objects`` here."""
        for name in (f.name for f in fields(self) if f.name != "skipped"):
            getattr(self, name)[objects] = getattr(part, name)
        self.skipped += part.skipped


def gather(
    model: Model,
    labels: Annotations,
    *,
    flip: bool = False,
    batch_size: int = 16,
    skip_bad: bool = False,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Evidence:
    """Run a model on every labelled object, in its labelled box, and read its maps at the labels.

    Args:
        model: finds at least the keypoints of the labels, in any order.
        labels: the set; objects without labelled keypoints, and crowds, are left out.
        flip: average the maps with those of the mirrored picture.
        batch_size: crops in one run of the net.
        skip_bad: leave pictures that cannot be used out, and list them, instead of stopping at the first.
        seed: of the random places and foreign poses.
        progress: called with the number of objects done since the last call.

    Raises:
        PosewrightError: where the model lacks a keypoint, or a picture is missing, broken or not of the labelled size.
    """
    order = keypoint_order(model.skeleton, labels.skeleton)
    evidence = Evidence.nothing(len(labels), len(labels.skeleton))
    reader = _Reader(model.info, labels, order, seed)

    def run(pictures: Sequence[Any], boxes: Sequence[ArrayLike]) -> list[Mapped]:
        return model.predict_maps(pictures, boxes, flip=flip, batch_size=batch_size)

    def keep(objects: NDArray[np.int64], mapped: Mapped) -> None:
        evidence.presence[objects] = mapped.poses.presence
        evidence.found[objects] = mapped.poses.xy[:, order]
        evidence.score[objects] = mapped.poses.score[:, order]
        for place, i in enumerate(objects.tolist()):
            evidence.density[i], evidence.random[i] = reader.read(i, mapped, place)
        evidence.seen[objects] = True

    _, evidence.skipped = over_objects(
        labels, run, keep, lambda mapped: mapped.poses, batch_size=batch_size, skip_bad=skip_bad, progress=progress
    )
    return evidence


class _Reader:
    """Reads one object's maps at the four places of each keypoint."""

    def __init__(self, info: ModelInfo, labels: Annotations, order: list[int], seed: int) -> None:
        self.info, self.labels, self.order = info, labels, order
        self.partner = np.array(labels.skeleton.flip_order())
        self.rng = np.random.default_rng(seed)
        low, high = labels.boxes[:, :2], labels.boxes[:, 2:]
        self.centre, self.side = (low + high) / 2, (high - low).max(1)
        wanted = np.flatnonzero(labels.usable)
        self.foreign = np.arange(len(labels))
        self.foreign[wanted] = wanted[_derangement(len(wanted), self.rng)]

    def read(self, i: int, mapped: Mapped, place: int) -> tuple[NDArray[np.float32], Array]:
        """``[K, 4, B]`` and ``[K, 2]``, see :attr:`Evidence.density` and ``random``."""
        labels, to_crop, (width, height) = self.labels, mapped.to_crop[place], self.info.input_size
        own, j = labels.keypoints[i, :, :2], self.foreign[i]
        crop = self.rng.uniform((-0.5, -0.5), (width - 0.5, height - 0.5), (len(own), 2))
        random = to_crop.inverse().apply(crop)
        foreign = (labels.keypoints[j, :, :2] - self.centre[j]) / self.side[j] * self.side[i] + self.centre[i]
        places = np.stack([own, own[self.partner], random, foreign], 1)
        maps = self._drawn(mapped, place) if mapped.maps is None else mapped.maps[place][self.order]
        cells = input_to_cell(to_crop.apply(places), self.info.stride) + self.info.label_shift
        return _sample(_levels(maps), cells), random

    def _drawn(self, mapped: Mapped, place: int) -> NDArray[np.float32]:
        """Gaussians at the keypoints of a model file without maps, as wide as it says that its errors are."""
        poses, to_crop, stride = mapped.poses, mapped.to_crop[place], self.info.stride
        width, height = (side // stride for side in self.info.input_size)
        at = to_crop.apply(poses.xy[place, self.order])
        spread = np.full(len(at), (DRAWN_SIGMA * stride) ** 2)
        if poses.covariance is not None:
            told = poses.covariance[place, self.order]
            spread = np.maximum((told[:, 0] + told[:, 2]) / 2 * to_crop.scale**2, 1.0)
        x, y = cell_to_input(np.arange(width), stride), cell_to_input(np.arange(height), stride)
        squared = (x - at[:, :1])[:, None, :] ** 2 + (y - at[:, 1:])[:, :, None] ** 2
        maps = poses.score[place, self.order][:, None, None] * np.exp(-squared / (2 * spread[:, None, None]))
        return maps.astype(np.float32)


def _derangement(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """An order in which nothing stays where it is, where there are at least two things."""
    order = rng.permutation(count)
    turned = np.empty(count, np.int64)
    turned[order] = np.roll(order, 1)
    return turned


def _levels(maps: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Maps ``[K, h, w]`` as densities with the mean 1, ``[B, K, h, w]``: as they are, and blurred."""
    plain = np.maximum(maps, 0).astype(np.float32)
    side = max(plain.shape[1:])
    # OpenCV takes a picture's channels last.
    stacked = np.ascontiguousarray(np.moveaxis(plain, 0, -1))
    levels = [plain]
    for share in BLURS[1:]:
        blurred = [
            cv2.GaussianBlur(part, (0, 0), share * side, borderType=cv2.BORDER_CONSTANT)
            for part in np.split(stacked, range(4, stacked.shape[2], 4), 2)
        ]
        whole = np.concatenate([b.reshape(*plain.shape[1:], -1) for b in blurred], 2)
        levels.append(np.moveaxis(whole, -1, 0))
    found = np.stack(levels)
    return found / np.maximum(found.mean((2, 3), keepdims=True), 1e-9)


def _sample(levels: NDArray[np.float32], cells: Array) -> NDArray[np.float32]:
    """Values ``[K, P, B]`` of maps ``[B, K, h, w]`` at cells ``[K, P, 2]``, linear between cells and 0 outside the map."""
    height, width = levels.shape[2:]
    inside = np.all((cells > -0.5) & (cells < (width - 0.5, height - 0.5)), axis=2)
    clipped = np.clip(np.where(inside[..., None], cells, 0), 0, (width - 1.001, height - 1.001))
    x0, y0 = np.floor(clipped).astype(int).transpose(2, 0, 1)
    fx, fy = (clipped - np.stack([x0, y0], 2)).transpose(2, 0, 1).astype(np.float32)
    k = np.arange(len(cells))[:, None]
    top = levels[:, k, y0, x0] * (1 - fx) + levels[:, k, y0, x0 + 1] * fx
    bottom = levels[:, k, y0 + 1, x0] * (1 - fx) + levels[:, k, y0 + 1, x0 + 1] * fx
    return np.moveaxis((top * (1 - fy) + bottom * fy) * inside, 0, -1)
