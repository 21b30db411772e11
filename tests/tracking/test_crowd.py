"""Several objects with identities, found by a locator that knows where they are."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.shown_hands import FPS, PICTURE, Shown, hand
from posewright.errors import PosewrightError
from posewright.geometry import keypoints_box
from posewright.tracking.crowd import Crowd, CrowdConfig


class Sees:
    """A locator that finds the hands of ``model``, give or take some pixels, and ``false`` boxes."""

    def __init__(self, model: Shown, false: int = 0, blind: bool = False) -> None:
        self.model, self.false, self.blind, self.looks = model, false, blind, 0
        self.rng = np.random.default_rng(1)

    def find(self, image):
        self.looks += 1
        true = [] if self.blind else [keypoints_box(np.c_[h, np.ones(21)], 1.2) for h in self.model.hands]
        boxes = np.reshape([b + self.rng.normal(0, 3, 4) for b in true], (-1, 4))
        corners = self.rng.uniform(0, 300, (self.false, 2))
        boxes = np.concatenate([boxes, np.c_[corners, corners + 90]])
        return boxes, np.linspace(1, 0.3, len(boxes))


def crowd(*places, **config) -> tuple[Crowd, Shown, Sees]:
    model = Shown(*[hand(*p) for p in places])
    sees = Sees(model, false=config.pop("false", 0))
    return Crowd(model, sees, CrowdConfig(**config)), model, sees


def run(tracker: Crowd, model: Shown, paths, start: int = 0):
    """``paths``: for each frame the places of all hands."""
    found = []
    for i, places in enumerate(paths, start):
        model.hands = [hand(*p) for p in places]
        found.append(tracker.step(PICTURE, i / FPS))
    return found


def identity(poses, place) -> int | None:
    """Who is at a place."""
    for xy, number in zip(poses.xy, [] if poses.track_id is None else poses.track_id):
        if np.linalg.norm(xy - hand(*place), axis=1).mean() < 5:
            return int(number)
    return None


PLACES = [(100.0, 120.0), (330.0, 300.0), (540.0, 130.0)]


def test_all_are_found_once_and_the_locator_rests():
    tracker, model, sees = crowd(*PLACES, every=10)
    found = run(tracker, model, [PLACES] * 30)
    assert all(len(p) == 3 for p in found[1:])
    assert sorted(found[-1].track_id.tolist()) == [0, 1, 2]
    assert sees.looks <= 5
    before = model.crops
    run(tracker, model, [PLACES] * 5, 30)
    assert model.crops <= before + 5 * 3 + 3


def test_identities_are_kept_while_two_pass_each_other():
    steps = np.arange(60) * 7.0
    paths = [[(110 + s, 190), (530 - s, 300)] for s in steps]  # apart by 110 px as they pass, of a size of 120
    tracker, model, _ = crowd(*paths[0])
    found = run(tracker, model, paths)
    names = [[identity(p, at) for at in places] for p, places in zip(found, paths)][2:]
    assert len({tuple(n) for n in names if None not in n}) == 1
    assert np.mean([None not in n for n in names]) > 0.9


def test_one_that_leaves_ends_and_one_that_comes_is_new():
    tracker, model, _ = crowd(*PLACES)
    run(tracker, model, [PLACES] * 10)
    left = run(tracker, model, [PLACES[:2]] * 20, 10)
    assert all(len(p) == 2 for p in left[1:])
    other = (520.0, 390.0)
    came = run(tracker, model, [[*PLACES[:2], other]] * 10, 30 + 90)
    assert identity(came[-1], other) == 3


def test_one_that_is_hidden_for_a_second_takes_up_its_identity():
    tracker, model, _ = crowd(*PLACES)
    found = run(tracker, model, [PLACES] * 10)
    number = identity(found[-1], PLACES[1])
    run(tracker, model, [[PLACES[0], PLACES[2]]] * 30, 10)
    back = run(tracker, model, [[PLACES[0], (345.0, 310.0), PLACES[2]]] * 10, 40)
    assert identity(back[-1], (345, 310)) == number


def test_false_finds_make_no_tracks():
    tracker, model, _ = crowd(PLACES[0], false=6, every=1)
    found = run(tracker, model, [[PLACES[0]]] * 20)
    assert max(map(len, found)) == 1


def test_two_boxes_on_one_object_are_one_track():
    tracker, model, sees = crowd(PLACES[1])
    once = sees.find
    sees.find = lambda image: tuple(np.concatenate([a, a]) for a in once(image))
    found = run(tracker, model, [[PLACES[1]]] * 10)
    assert max(map(len, found)) == 1


def test_two_tracks_that_meet_on_one_object_become_one():
    tracker, model, _ = crowd((200, 240), (340, 240))
    run(tracker, model, [[(200, 240), (340, 240)]] * 6)
    assert len(tracker.tracks) == 2
    tracker.tracks[1].box.centre = tracker.tracks[0].box.centre.copy()
    found = run(tracker, model, [[(200, 240)]] * 12, 6)
    assert len(found[-1]) == 1 and len(tracker.tracks) == 1


def test_not_more_than_asked_for():
    tracker, model, _ = crowd(*PLACES, most=2)
    assert max(map(len, run(tracker, model, [PLACES] * 10))) == 2


def test_nothing_in_view():
    tracker, model, sees = crowd()
    found = run(tracker, model, [[]] * 5)
    assert not any(map(len, found)) and sees.looks == 5 and model.crops == 0
    with pytest.raises(PosewrightError, match="one at least"):
        CrowdConfig(every=0)
