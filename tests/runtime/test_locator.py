"""Locators of our own: letterbox and back, tiles, suppression, and files of the wrong kind."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import posewright
from helpers.bright_boxes import BOXES, box_model, picture_with
from helpers.spots import spot_model
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.runtime.locator import load_locator, suppressed
from posewright.runtime.modelfile import ModelInfo, read_info


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return box_model(tmp_path_factory.mktemp("locator") / "red.onnx")


@pytest.mark.parametrize(("width", "height"), [(96, 64), (97, 63), (31, 200), (640, 481), (1001, 333), (13, 7)])
def test_boxes_come_back_to_the_pictures_own_pixels(file, width, height):
    x0, y0, x1, y1 = width // 4, height // 4, width // 4 + max(width // 3, 2), height // 4 + max(height // 2, 2)
    boxes, scores = load_locator(file).find(picture_with([(x0, y0, x1, y1)], width, height))
    cell = max(width / 96, height / 64)  # pixels of the picture in one of the input
    assert boxes == pytest.approx(np.array([[x0, y0, x1, y1]]) - 0.5, abs=0.75 * max(cell, 1))
    assert scores == pytest.approx([0.9])


def test_nothing_found_is_no_box(file):
    boxes, scores = load_locator(file).find(picture_with([], 50, 40))
    assert boxes.shape == (0, 4) and scores.shape == (0,)


def test_the_files_threshold_holds_unless_another_is_given(tmp_path):
    strict = box_model(tmp_path / "strict.onnx", threshold=0.95)
    picture = picture_with([(10, 10, 40, 40)], 96, 64)
    assert len(load_locator(strict).find(picture)[0]) == 0
    assert len(load_locator(strict, threshold=0.5).find(picture)[0]) == 1


def test_grey_pictures_and_wrong_ones(file):
    locator = load_locator(file)
    assert len(locator.find(picture_with([(10, 10, 40, 40)], 96, 64)[..., 0])[0]) == 1
    with pytest.raises(PosewrightError, match="a picture is uint8"):
        locator.find(np.zeros((4, 4, 3), np.float32))


def test_tiles_find_what_the_whole_picture_merges(file):
    """Two small things far apart: the file tells one box a look, so that only tiles can tell them apart."""
    things = [(60, 60, 100, 90), (800, 500, 850, 560)]
    picture = picture_with(things, 960, 640)
    assert len(load_locator(file).find(picture)[0]) == 1
    boxes, _ = load_locator(file, tiles=3).find(picture)
    for thing in things:
        assert np.abs(boxes - (np.array(thing) - 0.5)).max(1).min() < 4


def test_tiles_leave_out_what_a_tile_cuts_off(file):
    picture = picture_with([(100, 100, 860, 540)], 960, 640)
    boxes, _ = load_locator(file, tiles=2).find(picture)
    assert boxes == pytest.approx(np.array([[99.5, 99.5, 859.5, 539.5]]), abs=8)


def test_suppression_keeps_the_better_of_two():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 4, 4.0]])
    kept, scores = suppressed(boxes, np.array([0.5, 0.9, 0.3, 0.8]))
    assert kept.tolist() == boxes[[1, 3, 2]].tolist() and scores.tolist() == [0.9, 0.8, 0.3]
    assert len(suppressed(boxes, np.zeros(4))[0]) == 0


@pytest.mark.parametrize("options", [{"tiles": 1}, {"tiles": -2}, {"threshold": 1.5}])
def test_options_that_make_no_sense(file, options):
    with pytest.raises(PosewrightError):
        load_locator(file, **options)


def test_each_kind_refuses_the_other_in_one_line(file, tmp_path):
    keypoints = spot_model(tmp_path / "spots.onnx")
    with pytest.raises(
        PosewrightError, match=r"is a locator, which finds boxes and no keypoints. Give it to --locator"
    ):
        posewright.load(file)
    with pytest.raises(PosewrightError, match="finds keypoints, and is no locator"):
        load_locator(keypoints)


def test_what_the_file_says_comes_back(file):
    info = read_info(file)
    assert (info.kind, info.outputs, info.threshold, info.crop.margin) == ("locator", ("boxes",), 0.5, 1.0)
    assert ModelInfo.from_json(info.to_json()) == info


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"outputs": ("keypoints",)}, "unknown output 'keypoints'"),
        ({"outputs": ()}, "needs boxes"),
        ({"threshold": 2.0}, "threshold must lie in 0..1"),
    ],
)
def test_descriptions_that_make_no_sense(change, reason):
    settings = {"outputs": ("boxes",)} | change
    with pytest.raises(PosewrightError, match=reason):
        ModelInfo(BOXES, CropRule((96, 64)), 8, "red", kind="locator", **settings)


def test_needs_no_torch(file):
    code = (
        "import sys, numpy as np\n"
        "from posewright.tracking.located import open_locator\n"
        f"open_locator({str(file)!r}).find(np.zeros((20, 30, 3), np.uint8))\n"
        "assert 'torch' not in sys.modules and 'onnx' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
