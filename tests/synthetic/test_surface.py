"""The z-buffer against spheres swept one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posewright.synthetic.surface import FAR, DepthBuffer

SIDE = 64


def draw(a, b, ra, rb, soft=0.0, buffer=None):
    buffer = buffer or DepthBuffer(SIDE, SIDE)
    one = [np.array([v], float) for v in (a, b, ra, rb, soft)]
    buffer.capsules(*one)
    return buffer


def swept(a, b, ra, rb, steps=401):
    """The same surface the slow way: the highest of many spheres."""
    t = np.linspace(0, 1, steps)[:, None, None]
    cx, cy, cz = ((1 - t) * p + t * q for p, q in zip(a, b, strict=True))
    x, y = np.arange(SIDE)[None, None, :], np.arange(SIDE)[None, :, None]
    rest = ((1 - t) * ra + t * rb) ** 2 - (x - cx) ** 2 - (y - cy) ** 2
    return np.where(rest > 0, cz + np.sqrt(np.maximum(rest, 0)), FAR).max(0)


def assert_outline(found, a, b, ra, rb):
    """The outline is right to a twentieth of a pixel; seen end on, the widened end may stick out by up to half a one."""
    drawn = found > FAR / 2
    length = np.hypot(a[0] - b[0], a[1] - b[1])
    limit = np.sqrt(max(length**2 - 0.25, 0))
    more = 0.05 + (length - limit if abs(ra - rb) > limit else 0)
    assert not (drawn & (swept(a, b, ra + more, rb + more) < FAR / 2)).any()
    assert not (~drawn & (swept(a, b, ra - 0.05, rb - 0.05) > FAR / 2)).any()


coordinate = st.floats(16, 48)


@settings(max_examples=20, deadline=None)
@example((16.0, 16.0, 0.0), (16.0, 16.5, 0.0), 3.0, 4.0)
@given(
    st.tuples(coordinate, coordinate, st.floats(-20, 20)),
    st.tuples(coordinate, coordinate, st.floats(-20, 20)),
    st.floats(3, 15),
    st.floats(3, 15),
)
def test_capsule_is_the_swept_sphere(a, b, ra, rb):
    found = draw(a, b, ra, rb).depth
    assert_outline(found, a, b, ra, rb)
    if np.hypot(a[0] - b[0], a[1] - b[1]) > abs(ra - rb) + 1:  # seen end on, only the outline is exact
        expected = swept(a, b, ra, rb)
        both = (found > FAR / 2) & (expected > FAR / 2)
        # Close to the edge the surface is so steep that the steps of the sweep show.
        assert np.quantile(np.abs(found - expected)[both], 0.95) < 0.05


def test_capsule_seen_end_on_has_the_outline_of_its_wider_end():
    shape = (30, 30, 0), (31, 30, 30), 12, 8
    assert_outline(draw(*shape).depth, *shape)


def test_sphere_lies_where_its_subpixel_centre_is():
    centre = np.array([30.3, 31.8])
    rows, columns = np.nonzero(draw((*centre, 0), (*centre, 0), 17.4, 17.4).depth > FAR / 2)
    assert np.abs([columns.mean() - centre[0], rows.mean() - centre[1]]).max() < 0.06


def test_nearer_shape_covers_and_owns_its_pixels_in_any_order():
    shapes = {1: ((15, 40, 0), (55, 40, 0)), 2: ((45, 10, 12), (45, 55, 12))}
    materials = []
    for order in ((1, 2), (2, 1)):
        buffer = DepthBuffer(SIDE, SIDE)
        for material in order:
            draw(*shapes[material], 8, 8, buffer=buffer)
            buffer.claim(material)
        materials.append(buffer.material)
    assert materials[0][40, 45] == 2
    assert materials[0][40, 25] == 1
    assert (materials[0] == materials[1]).all()


def test_soft_shapes_flow_together_and_hard_ones_do_not():
    at_joint = []
    for soft in (0.0, 6.0):
        buffer = draw((15, 40, 0), (60, 40, 0), 10, 10)
        draw((45, 20, 0), (45, 60, 0), 10, 10, soft, buffer)
        at_joint.append(float(buffer.depth[33, 38]))
    assert at_joint[1] > at_joint[0] + 0.3
    assert at_joint[1] < at_joint[0] + 6.0 / 4 + 1e-3


@pytest.mark.parametrize(
    "corners", [[(10, 10, 0), (50, 15, 10), (30, 55, -5)], [(30, 55, -5), (50, 15, 10), (10, 10, 0)]]
)
def test_side_of_a_polygon_is_its_plane_moved_towards_the_viewer(corners):
    buffer = DepthBuffer(SIDE, SIDE)
    buffer.face(np.array(corners, float), np.full(3, 6.0))
    points = np.array(corners, float)
    normal = np.cross(points[1] - points[0], points[2] - points[0])
    normal *= np.sign(normal[2]) / np.linalg.norm(normal)
    middle = points.mean(0) + 6 * normal
    column, row = np.rint(middle[:2]).astype(int)
    expected = middle[2] - (normal[0] * (column - middle[0]) + normal[1] * (row - middle[1])) / normal[2]
    assert buffer.depth[row, column] == pytest.approx(expected, abs=0.01)


def test_smoothing_keeps_the_outline_and_evens_the_relief():
    buffer = DepthBuffer(SIDE, SIDE)
    for x in (20, 32, 44):
        draw((x, 15, 0), (x, 50, 0), 9, 9, buffer=buffer)
    before = buffer.depth.copy()
    buffer.smooth(8)
    assert ((before > FAR / 2) == (buffer.depth > FAR / 2)).all()
    ridge, smoothed = before[32, 20:45], buffer.depth[32, 20:45]
    assert np.ptp(smoothed) < 0.5 * np.ptp(ridge)
    assert abs(smoothed.mean() - ridge.mean()) < 1.5


def test_shapes_outside_the_picture_draw_nothing():
    buffer = draw((-50, -50, 0), (-30, -60, 0), 8, 8)
    buffer.claim(1)
    assert buffer.window() is None
