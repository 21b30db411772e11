"""Smoothing behind a tracker: every frame comes out, in order, later, and as the smoother of the whole would have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.spots import SPOTS
from posewright.live import late as late_module
from posewright.live.late import Late
from posewright.live.work import Item
from posewright.media.sources import Frame
from posewright.poses import Poses
from posewright.tracking.filters import measured
from posewright.tracking.kalman import Kalman, smoothed

RATE = 20.0


class Track:
    """Stands for one object, with as much of a track as the smoother asks for."""

    def __init__(self, number: int) -> None:
        self.number, self.filter, self.measured = number, Kalman(1), None


class Tracker:
    """Shows what ``seen`` says of each frame: for each object that is there, its keypoints."""

    def __init__(self, seen: list[dict[int, np.ndarray]]) -> None:
        self.seen, self.tracks, self.count = seen, [], 0

    def step(self, image: np.ndarray, time: float) -> Poses:
        here = self.seen[self.count]
        self.count += 1
        self.tracks = [t for t in self.tracks if t.number in here]
        self.tracks += [Track(n) for n in here if n not in {t.number for t in self.tracks}]
        found = []
        for track in self.tracks:
            xy = here[track.number][None]
            pose = Poses(SPOTS, xy, np.ones((1, 3)), np.ones(1), np.array([[0, 0, 100, 100.0]]))
            track.measured = measured(pose, 0, time)
            track.filter.update(track.measured)
            pose.track_id = np.array([track.number])
            found.append(pose)
        return Poses.joined(found) if found else Poses.empty(SPOTS)


def run(seen, shape=(8, 8, 3), lag=0.5):
    tracker = Tracker(seen)
    late, out, delay = Late(tracker, lag), [], []
    for i in range(len(seen)):
        frame = Frame(np.zeros(shape, np.uint8), Path("a.mp4"), i, i / RATE)
        item = Item(frame, tracker.step(frame.image, i / RATE))
        for ready in late.push(item):
            out.append(ready)
            delay.append(i - ready.frame.frame)
    out += list(late.flush())
    assert [item.frame.frame for item in out] == list(range(len(seen)))
    return out, delay


def noisy(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    steady = np.array([[20, 20], [60, 30], [40, 80]], float) + np.arange(count)[:, None, None] * (1.5, 0.5)
    return steady + rng.normal(0, 2, (count, 3, 2))


def test_frames_come_half_a_second_late_and_smooth():
    xy = noisy(60)
    out, delay = run([{0: xy[i]} for i in range(60)])
    assert set(delay) <= {10, 11}
    truth = np.array([[20, 20], [60, 30], [40, 80]], float) + np.arange(60)[:, None, None] * (1.5, 0.5)
    found = np.array([item.poses.xy[0] for item in out])
    error = np.abs(found - truth)[10:-10].mean()
    assert error < 0.6 * np.abs(xy - truth)[10:-10].mean()


def test_the_end_is_smoothed_like_the_whole():
    xy = noisy(9)
    out, delay = run([{0: xy[i]} for i in range(9)])
    assert delay == []
    kalman, steps = Kalman(1), []
    for i in range(9):
        pose = Poses(SPOTS, xy[i][None], np.ones((1, 3)), np.ones(1), np.array([[0, 0, 100, 100.0]]))
        kalman.update(measured(pose, 0, i / RATE))
        steps.append(kalman.last)
    for item, estimate in zip(out, smoothed(steps)):
        np.testing.assert_allclose(item.poses.xy[0], estimate.xy, atol=1e-9)


def test_objects_that_come_and_go_keep_their_own_keypoints():
    one, two = noisy(40, 1), noisy(40, 2) + 500
    seen = [{n: xy[i] for n, xy, there in ((0, one, i < 15), (1, two, 8 <= i < 30)) if there} for i in range(40)]
    out, _ = run(seen)
    for i, item in enumerate(out):
        assert sorted([] if item.poses.track_id is None else item.poses.track_id) == sorted(seen[i])
        for row in range(len(item.poses)):
            number = int(item.poses.track_id[row])
            assert np.abs(item.poses.xy[row] - seen[i][number]).max() < 12


def test_frames_without_an_object_are_not_held_up():
    _, delay = run([{} for _ in range(5)])
    assert delay == [0] * 5


def test_large_pictures_wait_less_so_that_the_memory_holds(monkeypatch):
    monkeypatch.setattr(late_module, "MOST_BYTES", 3 * 300)
    xy = noisy(40)
    _, delay = run([{0: xy[i]} for i in range(40)], shape=(10, 10, 3))
    assert max(delay) <= 4 and min(delay) >= 1


@pytest.mark.parametrize("gap", [3, 12])
def test_the_same_number_begun_anew_is_smoothed_apart(gap):
    """After a gap the object has jumped; smoothing across would drag one end to the other."""
    first, second = noisy(20, 3), noisy(20, 4) + 300
    seen = [{0: p} for p in first] + [{}] * gap + [{0: p} for p in second]
    out, _ = run(seen)
    for i, item in enumerate(out):
        if len(item.poses):
            assert np.abs(item.poses.xy[0] - seen[i][0]).max() < 12
