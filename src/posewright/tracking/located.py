"""A keypoint model on whole pictures: a locator finds the objects, the model their keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.poses import Poses
from posewright.runtime.detectors import load_detector
from posewright.runtime.locator import load_locator
from posewright.runtime.modelfile import is_described
from posewright.runtime.names import find_model
from posewright.runtime.predictor import Predictor
from posewright.tracking.crowd import Locator

MOST = 100
"""Objects of one picture, the locator's best."""


def open_locator(
    spec: str | Path,
    classes: Sequence[str] = (),
    *,
    device: str = "auto",
    threads: int | None = None,
    threshold: float | None = None,
    tiles: int = 0,
) -> Locator:
    """The locator that a person names.

    Args:
        spec: a locator's model file, the run folder that holds one, a shipped name; or another project's detector (*.onnx),
            see :mod:`posewright.runtime.detectors`.
        classes: names or numbers of the classes that count, for another project's detector; all where empty.
        device, threads: as for :func:`posewright.load`.
        threshold: least score of a box; the locator's own where None.
        tiles: for posewright's own locators, look again at so many tiles along each side; 0 for the whole picture only.

    Raises:
        PosewrightError: where there is no such file, it is no locator, or an option does not go with it.
    """
    path = find_model(spec)
    if path.suffix.lower() != ".onnx":
        raise PosewrightError("is no ONNX file", file=path, fix="Name a locator's run folder, or a detector's *.onnx")
    if is_described(path):
        if classes:
            raise PosewrightError("finds one kind of object; --classes is for other detectors' files", file=path)
        return load_locator(path, device, threads, threshold=threshold, tiles=tiles)
    if tiles:
        raise PosewrightError("tiles go with posewright's own locators", file=path)
    return load_detector(path, classes, device, threads, threshold)


def parse_classes(text: str | None) -> tuple[str, ...]:
    """The classes of an option such as ``person,dog``.

    Raises:
        PosewrightError: where one of them is empty.
    """
    if text is None:
        return ()
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise PosewrightError(f"classes '{text}' hold an empty name", fix="Write them like person,dog")
    return names


def locate(
    model: Predictor,
    locator: Locator,
    image: NDArray[np.uint8],
    *,
    flip: bool = False,
    batch_size: int = 16,
    min_presence: float = 0.0,
    most: int = MOST,
) -> Poses:
    """The poses of all objects of one picture, in pixels of it, the locator's surest first; see :func:`locate_batch`."""
    options = {"flip": flip, "batch_size": batch_size, "min_presence": min_presence, "most": most}
    return locate_batch(model, locator, [image], **options)[0]  # type: ignore[arg-type]


def locate_batch(
    model: Predictor,
    locator: Locator,
    images: Sequence[NDArray[np.uint8]],
    *,
    flip: bool = False,
    batch_size: int = 16,
    min_presence: float = 0.0,
    most: int = MOST,
) -> list[Poses]:
    """The poses of all objects of several pictures; the crops of all of them share batches.

    Args:
        model: finds the keypoints of one object in a box.
        locator: finds the boxes, which become those of the poses.
        images: ``uint8 [H, W, 3]`` RGB.
        flip: average with the mirrored crops.
        batch_size: crops in one run of the net.
        min_presence: leave out poses whose presence is lower.
        most: objects of one picture, the locator's best.
    """
    boxes = [locator.find(image)[0][:most] for image in images]
    return model.predict_batch(images, boxes, flip=flip, batch_size=batch_size, min_presence=min_presence)
