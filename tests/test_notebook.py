"""What a notebook shows of poses: their picture with them on it, what they are in words, and a table."""

from __future__ import annotations

import base64
import re

import cv2
import numpy as np
import pytest

from helpers.clips import moving_pictures, write_clip
from posewright.media.pictures import write_picture
from posewright.media.sources import video_frames
from posewright.notebook import LONGEST, MOST_ROWS
from posewright.poses import Poses
from posewright.skeleton import Skeleton

PAIR = Skeleton("pair", ("nose", "<b>tail</b>"), links=((0, 1),))


def poses_of(source, width: int, height: int, **more) -> Poses:
    points = [[[width * 0.25, height * 0.25], [width * 0.75, height * 0.5]]]
    box = [[0, 0, width - 1, height - 1]]
    return Poses(PAIR, points, [[0.9, 0.8]], [1], box, source=str(source), width=width, height=height, **more)


def shown(poses: Poses) -> np.ndarray:
    """The picture in the HTML, RGB."""
    data = re.search(r'src="data:image/jpeg;base64,([^"]+)"', poses._repr_html_()).group(1)
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR_RGB)


def test_in_words():
    assert repr(poses_of("a.jpg", 40, 30)) == "Poses(1 x 2 keypoints of 'pair', mean score 0.85, a.jpg, 40 x 30 px)"
    timed = repr(poses_of("clip.mp4", 40, 30, frame=7, time=0.28))
    assert timed.endswith("clip.mp4, 40 x 30 px, frame 7 at 0.280 s)")
    assert repr(Poses.empty(PAIR)) == "Poses(0 x 2 keypoints of 'pair')"


def test_drawn_over_its_picture(tmp_path):
    path = write_picture(tmp_path / "green.png", np.full((120, 160, 3), (0, 90, 0), np.uint8))
    image = shown(poses_of(path, 160, 120))
    assert image.shape == (120, 160, 3)
    assert np.abs(image[5, 5].astype(int) - (0, 90, 0)).max() < 12, "the picture itself"
    assert np.abs(image[30, 40].astype(int) - (0, 90, 0)).max() > 60, "a keypoint on it"


def test_drawn_over_its_frame_of_a_video(tmp_path):
    clip = tmp_path / "clip.mp4"
    write_clip(clip, moving_pictures(5))
    frame = next(f for f in video_frames(clip) if f.frame == 3)
    height, width = frame.image.shape[:2]
    drawn = poses_of(clip, width, height, frame=3).draw()
    far = np.s_[-4:, :4]
    np.testing.assert_array_equal(drawn[far], frame.image[far])
    assert (drawn != frame.image).any()


@pytest.mark.parametrize("source", ["", "gone.jpg", "rtsp://camera/stream", "words.txt", "other_size.png"])
def test_a_plain_canvas_where_the_picture_is_not_at_hand(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("no picture")
    write_picture(tmp_path / "other_size.png", np.zeros((7, 9, 3), np.uint8))
    image = poses_of(source, 160, 120).draw()
    assert image.shape == (120, 160, 3) and (image[2, 2] == 236).all() and (image[30, 40] != 236).any()


def test_a_large_picture_is_reduced_and_its_points_with_it():
    image = shown(poses_of("", 4000, 3000))
    assert image.shape[:2] == (LONGEST * 3 // 4, LONGEST)
    dots = np.abs(image.astype(int) - 236).max(-1) > 60
    ys, xs = np.nonzero(dots)
    assert abs(xs.min() - LONGEST * 0.25) < 12 and abs(ys.min() - LONGEST * 0.75 * 0.25) < 12


def test_a_size_that_nobody_can_hold_is_no_trouble():
    assert shown(poses_of("", 10**9, 10**9)).shape == (LONGEST, LONGEST, 3)
    assert shown(poses_of("", 10**9, 1)).shape == (1, LONGEST, 3)


def test_without_a_size_the_canvas_holds_the_points():
    poses = Poses(PAIR, [[[300, 40], [20, np.nan]]], [[0.9, 0.9]], [1], [[0, 0, 1, 1]])
    image = poses.draw()
    assert image.shape[1] > 300 and (image[40, 300] != 236).any()
    assert Poses.empty(PAIR).draw().shape == (64, 64, 3)


def test_names_cannot_bring_markup():
    poses = poses_of('<script>alert("x")</script>.jpg', 40, 30)
    text = poses._repr_html_()
    assert "<script>" not in text and "<b>tail</b>" not in text and "&lt;b&gt;tail" in text


def test_a_long_table_is_cut():
    many = Poses(PAIR, np.ones((500, 2, 2)), np.ones((500, 2)), np.ones(500), np.ones((500, 4)), width=9, height=9)
    text = many._repr_html_()
    assert text.count("<tr>") == MOST_ROWS + 1 and f"and {1000 - MOST_ROWS} more" in text


def test_options_of_drawing_are_passed_on():
    poses = poses_of("", 160, 120)
    assert (poses.draw(threshold=0.95) == 236).all()
    assert (poses.draw(np.zeros((120, 160), np.uint8), colour=(255, 0, 0))[..., 1:] < 40).all()
