"""One row of the table of images, where its file is, and where a picture that was cut from a larger one lies in it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray


def on_disk(path: Path) -> Path:
    """The path of a file as the disk has it: an accent may be a letter's own or a character of its own there.

    macOS stores names decomposed (NFD), labels often spell them composed (NFC), and most file systems hold both apart.
    """
    name = str(path)
    if name.isascii() or path.exists():
        return path
    forms = (Path(unicodedata.normalize(form, name)) for form in ("NFC", "NFD"))
    return next((other for other in forms if other.exists()), path)


@dataclass(frozen=True)
class Part:
    """Where a picture lies in a larger one that it was cut from.

    Pixel (u, v) of the part is at ``factor * (u, v) + (factor - 1) / 2 + (x0, y0)`` in the whole.

    Attributes:
        path: of the whole, as its own set named it.
        width, height: of the whole in pixels.
        x0, y0: the first column and row that were taken.
        factor: by which the part was reduced by area averaging.
        frame, id: of the whole, as in :class:`Image`.
    """

    path: str
    width: int
    height: int
    x0: int = 0
    y0: int = 0
    factor: int = 1
    frame: int | None = None
    id: int | str | None = None

    def to_whole(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map points ``[..., 2]`` from pixels of the part to pixels of the whole."""
        return np.asarray(points, float) * self.factor + (self.factor - 1) / 2 + (self.x0, self.y0)

    def from_whole(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map points ``[..., 2]`` from pixels of the whole to pixels of the part."""
        return np.asarray((np.asarray(points, float) - (self.x0, self.y0) - (self.factor - 1) / 2) / self.factor)


@dataclass(frozen=True)
class Image:
    """One picture.

    Attributes:
        path: relative to the set's root with forward slashes, or the video's path where ``frame`` is set.
        width, height: in pixels; 0 where the format does not say.
        frame: frame number in a video, counted from 0.
        split: "train", "val", "test" or None.
        group: pictures of one group (a video, a person, an album) never fall into different splits.
        id: the id the source format uses, for results that refer to it.
        part: where it lies in a larger picture, where it was cut from one.
    """

    path: str
    width: int = 0
    height: int = 0
    frame: int | None = None
    split: str | None = None
    group: str | None = None
    id: int | str | None = None
    part: Part | None = None

    @property
    def full_name(self) -> str:
        """The path, and the number of a video's frame: no two images of a set share it."""
        return self.path if self.frame is None else f"{self.path}, frame {self.frame}"

    @property
    def name(self) -> str:
        """What people are told: the file's name without its folders, and the number of a video's frame."""
        name = self.path.rpartition("/")[2]
        return name if self.frame is None else f"{name} #{self.frame}"
