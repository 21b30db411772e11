"""What a predictor takes: pictures and boxes, checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.errors import PosewrightError
from posewright.media.labelled import VideoFrame

Picture = str | Path | VideoFrame | NDArray[np.uint8]
"""A picture file, a video's frame, or ``uint8 [H, W, 3]`` RGB, or grey ``uint8 [H, W]``."""

FURTHEST = 1e5
"""Pixels from a picture's corner that no box reaches."""


def pixels_of(picture: Picture) -> tuple[NDArray[np.uint8], str]:
    """A picture's pixels, and its name for messages.

    Raises:
        PosewrightError: where a file cannot be read, or an array is no picture.
    """
    if isinstance(picture, VideoFrame):
        return picture.read(), str(picture.path)
    if isinstance(picture, str | Path):
        from posewright.media.pictures import read_picture

        return read_picture(picture), str(picture)
    image = np.asarray(picture)
    shape_fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not shape_fits or image.size == 0:
        what = f"a picture is uint8 [H, W, 3] RGB or [H, W] grey, not {image.dtype} {list(image.shape)}"
        raise PosewrightError(what)
    return image, ""


def checked_boxes(boxes: ArrayLike, source: str) -> NDArray[np.float64]:
    """Boxes as ``[N, 4]``.

    Raises:
        PosewrightError: naming ``source``, where they are no boxes, one has no area, or reaches absurdly far.
    """
    array = np.asarray(boxes, float)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        what = f"boxes are [N, 4] (x0, y0, x1, y1), not of shape {list(array.shape)}"
        raise PosewrightError(what, file=source or None)
    bad = ~np.isfinite(array).all(1) | (array[:, 2:] <= array[:, :2]).any(1)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise PosewrightError(f"box {array[i].tolist()} has no area", file=source or None, record=f"box {i}")
    far = (np.abs(array) > FURTHEST).any(1)
    if far.any():
        i = int(np.flatnonzero(far)[0])
        what = f"box {array[i].tolist()} reaches further than any picture does"
        raise PosewrightError(what, file=source or None, record=f"box {i}")
    return array
