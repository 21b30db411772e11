"""A model on a labelled set: every object's own box in, one pose for each object out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.media.labelled import picture_source
from posewright.metrics.results import Predicted
from posewright.poses import Poses
from posewright.skeleton import Skeleton

Result = TypeVar("Result")


class Model(Protocol):
    """What can be run on a labelled set; :class:`posewright.Predictor` is one."""

    skeleton: Skeleton

    def predict_batch(
        self, pictures: Sequence[Any], boxes: Sequence[ArrayLike | None], *, flip: bool, batch_size: int
    ) -> list[Poses]: ...


def run_model(
    model: Model,
    truth: Annotations,
    *,
    flip: bool = False,
    batch_size: int = 16,
    skip_bad: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[Predicted, Annotations]:
    """Run a model on every labelled object, in its labelled box.

    Args:
        model: finds at least the keypoints of ``truth.skeleton``, in any order.
        truth: the labels. Objects without any labelled keypoint, crowds and pictures without objects are not run.
        flip: average with the mirrored picture.
        batch_size: crops in one run of the net.
        skip_bad: leave pictures that cannot be used out, and list them, instead of stopping at the first.
        progress: called with the number of objects done since the last call.

    Returns:
        The predictions, and the labelled set they are for: ``truth`` without the pictures that were left out.

    Raises:
        PosewrightError: where the model lacks a keypoint, or a picture is missing, broken or not of the labelled size.
    """
    order = keypoint_order(model.skeleton, truth.skeleton)
    result = Predicted.nothing(len(truth), len(truth.skeleton))

    def run(pictures: Sequence[Any], boxes: Sequence[ArrayLike]) -> list[Poses]:
        return model.predict_batch(pictures, boxes, flip=flip, batch_size=batch_size)

    def keep(objects: NDArray[np.int64], poses: Poses) -> None:
        result.xy[objects], result.score[objects] = poses.xy[:, order], poses.score[:, order]
        result.presence[objects] = poses.presence
        for name, width in (("covariance", (3,)), ("visibility", ())):
            told = getattr(poses, name)
            if told is None:
                continue
            if getattr(result, name) is None:
                setattr(result, name, np.full((*result.score.shape, *width), np.nan))
            getattr(result, name)[objects] = told[:, order]

    bad, result.skipped = over_objects(
        truth, run, keep, lambda poses: poses, batch_size=batch_size, skip_bad=skip_bad, progress=progress
    )
    if not bad:
        return result, truth
    images = np.ones(len(truth.images), bool)
    images[bad] = False
    return result.objects(images[truth.image]), truth.subset(images)


def over_objects(
    truth: Annotations,
    run: Callable[[Sequence[Any], Sequence[ArrayLike]], list[Result]],
    keep: Callable[[NDArray[np.int64], Result], None],
    poses_of: Callable[[Result], Poses],
    *,
    batch_size: int,
    skip_bad: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[int], list[str]]:
    """Run something on every labelled object of a set, a few batches' pictures at a time.

    Args:
        truth: the labels; of which the usable ones are run.
        run: from pictures and the boxes on each to one result a picture.
        keep: is given the objects of a picture, and its result.
        poses_of: what of a result knows the picture's size.
        batch_size, skip_bad, progress: as :func:`run_model` has them.

    Returns:
        The pictures that could not be used, and one line for each.

    Raises:
        PosewrightError: where a picture cannot be used and ``skip_bad`` is not set.
    """
    bad: list[int] = []
    lines: list[str] = []

    def part(chunk: Chunk) -> None:
        pictures = [picture_source(truth, image) for image, _ in chunk]
        results = run(pictures, [truth.boxes[objects] for _, objects in chunk])
        for (image, objects), found in zip(chunk, results, strict=True):
            _check_size(truth, image, poses_of(found))
            keep(objects, found)

    for chunk in _chunks(truth, batch_size):
        try:
            part(chunk)
        except PosewrightError:
            if not skip_bad:
                raise
            for image, objects in chunk:  # one at a time, to find the bad one
                try:
                    part([(image, objects)])
                except PosewrightError as error:
                    bad.append(image)
                    lines.append(str(error))
        if progress:
            progress(sum(len(objects) for _, objects in chunk))
    return bad, lines


def keypoint_order(model: Skeleton, truth: Skeleton) -> list[int]:
    """For each keypoint of the labels, its place in the model's.

    Raises:
        PosewrightError: where the model does not find one of them.
    """
    missing = [name for name in truth.keypoints if name not in model.keypoints]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise PosewrightError(
            f"the model ('{model.name}') does not find '{missing[0]}'{more}, which the labels ('{truth.name}') have",
            fix="Take a model for these labels, or say with --skeleton which keypoints they have",
        )
    return [model.keypoints.index(name) for name in truth.keypoints]


Chunk = list[tuple[int, NDArray[np.int64]]]


def _chunks(truth: Annotations, batch_size: int) -> Iterator[Chunk]:
    """Pictures with the objects to run on each, together about four batches of crops at a time."""
    if batch_size < 1:
        raise PosewrightError(f"batch size must be at least 1, not {batch_size}")
    wanted = np.flatnonzero(truth.usable)
    wanted = wanted[np.argsort(truth.image[wanted], kind="stable")]
    chunk: Chunk = []
    count = 0
    for objects in np.split(wanted, np.flatnonzero(np.diff(truth.image[wanted])) + 1):
        if not len(objects):
            continue
        chunk.append((int(truth.image[objects[0]]), objects))
        count += len(objects)
        if count >= 4 * batch_size:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk


def _check_size(truth: Annotations, image: int, poses: Poses) -> None:
    im = truth.images[image]
    if im.width and poses.width and (im.width, im.height) != (poses.width, poses.height):
        raise PosewrightError(
            f"is {poses.width} x {poses.height}; the labels are for {im.width} x {im.height}",
            file=truth.image_path(image),
            fix="Label coordinates only fit the picture they were made on, turned the same way",
        )
