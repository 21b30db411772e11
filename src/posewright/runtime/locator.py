"""Finding objects anywhere in a picture with a model file of kind ``locator``. Needs no torch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.geometry import Similarity, overlaps, picture_box
from posewright.runtime.engines import Engine, open_engine
from posewright.runtime.modelfile import ModelInfo
from posewright.warp import warp

Array = NDArray[np.float64]

SAME = 0.5
"""Intersection over union from which of two found boxes only the better one is kept."""
SHARED = 0.25
"""Share of a tile's side by which tiles overlap at least."""
CUT = 3.0
"""Pixels of the input within which a box that ends at a tile's edge is taken to be cut off there."""


class CentreLocator:
    """A locator ready to run; made by :func:`load_locator`.

    Example::

        locator = load_locator("runs/locator")
        boxes, scores = locator.find(picture)

    Attributes:
        info: what the model file says about itself.
        threshold: boxes with a lower score are not told.
        tiles: 0 to look at the picture as a whole; T to look again at T x T tiles of it, for small objects in large
            pictures.
        device: what it runs on.
    """

    def __init__(self, engine: Engine, threshold: float | None = None, tiles: int = 0) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            raise PosewrightError(f"a locator's threshold is from 0 to 1, not {threshold:g}")
        if tiles < 0 or tiles == 1:
            raise PosewrightError(f"tiles are 2 or more along each side, or 0 for none, not {tiles}")
        self._engine, self.tiles = engine, tiles
        self.info: ModelInfo = engine.info
        self.device: str = engine.device
        self.threshold = self.info.threshold if threshold is None else threshold

    def __repr__(self) -> str:
        return f"CentreLocator('{self.info.skeleton.name}' at {self.info.size_text} on {self.device})"

    def find(self, image: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Find the objects of one picture.

        Args:
            image: ``uint8 [H, W, 3]`` RGB, or grey ``uint8 [H, W]``.

        Returns:
            Boxes ``[N, 4]`` (x0, y0, x1, y1) in pixels of the picture, cut at its edges, and their scores ``[N]``, best first.
        """
        image = as_rgb(image)
        height, width = image.shape[:2]
        whole = self.info.crop.letterbox(width, height)
        tiles = _tiles(width, height, self.tiles) if self.tiles else []
        maps = [whole, *(Similarity.crop(tile, self.info.input_size) for tile in tiles)]
        crops = np.stack([warp(image, place, self.info.crop) for place in maps])
        (found,) = self._engine.run(crops, ["boxes"])
        boxes, scores = [], []
        for i, (place, rows) in enumerate(zip(maps, np.asarray(found, float), strict=True)):
            rows = rows[rows[:, 4] >= max(self.threshold, 1e-6)]
            back = place.inverse().apply(rows[:, :4].reshape(-1, 2, 2)).reshape(-1, 4)
            if i:
                keep = ~_cut_off(back, tiles[i - 1], (width, height), CUT / place.scale)
                back, rows = back[keep], rows[keep]
            boxes.append(back)
            scores.append(rows[:, 4])
        return suppressed(*cut_at_edges(np.concatenate(boxes), np.concatenate(scores), width, height))


def load_locator(
    spec: str | Path,
    device: str = "auto",
    threads: int | None = None,
    *,
    threshold: float | None = None,
    tiles: int = 0,
) -> CentreLocator:
    """Load a locator to run.

    Args:
        spec: a model file, a run folder that holds one, or the name of a shipped locator.
        device, threads: as for :func:`posewright.load`.
        threshold: least score of a box; the model file's own where None.
        tiles: see :class:`CentreLocator`.

    Raises:
        PosewrightError: where there is no such model, it finds keypoints and not boxes, or the device is not there.
    """
    from posewright.runtime.names import find_model

    return CentreLocator(open_engine(find_model(spec), device, threads, kind="locator"), threshold, tiles)


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as ``uint8 [H, W, 3]``; grey ones get three equal channels.

    Raises:
        PosewrightError: where it is no such picture.
    """
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or not image.size:
        raise PosewrightError(f"a picture is uint8 [H, W, 3] RGB or [H, W] grey, not {image.dtype} {list(image.shape)}")
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def cut_at_edges(boxes: Array, scores: Array, width: int, height: int) -> tuple[Array, Array]:
    """Boxes cut at the edges of a picture of this size; those outside of it, and their scores, are left out."""
    low, high = np.full(2, -0.5), np.array([width, height]) - 0.5
    cut = np.concatenate([np.clip(boxes[:, :2], low, high), np.clip(boxes[:, 2:], low, high)], 1)
    there = (cut[:, 2:] > cut[:, :2]).all(1)
    return cut[there], scores[there]


def suppressed(boxes: Array, scores: Array, most: float = SAME) -> tuple[Array, Array]:
    """Boxes ``[N, 4]`` and scores ``[N]``, best first, without those that overlap a better one by more than ``most``."""
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > 0]
    boxes, scores = boxes[order], scores[order]
    over = overlaps(boxes, boxes)
    keep: list[int] = []
    for i in range(len(boxes)):
        if not keep or over[i, keep].max() <= most:
            keep.append(i)
    return boxes[keep], scores[keep]


def _tiles(width: int, height: int, count: int) -> list[Array]:
    """``count`` x ``count`` overlapping tiles (x0, y0, x1, y1) that cover a picture."""
    spans = []
    for side in (width, height):
        length = min(side, math.ceil(side / (count - (count - 1) * SHARED)))
        spans.append([(start - 0.5, start + length - 0.5) for start in np.linspace(0, side - length, count)])
    return [np.array([x0, y0, x1, y1]) for y0, y1 in spans[1] for x0, x1 in spans[0]]


def _cut_off(boxes: Array, tile: Array, size: tuple[int, int], slack: float) -> NDArray[np.bool_]:
    """``[N]``: boxes that reach an edge of the tile which is not the picture's; another tile or the whole shows more."""
    whole = picture_box(*size)
    near = np.concatenate([boxes[:, :2] <= tile[:2] + slack, boxes[:, 2:] >= tile[2:] - slack], 1)
    return np.asarray((near & (np.abs(tile - whole) > 0.5)).any(1))
