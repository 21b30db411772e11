"""Every filter, on motions whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.errors import PosewrightError
from posewright.poses import Poses
from posewright.skeletons import HAND_21
from posewright.tracking import FILTERS, Measured, make_filter, measured
from posewright.tracking.kalman import PROCESS, Kalman
from posewright.tracking.smoothing import FixedLag

SIZE, NOISE, K = 100.0, 2.0, 21
USEFUL = [name for name in FILTERS if name != "cpm"]
KALMANS = ("kalman", "kalman-ca")


def points(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, SIZE, (K, 2)) + 200


def seen(time: float, xy: np.ndarray, noise: float = NOISE) -> Measured:
    return Measured(time, xy, np.broadcast_to(noise**2 * np.eye(2), (len(xy), 2, 2)), SIZE)


def noisy(truth: np.ndarray, seed: int = 1) -> np.ndarray:
    return truth + np.random.default_rng(seed).normal(0, NOISE, truth.shape)


def followed(name: str, truth: np.ndarray, fps: float = 30.0, seed: int = 1) -> np.ndarray:
    """What a filter says of ``truth [F, K, 2]`` seen with noise."""
    track, measured_xy = make_filter(name), noisy(truth, seed)
    return np.stack([track.update(seen(i / fps, xy)).xy for i, xy in enumerate(measured_xy)])


def shake(xy: np.ndarray) -> float:
    return float(np.sqrt(((xy[2:] - 2 * xy[1:-1] + xy[:-2]) ** 2).sum(-1).mean()))


@pytest.mark.parametrize("name", FILTERS)
def test_foretells_nothing_before_the_first_frame_and_keeps_shapes_after(name):
    track = make_filter(name)
    assert not np.isfinite(track.predict(0.0).xy).any()
    found = track.update(seen(0.0, points()))
    assert found.xy.shape == found.velocity.shape == (K, 2) and found.covariance.shape == (K, 2, 2)
    assert track.predict(0.1).xy.shape == (K, 2)


@pytest.mark.parametrize("name", USEFUL)
def test_the_first_frame_is_what_was_measured(name):
    np.testing.assert_allclose(make_filter(name).update(seen(3.0, points())).xy, points())


@pytest.mark.parametrize("fps", [15, 30])
@pytest.mark.parametrize("name", ["kalman", "kalman-ca", "one-euro"])
def test_an_object_that_rests_shakes_a_third_as_much(name, fps):
    truth = np.repeat(points()[None], 4 * fps, 0)
    found = followed(name, truth, fps)[fps:]
    assert shake(found) < shake(noisy(truth)[fps:]) / 3
    assert np.abs(found.mean(0) - points()).max() < NOISE


@pytest.mark.parametrize("name", KALMANS)
def test_a_steady_velocity_is_followed_without_lag(name):
    speed = np.array([300.0, -120.0])  # three sizes a second
    truth = points() + speed * (np.arange(60) / 30)[:, None, None]
    track = make_filter(name)
    for i, xy in enumerate(noisy(truth)):
        found = track.update(seen(i / 30, xy))
    behind = (truth[-1] - found.xy) @ speed / (speed @ speed) * 30
    assert abs(behind.mean()) < 0.25, "in frames"
    np.testing.assert_allclose(found.velocity.mean(0), speed, atol=20)
    ahead = track.predict(59 / 30 + 0.1)
    np.testing.assert_allclose(ahead.xy.mean(0), truth[-1].mean(0) + 0.1 * speed, atol=3)


@pytest.mark.parametrize("name", KALMANS)
def test_a_turn_of_the_whole_object_is_followed_within_two_frames(name):
    steps = np.r_[np.full(30, 12.0), np.full(10, -12.0)].cumsum()
    truth = points() + np.stack([steps, np.zeros(40)], -1)[:, None]
    error = np.linalg.norm(followed(name, truth) - truth, axis=-1).mean(1)
    assert error[32:].max() < 2.5 * NOISE


@pytest.mark.parametrize("name", KALMANS)
def test_one_keypoint_that_jumps_is_not_believed_until_it_stays(name):
    track = make_filter(name)
    for i in range(20):
        track.update(seen(i / 30, noisy(points(), i)))
    wrong = noisy(points(), 50)
    wrong[4] += 60
    first = track.update(seen(20 / 30, wrong))
    assert not first.agreed[4] and first.agreed.sum() >= K - 2, "one in a thousand is doubted for nothing"
    assert np.linalg.norm(first.xy[4] - points()[4]) < 3 * NOISE
    second = track.update(seen(21 / 30, wrong))
    assert second.agreed[4]
    np.testing.assert_allclose(second.xy[4], wrong[4])


@pytest.mark.parametrize("name", USEFUL)
def test_times_tell_the_speed_and_not_the_frames(name):
    """The same motion with every other frame left out ends at the same place."""
    if name == "none":
        pytest.skip("knows no speed")
    truth = points() + np.array([60.0, 0.0]) * (np.arange(91) / 30)[:, None, None]
    dense, sparse = make_filter(name), make_filter(name)
    for i in range(91):
        whole = dense.update(seen(i / 30, truth[i]))
    for i in range(0, 91, 2):
        half = sparse.update(seen(i / 30, truth[i]))
    np.testing.assert_allclose(whole.xy, half.xy, atol=1.0)


@pytest.mark.parametrize("name", FILTERS)
def test_what_is_not_seen_stays_near_and_comes_back(name):
    track = make_filter(name)
    if name == "cpm":
        pytest.skip("flies on, as it did")
    for i in range(60):
        track.update(seen(i / 30, points()))
    nothing = np.full((K, 2), np.nan)
    for i in range(60, 70):
        hidden = track.update(seen(i / 30, nothing))
    assert not hidden.agreed.any()
    np.testing.assert_allclose(hidden.xy, points(), atol=4)
    again = track.update(seen(70 / 30, points()))
    np.testing.assert_allclose(again.xy, points(), atol=4)
    assert again.agreed.all()


@pytest.mark.parametrize("name", KALMANS)
def test_a_hidden_object_slows_down(name):
    track = make_filter(name)
    for i in range(30):
        track.update(seen(i / 30, points() + np.array([10.0 * i, 0])))
    far = track
    for i in range(30, 60):
        there = far.update(seen(i / 30, np.full((K, 2), np.nan)))
    gone = there.xy[:, 0].mean() - (points()[:, 0].mean() + 290)
    assert 20 < gone < 70, "300 px/s, falling by two thirds every 0.15 s"


@pytest.mark.parametrize("name", KALMANS)
def test_a_long_absence_is_forgotten(name):
    track = make_filter(name)
    for i in range(30):
        track.update(seen(i / 30, points()))
    back = track.update(seen(3.0, points() + 150))
    np.testing.assert_allclose(back.xy, points() + 150)
    np.testing.assert_allclose(back.velocity, 0)


def test_a_sure_measurement_weighs_more():
    calm, sure = Kalman(), Kalman()
    for track in (calm, sure):
        for i in range(30):
            track.update(seen(i / 30, points()))
    moved = points() + 1.0
    little = calm.update(seen(1.0, moved, noise=8.0)).xy - points()
    much = sure.update(seen(1.0, moved, noise=0.5)).xy - points()
    assert (much > 2 * little).all()


def test_the_variance_it_states_is_the_variance_it_has():
    """Normalised squared error of many keypoints at rest: 2 by each, were the model exact; smaller where it is careful."""
    rng, truth = np.random.default_rng(3), np.zeros((400, 2))
    track = Kalman(process=1e-9)
    for i in range(60):
        found = track.update(seen(i / 30, truth + rng.normal(0, NOISE, truth.shape)))
    squared = np.einsum("ki,kij,kj->k", found.xy, np.linalg.inv(found.covariance), found.xy)
    assert 1.7 < squared.mean() < 2.3


# -- smoothing ---------------------------------------------------------------------------------------------------------


def smooth(truth: np.ndarray, lag: float = 0.5) -> np.ndarray:
    late: FixedLag[int] = FixedLag(lag=lag)
    found: dict[int, np.ndarray] = {}
    for i, xy in enumerate(noisy(truth)):
        found |= {j: e.xy for j, e in late.push(i, seen(i / 30, xy))[1]}
    waiting = len(truth) - len(found)
    assert waiting <= lag * 30 + 1
    found |= {j: e.xy for j, e in late.flush()}
    assert list(found) == list(range(len(truth)))
    return np.stack(list(found.values()))


def test_smoothed_frames_come_in_order_and_are_steadier():
    angle = np.arange(90) / 30 * 2
    truth = points() + 60 * np.stack([np.cos(angle), np.sin(angle)], -1)[:, None]
    once, twice = followed("kalman", truth), smooth(truth)
    error = [np.linalg.norm(a - truth, axis=-1)[10:-10].mean() for a in (once, twice)]
    assert error[1] < 0.8 * error[0]
    assert shake(twice - truth) < 0.6 * shake(once - truth)


def test_a_window_over_everything_is_the_full_smoother():
    """Against the batch solution of the same linear model: weighted least squares over all states at once."""
    steps, dt, power = 12, 1 / 30, PROCESS[1] * SIZE**2
    xy = np.random.default_rng(5).normal(0, 5, (steps, 1, 2)) + np.arange(steps)[:, None, None] * 3
    track = Kalman(gate=np.inf, adaptive=False)
    late: FixedLag[int] = FixedLag(track, lag=1e9)
    for i in range(steps):
        list(late.push(i, seen(i * dt, xy[i]))[1])
    found = np.stack([e.xy[0] for _, e in late.flush()])
    move = np.array([[1, dt], [0, 1]])
    drive = np.linalg.inv(power * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]]))
    for axis in range(2):
        information, right = np.zeros((2 * steps, 2 * steps)), np.zeros(2 * steps)
        information[1, 1] += 1 / (2.0 * SIZE) ** 2
        for i in range(steps):
            information[2 * i, 2 * i] += 1 / NOISE**2
            right[2 * i] += xy[i, 0, axis] / NOISE**2
            if i:
                step = np.hstack([-move, np.eye(2)])
                at = slice(2 * i - 2, 2 * i + 2)
                information[at, at] += step.T @ drive @ step
        best = np.linalg.solve(information, right)[::2]
        np.testing.assert_allclose(found[:, axis], best, atol=1e-6)


def test_what_begins_anew_is_not_smoothed_into_what_was_before():
    truth = np.repeat(points()[None], 40, 0)
    truth[20:] += 150
    found = smooth(truth)
    assert np.abs(found[:19] - truth[:19]).max() < 4 * NOISE
    assert np.abs(found[22:] - truth[22:]).max() < 4 * NOISE


# -- the filter of the old repository ----------------------------------------------------------------------------------


def test_cpm_is_as_it_was():
    """Its published behaviour on a joint that rests at 200 from the first frame on."""
    track = make_filter("cpm")
    found = [float(track.update(seen(i, np.full((1, 2), 200.0))).xy[0, 0]) for i in range(12)]
    np.testing.assert_allclose(found[:7], [0, 5.8, 27, 77, 145, 204, 239], atol=0.6)
    assert 1.26 < max(found) / 200 < 1.28


def test_cpm_is_opencvs_kalman_filter():
    import cv2

    theirs = cv2.KalmanFilter(4, 2)
    theirs.transitionMatrix = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]], np.float32)
    theirs.measurementMatrix = np.eye(2, 4, dtype=np.float32)
    theirs.processNoiseCov = 0.03 * np.eye(4, dtype=np.float32)
    track, rng = make_filter("cpm"), np.random.default_rng(0)
    for i in range(30):
        z = rng.normal(100, 20, 2)
        theirs.correct(z.astype(np.float32)[:, None])
        np.testing.assert_allclose(track.update(seen(i, z[None])).xy[0], theirs.predict()[:2, 0], rtol=2e-4, atol=1e-3)


# -- what goes in ------------------------------------------------------------------------------------------------------


def poses(score: float, covariance: np.ndarray | None = None) -> Poses:
    return Poses(
        HAND_21, points()[None], np.full((1, K), score), np.ones(1), np.array([[0, 0, 50, 200.0]]), time=2.0,
        covariance=covariance,
    )  # fmt: skip


def test_low_scores_are_noisier_and_the_lowest_say_nothing():
    sure, unsure = measured(poses(0.9)), measured(poses(0.3))
    assert sure.size == 100 and sure.time == 2.0
    assert (unsure.noise[:, 0, 0] > 5 * sure.noise[:, 0, 0]).all()
    assert not measured(poses(0.04)).seen.any() and sure.seen.all()


def test_the_models_covariance_is_taken():
    own = np.tile([9.0, 1.0, 4.0], (1, K, 1))
    noise = measured(poses(0.9, own)).noise[0]
    np.testing.assert_allclose(noise - 0.04 * np.eye(2), [[9, 1], [1, 4]])
    assert measured(poses(0.9, own), covariance=False).noise[0, 0, 1] == 0


def test_an_unknown_name():
    with pytest.raises(PosewrightError, match="kalman-ca"):
        make_filter("kalman-cb")
