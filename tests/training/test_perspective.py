"""Tilted crops: what stays in place, what never comes back, and where a dot lands."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from posewright.geometry import CropRule, Similarity
from posewright.training.augment_config import STEEPEST
from posewright.training.perspective import CropMap, Tilt
from posewright.warp import warp

sizes = st.sampled_from([(96, 64), (80, 96), (100, 100)])
degrees = st.floats(-180, 180)


@given(sizes, st.floats(0, STEEPEST), degrees)
def test_a_tilt_holds_the_centre_and_keeps_the_crop_in_front_of_the_camera(size, angle, axis):
    tilt = Tilt(size, angle, axis)
    width, height = size
    centre = (np.array(size) - 1) / 2
    np.testing.assert_allclose(tilt.apply(centre), centre, atol=1e-9)
    # The axis itself does not move; what lies across it is foreshortened, the nearer half less.
    along = np.array([np.cos(np.deg2rad(axis)), np.sin(np.deg2rad(axis))])
    np.testing.assert_allclose(tilt.apply(centre + 20 * along), centre + 20 * along, atol=1e-9)
    corners = np.array(
        [[-0.5, -0.5, 1], [width - 0.5, -0.5, 1], [-0.5, height - 0.5, 1], [width - 0.5, height - 0.5, 1]]
    )
    assert (corners @ tilt.matrix[2] > 0.6).all()
    assert ((np.linalg.inv(tilt.matrix) @ corners.T)[2] > 0.3).all()
    moved = corners @ tilt.matrix.T
    np.testing.assert_allclose(tilt.apply(corners[:, :2]), moved[:, :2] / moved[:, 2:], atol=1e-8)


@given(sizes, st.floats(5, STEEPEST), degrees, st.floats(0, 360), st.floats(5, 1e4))
def test_a_point_far_away_never_comes_back_into_the_crop(size, angle, axis, direction, distance):
    """Nor to the other side of it, where a plain homography puts what lies behind the camera."""
    side = max(size)
    centre = (np.array(size) - 1) / 2
    way = np.array([np.cos(np.deg2rad(direction)), np.sin(np.deg2rad(direction))])
    seen = Tilt(size, angle, axis).apply(centre + side * distance * way)
    assert np.isfinite(seen).all()
    assert (np.abs(seen - centre) > np.array(size) / 2).any()
    assert (seen - centre) @ way > 0


def test_no_tilt_is_the_similarity_alone():
    tilt = Tilt((96, 64), 0.0, 33.0)
    np.testing.assert_allclose(tilt.matrix, np.eye(3), atol=1e-12)
    similarity = Similarity.crop([3, 4, 60, 50], (96, 64), rotation=20)
    assert np.array_equal(CropMap(similarity).apply([[5, 6]]), similarity.apply([[5, 6]]))


@settings(deadline=None, max_examples=80)
@given(
    st.tuples(st.integers(150, 700), st.integers(150, 700)),
    st.tuples(st.floats(0.35, 0.65), st.floats(0.35, 0.65)),
    st.floats(0.18, 1.5),
    degrees,
    st.booleans(),
    st.booleans(),
    st.floats(0, STEEPEST),
    degrees,
)
def test_a_dot_lands_where_its_keypoint_goes(size, place, zoom, rotation, flip, flip_vertical, angle, axis):
    """For any box, turn, mirror and tilt, reduced first or not: the picture moves as the points do."""
    width, height = size
    at = np.array([place[0] * width, place[1] * height])
    rule = CropRule((80, 96), margin=1.0, border=0)
    side = min(rule.size) / zoom
    box = [*(at - side * 0.42), *(at + side * 0.58)]
    similarity = Similarity.crop(box, rule.size, rotation=rotation, flip=flip, flip_vertical=flip_vertical)
    to_crop = CropMap(similarity, Tilt(rule.size, angle, axis))
    sigma = max(2.5 / similarity.scale, 1.2)
    x, y = np.arange(width), np.arange(height)
    dot = np.outer(np.exp(-((y - at[1]) ** 2) / (2 * sigma**2)), np.exp(-((x - at[0]) ** 2) / (2 * sigma**2)))
    crop = warp(np.round(255 * dot).astype(np.uint8), similarity, rule, to_crop.tilt_matrix)
    light = np.where(crop > 0.1 * crop.max(), crop, 0).astype(float)
    gy, gx = np.mgrid[: rule.size[1], : rule.size[0]]
    centroid = np.array([(gx * light).sum(), (gy * light).sum()]) / light.sum()
    assert np.abs(centroid - to_crop.apply(at)).max() < 0.2 + 0.03 * max(1.0, similarity.scale)
