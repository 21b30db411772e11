"""Tiles of labelled pictures, and the contact sheets that reports lay out of them: each made when its turn comes, and a picture
that cannot be read leaves its place to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule, Similarity

Picture = NDArray[np.uint8]
Tile = Callable[[], Picture]
"""Makes ``uint8 [H, W, 3]`` RGB; raises PosewrightError where its picture cannot be read."""

TILE = CropRule((224, 224), margin=1.35)
"""How a labelled object is cut out for a sheet; whole pictures are fitted into the same size."""
ROW = 5
"""Tiles in a row of a sheet."""


class Sheets:
    """Lays sheets out of tiles of which some may fail.

    Attributes:
        missing: why tiles failed, each reason once.
    """

    def __init__(self) -> None:
        self.missing: list[str] = []

    def sheet(self, tiles: Iterable[tuple[Tile, str]], count: int, columns: int = ROW) -> Picture | None:
        """A sheet of at most ``count`` tiles with a caption each.

        Returns:
            ``uint8 [H, W, 3]`` RGB; None where there is none to show. More than ``count`` failures end the sheet.
        """
        from posewright.media.drawing import contact_sheet

        pictures: list[Picture] = []
        captions: list[str] = []
        failed = 0
        for make, caption in tiles:
            if len(pictures) == count or failed > count:
                break
            try:
                pictures.append(make())
                captions.append(caption)
            except PosewrightError as error:
                failed += 1
                if str(error) not in self.missing:
                    self.missing.append(str(error))
        return contact_sheet(pictures, captions, columns=columns) if pictures else None


def scene(labels: Annotations, image: int) -> Tile:
    """A whole picture with all its objects."""
    return lambda: _labelled(labels, image, np.flatnonzero(labels.image == image).tolist(), None)


def cut(labels: Annotations, i: int) -> Tile:
    """One object, cut out."""
    return lambda: _labelled(labels, int(labels.image[i]), [i], TILE.similarity(_around(labels, i)))


def pair(labels: Annotations, image: int, other: int) -> Tile:
    """Two whole pictures side by side."""
    return lambda: np.concatenate([scene(labels, image)(), scene(labels, other)()], 1)


def part_of_picture(labels: Annotations, image: int, place: Similarity, rule: CropRule) -> Picture:
    """What of a picture or frame lies in a tile, to be drawn on: ``uint8`` of the rule's size.

    Args:
        place: maps pixels of the picture to those of the tile.

    Raises:
        PosewrightError: where the picture cannot be read.
    """
    from posewright.media.labelled import picture_of
    from posewright.warp import warp

    return warp(picture_of(labels, image), place, rule)


def _around(labels: Annotations, i: int) -> NDArray[np.float64]:
    """An object's box, widened so that it holds every labelled keypoint: the odd ones may lie outside."""
    xy = labels.keypoints[i, labels.labelled[i], :2]
    (x0, y0), (x1, y1) = labels.boxes[i].reshape(2, 2)
    low, high = xy.min(0, initial=np.inf), xy.max(0, initial=-np.inf)
    return np.array([min(x0, low[0]), min(y0, low[1]), max(x1, high[0]), max(y1, high[1])])


def _labelled(labels: Annotations, image: int, objects: Sequence[int], place: Similarity | None) -> Picture:
    """A part of a picture with objects drawn on it; the whole where ``place`` is None."""
    from posewright.media.drawing import draw_labels
    from posewright.media.labelled import picture_of
    from posewright.warp import warp

    if place is None:
        picture = picture_of(labels, image)
        place = TILE.letterbox(picture.shape[1], picture.shape[0])
        tile = warp(picture, place, TILE)
    else:
        tile = part_of_picture(labels, image, place, TILE)
    keypoints = labels.keypoints[list(objects)]
    keypoints[..., :2] = place.apply(keypoints[..., :2])
    boxes = place.apply(labels.boxes[list(objects)].reshape(-1, 2, 2)).reshape(-1, 4)
    return draw_labels(tile, keypoints, boxes, labels.skeleton)
