"""COCO keypoints JSON: frames, what is kept, where pictures are found, and reading back what was written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.labels import CATEGORY, NAMES, assert_same, coco_dict, coco_folder, picture, random_annotations, save_json
from posewright.annotations import (
    Annotations,
    Image,
    ReadOptions,
    find_format,
    formats,
    get_format,
    read_annotations,
)
from posewright.annotations.images import Part
from posewright.annotations.keypoints import BOX_MARGIN
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN, load_skeleton

write = get_format("coco").write
MOUSE = Skeleton("mouse", tuple(NAMES), ((1, 2),), (), ((0, 1), (0, 2), (0, 3)))


def test_keypoints_are_pixel_indices_and_boxes_start_at_the_corner(tmp_path):
    a = read_annotations(coco_folder(tmp_path))
    assert a.keypoints[0].tolist() == [[10, 20, 2], [30.5, 20.25, 1], [0, 0, 0], [40, 60, 2]]
    assert a.boxes[0].tolist() == [4.5, 9.5, 54.5, 69.5]
    assert a.polygons[0][0].tolist() == [[4.5, 9.5], [54.5, 9.5], [54.5, 69.5]]
    whole = coco_dict()
    whole["annotations"][0]["bbox"] = [0, 0, 100, 80]
    a = read_annotations(coco_folder(tmp_path, whole))
    assert a.boxes[0].tolist() == [-0.5, -0.5, 99.5, 79.5]  # the whole picture


def test_what_is_read_beside_coordinates(tmp_path):
    a = read_annotations(coco_folder(tmp_path))
    assert [im.id for im in a.images] == a.image_ids == [11, 12, 13]
    assert a.image.tolist() == [0, 1, 1]
    assert a.iscrowd.tolist() == [False, False, True]
    assert a.area.tolist() == [1234.5, 20 * 21, 64]
    assert a.skeleton.keypoints == tuple(NAMES)
    assert a.skeleton.links == ((0, 1), (0, 2), (0, 3))
    assert a.skeleton.swaps == ((1, 2),)
    assert not a.labelled[2].any()  # a box without keypoints stays
    assert len(a.images) == 3  # and so does a picture without objects


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_round_trip(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("coco")
    a = random_annotations(seed, MOUSE)
    (path,) = write(a, folder / "out.json")
    b = read_annotations(path)
    assert_same(a, b)
    assert write(b, folder / "again.json")[0].read_bytes() == path.read_bytes()


def test_run_length_masks_and_unknown_sizes_come_back(tmp_path):
    mask = {"counts": [3, 4, 5], "size": [4, 3]}
    a = Annotations(MOUSE, [Image("a.jpg")], [0], np.ones((1, 4, 3)), [[0, 0, 5, 5]], polygons=[mask])
    (path,) = write(a, tmp_path)
    b = read_annotations(path)
    assert path.name == "annotations.json"
    assert b.polygons == [mask]
    assert b.images == [Image("a.jpg", id=1)]


def test_official_tools_read_what_is_written(tmp_path, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    a = random_annotations(5, BUILTIN["coco-17"])
    (path,) = write(a, tmp_path / "out.json")
    official = coco.COCO(str(path))
    assert sorted(official.getImgIds()) == a.image_ids
    rows = official.loadAnns(official.getAnnIds())
    assert len(rows) == len(a)
    assert [r["num_keypoints"] for r in rows] == a.labelled.sum(1).tolist()
    np.testing.assert_allclose(rows[0]["keypoints"], a.keypoints[0].ravel())


def test_missing_box_comes_from_the_keypoints(tmp_path):
    content = coco_dict()
    del content["annotations"][1]["bbox"]
    a = read_annotations(coco_folder(tmp_path, content))
    half = 6 / 2 * BOX_MARGIN
    np.testing.assert_allclose(a.boxes[1], [4 - half, 5 - half, 4 + half, 5 + half])


def test_other_categories_are_no_records_of_the_set(tmp_path):
    content = coco_dict()
    content["annotations"].append({"id": 9, "image_id": 13, "category_id": 8, "bbox": [0, 0, 5, 5]})
    assert len(read_annotations(coco_folder(tmp_path, content))) == 3


def test_categories_with_the_same_keypoints_are_one_set_others_are_asked_about(tmp_path):
    content = coco_dict()
    content["categories"].append(CATEGORY | {"id": 20, "name": "rat"})
    content["annotations"][0]["category_id"] = 20
    assert len(read_annotations(coco_folder(tmp_path, content))) == 3
    content["categories"].append({"id": 21, "name": "plane", "keypoints": ["nose", "tail"]})
    assert len(read_annotations(coco_folder(tmp_path, content))) == 3  # no plane is labelled
    content["annotations"].append({"id": 9, "image_id": 13, "category_id": 21, "keypoints": [1, 2, 2, 3, 4, 2]})
    says = (
        r"different keypoints: 'mouse' \(4 .* 1 objects\), .*'plane' \(2 keypoints, 1 objects\).*--category.*--skeleton"
    )
    with pytest.raises(PosewrightError, match=says):
        read_annotations(coco_folder(tmp_path, content))
    rat = read_annotations(tmp_path / "labels.json", options=ReadOptions(skeleton=MOUSE))
    assert rat.skeleton == MOUSE


def test_a_skeleton_picks_and_orders_keypoints_by_name(tmp_path):
    choice = Skeleton("ends", ("tail", "nose"))
    a = read_annotations(coco_folder(tmp_path), options=ReadOptions(skeleton=choice))
    assert a.keypoints[0].tolist() == [[40, 60, 2], [10, 20, 2]]
    with pytest.raises(PosewrightError, match=r"no keypoint 'right_ankle'.*'body-14'"):
        read_annotations(tmp_path / "labels.json", options=ReadOptions(skeleton=load_skeleton("body-14")))


def test_a_category_without_names_needs_a_skeleton(tmp_path):
    content = coco_dict()
    del content["categories"][0]["keypoints"]
    path = coco_folder(tmp_path, content)
    with pytest.raises(PosewrightError, match=r"names keypoints.*--skeleton"):
        read_annotations(path)
    assert len(read_annotations(path, options=ReadOptions(skeleton=MOUSE))) == 3


def test_unknown_sizes_come_from_the_pictures(tmp_path):
    content = coco_dict()
    del content["images"][0]["width"]
    assert read_annotations(coco_folder(tmp_path, content)).images[0].width == 100


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        ("person_keypoints_val2017", "val"),
        ("train", "train"),
        ("my_validation_set", "val"),
        ("test-dev2017", "test"),
        ("trainval", None),
        ("latest", None),
        ("labels", None),
    ],
)
def test_split_from_the_file_name(tmp_path, stem, split):
    a = read_annotations(save_json(tmp_path / f"{stem}.json", coco_dict()))
    assert {im.split for im in a.images} == {split}


def test_own_split_and_video_fields(tmp_path):
    content = coco_dict()
    content["images"][0] |= {"split": "val", "video_id": 3}
    a = read_annotations(save_json(tmp_path / "train.json", content))
    assert [im.split for im in a.images] == ["val", "train", "train"]
    assert a.images[0].group == "3"


@pytest.mark.parametrize(
    ("labels", "pictures"),
    [
        ("labels.json", ""),
        ("labels.json", "images"),
        ("annotations/person_keypoints_val2017.json", "val2017"),
        ("annotations/person_keypoints_val2017.json", "images/val2017"),
        ("val/_annotations.coco.json", "val"),
    ],
)
def test_pictures_are_found_in_the_usual_places(tmp_path, labels, pictures):
    path = save_json(tmp_path / labels, coco_dict())
    for im in coco_dict()["images"]:
        picture(tmp_path / pictures / im["file_name"])
    for source in (path, tmp_path):
        a = read_annotations(source)
        assert a.missing_pictures() == []
        assert a.require_pictures() is a


def test_reading_labels_needs_no_pictures_but_using_them_does(tmp_path):
    path = save_json(tmp_path / "labels.json", coco_dict())
    a = read_annotations(path)
    assert len(a) == 3
    with pytest.raises(PosewrightError, match=r"a\.jpg does not exist. 3 of 3 pictures are missing.*--images"):
        a.require_pictures()
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(PosewrightError, match=r"'a.jpg', named first in .*labels.json, is not there"):
        read_annotations(path, options=ReadOptions(images=tmp_path / "elsewhere"))
    with pytest.raises(PosewrightError, match=r"nowhere: is no folder"):
        read_annotations(path, options=ReadOptions(images=tmp_path / "nowhere"))
    picture(tmp_path / "elsewhere/a.jpg")
    b = read_annotations(path, options=ReadOptions(images=tmp_path / "elsewhere"))
    assert b.missing_pictures() == [1, 2]
    options = ReadOptions(skip_bad=True)
    kept = b.require_pictures(options.bad)
    assert (len(kept.images), len(kept), len(options.skipped)) == (1, 1, 2)


def test_the_written_file_notes_where_the_pictures_are(tmp_path):
    a = read_annotations(coco_folder(tmp_path / "set"))
    (path,) = write(a, tmp_path / "elsewhere" / "deep" / "out.json")
    info = json.loads(path.read_text())["info"]
    assert info["posewright"]["images"] == "../../set/images"
    b = read_annotations(path)
    assert b.missing_pictures() == []
    assert_same(a, b)


def test_a_folder_of_several_files_is_one_set(tmp_path):
    for part, offset in (("train", 0), ("val", 100)):
        content = coco_dict()
        for im in content["images"]:
            picture(tmp_path / f"{part}2017" / im["file_name"])
            im["id"] += offset
        for entry in content["annotations"]:
            entry["image_id"] += offset
        save_json(tmp_path / f"annotations/person_keypoints_{part}2017.json", content)
    save_json(tmp_path / "annotations/captions_train2017.json", {"images": [], "annotations": []})
    a = read_annotations(tmp_path)
    assert (len(a.images), len(a)) == (6, 6)
    assert a.images[0].path == "train2017/a.jpg"
    assert a.missing_pictures() == []
    assert a.of_split("val").image_ids == [111, 112, 113]
    save_json(tmp_path / "annotations/more_keypoints_val2017.json", content)
    with pytest.raises(PosewrightError, match=r"val2017/a\.jpg' is listed by .*Give one of the files"):
        read_annotations(tmp_path)


def test_found_by_itself(tmp_path):
    path = coco_folder(tmp_path)
    assert find_format(path).name == find_format(tmp_path).name == "coco"


def test_a_large_file_is_read_in_seconds(tmp_path):
    """20,000 people take about half a second here; a loop over keypoints would take half a minute."""
    import time

    content = coco_dict()
    people = [content["annotations"][0] | {"id": i} for i in range(20_000)]
    path = save_json(tmp_path / "labels.json", content | {"annotations": people})
    start = time.perf_counter()
    assert len(read_annotations(path)) == 20_000
    assert time.perf_counter() - start < 10


def test_terms_travel_with_the_labels(tmp_path):
    a = replace(read_annotations(coco_folder(tmp_path)), terms="research only")
    b = read_annotations(get_format("coco").write(a, tmp_path / "out.json")[0])
    assert b.terms == "research only"
    assert get_format("coco").losses(a) == []
    others = [f for f in formats().values() if f.write and f.name != "coco"]
    assert all("the terms of its pictures and labels: research only" in f.losses(a) for f in others)


def test_where_a_picture_was_cut_out_travels_with_it(tmp_path):
    """Else a keypoint outside the part, but inside the whole, would be taken for a mistake."""
    part = Part("whole.jpg", 640, 480, 100, 60, 2, None, 7)
    images = [Image("a.png", 40, 40, part=part), Image("b.png", 40, 40, part=replace(part, frame=3, id=None))]
    keypoints = np.tile([[150.0, 10, 2]], (2, 4, 1))
    a = Annotations(MOUSE, images, [0, 1], keypoints, [[0, 0, 160, 20]] * 2, tmp_path)
    b = read_annotations(write(a, tmp_path / "x.json")[0])
    assert [im.part for im in b.images] == [im.part for im in images]
    np.testing.assert_array_equal(b.keypoints, a.keypoints)


PARTS = (7, {}, {"path": "a.jpg"}, {"path": "a", "width": 1, "height": 1, "x0": 0, "y0": 0, "factor": 0})


@pytest.mark.parametrize("part", PARTS)
def test_what_others_call_a_part_is_passed_over(tmp_path, part):
    content = coco_dict()
    content["images"][0]["part"] = part
    assert read_annotations(coco_folder(tmp_path, content)).images[0].part is None
