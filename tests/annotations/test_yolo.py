"""YOLO-pose: origin and visibility, every layout, what the YAML file says, writing, and bad files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.labels import NAMES, assert_same, picture
from posewright.annotations import Annotations, Image, ReadOptions, find_format, get_format, read_annotations
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

LINE = "0 0.5 0.5 0.4 0.6 0.25 0.125 2 0.5 0.5 1 0 0 0"
MOUSE = Skeleton("mouse", tuple(NAMES), ((1, 2),), (), ((0, 1), (0, 3)))


def yolo_set(root: Path, split: str = "train", yaml: str = "train: images/train\n", text: str = LINE + "\n") -> Path:
    picture(root / f"images/{split}/a.png")
    path = root / f"labels/{split}/a.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (root / "data.yaml").write_text(yaml + "kpt_shape: [3, 3]\nnames:\n  0: thing\n")
    return root


def test_shares_are_measured_from_the_corner(tmp_path):
    a = read_annotations(yolo_set(tmp_path))  # a picture of 100 x 80
    assert a.keypoints[0].tolist() == [[24.5, 9.5, 2], [49.5, 39.5, 1], [0, 0, 0]]
    np.testing.assert_allclose(a.boxes, [[29.5, 15.5, 69.5, 63.5]])
    assert a.images == [Image("images/train/a.png", 100, 80, split="train")]
    assert a.skeleton.keypoints == ("keypoint_1", "keypoint_2", "keypoint_3")
    assert a.skeleton.name == "thing"
    assert a.missing_pictures() == []
    assert find_format(tmp_path).name == find_format(tmp_path / "data.yaml").name == "yolo-pose"


def test_two_numbers_a_keypoint(tmp_path):
    yolo_set(tmp_path, text="0 0.5 0.5 0.4 0.6 0.25 0.125 0 0 -1 -1 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nkpt_shape: [4, 2]\n")
    assert read_annotations(tmp_path).keypoints[0, :, 2].tolist() == [2, 0, 0, 2]
    (tmp_path / "data.yaml").unlink()
    four = ReadOptions(skeleton=MOUSE)
    assert read_annotations(tmp_path, "yolo-pose", four).keypoints[0, :, 2].tolist() == [2, 0, 0, 2]
    with pytest.raises(PosewrightError, match=r"no keypoints, and no YAML file with kpt_shape\. .*--skeleton"):
        read_annotations(tmp_path, "yolo-pose")


@pytest.mark.parametrize("line", ["images/Train/a.png", "./images/Train/a.png", "data/images/Train/a.png"])
def test_cvat_export_with_lists(tmp_path, line):
    yolo_set(tmp_path, "Train", "Train: Train.txt\npath: .\n")
    (tmp_path / "Train.txt").write_text(f"{line}\n\n")
    a = read_annotations(tmp_path)
    assert (len(a), a.images[0].split, a.images[0].path) == (1, "train", "images/Train/a.png")
    (tmp_path / "Train.txt").write_text("images/../../outside/a.png\n")
    with pytest.raises(PosewrightError, match=r"Train\.txt: line 1: picture path .* leaves the data folder"):
        read_annotations(tmp_path)


@pytest.mark.parametrize("root", ["/content/mice", "C:\\\\mice", "D:/mice", "/home/me/datasets/mice"])
@pytest.mark.parametrize("listed", [True, False])
def test_paths_of_another_machine(tmp_path, root, listed):
    yolo_set(
        tmp_path,
        "train",
        f"path: {root}\ntrain: {root}/images/train{'.txt' if listed else ''}\nval: {root}/images/val\n",
    )
    picture(tmp_path / "images/val/c.png")
    (tmp_path / "images/train.txt").write_text(f"{root}/images/train/a.png\r\n")
    a = read_annotations(tmp_path)
    assert [(im.path, im.split) for im in a.images] == [("images/train/a.png", "train"), ("images/val/c.png", "val")]
    assert len(a) == 1


def test_folders_that_are_links(tmp_path):
    yolo_set(tmp_path / "real")
    (tmp_path / "set").mkdir()
    for name in ("images", "labels"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "real" / name)
    (tmp_path / "set/labels/train/round").symlink_to(tmp_path / "set")
    assert find_format(tmp_path / "set").name == "yolo-pose"
    assert [im.path for im in read_annotations(tmp_path / "set").images] == ["images/train/a.png"]


def test_cvat_export_without_pictures(tmp_path):
    yolo_set(tmp_path / "set", "Train", "Train: Train.txt\n")
    (tmp_path / "set/Train.txt").write_text("images/Train/a.png\n")
    (tmp_path / "photos").mkdir()
    (tmp_path / "set/images/Train/a.png").rename(tmp_path / "photos/a.png")
    with pytest.raises(PosewrightError, match=r"picture 'images/Train/a.png' is not there.*--images"):
        read_annotations(tmp_path / "set")
    a = read_annotations(tmp_path / "set", options=ReadOptions(images=tmp_path / "photos"))
    assert a.image_path(0) == tmp_path / "photos/a.png"
    assert len(a) == 1


def test_cvats_own_subsets_have_no_split(tmp_path):
    yolo_set(tmp_path, "morning", "morning: morning.txt\n")
    (tmp_path / "morning.txt").write_text("images/morning/a.png\n")
    assert [im.split for im in read_annotations(tmp_path).images] == [None]


def test_roboflow_paths_and_a_root_elsewhere(tmp_path):
    yolo_set(tmp_path / "set", "train", "train: ../images/train\n")
    assert len(read_annotations(tmp_path / "set")) == 1
    elsewhere = tmp_path / "cfg/pose.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text("path: ../set\ntrain: images/train\nkpt_shape: [3, 3]\n")
    a = read_annotations(elsewhere)
    assert (len(a), a.missing_pictures()) == (1, [])


def test_pictures_without_labels_are_background_and_lists_may_be_several(tmp_path):
    yolo_set(tmp_path, yaml="train: [images/train, images/more]\nval: images/train\n")
    picture(tmp_path / "images/more/b.png")
    a = read_annotations(tmp_path)
    assert [(im.path, im.split) for im in a.images] == [
        ("images/train/a.png", "train"),
        ("images/more/b.png", "train"),
    ]
    assert a.image.tolist() == [0]


def test_a_folder_without_yaml(tmp_path):
    yolo_set(tmp_path, "val")
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "labels/classes.txt").write_text("thing\n")
    picture(tmp_path / "images/val/unlabelled.png")
    a = read_annotations(tmp_path)
    assert [(im.path, im.split) for im in a.images] == [("images/val/a.png", "val")]
    (tmp_path / "images/val/a.png").unlink()
    with pytest.raises(PosewrightError, match=r"a\.txt: has no picture 'a\.jpg'"):
        read_annotations(tmp_path)


def test_the_yaml_file_may_name_the_keypoints(tmp_path):
    yolo_set(tmp_path)
    text = (tmp_path / "data.yaml").read_text()
    (tmp_path / "data.yaml").write_text(text + "kpt_names: {0: [nose, left_ear, right_ear]}\n")
    assert read_annotations(tmp_path).skeleton.swaps == ((1, 2),)
    (tmp_path / "data.yaml").write_text(text + "flip_idx: [1, 0, 2]\n")
    assert read_annotations(tmp_path).skeleton.swaps == ((0, 1),)
    (tmp_path / "data.yaml").write_text(text + "flip_idx: [1, 1, 2]\n")
    with pytest.raises(PosewrightError, match=r"data\.yaml: flip_idx does not pair up 3 keypoints"):
        read_annotations(tmp_path)
    coco = BUILTIN["coco-17"]
    line = "0 0.5 0.5 0.4 0.6" + " 0.5 0.5 2" * 17
    (tmp_path / "labels/train/a.txt").write_text(line)
    (tmp_path / "data.yaml").write_text(
        f"train: images/train\nkpt_shape: [17, 3]\nflip_idx: {json.dumps(coco.flip_order())}"
    )
    assert read_annotations(tmp_path).skeleton == coco


BAD = {
    "words": ("0 a b c\n", "line 1: '0 a b c' is not numbers"),
    "count": (f"{LINE}\n{LINE} 1 2 2\n", "line 2: has 17 numbers, not 5 \\+ 3 x 3 = 14"),
    "NaN": (LINE.replace("0.25", "nan"), "line 1: holds a number that is not finite"),
    "visibility": (LINE.replace("0.125 2", "0.125 5"), "line 1: keypoint 'keypoint_1' has visibility 5"),
    "box": (LINE.replace("0.4 0.6", "0 0"), "line 1: box .* has no area"),
    "class": (LINE.replace("0 ", "0.5 ", 1), "line 1: class 0.5 is no class number"),
    "far": (LINE.replace("0.25", "9.25"), "line 1: .*far outside the 100 x 80 picture"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_line(tmp_path, case):
    text, says = BAD[case]
    yolo_set(tmp_path, text=text)
    picture(tmp_path / "images/train/b.png")
    (tmp_path / "labels/train/b.txt").write_text(LINE)
    with pytest.raises(PosewrightError, match=rf"a\.txt: {says}"):
        read_annotations(tmp_path)
    options = ReadOptions(skip_bad=True)
    left = read_annotations(tmp_path, options=options)
    assert left.images[-1].path == "images/train/b.png"
    assert len(left) == (2 if case == "count" else 1)
    assert len(options.skipped) == 1


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("kpt_shape: 3\n", "kpt_shape 3 is not"),
        ("kpt_shape: [3, 4]\n", "is not \\[keypoints, 2 or 3\\]"),
        ("kpt_shape: [3, 3]\n", "names no pictures"),
        ("kpt_shape: [3, 3]\ntrain: images/none\n", "train: its folder 'images/none' does not exist"),
        ("kpt_shape: [3, 3]\ntrain: list.txt\n", "train: its list 'list.txt' does not exist"),
        ("kpt_shape: [3, 3]\ntrain: /etc\n", "train: its folder 'etc' does not exist"),
        ("kpt_shape: [3, 3]\ntrain: a/../../b\n", "train: picture path 'a/../../b' leaves the data folder"),
        ("kpt_shape: [3, 3\n", "is not YAML"),
    ],
)
def test_bad_yaml(tmp_path, yaml, says):
    (yolo_set(tmp_path) / "data.yaml").write_text(yaml)
    with pytest.raises(PosewrightError, match=rf"data\.yaml: .*{says}"):
        read_annotations(tmp_path)


def labelled(root: Path) -> Annotations:
    """Three pictures with two objects, one of them hanging over the border, and a crowd."""
    images = [Image("images/a.png", 100, 80, split="train"), Image("b.png", 100, 80, split="val")]
    images.append(Image("images/val/ü c.png", 100, 80, split="val"))
    for im in images:
        picture(root / im.path)
    keypoints = np.zeros((3, 4, 3))
    keypoints[0] = [[10.25, 20, 2], [30, 40.125, 1], [0, 0, 0], [99.5, 79.5, 2]]
    keypoints[1] = [[-0.5, -0.5, 2], [-3, 4, 1], [7, 8, 2], [9, 10, 2]]
    boxes = [[5, 6, 70, 77], [-10, -5, 40, 30], [1, 1, 9, 9]]
    return Annotations(MOUSE, images, [0, 2, 2], keypoints, boxes, root, iscrowd=[False, False, True])


def test_round_trip(tmp_path):
    a = labelled(tmp_path / "from")
    fmt = get_format("yolo-pose")
    lines = fmt.losses(a)
    assert lines == [
        "1 keypoints outside their pictures: they count as not labelled",
        "what 1 boxes reach beyond their pictures: they are cut at the border",
        "1 crowd regions",
    ]
    assert fmt.write(a, tmp_path / "to") == [tmp_path / "to"]
    b = read_annotations(tmp_path / "to")
    names = ["images/train/a.png", "images/val/b.png", "images/val/ü c.png"]
    assert sorted(im.path for im in b.images) == names
    assert b.skeleton == a.skeleton
    np.testing.assert_allclose(b.keypoints[0], a.keypoints[0], atol=1e-5)
    np.testing.assert_allclose(b.boxes, [[5, 6, 70, 77], [-0.5, -0.5, 40, 30]], atol=1e-5)
    assert b.keypoints[1, :, 2].tolist() == [2, 0, 2, 2]
    fmt.write(b, tmp_path / "again")
    assert_same(b, read_annotations(tmp_path / "again"), 2e-5 * 100)
    with pytest.raises(PosewrightError, match=r"to: is not empty\. Write to a new folder"):
        fmt.write(a, tmp_path / "to")


def test_what_cannot_be_written(tmp_path):
    write = get_format("yolo-pose").write
    a = labelled(tmp_path / "from")
    (tmp_path / "from/b.png").unlink()
    with pytest.raises(PosewrightError, match=r"b\.png does not exist"):
        write(a, tmp_path / "to")
    with pytest.raises(PosewrightError, match=r"is a file's name"):
        write(labelled(tmp_path / "from"), tmp_path / "to.json")
    assert not (tmp_path / "to").exists()


def test_the_real_sample_agrees_with_labelme(shared_data):
    a = read_annotations(shared_data / "formats/yolo")
    b = read_annotations(shared_data / "formats/labelme")
    assert len(a) == len(b) == 2
    # Five decimals of 5,568 pixels: 0.03 px.
    np.testing.assert_allclose(a.keypoints, b.keypoints, atol=0.03)
    np.testing.assert_allclose(a.boxes, b.boxes, atol=0.06)


def test_other_formats_are_left_alone(shared_data, tmp_path):
    detect = get_format("yolo-pose").detect
    for name in ("labelme", "labelstudio", "coco", "deeplabcut/openfield", "bees", "sleap", "deepposekit"):
        assert not detect(shared_data / "formats" / name)
    (tmp_path / "labels.txt").write_text("imgs/a.jpg 1 2 3 4 5 6\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [a]\n")
    (tmp_path / "box.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "outline.txt").write_text("0 0.5 0.5 0.1 0.1 0.7 0.8 0.33\n")
    assert not detect(tmp_path)
