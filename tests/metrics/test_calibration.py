"""Coverage of ellipses and areas under ROC curves, on samples whose law is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from posewright.metrics.calibration import Uncertainty, ellipse, roc_auc, squared_distance, tail_of


def student(rng, n: int, tail: float, covariance: np.ndarray) -> np.ndarray:
    """``[n, 2]`` draws of the module's law: a normal draw over the root of a chi-square one, scaled to the median."""
    normal = rng.multivariate_normal([0, 0], covariance, n)
    if math.isinf(tail):
        return normal
    draws = normal / np.sqrt(rng.chisquare(tail, n) / tail)[:, None]
    return draws * math.sqrt(2 * math.log(2) / (tail * math.expm1(2 * math.log(2) / tail)))


@pytest.mark.parametrize("tail", [1.0, 2.5, 8.0, math.inf])
def test_an_ellipse_holds_the_share_it_claims(tail):
    true = np.array([[4.0, 1.5], [1.5, 2.0]])
    errors = student(np.random.default_rng(0), 100_000, tail, true)
    square = squared_distance(errors, [4.0, 1.5, 2.0])
    for share in (0.1, 0.5, 0.9, 0.99):
        assert (square <= ellipse(share, tail)).mean() == pytest.approx(share, abs=0.006)


def test_the_normal_law_is_the_limit():
    assert ellipse(0.9) == pytest.approx(4.60517, abs=1e-5)  # chi-square with 2 degrees of freedom
    assert ellipse(0.9, 1e6) == pytest.approx(ellipse(0.9), rel=1e-5)
    assert {round(ellipse(0.5, t), 9) for t in (0.5, 3.0, math.inf)} == {round(2 * math.log(2), 9)}


@pytest.mark.parametrize("tail", [0.5, 2.0, 30.0])
def test_a_tail_is_found_from_two_ellipses(tail):
    assert tail_of(ellipse(0.9, tail) / ellipse(0.5, tail)) == pytest.approx(tail, rel=1e-6)
    assert tail_of(1.0) == pytest.approx(1000)  # lighter than normal: as good as normal


def test_squared_distances_are_mahalanobis():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(20, 2, 2))
    full = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(2)
    error = rng.normal(size=(20, 2))
    expected = np.einsum("ni,nij,nj->n", error, np.linalg.inv(full), error)
    three = np.stack([full[:, 0, 0], full[:, 0, 1], full[:, 1, 1]], -1)
    np.testing.assert_allclose(squared_distance(error, three), expected)


def test_roc_auc_counts_pairs():
    rng = np.random.default_rng(2)
    score, positive = rng.integers(0, 12, 200), rng.random(200) < 0.3
    pairs = score[positive][:, None] - score[~positive][None]
    assert roc_auc(score, positive) == pytest.approx((pairs > 0).mean() + 0.5 * (pairs == 0).mean())
    assert roc_auc([1, 2, 3], [False, False, True]) == 1
    assert math.isnan(roc_auc([1, 2], [True, True]))


def test_what_counts_and_what_does_not():
    truth = np.zeros((3, 2, 3))
    truth[..., 2] = [[2, 1], [2, 0], [1, 2]]
    xy = np.zeros((3, 2, 2))
    xy[0, 0] = (1.0, 0)  # inside 50 %
    xy[0, 1] = (0, 2.0)  # inside 90 %
    xy[1, 0] = (9.0, 0)  # outside
    xy[1, 1] = (99, 99)  # not labelled
    xy[2] = np.nan  # not predicted
    told = np.array([[0.9, 0.2], [0.4, 0.1], [0.5, 0.5]])
    found = Uncertainty.measure(("a", "b"), xy, truth, np.tile([1.0, 0, 1], (3, 2, 1)), math.inf, told)
    assert found.metrics == pytest.approx(
        {"coverage@50": 1 / 3, "coverage@90": 2 / 3, "visibility_accuracy": 2 / 3, "visibility_AUC": 1.0}
    )
    assert found.by_keypoint["a"] == {"coverage@50": 0.5, "coverage@90": 0.5}
    assert "1 of 3 labelled keypoints are hidden" in " ".join(found.conventions())
    truth[..., 2] = 2
    same = Uncertainty.measure(("a", "b"), xy, truth, None, math.inf, told)
    assert same.metrics == {} and not same.both_kinds
    assert same.conventions() == ["Visibility is not measured: the labels have only one kind of keypoint."]
