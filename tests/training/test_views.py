"""Student and teacher see one picture, and a point keeps its place from the teacher's maps to the student's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posewright.geometry import CropRule, Similarity
from posewright.models.heatmaps import decode, encode
from posewright.training.distill_data import CanvasMap
from posewright.training.perspective import CropMap, Tilt
from posewright.training.views import Grid, Resampling, Views
from posewright.warp import warp

SIZES = [(96, 96), (128, 128), (128, 96), (256, 192), (368, 368)]


def grid(rule: CropRule, stride: int, **more) -> Grid:
    return Grid((rule.size[1] // stride, rule.size[0] // stride), stride, **more)


@settings(max_examples=150, deadline=None)
@given(
    student=st.sampled_from(SIZES),
    teacher=st.sampled_from(SIZES),
    strides=st.tuples(st.sampled_from([4, 8]), st.sampled_from([4, 8])),
    margins=st.tuples(st.floats(1.0, 1.5), st.floats(1.0, 1.5)),
    shifts=st.tuples(st.floats(-0.7, 0.7), st.floats(-0.7, 0.7)),
    place=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    sigma=st.sampled_from([1.0, 1.5, 2.0]),
)
def test_a_point_keeps_its_place(student, teacher, strides, margins, shifts, place, sigma):
    """A peak drawn on the teacher's grid is found on the student's within 0.05 cells of the coarser grid, and as high."""
    ours, theirs = CropRule(student, margins[0]), CropRule(teacher, margins[1])
    views = Views.between(ours, theirs)
    mine = grid(ours, strides[0], shift=(shifts[0], -shifts[0]))
    other = grid(theirs, strides[1], shift=(shifts[1], shifts[1]), sigma=sigma)
    way = Resampling.between(views, mine, other)
    point = np.array(place) * student
    there = views.to_teacher.apply(point)
    maps = encode(
        torch.tensor(there)[None, None], torch.ones(1, 1, dtype=bool), other.size, other.stride, sigma, other.shift
    )
    moved = torch.from_numpy(way.rows) @ maps @ torch.from_numpy(way.columns).T
    assert moved.shape[-2:] == mine.size
    found = decode(moved / way.height, mine.stride, mine.shift)[0, 0].numpy()
    assert np.abs(found[:2] - point).max() < 0.05 * max(mine.stride, other.stride / views.to_teacher.scale)
    # A peak between cells that is not widened loses a little of its height.
    assert found[2] == pytest.approx(1, abs=0.05)


def test_narrow_peaks_become_as_wide_as_the_students_targets():
    ours, theirs = CropRule((128, 128)), CropRule((256, 256))
    views = Views.between(ours, theirs)
    mine, other = grid(ours, 4), grid(theirs, 4)
    way = Resampling.between(views, mine, other)
    point = torch.tensor([[[61.0, 70.3]]])
    drawn = torch.ones(1, 1, dtype=torch.bool)
    maps = encode(point * 2 + 0.5, drawn, other.size, 4, other.sigma)
    moved = torch.from_numpy(way.rows) @ maps @ torch.from_numpy(way.columns).T / way.height
    assert torch.allclose(moved, encode(point, drawn, mine.size, 4, mine.sigma), atol=0.01)


def test_one_grid_needs_no_resampling():
    rule = CropRule((128, 96))
    views = Views.between(rule, CropRule((128, 96), 1.1))
    way = Resampling.between(views, grid(rule, 4), grid(rule, 4))
    assert way.same
    assert np.allclose(way.rows, np.eye(24))
    assert not Resampling.between(views, grid(rule, 4), grid(rule, 4, shift=(0.5, 0.5))).same


@pytest.mark.parametrize("margins", [(1.25, 1.25), (1.0, 1.4), (1.4, 1.0)])
@pytest.mark.parametrize(("student", "teacher"), [(a, b) for a in SIZES[:4] for b in SIZES[:4]])
def test_both_nets_inputs_are_cut_from_one_canvas(student, teacher, margins):
    """What lies at a pixel of the student's crop lies where the geometry says in the teacher's."""
    views = Views.between(CropRule(student, margins[0]), CropRule(teacher, margins[1]))
    corners = np.array([[-0.5, -0.5], np.array(student) - 0.5])
    inside = views.to_teacher.apply(corners)
    assert (inside > -0.5 - 1e-6).all()
    assert (inside < np.array(teacher) - 0.5 + 1e-6).all()
    # A smooth picture whose colours are its coordinates.
    y, x = np.mgrid[: views.canvas.size[1], : views.canvas.size[0]]
    back = views.to_canvas.inverse().apply(np.stack([x, y], -1))
    scale = 200 / max(student)
    canvas = np.stack([back[..., 0] * scale + 20, back[..., 1] * scale + 20, 0 * x], -1).clip(0, 255).astype(np.uint8)
    ours, theirs = views.for_student(canvas), views.for_teacher(canvas)
    assert ours.shape == (*student[::-1], 3)
    assert theirs.shape == (*teacher[::-1], 3)
    for point in np.random.default_rng(0).uniform(0.2, 0.8, (20, 2)) * student:
        a, b = np.round(point).astype(int), np.round(views.to_teacher.apply(np.round(point))).astype(int)
        off = views.to_teacher.inverse().apply(b) - a
        expected = ours[a[1], a[0], :2] + off * scale
        assert np.abs(theirs[b[1], b[0], :2] - expected).max() < 2.5


@pytest.mark.parametrize(
    "teacher", [CropRule((128, 128)), CropRule((128, 128), 1.4), CropRule((64, 64)), CropRule((64, 96), 1.3)]
)
def test_the_students_crop_is_not_resampled_where_its_own_pixels_are_the_finest(teacher):
    """Its pixels are those of a crop made without a teacher."""
    rule = CropRule((128, 128))
    views = Views.between(rule, teacher)
    picture = cv2.resize(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8), (300, 200))
    place = Similarity.crop((60, 40, 190, 160), rule.size, margin=rule.margin, rotation=20, flip=True)
    drawn = CanvasMap.after(CropMap(place), views.to_canvas)
    canvas = warp(picture, drawn.similarity, views.canvas)
    alone = warp(picture, place, rule).astype(int)
    assert np.abs(views.for_student(canvas).astype(int) - alone).max() <= 1


def test_a_tilt_goes_on_to_the_canvas():
    views = Views.between(CropRule((64, 64)), CropRule((160, 160), 1.5))
    place = CropMap(Similarity.crop((10, 10, 60, 60), (64, 64)), Tilt((64, 64), 20, 30))
    drawn = CanvasMap.after(place, views.to_canvas)
    points = np.array([[20.0, 20], [50, 31], [33, 55]])
    on_canvas = views.to_canvas.apply(place.apply(points))
    assert np.allclose(drawn.apply(points), on_canvas)
    matrix = drawn.tilt_matrix @ np.vstack([drawn.similarity.matrix, [0, 0, 1]])
    mapped = np.column_stack([points, np.ones(3)]) @ matrix.T
    assert np.allclose(mapped[:, :2] / mapped[:, 2:], on_canvas)
