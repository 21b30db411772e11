"""Every kind of broken COCO file: one error that names the file and the record; with skip_bad the rest is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from helpers.labels import coco_dict, coco_folder, save_json
from posewright.annotations import ReadOptions, read_annotations
from posewright.errors import PosewrightError

Change = Callable[[dict[str, Any]], Any]
NAN, INF = float("nan"), float("inf")


def entry(**fields: Any) -> Change:
    """Change the first annotation; None takes a field away."""

    def change(content: dict[str, Any]) -> None:
        first = content["annotations"][0]
        for name, value in fields.items():
            if value is None:
                first.pop(name, None)
            else:
                first[name] = value

    return change


def image(**fields: Any) -> Change:
    return lambda content: content["images"][0].update(fields)


def keypoints(at: int, value: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["keypoints"][at] = value

    return change


RECORDS: dict[str, tuple[Change, str]] = {
    "count": (entry(keypoints=[1, 2, 2]), "annotation 1 .*keypoints: has 3 numbers, not 12"),
    "pairs": (entry(keypoints=[[1, 2, 2]] * 4), "annotation 1 .*keypoints: has 4 numbers, not 12"),
    "keypoints text": (entry(keypoints="1 2 3"), 'annotation 1 .*keypoints: is "1 2 3", not a list'),
    "number text": (keypoints(0, "10"), 'annotation 1 .*keypoints: holds "10", which is not a number'),
    "number null": (keypoints(4, None), "annotation 1 .*keypoints: holds null"),
    "huge": (keypoints(0, 10**400), "annotation 1 .*not a number"),
    "NaN": (keypoints(0, NAN), "annotation 1 .*'nose' is not a finite number"),
    "Infinity": (keypoints(1, -INF), "annotation 1 .*'nose' is not a finite number"),
    "NaN without box": (
        lambda c: (entry(bbox=None)(c), keypoints(0, NAN)(c)),
        "annotation 1 .*'nose' is not a finite number",
    ),
    "visibility": (keypoints(2, 3), "annotation 1 .*'nose' has visibility 3"),
    "far outside": (keypoints(0, 400), r"'nose' is marked visible at \(400, 20\), far outside the 100 x 80 picture"),
    "no area": (entry(bbox=[5, 5, 0, 10]), r"annotation 1 on image 'a\.jpg'.*has no area"),
    "negative box": (entry(bbox=[5, 5, -3, 10]), "annotation 1 .*has no area"),
    "box NaN": (entry(bbox=[5, NAN, 3, 10]), "annotation 1 .*box is not finite"),
    "box count": (entry(bbox=[5, 5, 10]), "annotation 1 .*bbox: has 3 numbers, not 4"),
    "box type": (entry(bbox={"x": 1}), "annotation 1 .*bbox: is .*not a list"),
    "nothing": (entry(bbox=None, keypoints=None), "annotation 1 .*neither a box nor a labelled keypoint"),
    "area text": (entry(area="big"), 'annotation 1 .*"big", which is not a number'),
    "area negative": (entry(area=-1), "annotation 1 .*area is -1"),
    "area NaN": (entry(area=NAN), "annotation 1 .*area is nan"),
    "iscrowd list": (entry(iscrowd=[0]), "annotation 1 .*which is not a number"),
    "outline text": (entry(segmentation="x"), "annotation 1 .*segmentation"),
    "outline odd": (entry(segmentation=[[1, 2, 3]]), "annotation 1 .*segmentation"),
    "outline null": (entry(segmentation=[[1, None]]), "annotation 1 .*segmentation holds what is not a number"),
    "duplicate id": (entry(id=2), "annotation 2: its id is used twice"),
    "unknown image": (entry(image_id=99), "annotation 1: refers to image 99, which the file does not list"),
    "image id list": (entry(image_id=[11]), "annotation 1: an id of it is neither a number nor a string"),
    "no image id": (entry(image_id=None), "annotation 1: refers to image None"),
    "unknown category": (entry(category_id=5), "annotation 1: refers to category 5"),
    "no object": (lambda c: c["annotations"].insert(0, 17), "annotation entry 0: is no object"),
    "image no object": (lambda c: c["images"].insert(0, "a.jpg"), "image entry 0: is no object"),
    "image no name": (image(file_name=None), "image entry 0: has no file_name"),
    "image no id": (image(id=None), r"image 'a\.jpg': has no id"),
    "image size text": (image(width="100"), r"image 'a\.jpg': width is '100'"),
    "image size negative": (image(height=-5), r"image 'a\.jpg': height is -5"),
    "image size NaN": (image(height=NAN), r"image 'a\.jpg': height is nan"),
    "image listed twice": (lambda c: c["images"][1].update(file_name="a.jpg"), "listed already, under id 11"),
    "frame": (image(frame=-1), "frame is -1, not a frame number"),
    "path up inside": (image(file_name="x/../../a.jpg"), "leaves the data folder"),
    "path with NUL": (image(file_name="a\0.jpg"), "is no path"),
    "path empty": (image(file_name=""), "is no path"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_bad_record(tmp_path, case):
    change, says = RECORDS[case]
    content = coco_dict()
    change(content)
    path = coco_folder(tmp_path, content)
    with pytest.raises(PosewrightError, match=says) as raised:
        read_annotations(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    options = ReadOptions(skip_bad=True)
    rest = read_annotations(path, options=options)
    assert 1 <= len(options.skipped) <= 2
    assert len(rest) >= 1


def test_a_left_out_record_takes_its_otherwise_empty_picture_along(tmp_path):
    """Else the picture would count as one that shows no object."""
    content = coco_dict()
    keypoints(0, NAN)(content)
    a = read_annotations(coco_folder(tmp_path, content), options=ReadOptions(skip_bad=True))
    assert [im.path for im in a.images] == ["sub/b.png", "c.jpg"]
    assert a.image.tolist() == [0, 0]


def test_images_that_share_an_id_are_both_left_out(tmp_path):
    """Nobody can say which of them the annotations mean."""
    content = coco_dict()
    content["images"].append({"id": 11, "file_name": "d.jpg"})
    path = coco_folder(tmp_path, content)
    with pytest.raises(PosewrightError, match=r"image 11 \('d\.jpg'\): its id is used twice"):
        read_annotations(path)
    a = read_annotations(path, options=ReadOptions(skip_bad=True))
    assert [im.path for im in a.images] == ["sub/b.png", "c.jpg"]
    assert a.image.tolist() == [0, 0]


def test_a_picture_file_that_is_none_is_left_out(tmp_path):
    content = coco_dict()
    image(width=0)(content)
    path = coco_folder(tmp_path, content)
    (tmp_path / "images/a.jpg").write_bytes(b"")
    with pytest.raises(PosewrightError, match=r"a\.jpg: is empty"):
        read_annotations(path)
    assert len(read_annotations(path, options=ReadOptions(skip_bad=True))) == 2


FILES: dict[str, tuple[Any, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b" \n", "is empty"),
    "cut short": (json.dumps(coco_dict()).encode()[:400], "cut short"),
    "not JSON": (b"{'images': [], 'annotations': []}", "line 1, column 2: is not JSON: expecting property name"),
    "binary": (b"\x00\xff\xfe\x80" * 50, "is not JSON"),
    "a number": (b"3", "no annotation format"),
    "images no list": (coco_dict() | {"images": {"a": 1}}, "'images' is no list"),
    "annotations no list": (coco_dict() | {"annotations": 3}, "'annotations' is no list"),
    "no images": ({"annotations": [], "categories": []}, "has no list 'images'"),
    "category": (coco_dict() | {"categories": ["mouse"]}, "category without an id"),
    "category names": (
        coco_dict() | {"categories": [{"id": 7, "name": "mouse", "keypoints": ["nose", 3, "a", "b"]}]},
        "category 'mouse': has no list of keypoint names",
    ),
    "category doubled": (
        coco_dict() | {"categories": [{"id": 7, "name": "mouse", "keypoints": ["nose", "nose", "a", "b"]}]},
        "keypoint 'nose' appears more than once",
    ),
    "category link": (
        coco_dict() | {"categories": [{"id": 7, "name": "m", "keypoints": list("abcd"), "skeleton": [[0, 9]]}]},
        "does not join two of 4 keypoints",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_file(tmp_path, case):
    content, says = FILES[case]
    path = tmp_path / "labels.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    for options in (ReadOptions(), ReadOptions(skip_bad=True)):  # a file as a whole cannot be left out
        with pytest.raises(PosewrightError, match=says) as raised:
            read_annotations(path, options=options)
        assert str(path) in str(raised.value)


def test_missing_file(tmp_path):
    with pytest.raises(PosewrightError, match=r"nothing\.json: does not exist"):
        read_annotations(tmp_path / "nothing.json")


def test_empty_data_is_read_but_not_used(tmp_path):
    nothing = read_annotations(save_json(tmp_path / "a.json", coco_dict() | {"images": [], "annotations": []}))
    with pytest.raises(PosewrightError, match=r"a\.json: lists no images"):
        nothing.require_labels()
    no_objects = read_annotations(save_json(tmp_path / "b.json", coco_dict() | {"annotations": []}))
    with pytest.raises(PosewrightError, match=r"b\.json: has 3 images but not one labelled object"):
        no_objects.require_labels()
    content = coco_dict()
    content["annotations"] = content["annotations"][2:]
    with pytest.raises(PosewrightError, match=r"1 objects but not one labelled keypoint"):
        read_annotations(save_json(tmp_path / "c.json", content)).require_labels()


def test_the_error_says_how_to_go_on(tmp_path):
    content = coco_dict()
    keypoints(0, NAN)(content)
    with pytest.raises(PosewrightError, match=r"--skip-bad"):
        read_annotations(coco_folder(tmp_path, content))
