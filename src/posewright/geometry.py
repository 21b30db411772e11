"""Boxes, similarities and the one crop rule. Pixel coordinates: the centre of the top-left pixel is (0, 0).

A whole W x H picture is therefore the box (-0.5, -0.5, W - 0.5, H - 0.5), and a heatmap cell ``i`` at stride ``s`` is
centred on input pixel ``s * i + (s - 1) / 2``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def picture_box(width: int, height: int) -> Array:
    """Return the box (x0, y0, x1, y1) that covers a whole picture, in pixels of that picture."""
    return np.array([-0.5, -0.5, width - 0.5, height - 0.5])


def keypoints_box(keypoints: ArrayLike, margin: float = 1.0) -> Array | None:
    """Return the box around the labelled keypoints, its sides multiplied by ``margin`` about its centre.

    Args:
        keypoints: ``[K, 3]`` (x, y, v) in pixels of any frame; v = 0 is left out.
        margin: factor on both sides; a side is never made shorter than one pixel.

    Returns:
        (x0, y0, x1, y1) in the same frame, or None where no keypoint is labelled.
    """
    points = np.asarray(keypoints, float)
    points = points[points[:, 2] > 0, :2]
    if len(points) == 0:
        return None
    low, high = points.min(0), points.max(0)
    centre, half = (low + high) / 2, np.maximum((high - low) * margin, 1.0) / 2
    return np.concatenate([centre - half, centre + half])


def covariance_matrices(three: ArrayLike) -> Array:
    """Covariances ``[..., 3]`` (xx, xy, yy) as matrices ``[..., 2, 2]``."""
    return np.asarray(three, float)[..., [0, 1, 1, 2]].reshape(*np.shape(three)[:-1], 2, 2)


def expand_box(box: ArrayLike, margin: float, aspect: float) -> Array:
    """Widen a box by ``margin`` about its centre, then lengthen its shorter side until width / height = ``aspect``."""
    x0, y0, x1, y1 = np.asarray(box, float)
    width, height = (x1 - x0) * margin, (y1 - y0) * margin
    width, height = max(width, height * aspect), max(height, width / aspect)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2])


def intersections(a: Array, b: Array) -> Array:
    """``[N, M]`` areas that boxes ``[N, 4]`` and ``[M, 4]`` share."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.maximum(high - low, 0).prod(-1))


def overlaps(a: Array, b: Array) -> Array:
    """``[N, M]`` intersection over union of boxes ``[N, 4]`` and ``[M, 4]`` (x0, y0, x1, y1)."""
    inside = intersections(a, b)
    both = (a[:, 2:] - a[:, :2]).prod(-1)[:, None] + (b[:, 2:] - b[:, :2]).prod(-1)[None] - inside
    return np.asarray(inside / np.maximum(both, 1e-9))


def cell_to_input(cell: ArrayLike, stride: int) -> Array:
    """Heatmap coordinates (cells) to input-crop pixels: ``x = stride * cell + (stride - 1) / 2``."""
    return np.asarray(cell, float) * stride + (stride - 1) / 2


def input_to_cell(x: ArrayLike, stride: int) -> Array:
    """Input-crop pixels to heatmap coordinates (cells), the inverse of :func:`cell_to_input`."""
    return (np.asarray(x, float) - (stride - 1) / 2) / stride


@dataclass(frozen=True)
class Similarity:
    """The one map from image to crop: uniform scale, rotation, translation and optional mirror, composed in a 2x3 matrix.

    ``matrix`` maps a column (x, y, 1) in source pixels to target pixels. Both frames have their origin at the centre of
    the top-left pixel.
    """

    matrix: Array

    def __post_init__(self) -> None:
        m = np.array(self.matrix, dtype=float)
        if m.shape != (2, 3) or not np.isfinite(m).all():
            raise ValueError(f"a Similarity needs a finite 2x3 matrix, got shape {m.shape}")
        (a, b), (c, d) = m[:, :2]
        scale2 = abs(a * d - b * c)
        # Columns of equal length at right angles; written out, since every training sample passes here.
        if (
            scale2 <= 0
            or max(abs(a * a + c * c - scale2), abs(b * b + d * d - scale2), abs(a * b + c * d)) > 1e-6 * scale2
        ):
            raise ValueError("a Similarity scales both axes alike and keeps right angles; this matrix does not")
        m.setflags(write=False)
        object.__setattr__(self, "matrix", m)

    @classmethod
    def identity(cls) -> Similarity:
        return cls(np.eye(2, 3))

    @classmethod
    def crop(
        cls,
        box: ArrayLike,
        size: tuple[int, int],
        *,
        margin: float = 1.0,
        rotation: float = 0.0,
        scale: float = 1.0,
        shift: tuple[float, float] = (0.0, 0.0),
        flip: bool = False,
        flip_vertical: bool = False,
    ) -> Similarity:
        """The map from source pixels to a crop around ``box``; the box is never squashed.

        Args:
            box: (x0, y0, x1, y1) in source pixels.
            size: (width, height) of the crop in pixels.
            margin: factor on the box before it is lengthened to the crop's aspect.
            rotation: degrees; the content turns clockwise as seen on the screen.
            scale: extra zoom; 2 makes the object twice as large in the crop.
            shift: moves the content right and down, in fractions of the crop's width and height.
            flip: mirror left to right, in the crop's frame.
            flip_vertical: mirror top to bottom, in the crop's frame.
        """
        width, height = size
        x0, y0, x1, y1 = expand_box(box, margin, width / height)
        zoom = scale * width / (x1 - x0)
        angle = np.deg2rad(rotation)
        linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        if flip:
            linear[0] *= -1
        if flip_vertical:
            linear[1] *= -1
        source = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        target = np.array([(width - 1) / 2 + shift[0] * width, (height - 1) / 2 + shift[1] * height])
        return cls(np.column_stack([linear, target - linear @ source]))

    @property
    def scale(self) -> float:
        """Target pixels per source pixel."""
        (a, b), (c, d) = self.matrix[:, :2]
        return float(abs(a * d - b * c)) ** 0.5

    @property
    def mirrored(self) -> bool:
        """Whether left and right change places (an odd number of mirrors)."""
        (a, b), (c, d) = self.matrix[:, :2]
        return bool(a * d - b * c < 0)

    def apply(self, points: ArrayLike) -> Array:
        """Map points ``[..., 2]`` from source pixels to target pixels."""
        return np.asarray(points, float) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def inverse(self) -> Similarity:
        """The map from target pixels back to source pixels."""
        linear = np.linalg.inv(self.matrix[:, :2])
        return Similarity(np.column_stack([linear, -linear @ self.matrix[:, 2]]))

    def __matmul__(self, other: Similarity) -> Similarity:
        """``a @ b`` applies ``b`` first, then ``a``."""
        linear = self.matrix[:, :2] @ other.matrix[:, :2]
        return Similarity(np.column_stack([linear, self.matrix[:, :2] @ other.matrix[:, 2] + self.matrix[:, 2]]))


@dataclass(frozen=True)
class CropRule:
    """How a box of a picture becomes a model's input; stored in every model file, obeyed by every executor.

    Attributes:
        size: (width, height) of the crop in pixels.
        margin: factor on the box before it is lengthened to the crop's aspect.
        border: value 0..255 of every channel outside the picture.
        interpolation: only "bilinear".
        reduce_above: where the picture would shrink by more than this factor, it is first reduced by area averaging.
    """

    size: tuple[int, int]
    margin: float = 1.25
    border: int = 114
    interpolation: str = "bilinear"
    reduce_above: float = 2.0

    def __post_init__(self) -> None:
        if min(self.size) < 1 or not self.margin > 0 or not 0 <= self.border <= 255 or not self.reduce_above >= 1:
            raise ValueError(f"impossible crop rule: {self}")
        if self.interpolation != "bilinear":
            raise ValueError(f"unknown interpolation '{self.interpolation}'; this version knows bilinear")

    def similarity(self, box: ArrayLike) -> Similarity:
        """The map from picture to crop for one object's box, without augmentation."""
        return Similarity.crop(box, self.size, margin=self.margin)

    def letterbox(self, width: int, height: int) -> Similarity:
        """The map that fits a whole picture of ``width`` x ``height`` pixels into the crop, without any margin."""
        return Similarity.crop(picture_box(width, height), self.size)

    def to_dict(self) -> dict:
        return {
            "width": self.size[0],
            "height": self.size[1],
            "margin": self.margin,
            "border": self.border,
            "interpolation": self.interpolation,
            "reduce_above": self.reduce_above,
        }

    @classmethod
    def from_dict(cls, d: dict) -> CropRule:
        return cls(
            (int(d["width"]), int(d["height"])),
            float(d["margin"]),
            int(d["border"]),
            str(d["interpolation"]),
            float(d["reduce_above"]),
        )


def negative_box(
    size: tuple[int, int], boxes: NDArray[np.float64], side: float, rng: np.random.Generator, tries: int = 8
) -> NDArray[np.float64] | None:
    """A square box of a picture that touches none of the objects' boxes.

    Args:
        size: (width, height) of the picture.
        boxes: ``[N, 4]`` of the objects on it, same frame as the result.
        side: about how long the box's side should be, in pixels; it may come out smaller by up to three quarters.

    Returns:
        (x0, y0, x1, y1), or None where no place was found.
    """
    for _ in range(tries):
        length = min(side * rng.uniform(0.25, 1.0), *size)
        x, y = rng.uniform(-0.5, np.array(size) - length - 0.5)
        box = np.array([x, y, x + length, y + length])
        apart = (boxes[:, 2:] <= box[:2]).any(1) | (boxes[:, :2] >= box[2:]).any(1)
        if apart.all():
            return box
    return None
