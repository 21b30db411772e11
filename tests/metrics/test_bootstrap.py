"""The paired bootstrap: right figures, right width, whole pictures."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.metrics.bootstrap import paired_bootstrap
from posewright.metrics.pck import pck_of_distances


def distances(seed: int, n: int = 400, k: int = 5, share: float = 0.7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random((n, k)) < share, 0.1, 0.5)


def test_figures_are_those_of_pck():
    a, b = distances(0), distances(1, share=0.8)
    a[:50, 2] = b[:50, 2] = np.nan
    found = paired_bootstrap(a, b, np.arange(400), 0.2, resamples=200)
    assert found.a == pytest.approx(pck_of_distances(a, 0.2).total)
    assert found.b == pytest.approx(pck_of_distances(b, 0.2).total)
    assert found.difference == pytest.approx(found.b - found.a)
    assert found.low < found.difference < found.high
    assert found.pictures == 400


def test_the_interval_is_as_wide_as_theory_says():
    a, b = distances(0, 2000, 1), distances(1, 2000, 1)
    found = paired_bootstrap(a, b, np.arange(2000), 0.2)
    expected = 1.96 * ((b <= 0.2).astype(float) - (a <= 0.2)).std() / np.sqrt(2000)
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.05)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(200):
        one, other = distances(2 * seed, 150), distances(2 * seed + 1, 150)
        found = paired_bootstrap(one, other, np.arange(150), 0.2, resamples=300)
        held += found.low <= 0 <= found.high
    assert 0.89 <= held / 200 <= 0.99


def test_equal_sides_differ_by_nothing():
    a = distances(0)
    found = paired_bootstrap(a, a, np.arange(400), 0.2, resamples=50)
    assert (found.low, found.difference, found.high) == (0, 0, 0)


def test_objects_of_one_picture_are_drawn_together():
    """Four copies of every picture's object bring no new knowledge: the interval stays as wide."""
    a, b = distances(0), distances(1)
    one = paired_bootstrap(a, b, np.arange(400), 0.2)
    four = paired_bootstrap(np.repeat(a, 4, 0), np.repeat(b, 4, 0), np.repeat(np.arange(400), 4), 0.2)
    assert four.high - four.low == pytest.approx(one.high - one.low, rel=0.03)
    assert four.pictures == 400


def test_several_runs_are_averaged():
    a = np.stack([distances(s) for s in range(3)])
    b = np.stack([distances(s, share=0.75) for s in range(3, 6)])
    found = paired_bootstrap(a, b, np.arange(400), 0.2, resamples=50)
    assert found.a == pytest.approx(np.mean([(run <= 0.2).mean() for run in a]))
    assert found.b == pytest.approx(np.mean([(run <= 0.2).mean() for run in b]))


def test_sides_that_cannot_be_compared():
    a, b = distances(0), distances(1)
    b[0, 0] = np.nan
    with pytest.raises(ValueError, match="do not count the same"):
        paired_bootstrap(a, b, np.arange(400), 0.2)
    with pytest.raises(ValueError, match="do not count the same"):
        paired_bootstrap(a, distances(1, 300), np.arange(400), 0.2)
    nothing = np.full((3, 2), np.nan)
    with pytest.raises(ValueError, match="no keypoint counts"):
        paired_bootstrap(nothing, nothing, np.arange(3), 0.2)


def test_without_a_threshold_mean_distances_are_compared():
    a, b = np.random.default_rng(0).uniform(0, 1, (2, 300, 1))
    a[:20] = b[:20] = np.nan
    found = paired_bootstrap(a, b, np.arange(300), None)
    assert found.a == pytest.approx(np.nanmean(a))
    assert found.difference == pytest.approx(np.nanmean(b - a))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * np.nanstd(b - a) / np.sqrt(280), rel=0.06)
    assert found.pictures == found.differing == 280
