"""The estimators recover what their data was made with."""

from __future__ import annotations

import numpy as np

from posewright.audit.exchanges import exchanges
from posewright.audit.statistics import CEILING, fit_logistic, fit_mixture, fit_rare, fit_rate
from posewright.skeletons import BUILTIN


def test_mixture_weights():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(4000) < 0.3, rng.normal(0, 1, 4000), rng.normal(4, 1, 4000))
    density = np.stack([np.exp(-(x**2) / 2), np.exp(-((x - 4) ** 2) / 2)], 1)
    weights = fit_mixture(density, np.zeros(4000, int), 2)
    np.testing.assert_allclose(weights[0], [0.3, 0.7], atol=0.03)
    np.testing.assert_allclose(weights[1], weights[0], atol=0.01)  # an empty group follows the others


def test_logistic_is_the_log_likelihood_ratio():
    rng = np.random.default_rng(1)
    # Of normal laws at 1 and -1 the log ratio is 2 x.
    np.testing.assert_allclose(fit_logistic(rng.normal(1, 1, (20_000, 1)), ridge=0.1), [2.0], atol=0.1)
    right, wrong = rng.normal(0, 1, (9000, 1)), rng.normal(3, 1, (9000, 1))
    one = np.ones((9000, 1))
    weights = fit_logistic(np.concatenate([-np.hstack([right, one]), np.hstack([wrong, one])]), 0.1, free=1)
    np.testing.assert_allclose(weights, [3.0, -4.5], atol=0.4)


def test_few_rows_stay_near_what_many_say():
    rng = np.random.default_rng(4)
    one = np.ones((4000, 1))
    right, wrong = np.hstack([rng.normal(0, 1, (4000, 1)), one]), np.hstack([rng.normal(3, 1, (4000, 1)), one])
    rows = np.concatenate([-right, wrong])
    many = fit_logistic(rows, 1.0, free=1)
    # Of a kind of which there is hardly any, whose few cases say the opposite.
    few = fit_logistic(-rows[[0, -1]], 1.0, free=1, around=many)
    assert np.abs(few - many).max() < 0.5 * np.abs(many).max()
    assert few[0] < many[0]
    np.testing.assert_allclose(fit_logistic(rows[:0], 1.0, free=1, around=many), many, atol=1e-6)
    # A kind of which there is much goes its own way.
    np.testing.assert_allclose(fit_logistic(rows * [0.5, 1.0], 1.0, free=1, around=many), many * [2, 1], rtol=0.05)


def test_rare_cases_are_told_without_being_named():
    rng = np.random.default_rng(2)
    truth = np.where(rng.random(5000) < 0.04, 1.5, -1.5)
    ratio, rate = fit_rare(truth[:, None] + rng.normal(0, 1, (5000, 2)))
    assert 0.025 < rate < 0.06
    assert (ratio[truth > 0] > 0).mean() > 0.9
    assert (ratio[truth < 0] < 0).mean() > 0.9
    assert np.abs(ratio).max() <= 2 * CEILING


def test_rate():
    rng = np.random.default_rng(3)
    # The log ratio of normal laws at 3 and 0, of cases of which a tenth is at 3.
    x = rng.normal(0, 1, 5000) + 3 * (rng.random(5000) < 0.1)
    assert abs(fit_rate(3 * x - 4.5) - 0.1) < 0.015


def test_which_pairs_are_looked_at():
    body = {e.name: e.pairs for e in exchanges(BUILTIN["body-14"])}
    assert list(body)[:3] == ["all", "ankle, knee, hip", "wrist, elbow, shoulder"]
    assert len(body["all"]) == 6
    assert "wrist" in body
    assert exchanges(BUILTIN["hand-21"]) == []
