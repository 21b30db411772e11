"""LabelMe: origin, which shapes make an object, where pictures lie, writing, and bad files."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.labels import NAMES, assert_same, picture, save_json
from posewright.annotations import Annotations, Image, ReadOptions, find_format, get_format, read_annotations
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

MOUSE = Skeleton("mouse", tuple(NAMES), ((1, 2),), (), ((0, 1), (0, 3)))


def shape(label: str, *points: list[float], group: Any = None, **more: Any) -> dict[str, Any]:
    kind = {1: "point", 2: "rectangle"}.get(len(points), "polygon")
    return {"label": label, "points": list(points), "group_id": group, "shape_type": kind, "flags": {}} | more


def content(*shapes: Any, path: str = "a.png") -> dict[str, Any]:
    sizes = {"imageHeight": 80, "imageWidth": 100}
    return {"version": "5.1.1", "flags": {}, "shapes": list(shapes), "imagePath": path, "imageData": None} | sizes


def labels(root: Path, *shapes: Any, path: str = "a.png") -> Path:
    picture(root / "a.png")
    return save_json(root / "a.json", content(*shapes, path=path))


def test_points_are_measured_from_the_corner(tmp_path):
    box, outline = [[60, 70], [5, 10]], [[5, 10], [60, 10], [60, 70]]
    labels(
        tmp_path,
        shape("nose", [10.5, 20.5], group=1),
        shape("thing", *box, group=1),
        shape("thing", *outline, group=1),
        shape("tail", [40, 50], group=1, flags={"occluded": True}),
        shape("ear", [41, 50], group=1, difficult=True),
        shape("no", [1, 2], group=1, shape_type="circle"),
    )
    a = read_annotations(tmp_path)
    assert a.skeleton.keypoints == ("nose", "tail", "ear")
    assert a.skeleton.name == "thing"
    assert a.keypoints[0].tolist() == [[10, 20, 2], [39.5, 49.5, 1], [40.5, 49.5, 1]]
    assert a.boxes.tolist() == [[4.5, 9.5, 59.5, 69.5]]
    assert a.polygons[0][0].tolist() == [[4.5, 9.5], [59.5, 9.5], [59.5, 69.5]]
    assert a.images == [Image("a.png", 100, 80)]
    assert find_format(tmp_path).name == find_format(tmp_path / "a.json").name == "labelme"


def test_points_without_a_group(tmp_path):
    path = labels(tmp_path, shape("nose", [10, 20]), shape("tail", [30, 60]))
    a = read_annotations(path)
    np.testing.assert_allclose(a.boxes, [[7.5, 15.5, 31.5, 63.5]])  # 1.2 times the keypoints' extent
    save_json(path, content(shape("nose", [10, 20]), shape("nose", [30, 60])))
    with pytest.raises(PosewrightError, match=r"a\.json: point 'nose' stands there twice and nothing says which"):
        read_annotations(path)
    inner, outer = shape("x", [20, 40], [50, 70]), shape("x", [0, 0], [90, 75])
    save_json(path, content(outer, inner, shape("nose", [30, 60]), shape("nose", [10, 20])))
    a = read_annotations(path)
    assert a.keypoints[:, 0, :2].tolist() == [[9.5, 19.5], [29.5, 59.5]]
    save_json(path, content(inner, shape("nose", [90, 5])))
    with pytest.raises(PosewrightError, match=r"'nose' at \(89.5, 4.5\) lies in no rectangle and has no group"):
        read_annotations(path)


def test_names_are_ordered_by_what_is_known(tmp_path):
    coco = BUILTIN["coco-17"]
    path = labels(tmp_path, *(shape(name, [10 + i, 20]) for i, name in enumerate(reversed(coco.keypoints))))
    a = read_annotations(path)
    assert a.skeleton == coco
    assert a.keypoints[0, 0, 0] == 10 + 16 - 0.5
    save_json(path, content(shape("tail", [1, 2]), shape("nose", [3, 4])))
    assert read_annotations(path).skeleton.keypoints == ("tail", "nose")
    (tmp_path / "mouse_classes.txt").write_text("\n".join(NAMES))
    assert read_annotations(path).skeleton.keypoints == tuple(NAMES)
    save_json(path, content(shape("tial", [1, 2])))
    with pytest.raises(PosewrightError, match=r"a\.json: .*'mouse' has no keypoint 'tial'. Did you mean 'tail'"):
        read_annotations(path, options=ReadOptions(skeleton=MOUSE))


def test_pictures_beside_above_and_told(tmp_path):
    nose = shape("nose", [10, 20])
    picture(tmp_path / "photos/deep/a.png")
    path = save_json(tmp_path / "labels/deep/a.json", content(nose, path="..\\..\\photos\\deep\\a.png"))
    a = read_annotations(tmp_path / "labels")
    assert (a.root, a.images[0].path) == (tmp_path / "photos", "deep/a.png")
    for lost in ("../elsewhere/a.png", "../../../elsewhere/a.png"):
        save_json(path, content(nose, path=lost))
        told = read_annotations(tmp_path / "labels", options=ReadOptions(images=tmp_path / "photos"))
        assert told.missing_pictures() == []
    # Nothing is there: it is missing beside the labels, not looked for above them.
    lost_set = read_annotations(tmp_path / "labels")
    assert [im.path for im in lost_set.images] == ["deep/a.png"]
    assert lost_set.missing_pictures() == [0]
    picture(tmp_path / "labels/deep/a.png")
    for moved in ("C:\\photos\\a.png", "/home/me/a.png", "../../../elsewhere/a.png"):
        save_json(path, content(nose, path=moved))
        assert read_annotations(tmp_path / "labels").images[0].path == "deep/a.png"


def test_pictures_inside_the_files(tmp_path, capsys):
    made = picture(tmp_path / "made.png")
    held = base64.b64encode(made.read_bytes()).decode()
    for name in ("a", "day2/a"):
        save_json(tmp_path / f"labels/{name}.json", content(shape("nose", [10, 20])) | {"imageData": held})
    options = ReadOptions()
    assert read_annotations(tmp_path / "labels", options=options).missing_pictures() == [0, 1]
    assert "the pictures of 2 files, which hold them inside; posewright convert takes them out" in options.skipped[0]
    assert main(["convert", str(tmp_path / "labels"), "-o", str(tmp_path / "out/new.json")]) == 0
    a = read_annotations(tmp_path / "out/new.json")
    assert a.missing_pictures() == []
    assert a.root == tmp_path / "out/new_images"
    assert [a.image_path(i).read_bytes() for i in range(2)] == [made.read_bytes()] * 2
    # A picture that is there is the one that was labelled.
    for name in ("a", "day2/a"):
        picture(tmp_path / f"labels/{name}.png", 90, 70)
    options = ReadOptions(extract=tmp_path / "none")
    assert read_annotations(tmp_path / "labels", options=options).root == tmp_path / "labels"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("data", ["no base 64!", base64.b64encode(b"no picture").decode()])
def test_what_is_inside_is_no_picture(tmp_path, data):
    save_json(tmp_path / "a.json", content(shape("nose", [10, 20])) | {"imageData": data})
    with pytest.raises(PosewrightError, match=r"a\.json: its imageData is no"):
        read_annotations(tmp_path, options=ReadOptions(extract=tmp_path / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json"]


BAD = {
    "no label": (shape("", [1, 2]), "shape 1: has no label"),
    "no object": (7, "shape 1: is no object"),
    "group": (shape("nose", [1, 2], group=[1]), r"shape 1: group_id \[1\] is no number"),
    "points": (shape("nose", [1, 2], points=3), r"shape 1 \('nose'\): has no list of points"),
    "point": (shape("nose", [1]), r"shape 1 \('nose'\): a point has 1 numbers, not 2"),
    "text": (shape("nose", ["1", 2]), "is not a number"),
    "two": (shape("nose", [1, 2], [3, 4], shape_type="point"), "a point with 2 points"),
    "NaN": (shape("nose", [float("nan"), 2]), "image 'a.png': keypoint 'nose' is not a finite number"),
    "far": (shape("nose", [900, 2]), "keypoint 'nose' is marked visible at .* far outside"),
    "empty box": (shape("x", [5, 5], [5, 9], group=1), "has no area"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_shape(tmp_path, case):
    bad, says = BAD[case]
    labels(tmp_path, bad)
    picture(tmp_path / "b.png")
    save_json(tmp_path / "b.json", content(shape("nose", [3, 4]), path="b.png"))
    with pytest.raises(PosewrightError, match=rf"a\.json: .*{says}"):
        read_annotations(tmp_path)
    options = ReadOptions(skip_bad=True)
    a = read_annotations(tmp_path, options=options)
    assert [im.path for im in a.images] == ["b.png"]
    assert len(a) == len(options.skipped) == 1


def labelled(root: Path) -> Annotations:
    images = [Image("a.png", 100, 80), Image("deep/a.png", 100, 80), Image("deep/a.jpg", 100, 80)]
    for im in images:
        picture(root / im.path)
    keypoints = np.zeros((3, 4, 3))
    keypoints[0] = [[10.25, 20, 2], [30, 40.125, 1], [0, 0, 0], [99.5, 79.5, 2]]
    keypoints[1] = [[-0.5, -0.5, 2], [-3, 4, 1], [7, 8, 2], [9, 10, 2]]
    boxes = [[5, 6, 70, 77], [-10, -5, 40, 30], [1, 1, 9, 9]]
    polygons = [[np.array([[1, 2], [3, 4], [5, 1.25]])], [], []]
    return Annotations(MOUSE, images, [0, 2, 2], keypoints, boxes, root, polygons=polygons)


def test_round_trip(tmp_path):
    a = labelled(tmp_path / "from")
    fmt = get_format("labelme")
    assert fmt.losses(a) == []
    assert fmt.write(a, tmp_path / "to") == [tmp_path / "to"]
    assert sorted(path.name for path in (tmp_path / "to").rglob("*.*")) == sorted(
        ["a.json", "a.jpg.json", "a.png.json", "mouse_classes.txt", "mouse_match_point.txt", "mouse_skeleton.txt"]
    )
    b = read_annotations(tmp_path / "to")
    assert (b.root, b.missing_pictures()) == (tmp_path / "from", [])
    order = [[im.path for im in b.images].index(im.path) for im in a.images]
    assert b.skeleton.keypoints == a.skeleton.keypoints
    assert_same(a, read_back(b, order, a.skeleton))
    with pytest.raises(PosewrightError, match=r"to: is not empty"):
        fmt.write(a, tmp_path / "to")


def read_back(b: Annotations, order: list[int], skeleton: Skeleton) -> Annotations:
    """The same set with its images in another order, and with link colours that the text files cannot hold."""
    b = b.subset(order)
    by_image = np.argsort(b.image, kind="stable")
    b = b.objects(by_image)
    b.skeleton = skeleton
    return b


def test_losses_are_named():
    a = Annotations(
        MOUSE,
        [Image("a.png", 9, 9, split="val", group="g")],
        [0],
        np.zeros((1, 4, 3)),
        [[0, 0, 5, 5]],
        iscrowd=[True],
        track=[3],
    )
    assert get_format("labelme").losses(a) == [
        "the splits",
        "the groups of pictures",
        "1 crowd regions",
        "the tracks' numbers",
    ]


def test_the_real_sample(shared_data):
    a = read_annotations(shared_data / "formats/labelme")
    assert a.skeleton.keypoints == ("angle_30", "angle_60", "angle_90")
    assert a.keypoints[:, 0].tolist() == [[4433.5, 283.5, 2], [4525.5, 2315.5, 2]]
    assert a.boxes[0].tolist() == [1137.5, -0.5, 4479.5, 1561.5]
    assert [len(p) for p in a.polygons] == [1, 1]
    for name in ("yolo", "labelstudio", "coco", "deeplabcut/openfield", "bees", "sleap", "deepposekit"):
        assert not get_format("labelme").detect(shared_data / "formats" / name)
