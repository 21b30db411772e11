"""The hourglass system's annotations.json: origins, visibility, boxes, what names the joints, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.labels import assert_same, picture, random_annotations, save_json
from posewright.annotations import ReadOptions, find_format, get_format, read_annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

FORMAT = get_format("hourglass-json")
PAW = Skeleton("paw", ("pad", "left_claw", "right_claw"), ((1, 2),), ((0, 1),), ((0, 1), (0, 2)))
MPII, COCO = BUILTIN["mpii-16"], BUILTIN["coco-17"]


def person(dataset: str = "MPI", joints: int = 16, **fields: Any) -> dict[str, Any]:
    joint_self = [[10.0 + i, 20.0 + i, 1.0] for i in range(joints)]
    return {
        "dataset": dataset,
        "isValidation": 0.0,
        "img_paths": "a.jpg",
        "objpos": [50.0, 40.0],
        "scale_provided": 0.5,
        "joint_self": joint_self,
        "headboxes": [[10.0, 10.0], [13.0, 14.0]],
    } | fields


def save(folder: Path, *people: dict[str, Any]) -> Path:
    return save_json(folder / "annotations.json", list(people))


def test_mpii_is_one_based_and_0_with_coordinates_is_hidden(tmp_path):
    p = person()
    p["joint_self"][1], p["joint_self"][2] = [31.0, 41.0, 0.0], [0.0, 0.0, 0.0]
    a = read_annotations(save(tmp_path, p))
    assert a.skeleton == MPII
    assert a.keypoints[0, :3].tolist() == [[9, 19, 2], [30, 40, 1], [0, 0, 0]]
    assert a.head_size.tolist() == [3.0]  # 0.6 of a diagonal of 5


def test_coco_has_its_plus_one_undone_and_its_own_visibility(tmp_path):
    p = person("COCO", 17)
    p["joint_self"][0], p["joint_self"][1] = [1.0, 1.0, 0.0], [11.0, 12.0, 2.0]
    a = read_annotations(save(tmp_path, p))
    assert a.skeleton == COCO
    assert a.keypoints[0, :3].tolist() == [[0, 0, 0], [10, 11, 2], [11, 21, 1]]


@pytest.mark.parametrize(("stored", "visibility"), [([1, 1, 0], [2, 2, 0]), ([1, 2, 0], [1, 2, 0])])
def test_another_set_is_taken_as_it_stands(tmp_path, stored, visibility):
    """Without a 2 anywhere, 1 means visible; 0 is not labelled, whatever its coordinates."""
    p = person("paws", 3)
    for joint, v in zip(p["joint_self"], stored):
        joint[2] = v
    a = read_annotations(save(tmp_path, p), options=ReadOptions(skeleton=PAW))
    assert a.keypoints[0, :, 2].tolist() == visibility
    assert a.keypoints[0, 0, :2].tolist() == [10, 20]


@pytest.mark.parametrize(("dataset", "joints", "shift"), [("MPI", 16, 1), ("paws", 3, 0)])
def test_the_box_gives_the_crop_of_the_system(tmp_path, dataset, joints, shift):
    """It crops 250 x scale pixels around objpos + (0, 15 x scale)."""
    a = read_annotations(save(tmp_path, person(dataset, joints)), options=ReadOptions(skeleton=None if shift else PAW))
    x, y, s = 50 - shift, 40 + 15 * 0.5 - shift, 100 * 0.5
    np.testing.assert_allclose(a.boxes[0], [x - s, y - s, x + s, y + s])
    crop = CropRule((256, 256), margin=1.25).similarity(a.boxes[0])
    assert crop.scale == pytest.approx(256 / (250 * 0.5))
    np.testing.assert_allclose(crop.apply([[x, y]]), [[127.5, 127.5]])


@pytest.mark.parametrize("fields", [{"objpos": [-1, -1]}, {"objpos": None}, {"scale_provided": None}])
def test_without_a_place_the_box_comes_from_the_joints(tmp_path, fields):
    a = read_annotations(save(tmp_path, person(**fields)))
    np.testing.assert_allclose(a.boxes[0], [9 - 1.5, 19 - 1.5, 24 + 1.5, 34 + 1.5])


def test_people_of_one_picture_come_together_and_share_its_split(tmp_path):
    people = [
        person(isValidation=0.0),
        person(img_paths="b.jpg", joint_others=[[[1, 2, 1]] * 16]),
        person(isValidation=1.0),
    ]
    a = read_annotations(save(tmp_path, *people))
    assert [(im.path, im.split) for im in a.images] == [("a.jpg", "val"), ("b.jpg", "train")]
    assert a.image.tolist() == [0, 1, 0]  # and joint_others are nobody new


def test_joints_are_named_by_the_classes_file_beside_the_labels(tmp_path):
    path = save(tmp_path, person("mine", 3))
    with pytest.raises(PosewrightError, match=r"says 3 joints .* no classes file lies beside it.*--skeleton"):
        read_annotations(path)
    (tmp_path / "big_classes.txt").write_text("a\nb\nc\nd\n")
    with pytest.raises(PosewrightError, match=r"0 of big_classes.txt fit"):
        read_annotations(path)
    (tmp_path / "paw_classes.txt").write_text("pad\nleft_claw\nright_claw\n")
    (tmp_path / "paw_skeleton.txt").write_text("pad,left_claw,b\n")
    a = read_annotations(path)
    assert a.skeleton.keypoints == PAW.keypoints
    assert a.skeleton.links == ((0, 1),)
    (tmp_path / "other_classes.txt").write_text("x\ny\nz\n")
    with pytest.raises(PosewrightError, match=r"2 of .* fit"):
        read_annotations(path)


def test_the_number_of_joints_alone_says_nothing(tmp_path):
    with pytest.raises(PosewrightError, match=r"says 16 joints a person, but not which"):
        read_annotations(save(tmp_path, person("mine", 16)))
    with pytest.raises(PosewrightError, match=r"says 14 joints a person, but not which"):
        read_annotations(save(tmp_path, person("MPI", 14)))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), skeleton=st.sampled_from([PAW, MPII, COCO]))
def test_round_trip(tmp_path_factory, seed, skeleton):
    folder = tmp_path_factory.mktemp("hourglass")
    a = random_annotations(seed, skeleton, every_image_used=True, polygons=False)
    files = FORMAT.write(a, folder / "set")
    assert sorted(files) == sorted((folder / "set").iterdir())
    b = read_annotations(folder / "set")
    assert_same(a, b, head=2e-4)
    assert FORMAT.write(b, folder / "set")[0].read_bytes() == FORMAT.write(a, folder / "set")[0].read_bytes()


def test_what_the_system_reads_is_right_without_our_own_entry(tmp_path):
    """Objpos, scale and joints alone: the box becomes a square about the same centre, all else stays."""
    a = random_annotations(3, MPII, every_image_used=True)
    path = FORMAT.write(a, tmp_path / "set.json")[0]
    records = json.loads(path.read_text())
    for record in records:
        del record["posewright"]
    b = read_annotations(save_json(path, records))
    np.testing.assert_allclose(b.keypoints, a.keypoints, atol=1e-9)
    centre = [(x.boxes[:, :2] + x.boxes[:, 2:]) / 2 for x in (a, b)]
    np.testing.assert_allclose(centre[0], centre[1], atol=1e-4)
    side = (a.boxes[:, 2:] - a.boxes[:, :2]).max(1, keepdims=True)
    np.testing.assert_allclose(b.boxes[:, 2:] - b.boxes[:, :2], np.repeat(side, 2, 1), atol=1e-4)


def test_hidden_joint_at_the_corner_is_not_read_as_missing(tmp_path):
    a = random_annotations(3, MPII, every_image_used=True)
    a.keypoints[0, 0] = [-1, -1, 1]
    b = read_annotations(FORMAT.write(a, tmp_path)[0])
    assert b.keypoints[0, 0, 2] == 1
    np.testing.assert_allclose(b.keypoints[0, 0, :2], [-1, -1], atol=2e-4)


def test_losses_are_told(tmp_path):
    a = random_annotations(8, PAW)
    empty = len(set(range(len(a.images))) - set(a.image.tolist()))
    assert empty
    lines = FORMAT.losses(a)
    assert lines[0].startswith(f"{empty} pictures without an object")
    b = read_annotations(FORMAT.write(a, tmp_path)[0])
    assert len(b.images) == len(a.images) - empty


def test_pictures_are_found_from_the_note_and_in_images(tmp_path):
    picture(tmp_path / "pictures/a.jpg", 60, 50)
    path = save(tmp_path / "set", person())
    a = read_annotations(path, options=ReadOptions(images=tmp_path / "pictures"))
    assert (a.images[0].width, a.images[0].height) == (60, 50)
    b = read_annotations(FORMAT.write(a, tmp_path / "out.json")[0])
    assert b.missing_pictures() == []
    picture(tmp_path / "set/images/a.jpg", 60, 50)
    assert read_annotations(path).root == tmp_path / "set/images"
    assert find_format(path).name == find_format(tmp_path / "set").name == "hourglass-json"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "joint count": ({"joint_self": [[1, 2, 1]] * 15}, "joint_self: has 15 entries, not 16"),
    "joint pairs": ({"joint_self": [[1, 2]] * 16}, "joint_self: holds an entry that has 2 numbers, not 3"),
    "joint text": ({"joint_self": [["1", 2, 1]] * 16}, 'joint_self: .*"1", which is not a number'),
    "joint null": ({"joint_self": None}, "joint_self: is null"),
    "joint NaN": ({"joint_self": [[float("nan"), 2, 1]] * 16}, "'right_ankle' is not a finite number"),
    "visibility": ({"joint_self": [[1, 2, 7]] * 16}, "'right_ankle' has visibility 7"),
    "no picture": ({"img_paths": None}, "record 1: has no img_paths"),
    "path up": ({"img_paths": "../../x.jpg"}, "leaves the data folder"),
    "path absolute": ({"img_paths": "/x.jpg"}, "leaves the data folder"),
    "scale": ({"scale_provided": 0}, "scale_provided is 0: a box of no area"),
    "scale NaN": ({"scale_provided": float("nan")}, "box is not finite"),
    "scale text": ({"scale_provided": "1"}, "scale_provided: "),
    "objpos": ({"objpos": [1]}, "objpos: has 1 numbers, not 2"),
    "nothing": ({"objpos": None, "joint_self": [[0, 0, 0]] * 16}, "neither objpos"),
    "head": ({"headboxes": [[1, 2]]}, "headboxes: has 2 numbers, not 4"),
    "validation": ({"isValidation": "yes"}, "isValidation is 'yes'"),
    "dataset": ({"dataset": 3}, "dataset is no name"),
    "width": ({"img_width": "wide"}, "img_width is 'wide'"),
    "own entry": ({"posewright": 3}, "posewright entry is no object"),
    "own box": ({"posewright": {"box": [1, 2, 3]}}, "box: has 3 numbers, not 4"),
    "far outside": (
        {"img_width": 100, "img_height": 100, "joint_self": [[900, 2, 1]] * 16},
        "'right_ankle' is marked visible at .*far outside",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_record(tmp_path, case):
    fields, says = BAD[case]
    path = save(tmp_path, person(), person(**({"img_paths": "b.jpg"} | fields)))
    with pytest.raises(PosewrightError, match=says) as raised:
        read_annotations(path)
    assert f"{path}: record 1" in str(raised.value)
    options = ReadOptions(skip_bad=True)
    a = read_annotations(path, options=options)
    assert [im.path for im in a.images] == ["a.jpg"]
    assert len(a) == len(options.skipped) == 1


def test_bad_file(tmp_path):
    with pytest.raises(PosewrightError, match=r"record 1: is no object"):
        read_annotations(save(tmp_path, person(), 5))  # type: ignore[arg-type]
    with pytest.raises(PosewrightError, match=r"holds no record to read"):
        read_annotations(save(tmp_path), "hourglass-json")
    with pytest.raises(PosewrightError, match=r"not a list of records"):
        read_annotations(save_json(tmp_path / "annotations.json", {}), "hourglass-json")
    (tmp_path / "annotations.json").write_text(json.dumps([person()])[:-30])
    with pytest.raises(PosewrightError, match=r"cut short"):
        read_annotations(tmp_path)


def test_a_failed_write_leaves_nothing(tmp_path):
    comma = Skeleton("x", ("a,b", "c"))
    a = random_annotations(3, comma, every_image_used=True)
    with pytest.raises(PosewrightError, match=r"keypoint name 'a,b' cannot stand in these files"):
        FORMAT.write(a, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
