"""The crop's map beyond a similarity: the crop as a plane that is tilted before a camera."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.geometry import Similarity

Array = NDArray[np.float64]

FIELD_OF_VIEW = 30.0
"""Degrees that the crop's longer side fills before the camera: a short telephoto's."""
_NEAREST = 1e-3
"""The smallest depth at which a point is seen, in distances from the camera to the crop's centre."""


@dataclass(frozen=True)
class Tilt:
    """A map of crop pixels to crop pixels, as if the crop hung in space, turned about a line through its centre.

    Attributes:
        size: (width, height) of the crop in pixels.
        angle: degrees of the tilt, 0 to below 69 (there the horizon would come into view).
        axis: degrees from the x axis of the line in the crop's plane about which it is turned.
        matrix: the 3x3 map of columns (x, y, 1); the centre stays where it is, at depth 1.
    """

    size: tuple[int, int]
    angle: float
    axis: float
    matrix: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        distance = max(self.size) / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
        turn, angle = math.radians(self.axis), math.radians(self.angle)
        along = np.array([math.cos(turn), math.sin(turn)])
        across = np.array([-along[1], along[0]])
        about_centre = np.eye(3)
        about_centre[:2, :2] = np.outer(along, along) + math.cos(angle) * np.outer(across, across)
        about_centre[2, :2] = math.sin(angle) / distance * across
        to, back = np.eye(3), np.eye(3)
        to[:2, 2], back[:2, 2] = -self._centre, self._centre
        object.__setattr__(self, "matrix", back @ about_centre @ to)

    @property
    def _centre(self) -> Array:
        return (np.array(self.size) - 1) / 2

    def apply(self, points: ArrayLike) -> Array:
        """Map points ``[..., 2]`` in crop pixels; one behind the camera lands far outside the crop, on its own side."""
        points = np.asarray(points, float)
        depth = points @ self.matrix[2, :2] + self.matrix[2, 2]
        # The matrix itself gives centre + flat / depth; written about the centre, the depth can be held above 0.
        flat = points @ self.matrix[:2, :2].T + self.matrix[:2, 2] - depth[..., None] * self._centre
        return self._centre + flat / np.maximum(depth, _NEAREST)[..., None]


def random_tilt(size: tuple[int, int], strength: float, rng: np.random.Generator) -> Tilt | None:
    """A tilt by up to ``strength`` degrees about an axis of any direction; None where the strength is 0."""
    if strength == 0:
        return None
    return Tilt(size, strength * rng.random(), rng.uniform(0, 360))


@dataclass(frozen=True)
class CropMap:
    """Picture to crop: a similarity and, where the crop is tilted, what comes after it."""

    similarity: Similarity
    tilt: Tilt | None = None

    @property
    def tilt_matrix(self) -> Array | None:
        """The 3x3 matrix that :func:`posewright.warp.warp` takes."""
        return None if self.tilt is None else self.tilt.matrix

    def apply(self, points: ArrayLike) -> Array:
        """Map points ``[..., 2]`` from picture pixels to crop pixels."""
        flat = self.similarity.apply(points)
        return flat if self.tilt is None else self.tilt.apply(flat)
