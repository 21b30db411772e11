"""The plain JSON rule, the bees' list that follows it, and bad records in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.labels import picture, save_json
from posewright.annotations import ReadOptions, find_format, read_annotations
from posewright.errors import PosewrightError

RECORD = {"path": "a.png", "set": "train", "group": "cam", "keypoints": {"10": [30, 40], "2": [10.5, 20, 1], "3": None}}


def test_the_rule(tmp_path):
    picture(tmp_path / "a.png")
    second = {"path": "a.png", "keypoints": {"2": [50, 60]}, "box": [40, 50, 60, 70]}
    path = save_json(tmp_path / "labels.json", [RECORD, second])
    assert find_format(path).name == find_format(tmp_path).name == "json"
    a = read_annotations(path)
    assert a.skeleton.keypoints == ("2", "3", "10")
    assert a.keypoints[0].tolist() == [[10.5, 20, 1], [0, 0, 0], [30, 40, 2]]
    assert (len(a.images), a.images[0].split, a.images[0].group, a.images[0].width) == (1, "train", "cam", 100)
    assert a.boxes[1].tolist() == [40, 50, 60, 70]


BAD = {
    "no path": ({"path": 3}, "record 1: has no path"),
    "no keypoints": ({"keypoints": []}, "has no keypoints by name"),
    "a word": ({"keypoints": {"2": [1, "x"]}}, "keypoint '2' holds \"x\", which is not a number"),
    "v": ({"keypoints": {"2": [1, 2, 7]}}, "'2'"),
    "set": ({"set": "some"}, "set 'some' is not one of train, val, test"),
    "leaves": ({"path": "x/../../a.png"}, "leaves the data folder"),
    "box": ({"box": [1, 2, 3]}, "box has 3 numbers, not 4"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_record(tmp_path, case):
    change, says = BAD[case]
    path = save_json(tmp_path / "labels.json", [RECORD, RECORD | {"path": "b.png"} | change])
    with pytest.raises(PosewrightError, match=says):
        read_annotations(path)
    options = ReadOptions(skip_bad=True)
    assert len(read_annotations(path, options=options)) == len(options.skipped) == 1


def test_damaged_copies(tmp_path):
    path = save_json(tmp_path / "labels.json", [RECORD, RECORD | {"path": "b.png"}])
    whole, rng = path.read_bytes(), np.random.default_rng(3)
    refused = 0
    for n in range(50):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 2):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data if n % 2 else data[: rng.integers(0, len(data))])
        try:
            read_annotations(path, "json")
        except PosewrightError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 10


def test_the_bees(shared_data):
    a = read_annotations(shared_data / "formats/bees")
    records = json.loads((shared_data / "formats/bees/pose_dataset.json").read_text())
    assert (len(a.images), len(a), len(a.skeleton), a.missing_pictures()) == (60, 60, 32, [])
    assert a.labelled.sum() == sum(len(r["keypoints"]) for r in records)
    assert a.keypoints[0, 0].tolist() == [*records[0]["keypoints"]["0"], 2]
