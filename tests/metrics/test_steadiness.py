"""Jitter, lag and being lost, on rows whose answer can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.metrics.steadiness import following, jitter, lag, steady


def moving(frames: int = 60) -> np.ndarray:
    return np.arange(frames)[:, None, None] * np.array([4.0, -3.0]) + np.array([[0.0, 0.0], [10.0, 5.0]])


def test_jitter_of_an_error_to_and_fro():
    truth = moving()
    error = np.zeros_like(truth)
    error[::2, :, 0] = 1.0  # 1, 0, 1, 0: second difference 2 everywhere
    assert jitter(truth + error, truth) == pytest.approx(2.0)
    assert jitter(truth + 7.0, truth) == 0.0


def test_jitter_needs_frames_that_follow_on_each_other():
    truth = moving(9)
    xy = truth.copy()
    xy[::3] = np.nan
    assert np.isnan(jitter(xy, truth))


@pytest.mark.parametrize("late", [0.0, 1.0, 2.5, -0.5])
def test_lag_is_the_delay(late):
    truth = moving()
    xy = truth - late * np.array([4.0, -3.0])
    assert lag(xy, truth, steady(truth)) == pytest.approx(late, abs=0.051)


def test_steady_frames_keep_off_turns():
    there = np.r_[np.arange(20), np.arange(18, -1, -1)].astype(float)
    truth = np.stack([4 * there, 0 * there], -1)[:, None]
    use = steady(truth)
    assert use[8:18].all() and not use[18:25].any() and use[27:36].all()
    assert not steady(np.zeros((30, 2, 2))).any(), "what rests has no lag"


def test_losing_and_finding_again():
    time = np.arange(60) / 10
    there = np.ones(60, bool)
    there[20:30] = False
    over = np.where(there, 0.9, 0.0)
    over[30:35] = 0.1  # found again half a second after its return
    over[40:52] = 0.2  # elsewhere for twelve frames
    reported = over > 0
    reported[22:24] = True
    found = following(over, there, there, reported, time)
    assert (found.lost, found.returns, found.missed) == (1, 1, 0)
    assert found.reacquired == pytest.approx((0.5,))
    assert found.false_alarms == pytest.approx(0.2)


def test_nine_bad_frames_are_not_lost_and_a_return_may_be_missed():
    there = np.ones(40, bool)
    there[10:15] = there[20:30] = False
    over = np.where(there, 0.9, 0.0)
    over[15:20] = 0.0
    found = following(over, there, there, over > 0, np.arange(40.0))
    assert (found.lost, found.returns, found.missed) == (0, 2, 1)
    assert found.reacquired == (0.0,)
    assert np.isnan(following(over[:10], there[:10], there[:10], there[:10], np.arange(10.0)).false_alarms)
