"""Fitting how far off points may be, on errors whose law is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from posewright.metrics.calibration import ellipse, squared_distance
from posewright.models.peaks import PeakCovariance
from posewright.training.covariance import evaluate_covariance, fit_covariance

STRIDE = 4
TRUE = PeakCovariance((-2.0, -1.0, -1.5), -1.5, 1.0, 3.0)


def drawn(n: int = 600, seed: int = 0, tail: float = 3.0):
    """Errors ``[n, 3, 2]`` that follow ``TRUE`` with that tail, and what they are told from."""
    rng = np.random.default_rng(seed)
    score = rng.uniform(0.05, 1, (n, 3))
    root = rng.normal(size=(n, 3, 2, 2)) * rng.lognormal(0, 1, (n, 3, 1, 1))
    full = root @ root.transpose(0, 1, 3, 2)
    spread = np.stack([full[..., 0, 0], full[..., 0, 1], full[..., 1, 1]], -1)
    xx, xy, yy = np.moveaxis(evaluate_covariance(TRUE, spread, score, STRIDE), -1, 0)
    lower = np.zeros((n, 3, 2, 2))
    lower[..., 0, 0], lower[..., 1, 0] = np.sqrt(xx), xy / np.sqrt(xx)
    lower[..., 1, 1] = np.sqrt(yy - xy * xy / xx)
    error = (lower @ rng.normal(size=(n, 3, 2, 1)))[..., 0]
    error /= np.sqrt(rng.chisquare(tail, (n, 3, 1)) / tail)
    error *= math.sqrt(2 * math.log(2) / (tail * math.expm1(2 * math.log(2) / tail)))
    return error, score, spread, np.arange(n) // 2


def test_the_law_that_errors_follow_is_found():
    error, score, spread, picture = drawn(1500)
    fitted = fit_covariance(error, score, spread, picture, STRIDE)
    found = fitted.covariance
    assert found is not None
    np.testing.assert_allclose(found.level, TRUE.level, atol=0.25)
    assert found.score == pytest.approx(TRUE.score, abs=0.3)
    assert found.spread == pytest.approx(TRUE.spread, abs=0.3)
    assert 2 < found.tail < 5
    for name, share in (("coverage@50", 0.5), ("coverage@90", 0.9)):
        assert fitted.metrics[name]["value"] == pytest.approx(share, abs=0.035)
    assert "half of 750 validation pictures that it was not fitted to" in fitted.line


def test_gross_errors_widen_the_tail_and_not_the_core():
    """A tenth of the labels being nonsense must leave the 50 % ellipses near where they were, and coverage true."""
    error, score, spread, picture = drawn(1500, tail=30.0)
    clean = fit_covariance(error, score, spread, picture, STRIDE).covariance
    rng = np.random.default_rng(1)
    wrong = rng.random(score.shape) < 0.1
    error[wrong] = rng.uniform(-200, 200, (int(wrong.sum()), 2))
    fitted = fit_covariance(error, score, spread, picture, STRIDE)
    dirty = fitted.covariance
    assert clean is not None and dirty is not None
    before, after = (np.median(evaluate_covariance(c, spread, score, STRIDE)[..., 0]) for c in (clean, dirty))
    assert 0.8 < after / before < 1.7
    assert dirty.tail < 3 < clean.tail
    assert fitted.metrics["coverage@50"]["value"] == pytest.approx(0.5, abs=0.04)
    assert fitted.metrics["coverage@90"]["value"] == pytest.approx(0.9, abs=0.03)


def test_the_half_that_is_fitted_to_is_exact_and_pictures_are_never_split():
    error, score, spread, picture = drawn(800)
    error[:3, 0] = np.nan
    fitted = fit_covariance(error, score, spread, picture, STRIDE, seed=3)
    assert fitted.covariance is not None
    order = np.random.default_rng(3).permutation(np.unique(picture))
    half = np.isin(picture, order[:200])
    square = squared_distance(error, evaluate_covariance(fitted.covariance, spread, score, STRIDE))[half]
    square = square[~np.isnan(square)]
    for share in (0.5, 0.9):
        assert (square <= ellipse(share, fitted.covariance.tail)).mean() == pytest.approx(share, abs=0.003)


def test_too_little_to_fit_to():
    error, score, spread, picture = drawn(60)
    fitted = fit_covariance(error, score, spread, picture, STRIDE)
    assert fitted.covariance is None and "200 errors on 8 pictures are needed" in fitted.line
    error, score, spread, _ = drawn(800)
    assert fit_covariance(error, score, spread, np.arange(800) % 4, STRIDE).covariance is None
