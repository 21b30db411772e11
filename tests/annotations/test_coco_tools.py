"""COCO files as labelling tools export them: their folders, categories, paths and extra fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.labels import CATEGORY, coco_dict, coco_folder, picture, save_json
from posewright.annotations import Image, ReadOptions, find_format, read_annotations
from posewright.annotations.foreign_paths import local_paths
from posewright.annotations.keypoints import BOX_MARGIN
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton

POINTS = [10, 20, 2, 30, 25, 1, 0, 0, 0, 40, 60, 2]


def annotation(number: int, image: int, category: int = 1, **more: Any) -> dict[str, Any]:
    entry = {"id": number, "image_id": image, "category_id": category, "keypoints": POINTS, "num_keypoints": 3}
    return entry | {"bbox": [5, 10, 50, 60], "area": 3000.0, "iscrowd": 0, "segmentation": []} | more


def image(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": 100, "height": 80} | more


# -- CVAT: COCO Keypoints 1.0 -------------------------------------------------------------------------------------------


def cvat(subset: str, *images: dict[str, Any], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    names = CATEGORY["keypoints"]
    labels = [{"id": 1, "name": "mouse", "supercategory": "", "keypoints": names, "skeleton": [[1, 2], [2, 3]]}]
    labels += [{"id": i, "name": name, "supercategory": "mouse"} for i, name in enumerate(names, 2)]
    info = dict.fromkeys(("contributor", "date_created", "description", "url", "version", "year"), "")
    return {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": info,
        "categories": labels,
        "images": [im | {"license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0} for im in images],
        "annotations": annotations,
    }


def test_cvat_with_subsets(tmp_path):
    said = {"attributes": {"occluded": False, "track_id": 4, "keyframe": True}}
    entries = [annotation(1, 1, **said), annotation(2, 1, attributes={"track_id": "left"})]
    for subset, name in (("Train", "frame_000000.PNG"), ("Validation", "b.png"), ("default", "deep/c.png")):
        picture(tmp_path / "images" / subset / name)
        content = cvat(subset, image(1, name), annotations=entries)
        save_json(tmp_path / f"annotations/person_keypoints_{subset}.json", content)
    a = read_annotations(tmp_path)
    assert find_format(tmp_path).name == "coco"
    assert [(im.path, im.split) for im in a.images] == [
        ("Train/frame_000000.PNG", "train"),
        ("Validation/b.png", "val"),
        ("default/deep/c.png", None),
    ]
    assert a.missing_pictures() == []
    assert a.track[:2].tolist() == [4, -1]  # attributes are the labeller's own; a word is no track number
    assert a.skeleton.links == ((0, 1), (1, 2))
    single = read_annotations(tmp_path / "annotations/person_keypoints_default.json")
    assert single.missing_pictures() == []


# -- Roboflow -------------------------------------------------------------------------------------------------------------


def roboflow(names: list[str], originals: list[str] | None = None) -> dict[str, Any]:
    hand = {"id": 1, "name": "hand", "supercategory": "hands", "keypoints": CATEGORY["keypoints"]}
    images = [image(i, name, license=1, date_captured="2024-01-01T00:00:00+00:00") for i, name in enumerate(names)]
    for entry, original in zip(images, originals or []):
        entry["extra"] = {"name": original}
    entries = [annotation(i, i) for i in range(len(names))]
    for entry in entries:
        del entry["num_keypoints"]
    return {
        "info": {"year": "2024", "version": "1", "description": "Exported from roboflow.com", "contributor": ""},
        "licenses": [{"id": 1, "url": "https://creativecommons.org/licenses/by/4.0/", "name": "CC BY 4.0"}],
        "categories": [{"id": 0, "name": "hands", "supercategory": "none"}, hand | {"skeleton": [[0, 1], [2, 3]]}],
        "images": images,
        "annotations": entries,
    }


def test_roboflow(tmp_path):
    key = "0123456789abcdef0123456789abcdef"
    made = {
        f: [f"a_jpg.rf.{f[0]}{key}.jpg", f"a_jpg.rf.{f[0] * 2}{key}.jpg", f"b_jpg.rf.{f[0]}{key}.jpg"]
        for f in ("train",)
    }
    made |= {"valid": [f"c_jpg.rf.{key}.jpg"], "test": [f"d_jpg.rf.{key}.jpg"]}
    for folder, names in made.items():
        for name in names:
            picture(tmp_path / folder / name)
        save_json(tmp_path / folder / "_annotations.coco.json", roboflow(names))
    (tmp_path / "README.roboflow.txt").write_text("mice - v1\n==============\n\nThe dataset includes 5 images.\n")
    assert find_format(tmp_path).name == "coco"
    a = read_annotations(tmp_path)
    assert [im.split for im in a.images] == ["test", "train", "train", "train", "val"]
    assert a.missing_pictures() == []
    # Two were made of one photo: they may not be parted, or the test would hold what was trained on.
    assert [im.group for im in a.images] == [None, "a_jpg", "a_jpg", None, None]
    assert a.skeleton.links == ((0, 1), (2, 3))  # counted from 0
    assert a.keypoints[0].tolist() == [[10, 20, 2], [30, 25, 1], [0, 0, 0], [40, 60, 2]]
    one = read_annotations(tmp_path / "valid")
    assert (len(one), one.splits) == (1, {"val"})
    save_json(tmp_path / "valid/_annotations.coco.json", roboflow(made["valid"] * 1, ["photo.jpg"]))
    assert read_annotations(tmp_path / "valid").images[0].group is None


# -- COCO-Annotator ---------------------------------------------------------------------------------------------------------


def annotator_image(number: int, path: str) -> dict[str, Any]:
    more = {"dataset_id": 3, "category_ids": [1, 2], "path": path, "annotated": False, "annotating": [], "events": []}
    return image(number, path.rpartition("/")[2], **more, num_annotations=1, metadata={}, deleted=False, milliseconds=9)


def annotator(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    common = {"supercategory": "", "color": "#1bbe19", "metadata": {}, "keypoint_colors": ["#bf5c4d"]}
    mouse = {
        "id": 1,
        "name": "mouse",
        "keypoints": [f" {name}" for name in CATEGORY["keypoints"]],
        "skeleton": [[4, 3]],
    }
    cup = {"id": 2, "name": "cup", "keypoints": ["rim", "foot"], "skeleton": []}
    lamp = {"id": 3, "name": "lamp"}
    return {"images": images, "categories": [c | common for c in (mouse, cup, lamp)], "annotations": annotations}


def said(number: int, image: int, category: int = 1, **more: Any) -> dict[str, Any]:
    extra = {"isbbox": False, "color": "#0dd36a", "metadata": {"name": ""}, "iscrowd": False}
    return annotation(number, image, category, **(extra | more))


def test_coco_annotator(tmp_path):
    picture(tmp_path / "images/a.jpg")
    outline = [[1.0, 2.0, 30.0, 2.0, 30.0, 40.0]]
    lamp = said(4, 1, 3, keypoints=[], segmentation=outline, bbox=[1, 2, 29, 38])
    clicked = said(2, 1, bbox=[0, 0, 0, 0], area=0, segmentation=[[]])
    entries = [said(1, 1, segmentation=outline), clicked, said(3, 1, iscrowd=True, keypoints=[]), lamp]
    path = save_json(tmp_path / "mice.json", annotator([annotator_image(1, "/datasets/mice/a.jpg")], entries))
    a = read_annotations(path)
    assert a.skeleton.keypoints == tuple(CATEGORY["keypoints"])
    assert a.missing_pictures() == []
    assert a.iscrowd.tolist() == [False, False, True]
    half = np.array([30, 40]) * BOX_MARGIN / 2
    np.testing.assert_allclose(a.boxes[1], [25 - half[0], 40 - half[1], 25 + half[0], 40 + half[1]])
    np.testing.assert_allclose(a.area[1], 4 * half.prod())
    assert a.area[0] == 3000
    assert a.polygons[0][0].tolist() == [[0.5, 1.5], [29.5, 1.5], [29.5, 39.5]]
    assert a.polygons[1] == []


def test_a_category_is_chosen(tmp_path):
    cup = said(2, 1, 2, keypoints=[1, 2, 2, 3, 4, 2])
    images = [annotator_image(1, "/datasets/mice/a.jpg")]
    path = save_json(tmp_path / "mice.json", annotator(images, [said(1, 1), cup]))
    with pytest.raises(PosewrightError, match=r"'mouse' \(4 keypoints, 1 objects\), 'cup' \(2 keypoints, 1 objects\)"):
        read_annotations(path)
    a = read_annotations(path, options=ReadOptions(category="cup"))
    assert (a.skeleton.keypoints, a.keypoints[0, 1].tolist()) == (("rim", "foot"), [3, 4, 2])
    with pytest.raises(PosewrightError, match=r"has no category 'cap' with keypoints. Did you mean 'cup'"):
        read_annotations(path, options=ReadOptions(category="cap"))
    with pytest.raises(PosewrightError, match=r"format json holds one kind of object: leave --category out"):
        read_annotations(save_json(tmp_path / "x.json", []), "json", ReadOptions(category="cup"))


def test_categories_with_the_same_names_in_another_order_are_one(tmp_path):
    content = coco_dict()
    names = CATEGORY["keypoints"]
    content["categories"].append({"id": 20, "name": "rat", "keypoints": names[::-1]})
    content["annotations"][1] |= {"category_id": 20, "segmentation": [[1, 2, 3, 2, 3, 9]]}
    content["annotations"].append(
        {"id": 4, "image_id": 11, "category_id": 20, "keypoints": [1, 2], "bbox": [0, 0, 9, 9]}
    )
    options = ReadOptions(skip_bad=True)
    a = read_annotations(coco_folder(tmp_path, content), options=options)
    assert a.skeleton.keypoints == tuple(names)
    assert a.keypoints[1].tolist() == [[7, 8, 2], [5, 6, 2], [3, 4, 2], [1, 2, 2]]
    assert [len(p) for p in a.polygons] == [1, 1, 0]
    assert len(options.skipped) == 1
    assert "annotation 4 on image 'a.jpg': keypoints: has 2 numbers, not 12" in options.skipped[0]
    ends = read_annotations(
        tmp_path / "labels.json", options=ReadOptions(skip_bad=True, skeleton=Skeleton("n", ("nose",)))
    )
    assert ends.keypoints[:, 0, 0].tolist() == [10, 7, 0]


def test_pictures_of_one_name_in_two_folders(tmp_path):
    for folder in ("day", "night"):
        picture(tmp_path / "photos" / folder / "1.jpg")
    images = [annotator_image(1, "/datasets/mice/day/1.jpg"), annotator_image(2, "/datasets/mice/night/1.jpg")]
    path = save_json(tmp_path / "mice.json", annotator(images, [said(1, 1), said(2, 2)]))
    a = read_annotations(path, options=ReadOptions(images=tmp_path / "photos"))
    assert [im.path for im in a.images] == ["day/1.jpg", "night/1.jpg"]
    assert [im.path for im in read_annotations(path).images] == ["day/1.jpg", "night/1.jpg"]  # as far as they differ


# -- Label Studio -------------------------------------------------------------------------------------------------------------


def label_studio(*names: str) -> dict[str, Any]:
    images = [{"width": 100, "height": 80, "id": i, "file_name": name} for i, name in enumerate(names)]
    merged = {
        "id": 1,
        "name": "default",
        "supercategory": "default",
        "keypoints": CATEGORY["keypoints"],
        "skeleton": [],
    }
    one = [0] * 9 + [40, 60, 2]
    entries = [
        {
            "id": 0,
            "image_id": 0,
            "category_id": 0,
            "segmentation": [],
            "bbox": [5, 5, 50, 60],
            "ignore": 0,
            "area": 3000,
        },
        {"id": 1, "image_id": 0, "category_id": 1, "keypoints": POINTS, "num_keypoints": 3, "bbox": [10, 20, 30, 40]},
        {"id": 2, "image_id": 0, "category_id": 1, "keypoints": one, "num_keypoints": 1, "bbox": [40, 60, 0, 0]},
    ]
    info = {"year": 2024, "version": "1.0", "description": "", "contributor": "Label Studio", "url": ""}
    return {"images": images, "categories": [{"id": 0, "name": "body"}, merged], "annotations": entries, "info": info}


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("images/0123abcd-a.jpg", "images/0123abcd-a.jpg"),
        ("images\\0123abcd-a.jpg", "images/0123abcd-a.jpg"),
        ("../../label-studio/data/media/upload/3/0123abcd-a.jpg", "images/0123abcd-a.jpg"),
        ("../../label-studio/data/media/upload/3/0123abcd-a.jpg", "upload/3/0123abcd-a.jpg"),
        ("/data/local-files/?d=photos/day/a%20b.jpg", "photos/day/a b.jpg"),
        ("https://host/bucket/deep/a.jpg?signed=1", "images/deep/a.jpg"),
        ("s3://bucket/a.jpg", "a.jpg"),
        ("/home/me/mice/a.jpg", "images/a.jpg"),
        ("C:\\Users\\me\\mice\\a.jpg", "mice/a.jpg"),
    ],
)
def test_label_studio_and_paths_of_other_machines(tmp_path, name, there):
    picture(tmp_path / there)
    a = read_annotations(save_json(tmp_path / "result.json", label_studio(name)))
    assert a.image_path(0) == tmp_path / there
    assert len(a) == 2
    np.testing.assert_allclose(a.boxes[0], [9.5, 19.5, 39.5, 59.5])
    assert (a.boxes[1, 2:] > a.boxes[1, :2]).all()  # one keypoint spans nothing


def test_no_path_leads_outside(tmp_path):
    secret = picture(tmp_path / "secret/a.jpg")
    inside = tmp_path / "set"
    for name in (str(secret), "../secret/a.jpg", f"file://{secret}", "https://host/x/%2e%2e/%2e%2e/secret/a.jpg"):
        a = read_annotations(save_json(inside / "labels.json", label_studio(name)))
        assert len(a.missing_pictures()) == 1
        assert inside in a.image_path(0).parents
        assert ".." not in a.images[0].path
    for name in ("x/../../a.jpg", "/x/../../a.jpg", "/", "C:", "a\0.jpg"):
        with pytest.raises(PosewrightError, match=r"leaves the data folder|is no path"):
            read_annotations(save_json(inside / "labels.json", label_studio(name)))


def test_names_are_cut_no_further_than_they_stay_apart():
    assert local_paths(["/a/b/1.jpg", "/a/c/1.jpg"], []) == ["b/1.jpg", "c/1.jpg"]
    assert local_paths(["/a/b/1.jpg", "x/1.jpg"], []) == ["1.jpg", "x/1.jpg"]
    assert local_paths(["x.jpg"], []) == ["x.jpg"]


# -- what any of them may do --------------------------------------------------------------------------------------------------


def test_ids_from_a_table_are_floating_point_numbers(tmp_path):
    content = coco_dict()
    for im in content["images"]:
        im["id"] = float(im["id"])
    for entry in content["annotations"]:
        entry |= {"image_id": float(entry["image_id"]), "category_id": float(entry["category_id"])}
    a = read_annotations(coco_folder(tmp_path, content))
    assert (a.image_ids, len(a)) == ([11, 12, 13], 3)
    assert all(isinstance(number, int) for number in a.image_ids)


def test_folders_called_after_splits(tmp_path):
    for split, name in (("train", "a.jpg"), ("val", "b.jpg")):
        picture(tmp_path / split / "images" / name)
        content = {"images": [image(1, name)], "annotations": [annotation(1, 1, 7)], "categories": [CATEGORY]}
        save_json(tmp_path / split / "labels.json", content)
    a = read_annotations(tmp_path)
    assert a.images == [
        Image("train/images/a.jpg", 100, 80, split="train", id=1),
        Image("val/images/b.jpg", 100, 80, split="val", id=1),
    ]
    assert a.missing_pictures() == []


def test_fiftyone(tmp_path):
    picture(tmp_path / "data/a.jpg")
    content = {"images": [image(1, "a.jpg")], "annotations": [annotation(1, 1, 7)], "categories": [CATEGORY]}
    save_json(tmp_path / "labels.json", content)
    assert read_annotations(tmp_path).image_path(0) == tmp_path / "data/a.jpg"


def test_outlines_that_are_run_length_masks(tmp_path):
    content = coco_dict()
    masks: list[Any] = [{"counts": "abc", "size": [80, 100]}, {"counts": [3, 4], "size": [64, 64]}, None]
    for entry, mask in zip(content["annotations"], masks):
        entry["segmentation"] = mask
    a = read_annotations(coco_folder(tmp_path, content))
    assert a.polygons == [masks[0], masks[1], []]


def test_the_real_sample_is_read_as_before(shared_data: Path):
    a = read_annotations(shared_data / "formats/coco")
    assert (len(a.images), a.missing_pictures()) == (32, [])
