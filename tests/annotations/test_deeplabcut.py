"""DeepLabCut and Lightning Pose: layouts, both files, writing and reading back, and bad tables in one line."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from helpers.labels import picture
from helpers.pandas_files import write_appendable, write_fixed
from posewright.annotations import Annotations, Image, ReadOptions, boxes_from_keypoints, find_format, read_annotations
from posewright.annotations.deeplabcut_write import losses, write
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton

SINGLE = """scorer,me,me,me,me,me,me
bodyparts,nose,nose,leftear,leftear,rightear,rightear
coords,x,y,x,y,x,y
labeled-data/day1/a.png,10.5,20,30,40,,
labeled-data/day1/b.png,11,21,31,41,50,60
labeled-data/day1/empty.png,,,,,,
"""
MULTI = """scorer,,,me,me,me,me,me,me,me,me,me,me
individuals,,,one,one,one,one,two,two,two,two,single,single
bodyparts,,,nose,nose,tail,tail,nose,nose,tail,tail,food,food
coords,,,x,y,x,y,x,y,x,y,x,y
labeled-data,day1,a.png,1,2,3,4,,,50,60,70,71
labeled-data,day1,b.png,,,,,5,6,7,8,,
"""
CONFIG = """Task: mice
scorer: me
multianimalproject: {several}
identity: {several}
bodyparts: [nose, leftear, rightear]
multianimalbodyparts: [nose, tail]
skeleton:
- [nose, leftear, rightear]
- [nose, bodypart7]
"""


def project(folder: Path, table: str = SINGLE, several: bool = False, config: bool = True) -> Path:
    for name in ("a.png", "b.png"):
        picture(folder / "labeled-data/day1" / name)
    (folder / "labeled-data/day1/CollectedData_me.csv").write_text(table)
    if config:
        (folder / "config.yaml").write_text(CONFIG.format(several=str(several).lower()))
    return folder


def test_a_project(tmp_path):
    options = ReadOptions()
    a = read_annotations(project(tmp_path), options=options)
    assert find_format(tmp_path).name == "deeplabcut"
    assert a.skeleton.name == "mice"
    assert a.skeleton.keypoints == ("nose", "leftear", "rightear")
    assert (a.skeleton.links, a.skeleton.swaps) == (((0, 1), (1, 2)), ((1, 2),))
    assert a.keypoints.tolist() == [[[10.5, 20, 2], [30, 40, 2], [0, 0, 0]], [[11, 21, 2], [31, 41, 2], [50, 60, 2]]]
    assert [(im.path, im.group, im.width) for im in a.images] == [
        (f"labeled-data/day1/{name}", "labeled-data/day1", 100) for name in ("a.png", "b.png")
    ]
    np.testing.assert_allclose(a.boxes[0], [8.55, 18, 31.95, 42])
    assert a.missing_pictures() == []
    assert "'bodypart7', which is no body part" in options.skipped[0]
    assert "1 pictures without a single label" in options.skipped[1]


@pytest.mark.parametrize(("separator", "mark"), [(";", "\ufeff"), ("\t", "")])
def test_a_table_that_a_spreadsheet_saved(tmp_path, separator, mark):
    plain = read_annotations(project(tmp_path / "plain"))
    saved = mark + SINGLE.replace(",", separator).replace("10.5", "10,5").replace("\n", "\r\n")
    project(tmp_path / "saved", saved)
    assert find_format(tmp_path / "saved/labeled-data/day1/CollectedData_me.csv").name == "deeplabcut"
    assert np.array_equal(read_annotations(tmp_path / "saved").keypoints, plain.keypoints)


@pytest.mark.parametrize("part", ["config.yaml", "labeled-data/day1", "labeled-data/day1/CollectedData_me.csv"])
def test_a_part_of_a_project_will_do(tmp_path, part):
    a = read_annotations(project(tmp_path) / part)
    assert (len(a), a.missing_pictures()) == (2, [])
    assert a.skeleton.keypoints == ("nose", "leftear", "rightear")


@pytest.mark.parametrize("several", [True, False])
def test_several_animals(tmp_path, several):
    options = ReadOptions()
    a = read_annotations(project(tmp_path, MULTI, several=True, config=several), options=options)
    assert a.skeleton.keypoints == ("nose", "tail")
    assert a.image.tolist() == [0, 0, 1]
    assert a.track.tolist() == ([0, 1, 1] if several else [-1, -1, -1])
    assert a.keypoints[1].tolist() == [[0, 0, 0], [50, 60, 2]]
    assert a.images[0].path == "labeled-data/day1/a.png"
    assert any("unique body parts ('food', ...)" in line for line in options.skipped)


def test_lightning_pose_layout(tmp_path):
    project(tmp_path, config=False)
    (tmp_path / "labeled-data/day1/CollectedData_me.csv").unlink()
    (tmp_path / "CollectedData.csv").write_text(SINGLE)
    picture(tmp_path / "labeled-data/day2/c.png")
    new = [*SINGLE.splitlines()[:3], "labeled-data/day2/c.png,1,2,3,4,5,6"]
    (tmp_path / "CollectedData_new.csv").write_text("\n".join(new))
    a = read_annotations(tmp_path)
    assert [im.split for im in a.images] == [None, None, "test"]
    assert a.missing_pictures() == []
    assert len(read_annotations(tmp_path / "CollectedData.csv")) == 2
    (tmp_path / "CollectedData_top.csv").write_text(SINGLE)
    with pytest.raises(PosewrightError, match=r"holds several tables .*Give the one to read"):
        read_annotations(tmp_path)


COLUMNS = [("me", part, c) for part in ("nose", "leftear", "rightear") for c in "xy"]
VALUES = np.array([[10.5, 20, 30, 40, np.nan, np.nan], [11, 21, 31, 41, 50, 60]])


@pytest.mark.parametrize("layout", ["fixed", "three levels", "table"])
def test_the_h5_alone(tmp_path, layout):
    want = read_annotations(project(tmp_path))
    path = tmp_path / "labeled-data/day1/CollectedData_me.csv"
    path.unlink()
    rows = [f"labeled-data/day1/{n}.png" for n in "ab"]
    if layout == "table":
        write_appendable(path.with_suffix(".h5"), COLUMNS, rows, VALUES)
    else:
        labels = [tuple(row.split("/")) if layout == "three levels" else (row,) for row in rows]
        write_fixed(path.with_suffix(".h5"), COLUMNS, labels, VALUES)
    got = read_annotations(tmp_path)
    assert got.images == want.images
    np.testing.assert_array_equal(got.keypoints, want.keypoints)
    assert len(read_annotations(path.with_suffix(".h5"))) == 2


class _Runs:
    """Unpickled by an ordinary unpickler, this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_in_the_h5_runs_nothing(tmp_path):
    path = write_appendable(tmp_path / "CollectedData_me.h5", COLUMNS, ["a.png", "b.png"], VALUES)
    with h5py.File(path, "a") as file:
        file["df_with_missing"].attrs["non_index_axes"] = np.bytes_(pickle.dumps(_Runs(tmp_path / "made"), 0))
    with pytest.raises(PosewrightError, match=r"HDF5 data cannot be read"):
        read_annotations(path)
    assert not (tmp_path / "made").exists()


def test_a_pickle_that_would_never_end_is_refused(tmp_path):
    nested: tuple = ()
    for _ in range(60):
        nested = (nested, nested)
    # A dict of one entry whose key is the nested tuple, written by hand: making it here would never end either.
    program = b"}" + pickle.dumps(nested, 2)[2:-1] + b"K\x01s."
    path = write_appendable(tmp_path / "CollectedData_me.h5", COLUMNS, ["a.png", "b.png"], VALUES)
    with h5py.File(path, "a") as file:
        file["df_with_missing"].attrs["non_index_axes"] = np.void(program)
    with pytest.raises(PosewrightError, match=r"HDF5 data cannot be read"):
        read_annotations(path)


def test_without_h5py_the_csv_is_enough(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    path = project(tmp_path) / "labeled-data/day1/CollectedData_me.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    assert len(read_annotations(tmp_path)) == 2
    with pytest.raises(
        PosewrightError, match=r"needs h5py, which is not installed. pip install 'posewright\[labels\]'"
    ):
        read_annotations(path)


@pytest.mark.parametrize("most", [1, 3])
def test_written_and_read_back(tmp_path, most):
    rng = np.random.default_rng(0)
    owner = np.repeat([0, 1, 2], [most, 1, 1])
    names = [f"cam{i // 2}/{i}.png" for i in range(4)]
    keypoints = np.concatenate([rng.uniform(5, 75, (len(owner), 3, 2)), np.full((len(owner), 3, 1), 2)], 2)
    keypoints[0, 1] = 0
    skeleton = Skeleton("mouse, white", ("nose", "left: ear", "right: ear"), ((1, 2),), (), ((0, 1),))
    images = [Image(str(picture(tmp_path / "in" / n).relative_to(tmp_path / "in")), 100, 80) for n in names]
    boxes = boxes_from_keypoints(keypoints)
    a = Annotations(skeleton, images, owner, keypoints, boxes, tmp_path / "in")
    assert any("1 pictures without an object" in line for line in losses(a))
    b = read_annotations(write(a, tmp_path / "out")[0])
    assert [im.path for im in b.images] == [f"labeled-data/{n}" for n in names[:3]]
    np.testing.assert_array_equal(b.image, a.image)
    np.testing.assert_array_equal(b.keypoints, a.keypoints)
    np.testing.assert_array_equal(b.boxes, a.boxes)
    assert (b.skeleton.name, b.skeleton.keypoints, b.skeleton.links) == (skeleton.name, skeleton.keypoints, ((0, 1),))
    assert b.missing_pictures() == []
    with pytest.raises(PosewrightError, match=r"out: is there already and not empty"):
        write(a, tmp_path / "out")
    (tmp_path / "in/cam0/0.png").unlink()
    with pytest.raises(PosewrightError, match=r"does not exist"):
        write(a, tmp_path / "other")
    assert not (tmp_path / "other").exists()


BAD = {
    "no coords": (SINGLE.replace("coords,", "points,"), "has no line 'coords'"),
    "half a point": (SINGLE.replace("10.5,20,", "10.5,,"), "a.png': 'nose' has x or y only"),
    "a word": (SINGLE.replace("10.5", "ten"), "line 4: could not convert string to float: 'ten'"),
    "short row": (SINGLE.replace(",30,40,,", ",30"), "line 4: has 4 cells, not 7"),
    "predictions": (SINGLE.replace("coords,x,y,x", "coords,x,y,likelihood"), "predictions of a net, not labels"),
    "twice": (SINGLE.replace("b.png", "a.png"), "a.png': is listed twice"),
    "leaves": (SINGLE.replace("labeled-data/day1/a", "../a"), "leaves the data folder"),
    "infinite": (SINGLE.replace("10.5", "inf"), "'nose' is not a finite number"),
    "part missing": (SINGLE.replace("nose", "snout"), "no table has a column for 'nose'"),
    "part of no name": (SINGLE.replace("nose,nose", ","), "does not say which body part column 1 is"),
    "two scorers": (SINGLE.replace("me,me\n", "me,you\n"), "several scorers: me, you"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_table(tmp_path, case):
    content, says = BAD[case]
    with pytest.raises(PosewrightError, match=says) as raised:
        read_annotations(project(tmp_path, content), "deeplabcut")
    assert "CollectedData_me.csv" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [("bodyparts: [", "is not YAML"), ("- 1", "holds no keys and values"), ("Task: x", "has no list 'bodyparts'")],
)
def test_bad_config(tmp_path, content, says):
    (project(tmp_path) / "config.yaml").write_text(content)
    with pytest.raises(PosewrightError, match=says):
        read_annotations(tmp_path)


def test_a_folder_called_labeled_data_is_no_project(tmp_path):
    """Labels of another tool about a project's pictures lie in folders of the same names."""
    (tmp_path / "labeled-data/day1").mkdir(parents=True)
    with pytest.raises(PosewrightError, match=r"is in no annotation format"):
        find_format(tmp_path)
    project(tmp_path / "without config", config=False)
    assert find_format(tmp_path / "without config").name == "deeplabcut"


def test_groups_that_would_become_one_are_said(tmp_path):
    a = read_annotations(project(tmp_path))
    assert not [line for line in losses(a) if "groups" in line]
    a.images = [replace(im, group=f"cam{i}/day1") for i, im in enumerate(a.images)]
    assert "groups of pictures that differ in their first folders only: they become one" in losses(a)


def test_one_video_is_enough_to_train_and_validate(tmp_path):
    """The pictures of one folder are one group; without a part held out no training would begin."""
    rows = "".join(f"labeled-data/day1/img{n}.png,{10 + n},20,30,40,,\n" for n in (10, 2, 9, 1, 33))
    a = read_annotations(project(tmp_path, SINGLE.split("labeled")[0] + rows)).with_validation(0.2)
    assert {im.name for im in a.images if im.split == "val"} == {"img33.png"}
    assert {im.name for im in a.images if im.split == "train"} == {f"img{n}.png" for n in (1, 2, 9, 10)}


def test_bad_rows_can_be_left_out(tmp_path):
    options = ReadOptions(skip_bad=True)
    a = read_annotations(project(tmp_path, BAD["a word"][0]), options=options)
    assert [im.path for im in a.images] == ["labeled-data/day1/b.png"]
    assert any("line 4" in line for line in options.skipped)


def test_the_real_project(shared_data, tmp_path):
    a = read_annotations(shared_data / "formats/deeplabcut/openfield")
    assert (len(a.images), len(a), a.missing_pictures()) == (39, 39, [])
    assert a.skeleton.keypoints == ("snout", "leftear", "rightear", "tailbase")
    assert a.skeleton.swaps == ((1, 2),)
    assert a.keypoints[0, 0].tolist() == [21.521, 265.428, 2]
    assert {im.group for im in a.images} == {"labeled-data/m4s1"}
    table = shared_data / "formats/deeplabcut/openfield/labeled-data/m4s1/CollectedData_Pranav.h5"
    b = read_annotations(table)
    assert (b.images, b.skeleton) == (a.images, a.skeleton)
    np.testing.assert_allclose(b.keypoints, a.keypoints, atol=1e-9)
    c = read_annotations(write(a, tmp_path / "out")[0])
    np.testing.assert_array_equal(c.keypoints, a.keypoints)
    assert [im.path for im in c.images] == [im.path for im in a.images]


@pytest.mark.parametrize("name", ["config.yaml", "CollectedData_me.csv", "CollectedData_me.h5"])
def test_damaged_copies(tmp_path, name):
    """50 copies with bytes flipped, dropped or cut off: read, or refused in one line."""
    folder = project(tmp_path / "set")
    if name.endswith(".h5"):
        write_fixed(folder / "labeled-data/day1" / name, COLUMNS, [("labeled-data", "day1", "a.png")] * 2, VALUES)
        (folder / "labeled-data/day1/CollectedData_me.csv").unlink()
    path = folder / name if name == "config.yaml" else folder / "labeled-data/day1" / name
    whole, rng = path.read_bytes(), np.random.default_rng(3)
    refused = 0
    for _ in range(50):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(0, 256)
        start = int(rng.integers(0, len(data)))
        kind = rng.integers(3)
        path.write_bytes(data if kind == 0 else data[:start] if kind == 1 else data[:start] + data[start + 7 :])
        try:
            read_annotations(folder, "deeplabcut")
        except PosewrightError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 10
    shutil.rmtree(folder)
