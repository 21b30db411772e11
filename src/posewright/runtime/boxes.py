"""Looking up the boxes that a set of labels has for a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError


class LabelledBoxes:
    """The boxes of each picture's or video frame's objects, crowds left out.

    A picture is known by its path, or else by its file name where only one picture of the set is called that.

    Args:
        annotations: the labels.
    """

    def __init__(self, annotations: Annotations) -> None:
        self.annotations = annotations
        self._objects: dict[int, list[int]] = {}
        for i in np.flatnonzero(~np.asarray(annotations.iscrowd)):
            self._objects.setdefault(int(annotations.image[i]), []).append(int(i))
        self._by_path: dict[tuple[Path, int | None], int] = {}
        self._by_name: dict[tuple[str, int | None], list[int]] = {}
        self._videos: set[str] = set()
        for row, image in enumerate(annotations.images):
            path = annotations.image_path(row)
            self._by_path[path.resolve(), image.frame] = row
            self._by_name.setdefault((path.name, image.frame), []).append(row)
            if image.frame is not None:
                self._videos.add(path.name)

    def pictures(self) -> tuple[Path, ...]:
        """The files of all pictures, in order.

        Raises:
            PosewrightError: where there are none, or the labels are about video frames.
        """
        a = self.annotations
        if any(image.frame is not None for image in a.images):
            raise PosewrightError("is about video frames", file=a.source or None, fix="Name the videos to run on, too")
        if not a.images:
            raise PosewrightError("lists no pictures", file=a.source or None)
        return tuple(a.image_path(row) for row in range(len(a.images)))

    def boxes(self, path: Path, frame: int | None = None) -> NDArray[np.float64]:
        """``[N, 4]`` (x0, y0, x1, y1) in pixels of the picture; none on a frame that its video's labels leave out.

        Raises:
            PosewrightError: where the labels do not know the picture.
        """
        row = self._row(path, frame)
        if row is None and frame is not None and path.name in self._videos:
            return np.zeros((0, 4))
        return self.annotations.boxes[self._objects.get(self._known(path, row), [])]

    def image_id(self, path: Path, frame: int | None = None) -> int | str:
        """What the labels call a picture: its id there, else its path.

        Raises:
            PosewrightError: where the labels do not know the picture.
        """
        image = self.annotations.images[self._known(path, self._row(path, frame))]
        return image.path if image.id is None else image.id

    def _row(self, path: Path, frame: int | None) -> int | None:
        row = self._by_path.get((path.resolve(), frame))
        named = self._by_name.get((path.name, frame), [])
        return named[0] if row is None and len(named) == 1 else row

    def _known(self, path: Path, row: int | None) -> int:
        if row is None:
            where = self.annotations.source or "the given labels"
            fix = "Leave it out with --skip-bad"
            raise PosewrightError(f"is not among the pictures of {where}", file=path, fix=fix)
        return row
