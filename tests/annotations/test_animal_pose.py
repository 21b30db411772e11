"""Animal-Pose in both of its layouts: the JSON that is nearly COCO, and the XML files of two spellings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.labels import picture, save_json
from posewright.annotations import ReadOptions, find_format, read_annotations
from posewright.errors import PosewrightError
from posewright.skeletons import BUILTIN

NAMES = list(BUILTIN["animal-20"].keypoints)
POINTS = [[10.0 + i, 20.0 + i, 1] for i in range(19)] + [[0.0, 0.0, 0]]


def content(**first: Any) -> dict[str, Any]:
    """Two animals on one picture, one on another, and a picture that nobody labelled."""
    row = {"image_id": 1, "bbox": [5, 6, 45, 56], "keypoints": POINTS, "num_keypoints": 19, "category_id": 1}
    changed = {name: value for name, value in (row | first).items() if value is not None}
    return {
        "images": {"1": "2007_000063.jpg", "2": "2007_000175.jpg", "3": "2007_000332.jpg"},
        "annotations": [changed, row, row | {"image_id": 2, "category_id": 2}],
        "categories": [
            {"supercategory": "animal", "id": i + 1, "name": name, "keypoints": NAMES, "skeleton": [[0, 1], [0, 2]]}
            for i, name in enumerate(("dog", "cat"))
        ],
    }


def test_json(tmp_path):
    path = save_json(tmp_path / "keypoints.json", content())
    picture(tmp_path / "images/2007_000063.jpg")
    options = ReadOptions()
    a = read_annotations(path, options=options)
    assert a.skeleton == BUILTIN["animal-20"]
    assert [(im.path, im.id, im.width) for im in a.images] == [("2007_000063.jpg", 1, 100), ("2007_000175.jpg", 2, 0)]
    assert a.image.tolist() == [0, 0, 1]
    assert a.keypoints[0, 3].tolist() == [13, 23, 2]
    assert a.keypoints[0, 19].tolist() == [0, 0, 0]
    assert a.boxes[0].tolist() == [5, 6, 45, 56]  # corners, not COCO's width and height
    assert "1 pictures have no annotation" in options.skipped[0]
    assert find_format(path).name == find_format(tmp_path).name == "animal-pose"


def test_json_with_coco_visibility_no_box_or_other_names(tmp_path):
    three = [[1, 2, 1], [3, 4, 2], *([[0, 0, 0]] * 18)]
    a = read_annotations(save_json(tmp_path / "a.json", content(keypoints=three, bbox=None)))
    assert a.keypoints[0, :3, 2].tolist() == [1, 2, 0]
    np.testing.assert_allclose(a.boxes[0], [0.8, 1.8, 3.2, 4.2])
    other = content()
    for category in other["categories"]:
        category["keypoints"] = [f"p{i}" for i in range(20)]
    a = read_annotations(save_json(tmp_path / "b.json", other))
    assert a.skeleton.keypoints[0] == "p0"
    assert a.skeleton.links == ((0, 1), (0, 2))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "count": ({"keypoints": [[1, 2, 1]]}, "keypoints: has 1 entries, not 20"),
    "flat": ({"keypoints": [1, 2, 1] * 20}, "keypoints: has 60 entries, not 20"),
    "NaN": ({"keypoints": [[float("nan"), 1, 1]] * 20}, "'left_eye' is not a finite number"),
    "visibility": ({"keypoints": [[1, 1, 7]] * 20}, "'left_eye' has visibility 7"),
    "box": ({"bbox": [1, 2]}, "bbox: has 2 numbers, not 4"),
    "box order": ({"bbox": [45, 6, 5, 56]}, "has no area"),
    "image": ({"image_id": 9}, "refers to image 9, which the file does not list"),
    "nothing": ({"bbox": None, "keypoints": [[0, 0, 0]] * 20}, "has neither a box nor a labelled keypoint"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_annotation(tmp_path, case):
    change, says = BAD[case]
    path = save_json(tmp_path / "keypoints.json", content(**change))
    with pytest.raises(PosewrightError, match=says) as raised:
        read_annotations(path)
    assert f"{path}: annotation 0" in str(raised.value)
    assert len(read_annotations(path, options=ReadOptions(skip_bad=True))) == 2


def test_bad_json(tmp_path):
    for change, says in (
        ({"categories": []}, "has no category with keypoints. Give --skeleton"),
        ({"categories": [{"keypoints": [1]}]}, "have no list of keypoint names"),
        ({"categories": [{"keypoints": ["a"]}, {"keypoints": ["b"]}]}, "name different keypoints"),
        ({"categories": [{"keypoints": ["a"], "skeleton": [[0, "x"]]}]}, "links that are no pairs"),
        ({"annotations": 3}, "has no list 'annotations'"),
    ):
        with pytest.raises(PosewrightError, match=says):
            read_annotations(save_json(tmp_path / "keypoints.json", content() | change))


def xml(image: str, first: str = "L_Eye", last: str = "TailBase", top: str = "ymin", category: str = "cat") -> str:
    return (
        f"<annotation>\n <image>{image}</image>\n <category>{category}</category>\n"
        f' <visible_bounds height="40" width="30" xmin="5" {top}="7"/>\n <keypoints>\n'
        f'  <keypoint name="{first}" visible="1" x="10.5" y="20" z="0"/>\n'
        f'  <keypoint name="{last}" visible="0" x="0" y="0" z="0"/>\n'
        f'  <keypoint name="R_B_Paw" visible="1" x="12" y="22" z="0"/>\n </keypoints>\n</annotation>\n'
    )


def animal(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def both_parts(root: Path) -> Path:
    animal(root / "PASCAL2011_animal_annotation/cat/2007_000063_1.xml", xml("2007_000063"))
    animal(root / "PASCAL2011_animal_annotation/cat/2007_000063_2.xml", xml("2007_000063", "Nose"))
    animal(root / "animalpose_anno2/cat/ca1.xml", xml("ca1.jpg", "L_ear", "Tail", "xmax"))
    picture(root / "VOC2012/JPEGImages/2007_000063.jpg")
    picture(root / "animalpose_image_part2/cat/ca1.jpg", 90, 80)
    return root


def test_both_parts_of_the_xml_layout(tmp_path):
    a = read_annotations(both_parts(tmp_path))
    assert [(im.path, im.width) for im in a.images] == [
        ("VOC2012/JPEGImages/2007_000063.jpg", 100),
        ("animalpose_image_part2/cat/ca1.jpg", 90),
    ]
    assert a.missing_pictures() == []
    assert a.image.tolist() == [0, 0, 1]
    for i, name in enumerate(("left_eye", "nose", "left_ear")):
        assert a.keypoints[i, a.skeleton.index(name)].tolist() == [10.5, 20, 2]
        assert a.keypoints[i, a.skeleton.index("right_back_paw")].tolist() == [12, 22, 2]
        assert a.boxes[i].tolist() == [5, 7, 35, 47]  # the second part's xmax is ymin
    assert a.labelled.sum() == 6
    assert find_format(tmp_path).name == "animal-pose-xml"


def test_one_part_and_pictures_elsewhere(tmp_path):
    both_parts(tmp_path)
    part = tmp_path / "animalpose_anno2"
    assert read_annotations(part).missing_pictures() == []
    a = read_annotations(part / "cat/ca1.xml", options=ReadOptions(images=tmp_path / "animalpose_image_part2"))
    assert a.images[0].path == "cat/ca1.jpg"
    with pytest.raises(PosewrightError, match=r"picture 'cat/ca1.jpg' is not there"):
        read_annotations(part, options=ReadOptions(images=part))


BAD_XML = {
    "name": (xml("a", "L_Horn"), "has an unknown keypoint 'L_Horn'"),
    "visible": (xml("a").replace('visible="1"', 'visible="yes"'), "has visible 'yes', neither 0 nor 1"),
    "number": (xml("a").replace('x="10.5"', 'x="wide"'), "keypoint: x is 'wide', not a number"),
    "NaN": (xml("a").replace('x="10.5"', 'x="nan"'), "'left_eye' is not a finite number"),
    "no bounds": (xml("a").replace('width="30"', ""), "visible_bounds: width is None"),
    "area": (xml("a").replace('width="30"', 'width="-3"'), "has no area"),
    "no image": (xml(""), "names no image"),
    "path": (xml("../../a"), "leaves the data folder"),
    "cut": (xml("a")[:300], "is not XML"),
    "entities": ('<!DOCTYPE a [<!ENTITY b "bbb">]>' + xml("a").replace("cat", "&b;"), "declares entities"),
}


@pytest.mark.parametrize("case", BAD_XML)
def test_bad_xml(tmp_path, case):
    text, says = BAD_XML[case]
    path = animal(tmp_path / "b.xml", text)
    animal(tmp_path / "c.xml", xml("c"))
    with pytest.raises(PosewrightError, match=says) as raised:
        read_annotations(tmp_path)
    assert str(path) in str(raised.value)
    assert len(read_annotations(tmp_path, options=ReadOptions(skip_bad=True))) == 1
