"""PCK on cases worked by hand, and what must hold for any input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewright.metrics import distances, pck

# Two objects, three keypoints. Distances: object 0: 0, 5 (a 3-4-5 triangle), 10; object 1: 2, not labelled, 1 (hidden).
TRUTH = np.array([[[0, 0, 2], [10, 10, 2], [20, 20, 2]], [[5, 5, 2], [0, 0, 0], [9, 9, 1]]], float)
PRED = np.array([[[0, 0], [13, 14], [20, 30]], [[7, 5], [99, 99], [9, 8]]], float)


def test_by_hand():
    # Lengths 10 and 20, threshold 0.5: limits 5 and 10. Hits: 0 and exactly 5, not 10; 2 and 1.
    result = pck(PRED, TRUTH, [10, 20], 0.5)
    assert result.n == 5
    assert result.total == pytest.approx(4 / 5)
    assert result.by_keypoint.tolist() == [1.0, 1.0, 0.5]
    assert result.n_by_keypoint.tolist() == [2, 1, 2]
    assert result.mean == pytest.approx((1 + 1 + 0.5) / 3)


@pytest.mark.parametrize(("threshold", "hits"), [(0.0, 1), (0.05, 2), (0.1, 3), (0.49, 3), (0.5, 4), (1.0, 5)])
def test_the_limit_belongs_to_the_hits(threshold, hits):
    assert pck(PRED, TRUTH, [10, 20], threshold).total == pytest.approx(hits / 5)


def test_an_object_without_a_length_is_left_out():
    result = pck(PRED, TRUTH, [10, np.nan], 0.5)
    assert (result.n, result.total) == (3, pytest.approx(2 / 3))


def test_visible_only_leaves_hidden_keypoints_out():
    result = pck(PRED, TRUTH, [10, 20], 0.5, visible_only=True)
    assert (result.n, result.total) == (4, pytest.approx(3 / 4))
    assert result.n_by_keypoint.tolist() == [2, 1, 1]


def test_a_missing_prediction_is_a_miss_at_every_threshold():
    pred = PRED.copy()
    pred[0, 0] = np.nan
    assert np.isposinf(distances(pred, TRUTH)[0, 0])
    assert pck(pred, TRUTH, [10, 20], 1e9).total == pytest.approx(4 / 5)


def test_a_keypoint_that_is_never_labelled_has_no_figure_and_no_part_in_the_mean():
    truth = TRUTH.copy()
    truth[0, 1] = 0
    result = pck(PRED, truth, [10, 20], 0.5)
    assert np.isnan(result.by_keypoint[1])
    assert result.mean == pytest.approx((1 + 0.5) / 2)


def test_nothing_to_count_is_not_a_number_rather_than_zero():
    result = pck(PRED[:0], TRUTH[:0], [], 0.5)
    assert result.n == 0
    assert np.isnan(result.total)
    assert np.isnan(result.mean)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\[N, K, 2\]"):
        distances(PRED[:, :2], TRUTH)
    with pytest.raises(ValueError, match=r"\[N, K, 3\]"):
        distances(PRED, TRUTH[..., :2])


def loop_pck(pred, truth, lengths, threshold):
    """The definition, one keypoint at a time."""
    hits = seen = 0
    for p, t, length in zip(pred, truth, lengths, strict=True):
        if np.isnan(length):
            continue
        for (x, y), (u, v, flag) in zip(p, t, strict=True):
            if flag > 0:
                seen += 1
                hits += bool(np.hypot(x - u, y - v) <= threshold * length)
    return hits, seen


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(0.01, 2))
def test_scale_order_and_the_definition(seed, scale, threshold):
    rng = np.random.default_rng(seed)
    n, k = rng.integers(1, 9), rng.integers(1, 6)
    truth = np.concatenate([rng.uniform(0, 50, (n, k, 2)), rng.integers(0, 3, (n, k, 1))], axis=2)
    pred = truth[..., :2] + rng.normal(0, 5, (n, k, 2))
    lengths = np.where(rng.random(n) < 0.2, np.nan, rng.uniform(1, 30, n))
    result = pck(pred, truth, lengths, threshold)
    hits, seen = loop_pck(pred, truth, lengths, threshold)
    assert result.n == seen
    if seen:
        assert result.total == pytest.approx(hits / seen)
        assert 0 <= result.mean <= 1
    # No figure knows the unit of length, where the origin is, or in which order objects and keypoints come.
    scaled = truth * [scale, scale, 1] + [7, -3, 0]
    moved = pck(pred * scale + [7, -3], scaled, lengths * scale, threshold * (1 + 1e-9))
    assert moved.total == pytest.approx(pck(pred, truth, lengths, threshold * (1 + 1e-9)).total, nan_ok=True)
    rows, columns = rng.permutation(n), rng.permutation(k)
    mixed = pck(pred[rows][:, columns], truth[rows][:, columns], lengths[rows], threshold)
    np.testing.assert_array_equal(mixed.by_keypoint, result.by_keypoint[columns])
    # A wider threshold never loses a hit.
    if seen:
        assert pck(pred, truth, lengths, threshold * 1.5).total >= result.total
