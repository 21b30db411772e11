"""Real crops for an export: some that a net was trained on, to see its values' ranges, and others to check the file on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.annotations import Annotations
from posewright.annotations.splits import spread_evenly
from posewright.errors import PosewrightError
from posewright.export.parity import CheckSet
from posewright.geometry import CropRule, Similarity
from posewright.media.labelled import picture_of
from posewright.metrics.evaluation import default_thresholds, usual_threshold
from posewright.metrics.normalise import normaliser_lengths
from posewright.models.checkpoint import Checkpoint
from posewright.skeleton import Skeleton
from posewright.skeletons import HAND_21
from posewright.warp import warp

Array = NDArray[np.float64]

CALIBRATE, CHECK = 128, 200
"""How many crops a net's values are seen on, and how many a file is checked on."""
SYNTHETIC_SEED = 20_260
"""Of the synthetic hands that stand in for the pictures of a model that was trained on such; no training uses it."""


@dataclass(frozen=True)
class Pictures:
    """What an export sees.

    Attributes:
        train: crops of the part that the model was trained on where that is known, with their labels.
        check: other crops, with their labels.
        words: where they come from.
    """

    train: CheckSet
    check: CheckSet
    words: str


def labelled_pictures(
    labels: Annotations,
    rule: CropRule,
    held: Callable[[Annotations], Annotations] | None = None,
    *,
    calibrate: int = CALIBRATE,
    check: int = CHECK,
    seed: int = 0,
) -> Pictures:
    """Crops of labelled pictures: to calibrate on those of the train split, to check on those of the val split.

    Args:
        labels: with splits; of a set without any, two parts by picture are taken.
        rule: the model's crop rule.
        held: splits a set as the model's own run did, see :func:`posewright.training.parting.held_out`.
        calibrate, check: how many objects of each.

    Raises:
        PosewrightError: where no object has a labelled keypoint, or a picture cannot be read.
    """
    if not {"train", "val"} <= labels.splits:
        labels = held(labels) if held is not None else labels.with_validation(0.5, seed)
    train, val = labels.of_split("train"), labels.of_split("val")
    usable = _usable(val)
    chosen = usable[spread_evenly(len(usable), check)]
    name = Path(labels.source).name or "the labels"
    seen = _check_set(train, rule, various(train, calibrate), f"objects of {name}")
    held_back = _check_set(val, rule, chosen, f"objects of {name}")
    words = f"{len(seen.crops)} objects of {name} to calibrate on, {len(held_back.crops)} others to check"
    return Pictures(seen, held_back, words)


def synthetic_hands(rule: CropRule, *, calibrate: int = CALIBRATE, check: int = CHECK) -> Pictures:
    """Crops of synthetic hands, for a model that was trained on such."""
    from posewright.synthetic import render_hand

    crops, points, boxes = [], [], []
    for index in range(calibrate + check):
        sample = render_hand(SYNTHETIC_SEED, index, empty_share=0)
        assert sample.box is not None
        similarity = rule.similarity(sample.box)
        crops.append(warp(sample.image, similarity, rule))
        points.append(_points_in_crop(sample.keypoints[0], similarity))
        boxes.append(_box_in_crop(sample.box, similarity))
    pixels, truth, around = np.stack(crops), np.stack(points), np.array(boxes)

    def part(which: slice) -> CheckSet:
        return _with_lengths(pixels[which], truth[which], HAND_21, around[which], None, "synthetic hands")

    words = f"{calibrate} synthetic hands to calibrate on, {check} others to check"
    return Pictures(part(slice(calibrate)), part(slice(calibrate, None)), words)


def pictures_for(checkpoint: Checkpoint, source: Path | None) -> Pictures | None:
    """The pictures that a checkpoint itself leads to: its training set where that still lies there, synthetic hands for a
    model that was trained on those; None where there are none.

    Args:
        source: the checkpoint's file, whose run knows what it held out.
    """
    from posewright.annotations import read_annotations
    from posewright.training.parting import held_out

    data = str(checkpoint.training.get("data") or "")
    if data.startswith("synthetic hands") and checkpoint.skeleton.keypoints == HAND_21.keypoints:
        return synthetic_hands(checkpoint.rule)
    path = Path(data)
    if not data or not path.exists():
        return None
    try:
        labels = read_annotations(path)
        if labels.skeleton.keypoints != checkpoint.skeleton.keypoints:
            return None
        return labelled_pictures(labels, checkpoint.rule, None if source is None else held_out(str(source), path))
    except PosewrightError:
        return None  # it was read with options that nobody knows now, or has changed since


def various(labels: Annotations, count: int) -> NDArray[np.int64]:
    """Up to ``count`` objects whose poses differ as much as they can: each next one is the furthest from those chosen
    (Gonzalez 1985, farthest-first traversal), so that rare poses are there as well as common ones.

    Poses are compared by their labelled keypoints in their box; objects without any are left out.
    """
    usable = _usable(labels)
    if len(usable) <= count:
        return usable
    boxes = labels.boxes[usable]
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1)
    places = (labels.keypoints[usable, :, :2] - middle[:, None]) / size[:, None, None]
    there = labels.labelled[usable]
    chosen = [0]
    away = np.full(len(usable), np.inf)
    while len(chosen) < count:
        both = there & there[chosen[-1]]
        gap = np.where(both, np.linalg.norm(places - places[chosen[-1]], axis=-1), 0.0).sum(1)
        # Of poses that share no keypoint nothing is known: they are as far apart as can be.
        away = np.minimum(away, np.where(both.any(1), gap / np.maximum(both.sum(1), 1), 1.0))
        away[chosen] = -1
        chosen.append(int(away.argmax()))
    return usable[np.sort(chosen)]


def _usable(labels: Annotations) -> NDArray[np.int64]:
    """The objects with a labelled keypoint that are no crowds."""
    usable = np.flatnonzero(labels.usable)
    if not len(usable):
        raise PosewrightError("has no object with labelled keypoints", file=labels.source or None)
    return usable


def _points_in_crop(keypoints: Array, similarity: Similarity) -> Array:
    return np.column_stack([similarity.apply(keypoints[:, :2]), keypoints[:, 2]])


def _box_in_crop(box: Array, similarity: Similarity) -> Array:
    corners = similarity.apply(np.asarray(box, float).reshape(2, 2))
    return np.concatenate([corners.min(0), corners.max(0)])


def _check_set(labels: Annotations, rule: CropRule, chosen: NDArray[np.int64], words: str) -> CheckSet:
    maps = [rule.similarity(box) for box in labels.boxes[chosen]]
    crops = np.stack(
        [warp(picture_of(labels, int(i)), m, rule) for i, m in zip(labels.image[chosen], maps, strict=True)]
    )
    points = np.stack([_points_in_crop(k, m) for k, m in zip(labels.keypoints[chosen], maps, strict=True)])
    boxes = np.array([_box_in_crop(box, m) for box, m in zip(labels.boxes[chosen], maps, strict=True)])
    heads = labels.head_size[chosen] * [m.scale for m in maps]
    return _with_lengths(crops, points, labels.skeleton, boxes, heads, words)


def _with_lengths(
    crops: NDArray[np.uint8], points: Array, skeleton: Skeleton, boxes: Array, heads: Array | None, words: str
) -> CheckSet:
    normaliser = skeleton.normaliser
    lengths = normaliser_lengths((points, boxes, heads), skeleton, normaliser)
    threshold = usual_threshold(normaliser, default_thresholds(normaliser))
    return CheckSet(crops, words, points, lengths, f"PCK@{threshold:g} ({normaliser})", threshold)
