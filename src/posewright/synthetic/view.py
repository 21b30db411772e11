"""The camera's view of a hand: a turn, a distance, a scale and a place in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posewright.synthetic.anatomy import Array


@dataclass(frozen=True)
class View:
    """Mild perspective with the optical axis through the hand.

    Attributes:
        rotation: ``[3, 3]`` from the hand's frame to the viewer's (x right, y up, z towards the viewer).
        middle: ``[3]``, the point of the viewer's frame, in palms, that is shown at ``centre``.
        distance: palms from the camera to that point.
        scale: pixels per palm there.
        centre: (x, y) in pixels of the picture.
    """

    rotation: Array
    middle: Array
    distance: float
    scale: float
    centre: tuple[float, float]

    def project(self, points: Array) -> Array:
        """Map points ``[..., 3]`` of the hand's frame to (x, y, z): pixels of the picture, depth in the same unit."""
        seen = points @ self.rotation.T - self.middle
        near = self.scale * self.distance / np.maximum(self.distance - seen[..., 2:], 0.3)
        return seen * (1, -1, 1) * near + (*self.centre, 0)

    def scale_at(self, points: Array) -> Array:
        """``[...]``: pixels per palm at points ``[..., 3]`` of the hand's frame."""
        depth = points @ self.rotation[2] - self.middle[2]
        return self.scale * self.distance / np.maximum(self.distance - depth, 0.3)


def fit_view(rotation: Array, keypoints: Array, distance: float, extent: float, size: tuple[int, int],
             place: tuple[float, float]) -> View:  # fmt: skip
    """The view in which a hand's keypoints span ``extent`` pixels and lie wholly inside the picture.

    Args:
        rotation, distance: see :class:`View`.
        keypoints: ``[K, 3]`` in the hand's frame.
        extent: longer side of the keypoints' box, pixels.
        size: (width, height) of the picture.
        place: (0..1, 0..1), from as far left and up as it goes to as far right and down.
    """
    turned = keypoints @ rotation.T
    middle = (turned.min(0) + turned.max(0)) / 2
    unit = View(rotation, middle, distance, 1.0, (0.0, 0.0)).project(keypoints)[:, :2]
    low, high = unit.min(0), unit.max(0)
    # A fist seen along the forearm spans little: no palm is shown longer than the extent itself.
    scale = min(extent / max(float((high - low).max()), 1.0), 0.94 * min((np.array(size) / (high - low)).tolist()))
    border = 0.03 * min(size)
    first, last = border - low * scale, np.array(size) - 1 - border - high * scale
    centre = np.where(first < last, first + (last - first) * place, (first + last) / 2)
    return View(rotation, middle, distance, scale, (float(centre[0]), float(centre[1])))


def rotation_from_angles(pitch: float, yaw: float, roll: float) -> Array:
    """Turn about the upright axis (yaw), then about the horizontal one (pitch), then in the picture (roll); degrees.

    A positive yaw turns the front to the right, a positive pitch tips the top towards the viewer, a positive roll turns
    counter-clockwise as seen.
    """
    (cp, cy, cr), (sp, sy, sr) = np.cos(np.deg2rad([pitch, yaw, roll])), np.sin(np.deg2rad([pitch, yaw, roll]))
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def random_rotation(rng: np.random.Generator) -> Array:
    """Any rotation, all equally likely (from a random unit quaternion)."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
