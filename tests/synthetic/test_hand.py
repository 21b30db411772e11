"""Pictures of hands: the same for the same numbers, and with a truth that holds in the pixels."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace

import numpy as np
import pytest

from posewright.annotations import boxes_from_keypoints
from posewright.errors import PosewrightError
from posewright.synthetic import render_hand, scene
from posewright.synthetic.anatomy import pose_hand
from posewright.synthetic.camera import Camera
from posewright.synthetic.gestures import GESTURES
from posewright.synthetic.hand import random_scene
from posewright.synthetic.scene import Looks, Scene, depth_of, draw_scene
from posewright.synthetic.things import FRONT, Bar, Sheet
from posewright.synthetic.view import fit_view, rotation_from_angles

TIPS = [4, 8, 12, 16, 20]
COUNT = 120


@pytest.fixture(scope="module")
def samples():
    return [render_hand(11, i) for i in range(COUNT)]


def open_hand(gesture="open", turn=(0, 0, 0), size=(256, 256), extent=190, seed=5):
    """A scene with one plain hand in the middle."""
    looks = replace(Looks.random(np.random.default_rng(seed)), sleeve=None)
    hand = pose_hand(looks.shape, GESTURES[gesture])
    view = fit_view(rotation_from_angles(*turn), hand.keypoints, 6.0, extent, size, (0.5, 0.5))
    return Scene(looks, hand, view)


# -- the same again ---------------------------------------------------------------------------------------------------


def test_picture_depends_on_seed_and_index_alone(samples):
    for i in (70, 3, 41):
        again = render_hand(11, i)
        assert (again.image == samples[i].image).all()
        assert (again.keypoints == samples[i].keypoints).all()
    assert (render_hand(12, 3).image != samples[3].image).any()
    assert len({s.image.tobytes() for s in samples}) == COUNT


def test_picture_is_the_same_in_a_fresh_process(samples):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        other = pool.apply(render_hand, (11, 7))
    assert (other.image == samples[7].image).all()
    assert (other.keypoints == samples[7].keypoints).all()


# -- shape and bounds of what comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(256, 256), (320, 200), (96, 64), (640, 480)])
def test_size_is_width_by_height(size):
    for i in range(4):
        image = render_hand(0, i, size).image
        assert image.shape == (size[1], size[0], 3)
        assert image.dtype == np.uint8


def test_keypoints_and_boxes_lie_inside_the_picture(samples):
    for sample in samples:
        assert sample.keypoints.shape in ((0, 21, 3), (1, 21, 3))
        assert (sample.box is None) == (sample.left is None) == (len(sample.keypoints) == 0)
        if sample.box is not None:
            xy, v = sample.keypoints[0, :, :2], sample.keypoints[0, :, 2]
            assert np.isin(v, (1, 2)).all()
            assert xy.min() >= 0
            assert xy.max() <= 255
            assert sample.box == pytest.approx(np.clip(boxes_from_keypoints(sample.keypoints)[0], -0.5, 255.5))


def test_hands_of_all_sizes_and_both_sides(samples):
    hands = [s for s in samples if s.box is not None]
    extent = np.array([np.ptp(s.keypoints[0, :, :2], axis=0).max() for s in hands]) / 256
    assert extent.min() < 0.45
    assert extent.max() > 0.8
    assert 0.3 < np.mean([s.left for s in hands]) < 0.7


def test_share_of_empty_pictures_is_what_was_asked_for():
    assert all(render_hand(2, i, (64, 64), empty_share=0.0).box is not None for i in range(40))
    assert all(render_hand(2, i, (64, 64), empty_share=1.0).box is None for i in range(40))
    empty = sum(render_hand(2, i, (64, 64), empty_share=0.25).box is None for i in range(400))
    assert 70 <= empty <= 130  # four standard deviations about 100


def test_colours_vary_within_and_between_pictures(samples):
    images = np.array([s.image for s in samples], np.float32)
    assert (images.std(axis=(1, 2)).mean(1) > 8).all()
    means = images.mean(axis=(1, 2))
    assert (means.std(0) > 20).all()
    wrists = [s.image[tuple(np.rint(s.keypoints[0, 9, 1::-1]).astype(int))] for s in samples if s.box is not None]
    brightness = np.array(wrists, float).mean(1)
    assert brightness.min() < 70
    assert brightness.max() > 170


def test_easy_pictures_hide_less():
    def hidden(difficulty):
        found = [render_hand(3, i, (128, 128), difficulty=difficulty, empty_share=0) for i in range(150)]
        return np.mean([s.keypoints[..., 2] == 1 for s in found])

    assert hidden(0.0) < hidden(1.0) - 0.02


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"size": (8, 256)}, "8x256"),
        ({"empty_share": 1.5}, "empty_share 1.5"),
        ({"difficulty": float("nan")}, "difficulty nan"),
        ({"seed": -1}, "seed -1"),
        ({"index": -1}, "index -1"),
    ],
)
def test_senseless_arguments_are_named(arguments, complaint):
    with pytest.raises(PosewrightError, match=complaint):
        render_hand(**({"seed": 0, "index": 0} | arguments))


# -- keypoints lie where the pixels are -------------------------------------------------------------------------------


@pytest.mark.parametrize("finger", range(5))
@pytest.mark.parametrize("turn", [(0, 0, 0), (10, 180, 40), (-25, 30, 130)])
def test_fingertip_keypoint_lies_at_the_end_of_the_pixels_that_the_last_bone_draws(monkeypatch, finger, turn):
    plain = open_hand(turn=turn)
    whole = np.full((256, 256, 3), 90, np.uint8)
    keypoints = draw_scene(whole, plain)

    def without_last_bone(*arguments):
        solid = solid_of(*arguments)
        tip = plain.hand.keypoints[TIPS[finger]]
        links = solid.parts[1].links
        links.remove(min(links, key=lambda link: np.linalg.norm(solid.points[link[1]] - tip)))
        return solid

    solid_of = scene.hand_solid
    monkeypatch.setattr(scene, "hand_solid", without_last_bone)
    cut = np.full((256, 256, 3), 90, np.uint8)
    draw_scene(cut, plain)

    rows, columns = np.nonzero(np.abs(whole.astype(int) - cut).max(2) > 25)
    changed = np.column_stack([columns, rows])
    tip, joint = keypoints[TIPS[finger], :2], keypoints[TIPS[finger] - 1, :2]
    axis = (tip - joint) / np.linalg.norm(tip - joint)
    radius = plain.looks.shape.radii[finger, 3] * plain.view.scale
    along, across = (changed - tip) @ axis, (changed - tip) @ np.array([-axis[1], axis[0]])
    near = np.hypot(along, across) < 2 * radius  # shadows change further away
    along, across = along[near], across[near]
    end = np.quantile(along[np.abs(across) < 0.5 * radius], 0.99)
    assert -1 < end < 0.5 * radius + 1.5
    level = across[np.abs(along) < 0.4 * radius]
    assert abs(level.max() + level.min()) < 3.0  # the bone's pixels lie evenly on both sides of the keypoint
    assert level.max() - level.min() == pytest.approx(2 * radius, abs=0.5 * radius + 2)


@pytest.mark.parametrize("index", range(25))
def test_every_keypoint_lies_on_something_drawn(index):
    made = random_scene(np.random.default_rng([77, index]), (256, 256), 1.0)
    buffer = depth_of(made, 256, 256)
    spots = np.rint(made.view.project(made.hand.keypoints)[:, :2]).astype(int)
    assert (buffer.material[spots[:, 1], spots[:, 0]] > 0).all()


@pytest.mark.parametrize("index", range(30))
def test_camera_moves_nothing(index):
    rng = np.random.default_rng([5, index])
    camera = replace(
        Camera.random(rng, (256, 256), 1.0),
        noise=0.0,
        quality=None,
        tables=np.tile(np.arange(256, dtype=np.uint8), (3, 1)),
    )
    y, x = np.mgrid[:256, :256]
    spot = np.exp(-((x - 120.3) ** 2 + (y - 97.6) ** 2) / (2 * 8.0**2)) * 250
    taken = camera.take(rng, np.repeat(np.rint(spot).astype(np.uint8)[..., None], 3, axis=2))[..., 1].astype(float)
    taken[taken < 3] = 0
    centre = np.array([(taken * x).sum(), (taken * y).sum()]) / taken.sum()
    assert centre == pytest.approx([120.3, 97.6], abs=0.06)


# -- what is hidden is flagged, what is seen is not -------------------------------------------------------------------


def flags(made, size=(256, 256)):
    return draw_scene(np.zeros((size[1], size[0], 3), np.uint8), made)[:, 2]


@pytest.mark.parametrize("turn", [(0, 0, 0), (0, 180, 0), (8, 15, 60), (-10, 195, -30)])
def test_open_hand_hides_nothing(turn):
    assert (flags(open_hand(turn=turn)) == 2).all()


def test_back_of_a_fist_hides_the_fingertips():
    hidden = flags(open_hand("fist", (0, 180, 0))) == 1
    assert hidden[[8, 12, 16]].all()
    assert not hidden[[0, 5, 9, 13, 17]].any()


def test_finger_that_points_at_the_viewer_hides_its_own_knuckle():
    hidden = flags(open_hand("point", (88, 0, 0))) == 1
    assert hidden[5]
    assert not hidden[8]


def test_bar_hides_what_it_covers_and_nothing_else():
    plain = open_hand()
    target = plain.view.project(plain.hand.keypoints)[:, :2]
    x = float(target[12, 0])
    barred = replace(plain, bars=[Bar((x, -20.0), (x, 300.0), 12.0, FRONT)])
    distance = np.abs(target[:, 0] - x)
    assert (flags(plain) == 2).all()
    assert (flags(barred)[distance < 11] == 1).all()
    assert (flags(barred)[distance > 13] == 2).all()
    assert (distance > 13).any()


def test_sheet_hides_what_it_covers_and_nothing_else():
    plain = open_hand()
    target = plain.view.project(plain.hand.keypoints)[:, :2]
    square = target[8] + np.array([(-15, -15), (15, -15), (15, 15), (-15, 15)])
    covered = replace(plain, sheets=[Sheet(square, ((200.0, 0, 0), (0, 0, 200.0)), 0.1)])
    inside = (np.abs(target - target[8]) < 14).all(1)
    outside = (np.abs(target - target[8]) > 16).any(1)
    assert (flags(covered)[inside] == 1).all()
    assert (flags(covered)[outside] == 2).all()


def test_flags_agree_with_the_pixels_of_random_scenes():
    changed = 0
    for index in range(60):
        made = random_scene(np.random.default_rng([21, index]), (256, 256), 1.0)
        bare = replace(made, held=None, bars=[], sheets=[])
        pictures = [np.full((256, 256, 3), 90, np.uint8) for _ in range(2)]
        with_things, without = (draw_scene(picture, each) for picture, each in zip(pictures, (made, bare), strict=True))
        assert (with_things[:, :2] == without[:, :2]).all()
        # A thing can hide a keypoint, never uncover one; and where it does it has changed the pixel.
        assert (with_things[:, 2] <= without[:, 2]).all()
        newly = with_things[:, 2] < without[:, 2]
        columns, rows = np.rint(with_things[newly, :2]).astype(int).T
        difference = np.abs(pictures[0][rows, columns].astype(int) - pictures[1][rows, columns]).max(-1)
        assert (difference > 0).all()
        changed += int(newly.sum())
    assert changed > 25


def test_negative_pictures_hold_things_too():
    """Pictures without a hand are not just backgrounds: most show something round that resembles a limb."""
    rng = np.random.default_rng(0)
    spread = [render_hand(9, int(i), (128, 128), empty_share=1.0).image.std() for i in rng.integers(0, 1000, 30)]
    assert np.mean(spread) > 25
