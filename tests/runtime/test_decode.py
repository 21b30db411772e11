"""The reference decoder finds gaussians exactly, and decodes like the graph inside the model files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewright.geometry import cell_to_input
from posewright.runtime import decode as reference
from posewright.runtime.decode import decode

HEIGHT, WIDTH = 24, 32


def gaussian(x, y, sigma=1.5, height=HEIGHT, width=WIDTH, top=1.0):
    gx = np.exp(-((np.arange(width) - x) ** 2) / (2 * sigma**2))
    gy = np.exp(-((np.arange(height) - y) ** 2) / (2 * sigma**2))
    return top * np.outer(gy, gx)


@given(
    st.floats(2, WIDTH - 3), st.floats(2, HEIGHT - 3), st.floats(1, 3), st.floats(0.05, 1), st.sampled_from((2, 4, 8))
)
def test_a_gaussian_is_found_exactly(x, y, sigma, top, stride):
    px, py, score = decode(gaussian(x, y, sigma, top=top), stride)
    assert abs(px - cell_to_input(x, stride)) < 0.01 * stride
    assert abs(py - cell_to_input(y, stride)) < 0.01 * stride
    assert score == pytest.approx(top, rel=0.02)


@given(st.floats(0, WIDTH - 1), st.floats(0, HEIGHT - 1))
def test_the_border_costs_little(x, y):
    px, py, _ = decode(gaussian(x, y), 4)
    assert abs(px - cell_to_input(x, 4)) < 0.05 * 4 and abs(py - cell_to_input(y, 4)) < 0.05 * 4


def test_leading_axes_are_kept_and_maps_do_not_mix():
    maps = np.stack([[gaussian(5, 6), gaussian(20.25, 10)], [gaussian(8, 3), np.zeros((HEIGHT, WIDTH))]])
    points = decode(maps, 4)
    assert points.shape == (2, 2, 3)
    np.testing.assert_allclose(points[0, 1, :2], cell_to_input([20.25, 10], 4), atol=0.01)
    assert points[1, 1, 2] == 0


def test_odd_maps_stay_finite():
    rng = np.random.default_rng(0)
    maps = np.stack([np.full((5, 5), -1.0), np.zeros((5, 5)), np.ones((5, 5)), rng.normal(size=(5, 5)) * 1e-20])
    points = decode(maps, 4)
    assert np.isfinite(points).all() and (points[:, 2] >= 0).all() and (points[:, 2] <= 1).all()


def test_same_as_the_graph():
    """Files are decoded by ``posewright.models.heatmaps``; both must follow one rule."""
    torch = pytest.importorskip("torch")
    graph = pytest.importorskip("posewright.models.heatmaps")
    assert (graph.WINDOW, graph.FLOOR) == (reference.WINDOW, reference.FLOOR)
    rng = np.random.default_rng(1)
    places = rng.uniform((-1, -1), (WIDTH, HEIGHT), (40, 2))
    clean = np.stack([gaussian(x, y, rng.uniform(0.8, 3), top=rng.uniform(0.02, 1.1)) for x, y in places])
    noisy = clean + rng.normal(0, 0.02, clean.shape)
    pure = rng.normal(0, 0.1, clean.shape)
    maps = np.stack([clean, noisy, pure]).astype(np.float32)
    theirs = graph.decode(torch.from_numpy(maps), 4).numpy()
    ours = decode(maps, 4)
    np.testing.assert_allclose(ours[..., 2], theirs[..., 2], atol=2e-4)
    sure = theirs[..., 2] > 0.1
    assert sure.sum() > 60
    np.testing.assert_allclose(ours[sure][:, :2], theirs[sure][:, :2], atol=0.01)
