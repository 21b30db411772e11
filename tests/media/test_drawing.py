"""Drawing puts colour where the poses are, leaves out what is not sure, and keeps its hands off the original."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.media.drawing import contact_sheet, draw_box, draw_keypoints, draw_poses, put_text
from posewright.poses import Poses
from posewright.skeleton import Skeleton

RED, BLUE = (255, 0, 0), (0, 0, 255)
CHAIN = Skeleton("chain", ("a", "b", "c"), links=((0, 1), (1, 2)), link_colours=(RED, BLUE))
POINTS = np.array([[30.0, 40], [130, 40], [130, 140]])


def near(pixel, colour) -> bool:
    """Of that colour, but for what smooth edges mix in."""
    return int(np.abs(np.asarray(pixel, int) - colour).max()) < 40


def blank(height=200, width=220, level=128):
    return np.full((height, width, 3), level, np.uint8)


def one(score=(0.9, 0.8, 0.7)):
    return Poses(CHAIN, POINTS[None], [score], [1], [[10, 20, 150, 160]])


def test_links_have_their_colours_and_places():
    drawn = draw_poses(blank(), one())
    assert near(drawn[40, 80], RED) and near(drawn[90, 130], BLUE)
    assert near(drawn[140, 130], BLUE) and near(drawn[40, 30], RED)
    changed = (drawn != 128).any(2)
    ys, xs = np.nonzero(changed)
    assert (ys.min(), xs.min()) >= (32, 22) and (ys.max(), xs.max()) <= (148, 138)


def test_the_original_is_not_touched():
    picture = blank()
    draw_poses(picture, one(), boxes=True, names=True)
    assert (picture == 128).all()


def test_unsure_keypoints_and_their_links_are_left_out():
    drawn = draw_poses(blank(), one((0.9, 0.8, 0.1)), threshold=0.2)
    assert near(drawn[40, 80], RED)
    assert (drawn[60:, :] == 128).all()
    assert (draw_poses(blank(), one((0.1, 0.1, 0.1)), threshold=0.2) == 128).all()


def test_places_are_exact_to_a_fraction_of_a_pixel():
    """The weight of what is drawn sits where the keypoint is, not at the nearest pixel."""
    dot = Skeleton("dot", ("a",))
    for x, y in ((50.25, 60.75), (50.5, 60.5), (51.0, 60.1)):
        drawn = draw_keypoints(blank(level=0), [[x, y]], [True], dot, colour=(255, 255, 255)).astype(float)[..., 0]
        ys, xs = np.mgrid[: drawn.shape[0], : drawn.shape[1]]
        assert (xs * drawn).sum() / drawn.sum() == pytest.approx(x, abs=0.15)
        assert (ys * drawn).sum() / drawn.sum() == pytest.approx(y, abs=0.15)


def test_lines_grow_with_the_picture_and_the_object():
    def share(height, width, points):
        drawn = draw_keypoints(blank(height, width), points, [True] * 3, CHAIN)
        return int((drawn[:, round((points[0, 0] + points[1, 0]) / 2)] != 128).any(1).sum())

    assert share(200, 220, POINTS) <= 6
    assert share(2000, 2200, POINTS * 10) >= 14
    assert share(2000, 2200, POINTS + 900) < share(2000, 2200, POINTS * 10)


def test_points_that_are_nowhere():
    points = np.array([[np.nan, 5], [1e12, 3], [60, 60]])
    drawn = draw_keypoints(blank(), points, [True] * 3, CHAIN)
    assert (drawn != 128).any() and (drawn[:40] == 128).all()
    outside = draw_keypoints(blank(), POINTS + 5000, [True] * 3, CHAIN)
    assert (outside == 128).all()


def test_rings_mark_without_covering():
    drawn = draw_keypoints(blank(), POINTS, [True] * 3, CHAIN, hollow=True, colour=(255, 255, 255))
    assert (drawn[40, 30] == 128).all() and (drawn[40, 80] == 128).all()
    assert (drawn[36:45, 26:35] > 200).all(2).sum() > 6


def test_boxes_and_text():
    drawn = draw_box(blank(), [10, 20, 150, 160], (1, 2, 3))
    assert near(drawn[20, 80], (1, 2, 3)) and near(drawn[90, 150], (1, 2, 3)) and (drawn[90, 80] == 128).all()
    for level in (0, 255):
        written = put_text(blank(level=level), "naïve", (20, 100))
        assert written.max() > 200 and written.min() < 60


def test_sheets():
    images = [blank(60, 80, 10), blank(30, 90, 50), blank(100, 40, 90)[..., 0], blank(60, 80, 130), blank(8, 8, 170)]
    sheet = contact_sheet(images, [f"number {i}" for i in range(5)], columns=2, tile=90)
    cell_w, cell_h, gap, line = 81, 90, 4, 22
    assert sheet.shape == (gap + 3 * (cell_h + line + gap), gap + 2 * (cell_w + gap), 3) and sheet.dtype == np.uint8
    for i, level in enumerate((10, 50, 90, 130, 170)):
        y = gap + i // 2 * (cell_h + line + gap) + cell_h // 2
        x = gap + i % 2 * (cell_w + gap) + cell_w // 2
        assert (sheet[y, x] == level).all()
    bare = contact_sheet(images[:1], tile=90)
    assert bare.shape[0] < 90 + line
    long = contact_sheet(images[:1], ["a caption that is far too long for its tile"], tile=90)
    assert long.shape[1] == 90 + 2 * gap
    with pytest.raises(ValueError):
        contact_sheet([])
    with pytest.raises(ValueError):
        contact_sheet(images, ["one"])
