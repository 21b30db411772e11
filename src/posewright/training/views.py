"""One augmented crop as student and teacher see it, and the way of heat maps from one's grid to the other's.

The picture is resampled once into a *canvas* that holds all that either net sees, at the finer resolution of the two.
Colours, blur and patches are applied to the canvas, and both nets' inputs are cut from it: they see the same picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from posewright.geometry import CropRule, Similarity, picture_box
from posewright.warp import warp

NARROWEST = 0.6
"""A gaussian kernel with a smaller standard deviation, in cells, would not be smooth; maps are interpolated then."""


@dataclass(frozen=True)
class Views:
    """The geometry between the two nets' inputs; nothing in it depends on the object.

    Attributes:
        student, teacher: each net's crop rule.
        canvas: size of the canvas, and border and reduction of the student's rule.
        to_canvas: student crop pixels to canvas pixels.
        to_teacher: student crop pixels to teacher crop pixels.
    """

    student: CropRule
    teacher: CropRule
    canvas: CropRule
    to_canvas: Similarity
    to_teacher: Similarity

    @classmethod
    def between(cls, student: CropRule, teacher: CropRule) -> Views:
        """The views of a student and its teacher.

        The teacher sees the object with its own margin, but never less of the picture than the student does.
        """
        seen = picture_box(*student.size)
        to_teacher = Similarity.crop(seen, teacher.size, margin=max(1.0, teacher.margin / student.margin))
        to_canvas, size = to_teacher, teacher.size
        if to_teacher.scale < 1:
            # At the student's resolution and shifted by whole pixels, so that the student's input is cut, not resampled.
            corners = to_teacher.inverse().apply(np.array(picture_box(*teacher.size)).reshape(2, 2))
            low, high = np.ceil(-0.5 - corners[0] - 1e-6), np.ceil(corners[1] - seen[2:] - 1e-6)
            size = (int(student.size[0] + low[0] + high[0]), int(student.size[1] + low[1] + high[1]))
            to_canvas = Similarity(np.array([[1, 0, low[0]], [0, 1, low[1]]]))
        canvas = CropRule(size, student.margin, student.border, student.interpolation, student.reduce_above)
        return cls(student, teacher, canvas, to_canvas, to_teacher)

    def for_student(self, canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The student's input ``uint8 [H, W, 3]`` from the canvas."""
        return _cut(canvas, self.to_canvas.inverse(), self.student)

    def for_teacher(self, canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The teacher's input ``uint8 [H, W, 3]`` from the canvas."""
        return _cut(canvas, self.to_teacher @ self.to_canvas.inverse(), self.teacher)


def _cut(canvas: NDArray[np.uint8], similarity: Similarity, rule: CropRule) -> NDArray[np.uint8]:
    same = canvas.shape[1::-1] == rule.size and np.allclose(similarity.matrix, np.eye(2, 3), atol=1e-9)
    return canvas if same else warp(canvas, similarity, rule)


@dataclass(frozen=True)
class Grid:
    """Where a net's heat map cells lie on its crop, and how wide its peaks are.

    Attributes:
        size: (height, width) in cells.
        stride: crop pixels per cell.
        shift: (x, y) in cells, how far from the truth the net puts its peaks.
        sigma: standard deviation of a peak in cells.
    """

    size: tuple[int, int]
    stride: int
    shift: tuple[float, float] = (0.0, 0.0)
    sigma: float = 1.5


def moved_maps(maps: Tensor, way: Tensor, grid: Grid) -> Tensor:
    """Maps of one view of an object as they would be of another.

    Args:
        maps: ``[B, S, C, h, w]`` on the grid; 0 beyond it.
        way: ``[B, 3, 3]``, from crop pixels of the view that is wanted to those of the one that the maps are of.
        grid: of both.
    """
    batch, _, _, height, width = maps.shape
    shift, half = maps.new_tensor(grid.shift), (grid.stride - 1) / 2
    rows, columns = torch.meshgrid(
        torch.arange(height, device=maps.device), torch.arange(width, device=maps.device), indexing="ij"
    )
    with torch.autocast(maps.device.type, enabled=False):  # places need more than 16 bits
        pixels = (torch.stack([columns, rows], -1) - shift) * grid.stride + half
        seen = pixels.reshape(1, -1, 2) @ way[:, :2, :2].mT + way[:, None, :2, 2]
        seen = seen / (pixels.reshape(1, -1, 2) @ way[:, 2:, :2].mT + way[:, None, 2:, 2]).clamp(min=1e-3)
        cells = (seen - half) / grid.stride + shift
        places = cells / maps.new_tensor([max(width - 1, 1), max(height - 1, 1)]) * 2 - 1
        # Straight lines between cells would cut off the tops of peaks.
        found = F.grid_sample(
            maps.flatten(1, 2), places.reshape(batch, height, width, 2), mode="bicubic", align_corners=True
        )
    return found.unflatten(1, maps.shape[1:3])


@dataclass(frozen=True)
class Resampling:
    """How maps of the teacher become maps on the student's grid: a matrix for rows and one for columns.

    ``maps_student = rows @ maps_teacher @ columns.T``. Cell ``i`` lies at ``stride * i + (stride - 1) / 2`` pixels in both
    crops, so that a peak keeps its place to a small part of a cell whatever the two strides and sizes are.

    Attributes:
        rows: ``[h_student, h_teacher]``.
        columns: ``[w_student, w_teacher]``.
        same: both grids are one; the maps stay as they are.
        height: by how much the kernel lowers a gaussian peak of the teacher's width; 1 where it only interpolates.
    """

    rows: NDArray[np.float32]
    columns: NDArray[np.float32]
    same: bool
    height: float

    @classmethod
    def between(cls, views: Views, student: Grid, teacher: Grid, *, widen: bool = True) -> Resampling:
        """The resampling from the teacher's grid to the student's.

        Args:
            widen: where the teacher's peaks are narrower than the student's targets, make them as wide: a teacher at
                twice the student's input size has peaks half as wide in the student's cells.
        """
        scale = views.to_teacher.scale
        ratio = scale * student.stride / teacher.stride
        # Crop pixels of the centre of cell 0, pushed to the other crop and into its cells.
        origin = np.array([-s * student.stride + (student.stride - 1) / 2 for s in student.shift])
        there = (views.to_teacher.apply(origin) - (teacher.stride - 1) / 2) / teacher.stride + teacher.shift
        extra = (ratio * student.sigma) ** 2 - teacher.sigma**2
        deviation = math.sqrt(extra) if widen and extra >= NARROWEST**2 else 0.0
        height = (teacher.sigma / (ratio * student.sigma)) ** 2 if deviation else 1.0
        same = student.size == teacher.size and abs(ratio - 1) < 1e-9 and not deviation and np.abs(there).max() < 1e-9
        columns = _weights(student.size[1], teacher.size[1], ratio, float(there[0]), deviation)
        rows = _weights(student.size[0], teacher.size[0], ratio, float(there[1]), deviation)
        return cls(rows, columns, bool(same), height)


def _weights(ours: int, theirs: int, ratio: float, origin: float, deviation: float) -> NDArray[np.float32]:
    """``[ours, theirs]``: how much each of their cells counts for our cell ``j``, which lies at their ``ratio * j + origin``.

    A gaussian kernel of that standard deviation in their cells; or for 0 the cubic spline through all of them, which, unlike
    local interpolation, leaves a narrow peak where it is however finely it is sampled. Beyond the edge the last cell goes on.
    """
    places = ratio * np.arange(ours) + origin
    if not deviation:
        from scipy.interpolate import make_interp_spline

        spline = make_interp_spline(np.arange(theirs), np.eye(theirs), k=3, bc_type="natural")
        return np.asarray(spline(np.clip(places, 0, theirs - 1)), np.float32)
    reach = math.ceil(4 * deviation)
    cells = np.floor(places).astype(int)[:, None] + np.arange(1 - reach, reach + 1)
    kernel = np.exp(-((cells - places[:, None]) ** 2) / (2 * deviation**2))
    kernel /= kernel.sum(1, keepdims=True)
    weights = np.zeros((ours, theirs))
    np.add.at(weights, (np.arange(ours)[:, None], np.clip(cells, 0, theirs - 1)), kernel)
    return weights.astype(np.float32)
