"""Motions compared: time warping on costs worked out by hand, and a waving figure against itself at another pace."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.bodies import body
from posewright.errors import PosewrightError
from posewright.metrics.coaching import RATE, Coach, aligned_oks
from posewright.metrics.similarity import similarity
from posewright.metrics.warping import Warp, resampled, warp
from posewright.skeletons import load_skeleton

BODY = load_skeleton("body-14")


def wave(seconds: float, rate: float = 30.0, pace: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    times = np.arange(int(seconds * rate)) / rate
    return np.stack([body(0.5 - 0.5 * np.cos(np.pi * pace * t / 2)) for t in times]), times


# -- time warping ------------------------------------------------------------------------------------------------------


def costs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(b[:, None] - a[None]).astype(float)


def test_a_path_is_the_best_of_all_paths():
    """Against trying every path of a small table."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        table = rng.random((4, 5))
        best = np.inf
        for start in range(5):
            stack = [(start, table[0, start], (start,))]
            while stack:
                at, total, path = stack.pop()
                if len(path) == 4:
                    best = min(best, total)
                    continue
                for step in range(4):
                    if at + step < 5:
                        extra = 0 if step == 1 else 0.02
                        stack.append((at + step, total + extra + table[len(path), at + step], (*path, at + step)))
        path = warp(table)
        found = table[np.arange(4), path].sum() + 0.02 * (np.diff(path) != 1).sum()
        assert found == pytest.approx(best) and (np.diff(path) >= 0).all() and (np.diff(path) <= 3).all()


def test_half_the_pace_double_the_pace_and_a_part():
    reference = np.arange(40.0)
    np.testing.assert_allclose(warp(costs(reference, np.repeat(reference, 2)[:60])), np.repeat(np.arange(40), 2)[:60])
    np.testing.assert_allclose(warp(costs(reference, reference[::2])), np.arange(0, 40, 2))
    np.testing.assert_allclose(warp(costs(reference, reference[15:25])), np.arange(15, 25))


def test_what_is_said_at_once_is_soon_what_is_said_in_the_end():
    rng = np.random.default_rng(1)
    reference = np.cumsum(rng.random(60))
    table = Warp()
    now = [table.push(np.abs(reference - x)) for x in reference[10:50] + rng.normal(0, 0.1, 40)]
    assert np.abs(np.array(now) - table.path())[5:].max() <= 1
    assert len(Warp().path()) == 0


def test_resampling():
    xy = np.arange(5.0)[:, None, None] * np.ones((1, 2, 2))
    found, times = resampled(xy, [0, 0.1, 0.2, 0.3, 2.0], 20)
    assert times[1] == pytest.approx(0.05) and found[1, 0, 0] == pytest.approx(0.5)
    assert found[2, 0, 0] == pytest.approx(1.0)
    assert np.isnan(found[10]).all(), "no line over a long gap"
    assert found[-1, 0, 0] == pytest.approx(4.0)


# -- poses -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [False, True])
def test_many_at_once_are_as_one_by_one(turn):
    rng = np.random.default_rng(3)
    references = np.stack([body(x) for x in rng.random(8)]) + rng.normal(0, 4, (8, 14, 2))
    references[2, 3] = np.nan
    references[5] = np.nan
    pose = body(0.4) * 2 + 90
    pose[7] = np.nan
    sigmas = np.full(14, 0.0625)
    found = aligned_oks(references, pose, sigmas, turn, unknown=-1)
    assert found[5] == -1
    for i in (0, 1, 2, 3, 4, 6, 7):
        assert found[i] == pytest.approx(similarity(references[i], pose, BODY, turn=turn, sigmas=tuple(sigmas)).oks)


@pytest.mark.parametrize("pace", [0.6, 1.0, 1.7])
def test_the_same_motion_at_another_pace_elsewhere_and_larger(pace):
    coach = Coach(*wave(4.0), BODY)
    poses, times = wave(4.0 / pace, RATE, pace)
    for time, pose in zip(times, poses):
        coach.step(time, 1.7 * pose + (300, 200))
    moments = coach.review()
    assert np.mean([m.oks for m in moments]) > 0.98
    assert not any(m.feedback for m in moments)
    late = np.array([m.reference_time - pace * m.time for m in moments])
    assert np.abs(late).max() < 0.35


def test_an_arm_that_hangs_is_told_to_go_up_and_only_after_a_while():
    coach = Coach(np.stack([body(0.9)] * 60), np.arange(60) / 30, BODY)
    said = [coach.step(i / RATE, body(0.1)).feedback for i in range(15)]
    assert said[0] == () and said[3] == ()
    assert any("left arm" in words and "higher" in words for words in said[-1])
    assert coach.step(1.01, body(0.9)).feedback == (), "and no longer than that"


def test_as_in_a_mirror():
    mirrored = body(0.9)[np.array(BODY.flip_order())] * (-1, 1)
    still = np.stack([body(0.9)] * 30), np.arange(30) / 30
    assert Coach(*still, BODY, mirror=True).step(0.0, mirrored).oks > 0.99
    assert Coach(*still, BODY).step(0.0, mirrored).oks < 0.9


def test_frames_without_a_pose_say_nothing():
    coach = Coach(*wave(2.0), BODY)
    lone = np.full((14, 2), np.nan)
    lone[3] = 5
    for i, pose in enumerate([None, lone, np.zeros((14, 2))]):
        moment = coach.step(i / RATE, pose)
        assert moment.reference == -1 and np.isnan(moment.oks) and moment.feedback == ()
    assert coach.step(0.3, body(0.2)).reference >= 0
    assert len(coach.review()) == 4


def test_a_reference_without_poses():
    with pytest.raises(PosewrightError, match="reference has no pose"):
        Coach(np.full((5, 14, 2), np.nan), np.arange(5.0), BODY)
