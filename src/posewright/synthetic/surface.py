"""Round shapes as depth: tapered capsules and rounded polygons written into one z-buffer.

A *tapered capsule* is what a sphere sweeps that moves from one point to another while its radius changes; a *rounded
polygon* is what it sweeps over a flat polygon. Limbs, palms, sleeves, pens and balls are all made of these two. Shapes
are given in screen space: x right and y down in pixels of the picture, z towards the viewer in the same unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
"""``float32``; loosely typed, as OpenCV's stubs say little about what they return."""
Array = NDArray[np.float64]
Window = tuple[int, int, int, int]
Point = Sequence[float]

FAR = -1e6
"""The depth of a pixel that shows no shape."""
_CHUNK = 32_768
"""Pixels computed together."""


class DepthBuffer:
    """What is nearest to the viewer at every pixel.

    Shapes are drawn first and then claimed: :meth:`claim` gives a material to everything that has come nearer since the
    last claim, which costs less than writing a material with each shape.

    Attributes:
        depth: ``float32 [H, W]``, z of the nearest surface, ``FAR`` where there is none.
        material: ``uint8 [H, W]``, the material of the nearest claimed surface, 0 where there is none.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.depth: Floats = np.full((height, width), FAR, np.float32)
        self.material: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
        self._claimed = self.depth.copy()
        self._xs = np.arange(width, dtype=np.float32)[None, :]
        self._ys = np.arange(height, dtype=np.float32)[:, None]

    def claim(self, material: int) -> None:
        """Give a material (1..255) to everything that has come nearer since the last claim."""
        np.copyto(self.material, material, where=self.depth > self._claimed, casting="unsafe")
        np.copyto(self._claimed, self.depth)

    def capsules(self, a: Array, b: Array, ra: Array, rb: Array, soft: Array) -> None:
        """Draw N tapered capsules.

        Args:
            a, b: ``[N, 3]`` (x, y, z) of the two ends of each axis, pixels.
            ra, rb: ``[N]`` radii at the two ends, pixels.
            soft: ``[N]``; where a surface and what is already there differ by less than this depth, the two flow into
                one another; 0 for a sharp edge.
        """
        d = b - a
        length2 = d[:, 0] ** 2 + d[:, 1] ** 2
        # Seen end on, one end's disc would hold the other's and A below would not be negative: widen the narrower end,
        # behind or before the other, until it is.
        limit = np.sqrt(np.maximum(length2 - 0.25, 0))
        ra, rb = np.maximum(ra, rb - limit), np.maximum(rb, ra - limit)
        dr = rb - ra
        low = np.minimum(a[:, :2] - ra[:, None], b[:, :2] - rb[:, None])
        high = np.maximum(a[:, :2] + ra[:, None], b[:, :2] + rb[:, None])
        low = np.maximum(np.floor(low), 0).astype(np.int64)
        high = np.minimum(np.ceil(high) + 1, (self.width, self.height)).astype(np.int64)
        span = high - low
        shown = np.flatnonzero((span > 0).all(1))
        area = span.prod(1)[shown]
        order = shown[np.argsort(-area, kind="stable")]
        # The sphere at t in 0..1 reaches the height z(t) + sqrt(q(t)) over a pixel, with q(t) = A t^2 + 2 B t + C. The
        # surface is the largest of these. In u = A t + B, q = (u^2 - D) / A with D = B^2 - A C, and the derivative is
        # zero at u = -dz sqrt(D / (dz^2 - A)); t in 0..1 is u in B + A .. B. Where D or q is negative no sphere lies
        # over the pixel, and the NaN that its root leaves is passed over by _merge.
        coef_a = np.minimum(dr * dr - length2, -0.25)
        steep = -d[:, 2] / np.sqrt(d[:, 2] ** 2 - coef_a)
        x0, y0 = low[:, 0] - a[:, 0], low[:, 1] - a[:, 1]
        columns = (x0, y0, d[:, 0], d[:, 1], ra * dr, ra * ra, coef_a, steep, 1 / coef_a, d[:, 2] / coef_a, a[:, 2])
        table = np.array(columns, np.float32)[:, :, None, None]
        corners, softness = np.concatenate([low, high], 1).tolist(), soft.tolist()
        first = 0
        with np.errstate(invalid="ignore"):
            while first < len(order):
                # Windows of about one size are computed together, as many as fit the cache: small ones cost little more
                # than the calls themselves.
                chunk = order[first : first + max(1, _CHUNK // int(area[first:].max()))]
                first += len(chunk)
                z = self._heights(table[:, chunk], *span[chunk].max(0).tolist())
                for i, row in enumerate(chunk.tolist()):
                    left, top, right, bottom = window = corners[row]
                    self._merge(window, z[i, : bottom - top, : right - left], softness[row])

    def _heights(self, table: Floats, width: int, height: int) -> Floats:
        """z of capsules over windows of one size; see :meth:`capsules` for the symbols."""
        x0, y0, dx, dy, rdr, r2, coef_a, steep, inverse_a, slope, z0 = table
        px, py = self._xs[:, :width] + x0, self._ys[:height] + y0
        coef_b = (px * dx + rdr) + py * dy
        disc = (px * px - r2) * coef_a + py * py * coef_a
        disc += coef_b * coef_b
        u = np.sqrt(disc)
        u *= steep
        np.maximum(u, coef_b + coef_a, out=u)
        np.minimum(u, coef_b, out=u)
        z = u * u
        z -= disc
        z *= inverse_a
        np.sqrt(z, out=z)
        u -= coef_b
        u *= slope
        u += z0
        z += u
        return z

    def face(self, corners: Array, radii: Array) -> None:
        """Draw the side that a rounded polygon turns to the viewer; the caller adds its rounded edges as capsules.

        Args:
            corners: ``[N, 3]`` (x, y, z) in order, pixels; nearly in one plane, and convex.
            radii: ``[N]``: how far the side lies in front of each corner, pixels.
        """
        across = _normal(corners)
        length = math.hypot(*across)
        if abs(across[2]) < 0.05 * length or length < 1e-6:
            return  # seen edge on: the capsules cover it
        moved = corners + radii[:, None] * (np.array(across) * math.copysign(1 / length, across[2]))
        (x0, y0, _), (x1, y1, top_z) = moved.min(0).tolist(), moved.max(0).tolist()
        window = self._clip(x0 - 1, y0 - 1, x1 + 1, y1 + 1)
        nx, ny, nz = _normal(moved)
        if window is None or abs(nz) < 1e-6:
            return
        left, top, right, bottom = window
        mask = np.zeros((bottom - top, right - left), np.uint8)
        points = [np.rint((moved[:, :2] - (left, top)) * 16).astype(np.int32)]
        cv2.fillPoly(mask, points, 1, cv2.LINE_8, 4)
        cv2.polylines(mask, points, True, 1, 2, cv2.LINE_8, 4)  # neighbouring sides that lean apart leave no crack
        x, y, z0 = moved.mean(0).tolist()
        z = (self._xs[:, left:right] * (-nx / nz)) + (self._ys[top:bottom] * (-ny / nz) + ((x * nx + y * ny) / nz + z0))
        np.minimum(z, top_z, out=z)  # a steep side soars beyond its corners
        depth = self.depth[top:bottom, left:right]
        np.maximum(depth, z, out=depth, where=mask.view(bool))

    def smooth(self, radius: float) -> None:
        """Even out the relief of everything drawn so far, outline unchanged; ``radius`` in pixels."""
        drawn = (self.depth > 0.5 * FAR).view(np.uint8)
        x, y, width, height = cv2.boundingRect(drawn)
        if not width:
            return
        part = (slice(y, y + height), slice(x, x + width))
        drawn, depth = drawn[part], self.depth[part]
        # Half the resolution is enough for what is going to be blurred.
        weight = drawn[::2, ::2].astype(np.float32)
        size = 2 * max(1, round(radius / 2)) + 1
        total: Floats = cv2.blur(depth[::2, ::2] * weight, (size, size), borderType=cv2.BORDER_CONSTANT)
        share = cv2.blur(weight, (size, size), borderType=cv2.BORDER_CONSTANT)
        np.maximum(share, 1e-3, out=share)
        total /= share
        cv2.copyTo(cv2.resize(total, (width, height), interpolation=cv2.INTER_LINEAR), drawn, depth)

    def window(self) -> Window | None:
        """The smallest window (left, top, right, bottom) that holds everything claimed, or None."""
        x, y, width, height = cv2.boundingRect(self.material)
        return (x, y, x + width, y + height) if width else None

    def _clip(self, x0: float, y0: float, x1: float, y1: float) -> Window | None:
        left, top = max(math.floor(x0), 0), max(math.floor(y0), 0)
        right, bottom = min(math.ceil(x1) + 1, self.width), min(math.ceil(y1) + 1, self.height)
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _merge(self, window: Sequence[int], z: Floats, soft: float) -> None:
        """Keep a surface where it is nearest; NaN marks pixels that it does not cover."""
        left, top, right, bottom = window
        depth = self.depth[top:bottom, left:right]
        if soft <= 0:
            np.fmax(depth, z, out=depth)
            return
        # Polynomial smooth maximum: adds (k - |z - depth|)^2 / 4k within k.
        gap = z - depth
        np.abs(gap, out=gap)
        gap -= soft
        np.fmin(gap, 0, out=gap)
        np.fmax(depth, z, out=depth)
        gap *= gap
        gap *= 0.25 / soft
        depth += gap


def _normal(corners: Array) -> tuple[float, float, float]:
    """Newell's normal of a polygon, as long as twice its area."""
    rows = corners.tolist()
    nx = ny = nz = 0.0
    for (ax, ay, az), (bx, by, bz) in zip(rows, rows[1:] + rows[:1], strict=True):
        nx += (ay - by) * (az + bz)
        ny += (az - bz) * (ax + bx)
        nz += (ax - bx) * (ay + by)
    return nx, ny, nz
