"""Leeds Sports Pose: both array orders, both meanings of the flag, and never a guess."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from helpers.labels import picture
from posewright.annotations import ReadOptions, find_format, read_annotations
from posewright.errors import PosewrightError
from posewright.skeletons import BUILTIN

RNG = np.random.default_rng(0)
ASKS = "does not tell what its flags mean.*--flags labelled.*--flags hidden"


def joints(count: int, extended: bool) -> np.ndarray:
    """``[N, 14, 3]``: the extended set's with flag 0 for every third joint, the original's with every fourth hidden."""
    table = np.concatenate([RNG.uniform(5, 60, (count, 14, 2)).round(3), np.ones((count, 14, 1))], 2)
    if extended:
        table[:, ::3] = [-4.5, 0, 0]
    else:
        table[..., 2] = 0
        table[:, ::4, 2] = 1
    return table


def save(folder: Path, table: np.ndarray, extended: bool, name: str = "joints.mat", **more: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    savemat(path, {"joints": table.transpose(1, 2, 0) if extended else table.transpose(2, 1, 0), **more})
    return path


def test_extended_set(tmp_path):
    table = joints(4, True)
    path = save(tmp_path, table, True)
    for i in range(1, 5):
        picture(tmp_path / f"images/im{i:05d}.jpg", 70 + i, 66)
    a = read_annotations(tmp_path)
    assert a.skeleton == BUILTIN["body-14"]
    assert [(im.path, im.width, im.id) for im in a.images] == [
        (f"images/im{i:05d}.jpg", 70 + i, i) for i in range(1, 5)
    ]
    v = a.keypoints[..., 2]
    assert (v[:, ::3] == 0).all()
    assert (v[:, 1::3] == 2).all()
    np.testing.assert_allclose(a.keypoints[:, 1, :2], table[:, 1, :2] - 1)  # 1-based in the file
    assert a.missing_pictures() == []
    assert find_format(path).name == find_format(tmp_path).name == "lsp"


def test_original_set(tmp_path):
    table = joints(4, False)
    save(tmp_path, table, False)
    for i in range(1, 5):
        picture(tmp_path / f"images/im{i:04d}.jpg")
    a = read_annotations(tmp_path)
    assert a.images[0].path == "images/im0001.jpg"
    assert (a.keypoints[:, ::4, 2] == 1).all()
    assert (a.keypoints[:, 1::4, 2] == 2).all()
    np.testing.assert_allclose(a.keypoints[..., :2], table[..., :2] - 1)
    assert {im.split for im in a.images} == {None}


def test_the_original_sets_published_halves(tmp_path):
    a = read_annotations(save(tmp_path, joints(2000, False), False))
    assert [im.split for im in a.images[998:1002]] == ["train", "train", "test", "test"]


def test_a_single_picture(tmp_path):
    """MATLAB drops the last axis of such an array."""
    path = tmp_path / "joints.mat"
    savemat(path, {"joints": joints(1, True)[0]})
    assert len(read_annotations(path)) == 1


@pytest.mark.parametrize("extended", [True, False])
def test_witnesses_that_disagree_are_not_weighed(tmp_path, extended):
    """The values of one set in the array order of the other."""
    path = save(tmp_path, joints(4, not extended), extended)
    with pytest.raises(PosewrightError, match=ASKS) as raised:
        read_annotations(path)
    assert str(path) in str(raised.value)
    labelled = read_annotations(path, options=ReadOptions(flags="labelled"))
    hidden = read_annotations(path, options=ReadOptions(flags="hidden"))
    assert set(np.unique(labelled.keypoints[..., 2])) == {0, 2}
    assert set(np.unique(hidden.keypoints[..., 2])) == {1, 2}


@pytest.mark.parametrize("extended", [True, False])
def test_flags_that_are_all_one_say_nothing(tmp_path, extended):
    table = joints(4, extended)
    table[..., 2] = 1
    with pytest.raises(PosewrightError, match=f"no flag is 0.*{ASKS[-30:]}|{ASKS}"):
        read_annotations(save(tmp_path, table, extended))


def test_a_mixture_is_asked_about(tmp_path):
    table = joints(4, True)
    table[:2, ::3, :2] = 30  # half of the joints with flag 0 have a place all the same
    with pytest.raises(PosewrightError, match=r"50% of the joints with flag 0 have no place"):
        read_annotations(save(tmp_path, table, True))


def test_pictures_elsewhere_and_missing(tmp_path):
    path = save(tmp_path / "labels", joints(3, True), True)
    assert [im.width for im in read_annotations(path).images] == [0, 0, 0]  # labels can be read without pictures
    with pytest.raises(PosewrightError, match=r"3 of 3 pictures are missing"):
        read_annotations(path).require_pictures()
    picture(tmp_path / "photos/im2.png", 90, 91)
    a = read_annotations(path, options=ReadOptions(images=tmp_path / "photos"))
    assert (a.images[1].path, a.images[1].width) == ("im2.png", 90)
    assert a.missing_pictures() == [0, 2]
    (tmp_path / "empty").mkdir()
    with pytest.raises(PosewrightError, match=r"holds none of the pictures im00001.jpg to im00003.jpg"):
        read_annotations(path, options=ReadOptions(images=tmp_path / "empty"))
    with pytest.raises(PosewrightError, match=r"none: is no folder"):
        read_annotations(path, options=ReadOptions(images=tmp_path / "none"))


def test_a_slip_of_the_extended_set_is_one_joint_not_the_whole_person(tmp_path):
    table = joints(2, True)
    table[1, 1] = [400, 20, 1]
    save(tmp_path, table, True)
    for i in (1, 2):
        picture(tmp_path / f"images/im{i:05d}.jpg", 70, 66)
    options = ReadOptions()
    a = read_annotations(tmp_path, options=options)
    assert a.keypoints[1, 1].tolist() == [0, 0, 0]
    assert (a.keypoints[1, 2, 2], len(a)) == (2, 2)
    assert len(options.skipped) == 1
    assert "picture 2 ('images/im00002.jpg'): joint 2 at (399, 19) is far outside" in options.skipped[0]


def test_a_visible_joint_far_outside_the_original_set(tmp_path):
    table = joints(2, False)
    table[1, 1, :2] = [400, 20]
    save(tmp_path, table, False)
    for i in (1, 2):
        picture(tmp_path / f"images/im{i:04d}.jpg", 70, 66)
    with pytest.raises(PosewrightError, match=r"picture 2 .*'right_knee' is marked visible .*far outside"):
        read_annotations(tmp_path)
    assert len(read_annotations(tmp_path, options=ReadOptions(skip_bad=True)).images) == 1


def test_a_person_without_a_joint_is_left_out_and_listed(tmp_path):
    table = joints(3, True)
    table[1, :, 2], table[1, :, :2] = 0, -3
    options = ReadOptions()
    a = read_annotations(save(tmp_path, table, True), options=options)
    assert [im.id for im in a.images] == [1, 3]
    assert "picture 2 ('images/im00002.jpg'): no joint is labelled" in options.skipped[0]


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        ((1, 1, 0), np.nan, "picture 2 .*'right_knee' is not a finite number"),
        ((1, 1, 1), np.inf, "picture 2 .*'right_knee' is not a finite number"),
        ((1, 1, 2), 2, "picture 2 .*'right_knee' has visibility -1"),
    ],
)
def test_bad_joint(tmp_path, at, value, says):
    table = joints(3, True)
    table[at] = value
    path = save(tmp_path, table, True)
    with pytest.raises(PosewrightError, match=says):
        read_annotations(path)
    options = ReadOptions(skip_bad=True)
    assert [im.id for im in read_annotations(path, options=options).images] == [1, 3]
    assert len(options.skipped) == 1


def test_bad_file(tmp_path):
    path = save(tmp_path, joints(40, True), True)
    data = path.read_bytes()
    for broken in (data[:-400], data[:200], data[:60], b"no MATLAB file at all", data[:128] + bytes(500)):
        path.write_bytes(broken)
        with pytest.raises(PosewrightError, match=r"joints\.mat: (cannot be read|holds no array)"):
            read_annotations(path)
    path.write_bytes(b"")
    with pytest.raises(PosewrightError, match=r"joints\.mat: is empty"):
        read_annotations(path)
    savemat(path, {"other": np.zeros(3)})
    with pytest.raises(PosewrightError, match=r"holds no array 'joints'"):
        read_annotations(path)
    for wrong in (np.zeros((15, 3, 4)), np.zeros((4, 14, 3)), np.array(["a"])):
        savemat(path, {"joints": wrong})
        with pytest.raises(PosewrightError, match=r"'joints' is .*not numbers \(14, 3, N\) or \(3, 14, N\)"):
            read_annotations(path)
    savemat(path, {"joints": np.zeros((14, 3, 0))})
    with pytest.raises(PosewrightError, match=r"holds no picture"):
        read_annotations(path)


def test_a_skeleton_must_have_as_many_joints(tmp_path):
    path = save(tmp_path, joints(2, True), True)
    with pytest.raises(PosewrightError, match=r"has 14 joints, but skeleton 'hand-21' has 21"):
        read_annotations(path, options=ReadOptions(skeleton=BUILTIN["hand-21"]))
