"""A keypoint model behind a locator: whole pictures, several objects, and what is no locator."""

from __future__ import annotations

import numpy as np
import pytest

import posewright
from helpers.bright_boxes import Graph, box_model, picture_with
from helpers.spots import spot_model
from posewright.errors import PosewrightError
from posewright.tracking.crowd import Crowd, CrowdConfig
from posewright.tracking.located import locate, locate_batch, open_locator, parse_classes


class Told:
    """A locator that is told its boxes."""

    def __init__(self, *boxes):
        self.boxes = np.array(boxes, float).reshape(-1, 4)

    def find(self, image):
        return self.boxes, np.linspace(0.9, 0.5, len(self.boxes))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return spot_model(folder / "spots.onnx"), box_model(folder / "red.onnx")


def test_every_box_becomes_a_pose_with_its_keypoints_in_the_picture(files):
    model = posewright.load(files[0])
    picture = np.full((200, 300, 3), 40, np.uint8)
    for x, y in ((60, 50), (220, 140)):
        picture[y - 4 : y + 5, x - 4 : x + 5] = 250
    boxes = [(20, 20, 100, 80), (180, 110, 260, 170)]
    poses = locate(model, Told(*boxes), picture)
    assert poses.boxes.tolist() == [list(map(float, b)) for b in boxes]
    assert poses.xy[0] == pytest.approx(np.array([[60, 50]] * 3), abs=0.5)
    assert poses.xy[1] == pytest.approx(np.array([[220, 140]] * 3), abs=0.5)
    assert len(locate(model, Told(*boxes), picture, most=1)) == 1


def test_nothing_located_is_no_pose_of_a_picture_that_is_known(files):
    model, picture = posewright.load(files[0]), np.zeros((70, 90, 3), np.uint8)
    first, second = locate_batch(model, open_locator(files[1]), [picture, picture_with([(9, 9, 40, 40)], 90, 70)])
    assert (len(first), first.width, first.height) == (0, 90, 70) and len(second) == 1


def test_a_crowd_takes_what_open_locator_gives(files):
    model, locator = posewright.load(files[0]), open_locator(files[1], threshold=0.2)
    crowd, seen = Crowd(model, locator, CrowdConfig(filter="none", every=1, present=0.0)), []
    for i in range(6):
        left = 40 + 2 * i
        picture = picture_with([(left, 30, left + 40, 70)], 160, 120)
        picture[34:42, left + 2 : left + 10, 1] = picture[58:66, left + 30 : left + 38, 2] = 250
        seen.append(crowd.step(picture, i / 30))
    assert [len(poses) for poses in seen][-3:] == [1, 1, 1]
    assert len({int(poses.track_id[0]) for poses in seen[-3:]}) == 1


def test_a_keypoint_model_is_no_locator(files):
    with pytest.raises(
        PosewrightError, match=r"finds keypoints, and is no locator. Train one with posewright train-loc"
    ):
        open_locator(files[0])


def test_options_that_do_not_go_with_the_file(files, tmp_path):
    with pytest.raises(PosewrightError, match="--classes is for other detectors' files"):
        open_locator(files[1], ["person"])
    g = Graph()
    g.add("Identity", [g.constant(np.zeros((1, 4)))], "boxes")
    from onnx import TensorProto, helper

    path = g.save(
        tmp_path / "other.onnx",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 4])],
    )
    with pytest.raises(PosewrightError, match="tiles go with posewright's own locators"):
        open_locator(path, tiles=2)
    with pytest.raises(PosewrightError, match="no locator and no detector that is known here"):
        open_locator(path)
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(PosewrightError, match="is no ONNX file"):
        open_locator(tmp_path / "notes.txt")
    with pytest.raises(PosewrightError, match="does not exist"):
        open_locator(tmp_path / "missing.onnx")


def test_classes_of_an_option():
    assert parse_classes(None) == () and parse_classes("person, dog") == ("person", "dog")
    with pytest.raises(PosewrightError, match="empty name"):
        parse_classes("person,,dog")
