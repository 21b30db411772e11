"""Charts that evaluate draws."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posewright.errors import PosewrightError
from posewright.reports.plots import keypoint_bars, pck_curve


def test_pck_curve(tmp_path):
    x = np.linspace(0, 0.5, 11)
    path = pck_curve({"mine": (x, x * 2), "other": (x, x)}, tmp_path / "c.png", normaliser="torso", marks=(0.1, 0.2))
    assert cv2.imread(str(path)).std() > 5


def test_a_curve_of_nothing_is_an_empty_chart(tmp_path):
    x = np.linspace(0, 0.5, 11)
    assert pck_curve({"a": (x, x * np.nan)}, tmp_path / "c.png", normaliser="box", marks=(0.1,)).is_file()


def test_longer_bars_show_more_ink(tmp_path):
    def ink(value):
        path = keypoint_bars({"nose": value, "left_eye": 0.0, "gone": float("nan")}, tmp_path / "b.png", title="PCK")
        picture = cv2.imread(str(path)).astype(int)
        return int((picture[..., 0] - picture[..., 2] > 100).sum())  # blue

    assert ink(0.0) == 0
    assert 0 < ink(0.4) < ink(0.9)
    assert ink(0.8) == pytest.approx(2 * ink(0.4), rel=0.02)


def test_sixty_eight_bars_have_room(tmp_path):
    path = keypoint_bars({f"point_{i}": i / 68 for i in range(68)}, tmp_path / "b.png", title="PCK")
    assert cv2.imread(str(path)).shape[0] > 68 * 25


def test_an_ending_that_is_no_picture(tmp_path):
    with pytest.raises(PosewrightError, match=r"'\.txt' is no ending of a chart"):
        keypoint_bars({"a": 1.0}, tmp_path / "b.txt", title="")
    assert list(tmp_path.iterdir()) == []
