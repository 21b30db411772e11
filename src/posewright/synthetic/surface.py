"""Round shapes as depth: tapered capsules and rounded triangles written into one z-buffer.

A *tapered capsule* is what a sphere sweeps that moves from one point to another while its radius changes; a *rounded
triangle* is what it sweeps over a triangle. Limbs, palms, sleeves, pens and balls are all made of these two. Shapes are
given in screen space: x right and y down in pixels of the picture, z towards the viewer in the same unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Window = tuple[int, int, int, int]
Point = Sequence[float]

FAR = -1e6
"""The depth of a pixel that shows no shape."""


class DepthBuffer:
    """What is nearest to the viewer at every pixel.

    Attributes:
        depth: ``float32 [H, W]``, z of the nearest surface, ``FAR`` where there is none.
        material: ``uint8 [H, W]``, the number given with the nearest surface, 0 where there is none.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.depth: Floats = np.full((height, width), FAR, np.float32)
        self.material: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
        self._xs = np.arange(width, dtype=np.float32)[None, :]
        self._ys = np.arange(height, dtype=np.float32)[:, None]

    def capsule(self, a: Point, b: Point, ra: float, rb: float, material: int, soft: float = 0.0) -> None:
        """Draw a tapered capsule.

        Args:
            a, b: (x, y, z) of the two ends of its axis, pixels.
            ra, rb: radii at the two ends, pixels.
            material: number written where it is nearest.
            soft: where its surface and the one already there differ by less than this depth, the two flow into one
                another; 0 for a sharp edge.
        """
        (ax, ay, az), (bx, by, bz) = a, b
        window = self._clip(min(ax - ra, bx - rb), min(ay - ra, by - rb), max(ax + ra, bx + rb), max(ay + ra, by + rb))
        if window is None:
            return
        left, top, right, bottom = window
        dx, dy, dz, dr = bx - ax, by - ay, bz - az, rb - ra
        px, py = self._xs[:, left:right] - ax, self._ys[top:bottom] - ay
        # The sphere at t in 0..1 reaches the height z(t) + sqrt(q(t)) over a pixel, with q(t) = A t^2 + 2 B t + C. The
        # surface is the largest of these; setting the derivative to zero gives t in closed form. A negative root means
        # that no sphere lies over the pixel: the NaN it leaves compares as "not nearer" in _merge.
        coef_a = min(dr * dr - dx * dx - dy * dy, -0.25)  # a capsule that points at the viewer has A >= 0: keep it concave
        coef_b = (px * dx + ra * dr) + py * dy
        coef_c = (ra * ra - px * px) - py * py
        with np.errstate(invalid="ignore"):
            t = coef_c * -coef_a
            t += coef_b * coef_b
            np.sqrt(t, out=t)
            t *= -dz / math.sqrt(dz * dz - coef_a)
            t -= coef_b
            t *= 1 / coef_a
            np.maximum(t, 0, out=t)
            np.minimum(t, 1, out=t)
            q = t * coef_a
            coef_b *= 2
            q += coef_b
            q *= t
            q += coef_c
            z = np.sqrt(q, out=q)
            t *= dz
            t += az
            z += t
            self._merge(window, z, material, soft)

    def triangle(
        self, corners: Sequence[Point], radii: Sequence[float], material: int, soft: float = 0.0
    ) -> None:
        """Draw the flat face of a rounded triangle; its rounded edges are three capsules that the caller adds.

        Args:
            corners: three times (x, y, z), pixels.
            radii: three times how far the face lies in front of the corner, pixels.
            material, soft: as in :meth:`capsule`.
        """
        nx, ny, nz = _normal(*corners)
        length = math.sqrt(nx * nx + ny * ny + nz * nz)
        if abs(nz) < 0.05 * length or length < 1e-6:
            return  # seen edge on: the capsules cover it
        k = math.copysign(1 / length, nz)
        face = [(x + r * k * nx, y + r * k * ny, z + r * k * nz) for (x, y, z), r in zip(corners, radii, strict=True)]
        xs, ys = [p[0] for p in face], [p[1] for p in face]
        window = self._clip(min(xs), min(ys), max(xs), max(ys))
        nx, ny, nz = _normal(*face)
        if window is None or abs(nz) < 1e-6:
            return
        left, top, right, bottom = window
        mask = np.zeros((bottom - top, right - left), np.uint8)
        points = np.array([(round((x - left) * 16), round((y - top) * 16)) for x, y, _ in face], np.int32)
        cv2.fillConvexPoly(mask, points, 1, cv2.LINE_8, 4)
        x, y, z0 = face[0]
        z = (self._xs[:, left:right] * (-nx / nz)) + (self._ys[top:bottom] * (-ny / nz) + ((x * nx + y * ny) / nz + z0))
        z[mask == 0] = np.nan
        self._merge(window, z, material, soft)

    def smooth(self, radius: float) -> None:
        """Even out the relief of everything drawn so far, and close cracks of one pixel; ``radius`` in pixels."""
        window = self.window()
        if window is None:
            return
        left, top, right, bottom = window
        size = 2 * max(1, round(radius)) + 1
        depth, material = self.depth[top:bottom, left:right], self.material[top:bottom, left:right]
        cross = np.ones((3, 3), np.uint8)
        material[...] = cv2.morphologyEx(material, cv2.MORPH_CLOSE, cross)
        closed = cv2.morphologyEx(depth, cv2.MORPH_CLOSE, cross)
        drawn = (material > 0).astype(np.float32)
        total = cv2.blur(closed * drawn, (size, size), borderType=cv2.BORDER_CONSTANT)
        share = cv2.blur(drawn, (size, size), borderType=cv2.BORDER_CONSTANT)
        np.divide(total, share, out=depth, where=material > 0)

    def window(self) -> Window | None:
        """The smallest window (left, top, right, bottom) that holds everything drawn, or None."""
        x, y, width, height = cv2.boundingRect(self.material)
        return (x, y, x + width, y + height) if width else None

    def _clip(self, x0: float, y0: float, x1: float, y1: float) -> Window | None:
        left, top = max(math.floor(x0), 0), max(math.floor(y0), 0)
        right, bottom = min(math.ceil(x1) + 1, self.width), min(math.ceil(y1) + 1, self.height)
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _merge(self, window: Window, z: Floats, material: int, soft: float) -> None:
        """Write a surface where it is nearest; NaN marks pixels that it does not cover."""
        left, top, right, bottom = window
        depth = self.depth[top:bottom, left:right]
        nearer = z > depth
        if soft > 0:
            # Polynomial smooth maximum: adds (k - |z - depth|)^2 / 4k within k.
            gap = np.abs(z - depth)
            np.subtract(soft, gap, out=gap)
            np.fmax(gap, 0, out=gap)
            np.copyto(depth, z, where=nearer)
            gap *= gap
            gap *= 0.25 / soft
            depth += gap
        else:
            np.copyto(depth, z, where=nearer)
        np.copyto(self.material[top:bottom, left:right], material, where=nearer, casting="unsafe")


def _normal(a: Point, b: Point, c: Point) -> tuple[float, float, float]:
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
