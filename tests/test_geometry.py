"""Boxes, similarities, the crop rule and the warp's coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewright.geometry import (
    CropRule,
    Similarity,
    cell_to_input,
    expand_box,
    input_to_cell,
    keypoints_box,
    picture_box,
)

coordinate = st.floats(-500, 500)
similarities = st.builds(
    lambda x, y, w, h, size, margin, rotation, scale, shift, flips: Similarity.crop(
        (x, y, x + w, y + h),
        size,
        margin=margin,
        rotation=rotation,
        scale=scale,
        shift=shift,
        flip=flips[0],
        flip_vertical=flips[1],
    ),
    coordinate,
    coordinate,
    st.floats(2, 900),
    st.floats(2, 900),
    st.sampled_from([(256, 256), (192, 256), (96, 64)]),
    st.floats(1, 2),
    st.floats(-180, 180),
    st.floats(0.5, 2),
    st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    st.tuples(st.booleans(), st.booleans()),
)


@given(similarities, coordinate, coordinate)
def test_inverse_undoes_the_map(similarity, x, y):
    there = similarity.apply((x, y))
    assert np.allclose(similarity.inverse().apply(there), (x, y), atol=1e-6)


@given(similarities, similarities, coordinate, coordinate)
def test_composition_applies_the_right_one_first(a, b, x, y):
    assert np.allclose((a @ b).apply((x, y)), a.apply(b.apply((x, y))), atol=1e-5)


@given(similarities, coordinate, coordinate, coordinate, coordinate)
def test_distances_scale_alike_everywhere(similarity, x0, y0, x1, y1):
    before = np.hypot(x1 - x0, y1 - y0)
    after = np.linalg.norm(similarity.apply((x1, y1)) - similarity.apply((x0, y0)))
    assert after == pytest.approx(before * similarity.scale, rel=1e-6, abs=1e-6)


@given(similarities)
def test_one_mirror_changes_handedness_and_two_do_not(similarity):
    flat = Similarity.crop((0, 0, 10, 10), (20, 20))
    mirrored = Similarity.crop((0, 0, 10, 10), (20, 20), flip=True)
    assert (mirrored @ similarity).mirrored != similarity.mirrored
    assert (mirrored @ mirrored @ similarity).mirrored == similarity.mirrored
    assert not flat.mirrored


def test_a_whole_picture_fills_its_crop_edge_to_edge():
    similarity = CropRule((64, 48)).letterbox(640, 480)
    assert np.allclose(similarity.apply([(-0.5, -0.5), (639.5, 479.5)]), [(-0.5, -0.5), (63.5, 47.5)])
    assert similarity.scale == pytest.approx(0.1)


def test_letterbox_never_squashes():
    similarity = CropRule((64, 64)).letterbox(200, 100)
    corners = similarity.apply([(-0.5, -0.5), (199.5, 99.5)])
    assert np.allclose(corners, [(-0.5, 15.5), (63.5, 47.5)])


def test_rotation_turns_the_content_clockwise():
    similarity = Similarity.crop((0, 0, 100, 100), (100, 100), rotation=90)
    centre = similarity.apply((50, 50))
    right = similarity.apply((60, 50)) - centre
    assert np.allclose(right, (0, 10))  # what lay to the right now lies below: y grows downwards


def test_mirror_of_a_crop_keeps_rows_and_reverses_columns():
    plain, mirrored = (Similarity.crop((3, 4, 40, 50), (32, 32), flip=f) for f in (False, True))
    points = np.random.default_rng(0).uniform(0, 40, (5, 2))
    a, b = plain.apply(points), mirrored.apply(points)
    assert np.allclose(b, np.column_stack([31 - a[:, 0], a[:, 1]]))


@given(st.integers(0, 63), st.sampled_from([4, 8]))
def test_a_cell_is_centred_on_its_own_pixels(cell, stride):
    pixels = np.arange(cell * stride, (cell + 1) * stride)
    assert cell_to_input(cell, stride) == pixels.mean()
    assert input_to_cell(pixels.mean(), stride) == cell


def test_boxes():
    assert picture_box(4, 2).tolist() == [-0.5, -0.5, 3.5, 1.5]
    assert expand_box((0, 0, 10, 20), 1.5, 1.0).tolist() == [-10, -5, 20, 25]
    keypoints = np.array([(1, 2, 2), (5, 10, 1), (100, 100, 0)])
    assert keypoints_box(keypoints, 1.5).tolist() == [0, 0, 6, 12]
    assert keypoints_box(np.zeros((3, 3))) is None
    assert keypoints_box(np.array([(3, 3, 2)])).tolist() == [2.5, 2.5, 3.5, 3.5]


@pytest.mark.parametrize(
    "matrix", [np.ones((3, 3)), [[1, 0, np.nan], [0, 1, 0]], [[2, 0, 0], [0, 1, 0]], np.zeros((2, 3))]
)
def test_what_is_no_similarity_is_refused(matrix):
    with pytest.raises(ValueError):
        Similarity(np.asarray(matrix, float))


def test_crop_rule_survives_its_dictionary():
    rule = CropRule((192, 256), 1.4, 0, reduce_above=1.5)
    assert CropRule.from_dict(rule.to_dict()) == rule
    with pytest.raises(ValueError):
        CropRule((192, 256), margin=0)
    with pytest.raises(ValueError):
        CropRule((192, 256), interpolation="nearest")
