"""MPII's .mat: nested structs, empty is_visible, missing annopoints, several people, 1-based points, split by picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from helpers.labels import picture
from helpers.mat_structs import structs
from posewright.annotations import ReadOptions, find_format, read_annotations
from posewright.errors import PosewrightError
from posewright.skeletons import BUILTIN


def point(joint: int, x: float, y: float, visible: Any = 1) -> dict[str, Any]:
    return {"id": joint, "x": x, "y": y, "is_visible": visible}


def person(points: list[dict[str, Any]] | None, **more: Any) -> dict[str, Any]:
    row = {"x1": 30, "y1": 10, "x2": 60, "y2": 50, "scale": 0.4, "objpos": {"x": 51, "y": 41}}
    return row | ({} if points is None else {"annopoints": {"point": points}}) | more


def entry(name: str, people: Any, video: int = 1) -> dict[str, Any]:
    return {"image": {"name": name}, "annorect": people, "frame_sec": [], "vididx": video}


POINTS = [
    point(8, 40, 30, []),
    point(9, 41, 11, []),
    point(0, 20, 70, 0),
    point(6, 45.5, 52.25, 1),
    point(1, 21, 60, "1"),
]


def release() -> list[dict[str, Any]]:
    """Two people in the first picture, one of them without joints; a test picture; one that nobody labelled."""
    return [
        entry("a.jpg", [person(POINTS), person(None)], 1),
        entry("b.jpg", [{"scale": 0.5, "objpos": {"x": 50, "y": 40}}], 2),
        entry("c.jpg", [], 2),
        entry("d.jpg", [person([point(3, 9, 8)], scale=[], objpos=[], x1=[])], []),
    ]


def save(folder: Path, annolist: list[dict[str, Any]] | None = None, train: Any = (1, 0, 1, 1), **more: Any) -> Path:
    path = folder / "mpii_human_pose_v1_u12_1.mat"
    videos = np.array([["video_one", "video_two"]], object)
    content = {"annolist": structs(release() if annolist is None else annolist), "img_train": np.array([train])}
    savemat(path, {"RELEASE": structs([content | {"video_list": videos} | more])}, do_compression=True)
    return path


def test_a_sample_with_its_quirks(tmp_path):
    path = save(tmp_path)
    for name in "abcd":
        picture(tmp_path / f"images/{name}.jpg", 100, 90)
    options = ReadOptions()
    a = read_annotations(path, options=options)
    assert a.skeleton == BUILTIN["mpii-16"]
    assert [(im.path, im.split, im.group, im.id, im.width) for im in a.images] == [
        ("a.jpg", "train", "video_one", 1, 100),
        ("b.jpg", "test", "video_two", 2, 100),
        ("d.jpg", "train", None, 4, 100),
    ]
    assert a.missing_pictures() == []
    assert a.image.tolist() == [0, 0, 1, 2]
    names = a.skeleton.index
    assert a.keypoints[0, names("upper_neck")].tolist() == [39, 29, 2]  # empty is_visible
    assert a.keypoints[0, names("right_ankle")].tolist() == [19, 69, 1]  # hidden
    assert a.keypoints[0, names("pelvis")].tolist() == [44.5, 51.25, 2]
    assert a.keypoints[0, names("right_knee")].tolist() == [20, 59, 2]  # is_visible as text
    assert a.labelled.sum(1).tolist() == [5, 0, 0, 1]
    # 200 x 0.4 about (51, 41 + 15 x 0.4), 1-based
    np.testing.assert_allclose(a.boxes[0], [10, 6, 90, 86])
    np.testing.assert_allclose(a.boxes[1], a.boxes[0])
    np.testing.assert_allclose(a.boxes[3], [7.5, 6.5, 8.5, 7.5])  # around its one joint
    np.testing.assert_allclose(a.head_size, [30, 30, np.nan, np.nan])  # 0.6 x 50
    assert len(options.skipped) == 1
    assert "1 pictures have no annorect" in options.skipped[0]
    assert find_format(path).name == find_format(tmp_path).name == "mpii"


def test_a_person_of_whom_nothing_is_said_is_left_out_and_listed(tmp_path):
    options = ReadOptions()
    people = [person(POINTS), person(None, scale=[], objpos=[])]
    a = read_annotations(save(tmp_path, [entry("a.jpg", people)], [1]), options=options)
    assert len(a) == 1
    assert "picture 1 ('a.jpg'), person 2: has neither a joint nor objpos" in options.skipped[0]


BAD = {
    "id": ([point(16, 1, 2)], "person 1: a joint's id is 16.0, not 0 to 15"),
    "no id": ([point([], 1, 2)], "a joint's id is None"),
    "no place": ([point(3, [], 2)], "joint 3 has no place"),
    "visible": ([point(3, 1, 2, 5)], "joint 3 has is_visible 5"),
    "twice": ([point(3, 1, 2), point(3, 4, 5)], "joint 3 is listed twice"),
    "NaN": ([point(3, np.nan, 2)], "'left_hip' is not a finite number"),
    "text": ([point(3, "left", 2)], "field 'x' is no number"),
    "far outside": ([point(3, 400, 2)], "far outside the 100 x 90"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_person(tmp_path, case):
    points, says = BAD[case]
    path = save(tmp_path, [entry("a.jpg", [person(points), person(POINTS)])], [1])
    picture(tmp_path / "images/a.jpg", 100, 90)
    with pytest.raises(PosewrightError, match=says) as raised:
        read_annotations(path)
    assert f"{path}: picture 1 ('a.jpg'), person 1: " in str(raised.value)
    options = ReadOptions(skip_bad=True)
    assert read_annotations(path, options=options).labelled.sum() == 5
    assert len(options.skipped) == 1


def test_bad_scale_and_pictures(tmp_path):
    with pytest.raises(PosewrightError, match=r"person 1: scale is -1: a box of no area"):
        read_annotations(save(tmp_path, [entry("a.jpg", [person(POINTS, scale=-1)])], [1]))
    with pytest.raises(PosewrightError, match=r"picture 2 \('a.jpg'\): is listed twice"):
        read_annotations(save(tmp_path, [entry("a.jpg", [person(POINTS)])] * 2, [1, 1]))
    with pytest.raises(PosewrightError, match=r"leaves the data folder"):
        read_annotations(save(tmp_path, [entry("../a.jpg", [person(POINTS)])], [1]))
    with pytest.raises(PosewrightError, match=r"picture 1: has no image name"):
        read_annotations(save(tmp_path, [entry("", [person(POINTS)])], [1]))


def test_bad_file(tmp_path):
    with pytest.raises(PosewrightError, match=r"img_train' does not have one number for each of 4 pictures"):
        read_annotations(save(tmp_path, train=[1, 1]))
    path = save(tmp_path)
    with pytest.raises(PosewrightError, match=r"has 16 joints a person, but skeleton 'hand-21' has 21"):
        read_annotations(path, options=ReadOptions(skeleton=BUILTIN["hand-21"]))
    savemat(path, {"RELEASE": np.zeros(3)})
    with pytest.raises(PosewrightError, match=r"holds no list 'RELEASE.annolist'"):
        read_annotations(path)


def test_what_is_no_file_of_this_format(tmp_path):
    with pytest.raises(PosewrightError, match=r"[Ii]s a directory"):
        read_annotations(tmp_path, "mpii")
