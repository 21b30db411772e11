"""Colour changes as they are defined, not merely different: hue, saturation, value, contrast, tint, sharpness, CLAHE."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewright.training.augment_config import PLAIN
from posewright.training.colour import TO_YIQ, colour_matrix, equalised, sharpened, strength_factor

rgb = st.tuples(*[st.integers(0, 255)] * 3)


def drawn_matrices(count: int = 200, **strengths) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = [colour_matrix(replace(PLAIN, **strengths), rng) for _ in range(count)]
    return [m for m in found if m is not None]


def through(matrix: np.ndarray, colour) -> np.ndarray:
    return matrix[:, :3] @ np.asarray(colour, float) + matrix[:, 3]


def chroma(colour) -> complex:
    _, i, q = TO_YIQ @ np.asarray(colour, float)
    return complex(i, q)


@settings(deadline=None, max_examples=25)
@given(rgb)
def test_hue_turns_colours_about_the_grey_axis(colour):
    angles = []
    for matrix in drawn_matrices(40, hue=30):
        turned = through(matrix, colour)
        assert (TO_YIQ @ turned)[0] == pytest.approx((TO_YIQ @ colour)[0], abs=1e-6)
        assert abs(chroma(turned)) == pytest.approx(abs(chroma(colour)), abs=1e-6)
        np.testing.assert_allclose(through(matrix, (90, 90, 90)), 90, atol=1e-6)
        if abs(chroma(colour)) > 1:
            angles.append(np.degrees(np.angle(chroma(turned) / chroma(colour))))
    assert all(abs(a) <= 30 + 1e-6 for a in angles)
    assert not angles or (min(angles) < -10 and max(angles) > 10)


@settings(deadline=None, max_examples=25)
@given(rgb)
def test_saturation_moves_colours_to_and_from_their_grey(colour):
    factors = []
    for matrix in drawn_matrices(40, saturation=1):
        moved = through(matrix, colour)
        assert (TO_YIQ @ moved)[0] == pytest.approx((TO_YIQ @ colour)[0], abs=1e-6)
        if abs(chroma(colour)) > 1:
            ratio = chroma(moved) / chroma(colour)
            assert ratio.imag == pytest.approx(0, abs=1e-6)
            factors.append(ratio.real)
    assert all(0.5 - 1e-9 <= f <= 2 + 1e-9 for f in factors)
    assert not factors or (min(factors) < 0.8 and max(factors) > 1.25)


@settings(deadline=None, max_examples=25)
@given(rgb)
def test_value_is_that_of_hsv(colour):
    """Hue and saturation as OpenCV computes them stay; V is multiplied."""

    def hsv(c):
        return cv2.cvtColor(np.array([[c]], np.float32) / 255, cv2.COLOR_RGB2HSV)[0, 0]

    for matrix in drawn_matrices(10, value=0.5):
        (h0, s0, v0), (h1, s1, v1) = hsv(colour), hsv(through(matrix, colour))
        assert v1 == pytest.approx(v0 * matrix[0, 0], rel=1e-4, abs=1e-5)
        if v0 > 0.02:
            assert s1 == pytest.approx(s0, abs=1e-3)
            assert min(abs(h1 - h0), 360 - abs(h1 - h0)) < 0.1 or s0 < 0.02


def test_contrast_leaves_the_middle_and_tint_is_a_factor_for_each_channel():
    for matrix in drawn_matrices(20, contrast=1):
        np.testing.assert_allclose(through(matrix, [127.5] * 3), 127.5)
        np.testing.assert_allclose(through(matrix, [227.5] * 3) - 127.5, 100 * matrix[0, 0])
    for matrix in drawn_matrices(20, colour=0.2):
        diagonal = np.diag(matrix)
        np.testing.assert_allclose(matrix, np.column_stack([np.diag(diagonal), np.zeros(3)]), atol=1e-12)
        assert ((diagonal >= 1 / 1.2) & (diagonal <= 1.2)).all() and len(set(diagonal.round(6))) == 3


def test_grey_has_no_colour_left_whatever_else_is_drawn():
    matrices = drawn_matrices(30, grey=1, hue=40, saturation=2, value=0.3)
    for matrix in matrices:
        a, b, c = through(matrix, (200, 30, 90))
        assert a == pytest.approx(b) and b == pytest.approx(c)
    assert drawn_matrices(30) == []


def test_factors_are_even_about_one():
    factors = strength_factor(1.0, np.random.default_rng(0), 4000)
    assert factors.min() >= 0.5 and factors.max() <= 2
    assert np.log(factors).mean() == pytest.approx(0, abs=0.03)
    assert strength_factor(0.0, np.random.default_rng(0)) == 1


def test_sharpness_scales_what_a_smoothing_takes_away():
    picture = np.random.default_rng(0).integers(80, 176, (20, 24, 3), np.uint8)
    assert np.array_equal(sharpened(picture, 1.0), picture)
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    smooth = cv2.filter2D(picture.astype(float), -1, kernel)
    for factor in (0.0, 0.5, 1.5):
        wanted = np.clip(smooth + factor * (picture - smooth), 0, 255)
        assert np.abs(sharpened(picture, factor) - wanted).max() <= 1


def test_clahe_brings_out_what_is_faint_and_keeps_the_colour():
    y, x = np.mgrid[:64, :64]
    faint = 120 + 3 * ((x // 4 + y // 4) % 2)
    picture = np.stack([faint + 30, faint, faint - 20], -1).astype(np.uint8)
    after = equalised(picture)
    assert after[..., 1].std() > 1.5 * picture[..., 1].std()
    # The chroma stays: a difference of channels does not depend on the luma.
    assert np.abs(np.diff(after.astype(int), axis=-1).mean((0, 1)) - [-30, -20]).max() < 4
