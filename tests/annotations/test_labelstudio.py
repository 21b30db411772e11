"""Label Studio: percentages, which region belongs to which, which annotation counts, where pictures lie, bad files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.labels import picture, save_json
from posewright.annotations import Image, ReadOptions, find_format, get_format, read_annotations
from posewright.errors import PosewrightError
from posewright.skeletons import BUILTIN


def region(kind: str, label: str, key: str = "", **value: Any) -> dict[str, Any]:
    more = {name: value.pop(name) for name in ("parentID", "image_rotation", "original_width") if name in value}
    said = {"type": f"{kind}labels", "value": value | {f"{kind}labels": [label]}, "id": key or label}
    return {"original_width": 200, "original_height": 50, "image_rotation": 0} | said | more


def point(label: str, x: Any, y: Any, key: str = "", **more: Any) -> dict[str, Any]:
    return region("keypoint", label, key, x=x, y=y, width=0.5, **more)


def box(key: str, x: float, y: float, width: float, height: float, **more: Any) -> dict[str, Any]:
    return region("rectangle", "thing", key, x=x, y=y, width=width, height=height, **more)


def task(*regions: Any, image: str = "/data/upload/1/0123abcd-a.png", **more: Any) -> dict[str, Any]:
    return {"id": 5, "data": {"image": image}, "annotations": [{"id": 1, "result": list(regions)}]} | more


def export(root: Path, *tasks: Any) -> Path:
    return save_json(root / "export.json", list(tasks))


def test_percentages_are_measured_from_the_corner(tmp_path):
    outline = region("polygon", "thing", "o", points=[[0, 0], [10, 0], [10, 100]])
    path = export(tmp_path, task(point("nose", 25, 50), point("tail", 50, 10), box("b", 20, 0, 40, 80), outline))
    a = read_annotations(path)
    assert a.skeleton.keypoints == ("nose", "tail")
    assert a.keypoints[0].tolist() == [[49.5, 24.5, 2], [99.5, 4.5, 2]]
    np.testing.assert_allclose(a.boxes, [[39.5, -0.5, 119.5, 39.5]])
    assert a.images == [Image("0123abcd-a.png", 200, 50)]
    assert a.polygons == [[]]  # it reaches out of the only rectangle, and nothing else says whose it is
    assert find_format(path).name == find_format(tmp_path).name == "label-studio"


def test_boxes_from_the_points_and_turned_ones(tmp_path):
    a = read_annotations(export(tmp_path, task(point("nose", 25, 20), point("tail", 50, 60))))
    np.testing.assert_allclose(a.boxes, [[44.5, 7.5, 104.5, 31.5]])
    turned = box("b", 50, 20, 10, 20, rotation=90)  # 20 x 10 px, about its corner (100, 10)
    a = read_annotations(export(tmp_path, task(turned, point("nose", 47, 40))))
    np.testing.assert_allclose(a.boxes, [[89.5, 9.5, 99.5, 29.5]])


@pytest.mark.parametrize("by", ["parent", "from box", "from point"])
def test_points_know_their_rectangle(tmp_path, by):
    one, two = box("one", 0, 0, 90, 90), box("two", 10, 10, 80, 80)
    more = [{"parentID": "one"}, {"parentID": "two"}] if by == "parent" else [{}, {}]
    regions: list[Any] = [one, two, point("nose", 50, 50, "p", **more[0]), point("nose", 52, 50, "q", **more[1])]
    pairs = [("one", "p"), ("two", "q")]
    if by != "parent":
        ordered = pairs if by == "from box" else [pair[::-1] for pair in pairs]
        regions += [{"type": "relation", "from_id": f, "to_id": t, "direction": "right"} for f, t in ordered]
    a = read_annotations(export(tmp_path, task(*regions)))
    assert a.keypoints[:, 0, 0].tolist() == [99.5, 103.5]
    assert a.boxes[:, 0].tolist() == [-0.5, 19.5]


def test_which_annotation_counts(tmp_path):
    def said(x: float, **more: Any) -> dict[str, Any]:
        return {"id": x, "result": [point("nose", x, 50)]} | more

    def read(*annotations: Any) -> tuple[list[float], int]:
        options = ReadOptions()
        both = [task(annotations=list(annotations)), task(point("nose", 1, 1), image="b.png")]
        a = read_annotations(export(tmp_path, *both), options=options)
        return a.keypoints[:, 0, 0].tolist(), len(options.skipped)

    assert read(said(10), said(20)) == ([39.5, 1.5], 1)
    assert read(said(10, ground_truth=True), said(20)) == ([19.5, 1.5], 1)
    assert read(said(10), said(20, was_cancelled=True)) == ([19.5, 1.5], 0)
    assert read(said(20, was_cancelled=True)) == ([1.5], 1)
    a = read_annotations(export(tmp_path, task(), task(point("nose", 1, 1), image="b.png")))
    assert (len(a.images), a.image.tolist()) == (2, [1])


def test_json_min(tmp_path):
    flat = {"x": 25, "y": 50, "width": 1, "keypointlabels": ["nose"], "original_width": 200, "original_height": 50}
    path = export(tmp_path, {"image": "/data/upload/a.png", "id": 1, "kp": [flat], "annotator": 1})
    assert find_format(path).name == "label-studio"
    assert read_annotations(path).keypoints.tolist() == [[[49.5, 24.5, 2]]]


@pytest.mark.parametrize(
    ("said", "there"),
    [
        ("/data/upload/1/0123abcd-a.png", "a.png"),
        ("/data/upload/1/0123abcd-a.png", "images/0123abcd-a.png"),
        ("/data/local-files/?d=deep/a%20b.png", "deep/a b.png"),
        ("https://host/bucket/a.png?key=1", "a.png"),
        ("s3://bucket/deep/a.png", "images/deep/a.png"),
    ],
)
def test_pictures(tmp_path, said, there):
    picture(tmp_path / there, 200, 50)
    a = read_annotations(export(tmp_path, task(point("nose", 25, 50), image=said)))
    assert a.image_path(0) == tmp_path / there


def test_the_configuration_orders_the_names(tmp_path):
    path = export(tmp_path, task(point("b & c", 25, 50)))
    xml = (
        '<View><KeyPointLabels name="k"><Label value="a"/><Label background="red" value="b &amp; c"/></KeyPointLabels>'
    )
    (tmp_path / "config.xml").write_text(xml)
    assert read_annotations(path).skeleton.keypoints == ("a", "b & c")
    (tmp_path / "config.xml").write_text(xml.replace("&amp;", "and"))
    assert read_annotations(path).skeleton.keypoints == ("b & c",)


NAN = float("nan")
BAD = {
    "no object": (7, "task 0: is no object"),
    "no result": (task(annotations=[{"id": 1}]), "task 5: its annotation has no list 'result'"),
    "annotations": (task(annotations={}), "task 5: its annotations are no list"),
    "region": (task(3), "task 5: a region is no object"),
    "text": (task(point("nose", "a", 2)), r"region nose \('nose'\): x is a, which is not a percentage"),
    "NaN": (task(point("nose", NAN, 2)), "keypoint 'nose' is not a finite number"),
    "label": (task(region("keypoint", "", "k", x=1, y=2)), "region k has an empty label"),
    "turned": (task(point("nose", 1, 2, image_rotation=90)), "was drawn on a turned picture"),
    "size": (task(point("nose", 1, 2, original_width=0)), "does not say original_width"),
    "sizes": (task(point("nose", 1, 2), point("t", 1, 2, original_width=9)), "gives the picture another size"),
    "twice": (task(point("nose", 1, 2), point("nose", 3, 4, "k")), "'nose' stands there twice"),
    "two": (
        task(box("a", 1, 1, 9, 9), box("b", 1, 1, 9, 9), point("n", 1, 1, parentID="a"), {"type": "relation"})
        | {"data": {"image": "x.txt"}},
        "names no picture in its data",
    ),
    "path": (task(point("nose", 1, 2), image="deep/../../a.png"), "leaves the data folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_task(tmp_path, case):
    bad, says = BAD[case]
    path = export(tmp_path, bad, task(point("nose", 3, 4), image="b.png"))
    with pytest.raises(PosewrightError, match=rf"export\.json: .*{says}"):
        read_annotations(path, "label-studio")
    options = ReadOptions(skip_bad=True)
    a = read_annotations(path, "label-studio", options)
    assert [im.path for im in a.images] == ["b.png"]
    assert len(a) == len(options.skipped) == 1


def test_the_real_sample(shared_data):
    a = read_annotations(shared_data / "formats/labelstudio")
    assert a.skeleton == BUILTIN["coco-17"]
    assert a.images == [Image("image1.jpg", 216, 174)]
    np.testing.assert_allclose(a.keypoints[0, 0], [0.6444444 * 216 - 0.5, 0.3929078 * 174 - 0.5, 2], atol=1e-4)
    assert a.keypoints[0, :, 2].tolist() == [2, 2, 2, *[0] * 14]
    for name in ("yolo", "labelme", "coco", "deeplabcut/openfield", "bees", "sleap", "deepposekit"):
        assert not get_format("label-studio").detect(shared_data / "formats" / name)
