"""MPII as JSON: the files of HRNet's annot/, their origin, visibility, boxes and splits, and every bad record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.labels import picture, save_json
from posewright.annotations import ReadOptions, find_format, read_annotations
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton


def record(image: str = "a.jpg", **more: Any) -> dict[str, Any]:
    """Joint 0 missing, joint 1 hidden with a place, the rest visible."""
    joints = [[-1.0, -1.0], [22.0, 33.0], *([20.5 + i, 30.0 + i] for i in range(14))]
    row = {"joints_vis": [0, 0] + [1] * 14, "joints": joints, "image": image, "scale": 0.4, "center": [51.0, 41.0]}
    return {name: value for name, value in (row | more).items() if value is not None}


def folder(root: Path) -> Path:
    save_json(root / "annot/train.json", [record(), record(center=[-1, -1]), record("b.jpg")])
    save_json(root / "annot/valid.json", [record("c.jpg"), record("b.jpg")])
    save_json(root / "annot/trainval.json", [record("a.jpg")] * 5)
    save_json(root / "annot/test.json", [{"image": "d.jpg", "center": [50, 40], "scale": 0.5}])
    for name in "abcd":
        picture(root / f"images/{name}.jpg", 100, 90)
    return root


def test_a_folder_as_hrnet_has_it(tmp_path):
    a = read_annotations(folder(tmp_path))
    assert [(im.path, im.split, im.width) for im in a.images] == [
        ("d.jpg", "test", 100),
        ("a.jpg", "train", 100),
        ("b.jpg", "val", 100),  # has people in both
        ("c.jpg", "val", 100),
    ]
    assert a.missing_pictures() == []
    assert a.image.tolist() == [0, 1, 1, 2, 3, 2]
    assert not a.labelled[0].any()
    assert a.keypoints[1, 0].tolist() == [0, 0, 0]
    assert a.keypoints[1, 1].tolist() == [21, 32, 1]
    assert a.keypoints[1, 2].tolist() == [19.5, 29, 2]
    np.testing.assert_allclose(a.boxes[1], [10, 6, 90, 86])
    np.testing.assert_allclose(a.boxes[2, [0, 2]], [19.5 - 1.3, 32.5 + 1.3])  # from the joints, with a margin of 1.2
    for source in (tmp_path, tmp_path / "annot", tmp_path / "annot/train.json"):
        assert find_format(source).name == "mpii-json"
    assert len(read_annotations(tmp_path / "annot/trainval.json").images) == 1


def test_other_joints_need_a_skeleton(tmp_path):
    path = save_json(tmp_path / "train.json", [record(joints=[[1, 2], [3, 4]], joints_vis=[1, 1])])
    with pytest.raises(PosewrightError, match=r"has 2 joints a person, but skeleton 'mpii-16' has 16. Give --skeleton"):
        read_annotations(path)
    two = Skeleton("two", ("a", "b"))
    assert read_annotations(path, options=ReadOptions(skeleton=two)).keypoints[0].tolist() == [[0, 1, 2], [2, 3, 2]]


BAD = {
    "joints count": ({"joints": [[1, 2]]}, "joints: has 1 entries, not 16"),
    "no joints": ({"joints": None}, "joints: is null"),
    "joints text": ({"joints": [["a", 2]] * 16}, "joints: holds an entry that holds"),
    "NaN": ({"joints": [[float("nan"), 2]] * 16}, "is not a finite number"),
    "vis": ({"joints_vis": [2] * 16}, "joints_vis holds something else than 0 and 1"),
    "vis count": ({"joints_vis": [1]}, "joints_vis: has 1 numbers, not 16"),
    "scale": ({"scale": 0}, "scale is 0: a box of no area"),
    "scale text": ({"scale": "big"}, 'scale: holds "big"'),
    "center": ({"center": [1]}, "center: has 1 numbers, not 2"),
    "nothing": ({"joints": None, "joints_vis": None, "scale": None}, "has neither center with scale nor"),
    "no image": ({"image": None}, "record 0: has no image"),
    "path": ({"image": "../a.jpg"}, "leaves the data folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_record(tmp_path, case):
    change, says = BAD[case]
    good = [record("b.jpg"), record("c.jpg")]
    path = save_json(tmp_path / "train.json", [record(**change), *good])
    with pytest.raises(PosewrightError, match=says) as raised:
        read_annotations(path, "mpii-json")
    assert f"{path}: record 0" in str(raised.value)
    options = ReadOptions(skip_bad=True)
    assert [im.path for im in read_annotations(path, "mpii-json", options).images] == ["b.jpg", "c.jpg"]
    assert len(options.skipped) == 1


def test_no_records(tmp_path):
    for content in ([], [17], {"a": 1}):
        with pytest.raises(PosewrightError):
            read_annotations(save_json(tmp_path / "train.json", content), "mpii-json").require_labels()
