"""Head boxes of a second file: which person each goes to, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from helpers.mat_structs import structs
from posewright.annotations import Annotations, Image, get_format, read_annotations
from posewright.annotations.heads import merge_heads, read_heads
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.skeletons import MPII_16

HEAD_TOP = MPII_16.index("head_top")


def people() -> Annotations:
    """Two people side by side on one picture, the second without labelled head, and one on another picture."""
    boxes = np.array([[0, 0, 40, 100], [50, 0, 90, 100], [0, 0, 40, 100]], float)
    points = np.zeros((3, 16, 3))
    points[:, 0] = [[20, 95, 2], [70, 95, 2], [20, 95, 2]]
    points[[0, 2], HEAD_TOP] = [20, 5, 2]
    images = [Image("a/one.jpg", 120, 110, id=7), Image("a/0002.jpg", 120, 110, id=8)]
    return Annotations(MPII_16, images, np.array([0, 0, 1]), points, boxes)


def write(folder: Path, name: str, content) -> Path:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / name


BOXES = {"first": [14, 2, 26, 11], "second": [62, 3, 78, 15]}  # diagonals of 15 and 20
"""Sizes are then 9 and 12."""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("h.json", [{"path": "a/one.jpg", "head": BOXES["second"]}, {"path": "a/one.jpg", "head": BOXES["first"]}]),
        ("h.json", [{"image_id": 7, "head": BOXES["second"]}, {"id": 7, "head": BOXES["first"]}]),
        ("h.json", {"one.jpg": [BOXES["second"], BOXES["first"]], "elsewhere.jpg": [0, 0, 5, 5]}),
        ("h.csv", "path,x0,y0,x1,y1\none.jpg,62,3,78,15\nx/one.jpg,14,2,26,11\n"),
    ],
)
def test_a_head_goes_to_the_person_it_belongs_to(tmp_path, name, content):
    labels, said = merge_heads(people(), write(tmp_path, name, content))
    np.testing.assert_allclose(labels.head_size, [9, 12, np.nan])
    assert "0.6 x the diagonal of the head box, for 2 of 3 objects" in said


def test_a_head_far_from_everybody_fits_nobody_and_one_person_has_one_head(tmp_path):
    heads = {"2": [[14, 2, 26, 11], [15, 4, 27, 13], [90, 90, 100, 100]]}
    labels, said = merge_heads(people(), write(tmp_path, "h.json", heads))  # 0002.jpg is called 2
    np.testing.assert_allclose(labels.head_size, [np.nan, np.nan, 9])
    assert "2 head boxes fit nobody" in said


def test_what_the_labels_say_themselves_stays(tmp_path):
    own = people()
    own.head_size[:] = [5, 6, np.nan]
    labels, said = merge_heads(own, write(tmp_path, "h.json", {"0002.jpg": BOXES["first"]}))
    np.testing.assert_allclose(labels.head_size, [5, 6, 9])
    assert "for 1 of 3 objects" in said and "for 2 from the labels" in said


def test_mpiis_own_file(tmp_path):
    """1-based, by picture; the smaller box is nearest to the labelled head."""
    rows = [{"x1": 63, "y1": 4, "x2": 79, "y2": 16}, {"x1": 15, "y1": 3, "x2": 27, "y2": 12}, {"x1": []}]
    annolist = structs([{"image": {"name": "one.jpg"}, "annorect": rows}, {"image": {"name": "b.jpg"}, "annorect": []}])
    savemat(tmp_path / "m.mat", {"RELEASE": structs([{"annolist": annolist, "img_train": np.ones((1, 2))}])})
    heads = read_heads(tmp_path / "m.mat")
    assert sorted(heads.by_picture["one.jpg"]) == [BOXES["first"], BOXES["second"]]
    np.testing.assert_allclose(merge_heads(people(), tmp_path / "m.mat")[0].head_size, [9, 12, np.nan])


def test_the_file_beside_valid_json_goes_by_order(tmp_path):
    source = np.array([[*BOXES["first"]], [*BOXES["second"]], [1, 1, 1, 1]], float).reshape(3, 2, 2).transpose(1, 2, 0)
    savemat(tmp_path / "gt_valid.mat", {"headboxes_src": source})
    labels, _ = merge_heads(people(), tmp_path / "gt_valid.mat")
    np.testing.assert_allclose(labels.head_size, [9, 12, np.nan])
    with pytest.raises(PosewrightError, match="3 heads in the order of its labels, which here are 2 objects"):
        merge_heads(people().objects([0, 1]), tmp_path / "gt_valid.mat")


def test_the_commands_that_take_them(tmp_path, monkeypatch, capsys):
    """Converted with heads, and measured by them: PCKh@0.5 by hand."""
    monkeypatch.chdir(tmp_path)
    get_format("coco").write(people(), tmp_path / "l.json")
    write(tmp_path, "h.json", {"one.jpg": list(BOXES.values())})
    points = people().keypoints
    points[0, 0, 0] += 4.4  # below half of 9
    points[1, 0, 0] += 6.1  # above half of 12
    rows = [
        {"image_id": i, "category_id": 1, "keypoints": p.ravel().tolist(), "score": 1.0}
        for i, p in zip((7, 7, 8), points)
    ]
    write(tmp_path, "r.json", rows)
    options = ["--heads", "h.json", "--protocol", "mpii", "--worst", "0", "--json", "f.json"]
    assert main(["evaluate", "r.json", "l.json", *options]) == 0
    found = json.loads(Path("f.json").read_text())["protocol"]
    assert found["by_keypoint"]["right_ankle"] == 50 and found["n_left_out"] == 1
    assert "Head size: 0.6 x the diagonal" in capsys.readouterr().out
    assert main(["convert", "l.json", "--heads", "h.json", "-o", "with.json"]) == 0
    np.testing.assert_allclose(read_annotations("with.json").head_size, [9, 12, np.nan])


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("h.json", [{"path": "a.jpg"}], "record 0: 'head' is not four numbers"),
        ("h.json", [{"head": [0, 0, 1, 1]}], "record 0: names no picture"),
        ("h.json", [3], "record 0: names no picture"),
        ("h.json", {"a.jpg": [4, 4, 2, 2]}, "picture 'a.jpg': head box \\[4, 4, 2, 2\\] has no area"),
        ("h.json", {"a.jpg": [0, 0, float("inf"), 2]}, "has no area"),
        ("h.json", {"a.jpg": ["x", 0, 1, 2]}, "is not four numbers"),
        ("h.json", "[1", "is cut short"),
        ("h.json", [], "holds no head box"),
        ("h.json", "3", "neither a list of records"),
        ("h.csv", "path,x0,y0,x1\n", "has no column 'y1'"),
        ("h.csv", "x0,y0,x1,y1\n", "has no column for the picture"),
        ("h.csv", "path,x0,y0,x1,y1\na.jpg,1,2,three,4\n", "line 2: 'head' is not four numbers"),
        ("h.csv", "path,x0,y0,x1,y1\na.jpg,1,2\n", "line 2: 'head' is not four numbers"),
        ("h.csv", "path,x0,y0,x1,y1\nz.jpg,1,2,3,4\n", "none of its heads belongs to an object"),
        ("h.mat", "not a MATLAB file", "holds neither RELEASE"),
        ("h.txt", "x", "is no file of head boxes"),
    ],
)
def test_bad_files(tmp_path, name, content, complaint):
    with pytest.raises(PosewrightError, match=complaint):
        merge_heads(people(), write(tmp_path, name, content))
    with pytest.raises(PosewrightError, match="does not exist"):
        read_heads(tmp_path / "none.json")


def test_bad_records_can_be_left_out(tmp_path):
    path = write(tmp_path, "h.json", [{"path": "one.jpg", "head": BOXES["first"]}, {"path": "one.jpg", "head": []}])
    said = []
    labels, _ = merge_heads(people(), path, said.append)
    assert labels.head_size[0] == 9 and len(said) == 1 and "record 1" in str(said[0])
