"""Several sets as one: columns, paths, groups, splits, ids, and pictures and objects that are in more than one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from helpers.labels import NAMES, random_annotations
from posewright.annotations import Annotations, Image, get_format, read_annotations
from posewright.annotations.merge import merge, onto, set_labels
from posewright.annotations.name_map import read_name_map
from posewright.annotations.splits import groups_of
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton

MOUSE = Skeleton("mouse", tuple(NAMES), ((1, 2),))
POINTS = [[20.0, 20, 2], [15, 12, 2], [26, 12, 1], [0, 0, 0]]


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (60, 80, 3), np.uint8))
    return path


def one(root: Path, name: str = "a.png", points: Any = POINTS, seed: int | None = None, **image: Any) -> Annotations:
    """One object on one picture, which is there where a seed is given."""
    if seed is not None:
        picture(root / name, seed)
    columns = image.pop("columns", {})
    box = [[10.0, 5, 40, 50]]
    return Annotations(MOUSE, [Image(name, 80, 60, **image)], [0], [points], box, root, **columns)


def test_every_column_comes_along(tmp_path):
    a, b = (replace(random_annotations(seed, MOUSE), root=tmp_path / name) for seed, name in ((1, "x"), (2, "y/z")))
    merged = merge([a, b], ["a", "b"]).annotations
    assert (len(merged), len(merged.images)) == (len(a) + len(b), len(a.images) + len(b.images))
    assert merged.root == tmp_path
    for name in ("keypoints", "boxes", "iscrowd", "area", "weight", "head_size"):
        np.testing.assert_array_equal(getattr(merged, name), np.concatenate([getattr(a, name), getattr(b, name)]))
    assert merged.polygons == a.polygons + b.polygons
    for part, start, folder in ((a, 0, "x"), (b, len(a.images), "y/z")):
        own = merged.images[start : start + len(part.images)]
        assert [im.path for im in own] == [f"{folder}/{im.path}" for im in part.images]
        assert [(im.width, im.frame, im.split) for im in own] == [(im.width, im.frame, im.split) for im in part.images]
    assert (merged.image[len(a) :] == b.image + len(a.images)).all()
    back = read_annotations(get_format("coco").write(merged, tmp_path / "all.json")[0])
    assert (len(back), len({im.id for im in back.images})) == (len(merged), len(merged.images))


def test_keypoints_are_matched_and_the_rest_is_told(tmp_path):
    small = Skeleton("small", ("tail", "snout", "paw"))
    keypoints = np.array([[[1.0, 2, 2], [3, 4, 1], [5, 6, 2]]])
    b = Annotations(small, [Image("b.png", 80, 60)], [0], keypoints, [[0.0, 0, 9, 9]], tmp_path)
    merged = merge([one(tmp_path), b], ["a", "b"], names=read_name_map("nose=snout"))
    assert merged.annotations.skeleton == MOUSE
    assert merged.annotations.keypoints[0].tolist() == POINTS
    assert merged.annotations.keypoints[1].tolist() == [[3, 4, 1], [0, 0, 0], [0, 0, 0], [1, 2, 2]]
    assert merged.notes == [
        "b has no left_ear, right_ear: not labelled on its objects.",
        "b: paw: left out, having no place in 'mouse'. --map or --skeleton gives them one.",
    ]
    lost = merge([one(tmp_path)], ["a"], Skeleton("x", ("nose", "foot"))).notes
    assert lost[-1] == "No set has foot: a model cannot learn what nobody labelled."
    assert onto(b, MOUSE, [None] * 4).keypoints.tolist() == np.zeros((1, 4, 3)).tolist()


def test_groups_and_tracks_of_two_sets_never_meet(tmp_path):
    tracked = {"track": np.array([3])}
    a = one(tmp_path / "x", group="cam1", columns=tracked)
    b = one(tmp_path / "y", group="cam1", columns=tracked)
    merged = merge([a, b], ["a", "b"]).annotations
    assert [im.group for im in merged.images] == ["a/cam1", "b/cam1"]
    assert merged.track.tolist() == [3, 7]
    assert len(set(groups_of(merged, ("person",)).tolist())) == 2
    unknown = merge([one(tmp_path / "x"), b], ["a", "b"]).annotations
    assert unknown.track.tolist() == [-1, 3]


@pytest.mark.parametrize(("ids", "kept"), [((1, 2), [1, 2]), ((1, 1), [1, 2]), ((5, "a"), [1, 2]), ((5, None), [1, 2])])
def test_ids_are_kept_or_counted_anew(tmp_path, ids, kept):
    sets = [one(tmp_path / name, id=i) for name, i in zip("xy", ids)]
    assert merge(sets, ["a", "b"]).annotations.image_ids == kept


def test_splits_stay_unless_the_whole_is_parted_anew(tmp_path):
    sets = [one(tmp_path / "x", split="train"), one(tmp_path / "y", split="val")]
    assert [im.split for im in merge(sets, ["a", "b"]).annotations.images] == ["train", "val"]
    assert [im.split for im in merge(sets, ["a", "b"], keep_splits=False).annotations.images] == [None, None]


def shared(tmp_path: Path, points: Any, content: bool, **second: Any) -> list[Annotations]:
    """The same picture in two sets: by its path, or by its content under another name."""
    first = one(tmp_path / "x", seed=0)
    folder, name = ("y", "other.png") if content else ("x", "a.png")
    return [first, one(tmp_path / folder, name, points, 0 if content else None, **second)]


@pytest.mark.parametrize("content", [False, True])
def test_an_object_in_two_sets_becomes_one_that_knows_more(tmp_path, content):
    more = [[21.0, 20, 2], [0, 0, 0], [0, 0, 0], [30, 44, 2]]
    sets = shared(tmp_path, more, content, columns={"head_size": [12.0], "track": [4]})
    merged = merge(sets, ["a", "b"])
    a = merged.annotations
    assert (len(a), len(a.images), a.images[0].path) == (1, 1, "x/a.png" if content else "a.png")
    assert a.keypoints[0].tolist() == [*POINTS[:3], [30, 44, 2]]
    assert (a.head_size.tolist(), a.track.tolist()) == ([12.0], [4])
    assert merged.notes[-1].startswith("1 pictures are in several sets, and in this one once: 1 objects")
    first = merge(sets, ["a", "b"], same_picture="first").annotations
    assert first.keypoints.tolist() == [POINTS]


def test_other_objects_of_the_same_picture_are_added(tmp_path):
    a, b = shared(tmp_path, [[70.0, 50, 2]] * 4, True)
    b = replace(b, boxes=np.array([[60.0, 40, 79, 59]]), area=None)
    merged = merge([a, b], ["a", "b"]).annotations
    assert (len(merged.images), merged.image.tolist(), merged.keypoints[1, 0].tolist()) == (1, [0, 0], [70, 50, 2])


def test_sets_that_disagree_are_refused(tmp_path):
    far = [[38.0, 48, 2], *POINTS[1:]]
    says = r"image '.*a.png': keypoint 'nose' of one object is 33 px apart in a and in b. .*--same-picture first"
    with pytest.raises(PosewrightError, match=says):
        merge(shared(tmp_path, far, True), ["a", "b"])
    assert merge(shared(tmp_path, far, True), ["a", "b"], same_picture="first").annotations.keypoints.tolist() == [
        POINTS
    ]


def test_a_shared_picture_joins_groups_and_must_not_be_in_two_splits(tmp_path):
    a = one(tmp_path / "x", seed=0, group="g")
    b = Annotations(
        MOUSE,
        [Image("a.png", 80, 60, group="h"), Image("b.png", 80, 60, group="h")],
        [0, 1],
        [POINTS, POINTS],
        [[10.0, 5, 40, 50]] * 2,
        tmp_path / "y",
    )
    picture(tmp_path / "y/a.png", 0)
    merged = merge([a, b], ["a", "b"]).annotations
    assert [im.group for im in merged.images] == ["a/g", "a/g"]
    parts = [one(tmp_path / "x", split="train"), one(tmp_path / "x", split="val")]
    with pytest.raises(PosewrightError, match=r"is of split train in a and of split val in b. .*--split"):
        merge(parts, ["a", "b"])
    assert len(merge(parts, ["a", "b"], keep_splits=False).annotations.images) == 1
    sizes = [one(tmp_path / "x"), replace(one(tmp_path / "x"), images=[Image("a.png", 81, 60)])]
    with pytest.raises(PosewrightError, match=r"has another size in a and in b"):
        merge(sizes, ["a", "b"])


def test_equal_pictures_of_one_set_stay_two(tmp_path):
    a = Annotations(
        MOUSE,
        [Image("a.png", 80, 60), Image("b.png", 80, 60)],
        [0, 1],
        [POINTS, POINTS],
        [[10.0, 5, 40, 50]] * 2,
        tmp_path / "x",
    )
    for name in ("a", "b"):
        picture(tmp_path / f"x/{name}.png", 0)
    merged = merge([a, one(tmp_path / "y", seed=0)], ["a", "b"]).annotations
    assert [im.path for im in merged.images] == ["x/a.png", "x/b.png"]
    again = merge([a, a, one(tmp_path / "y", seed=0)], ["a", "b", "c"]).annotations
    assert [im.path for im in again.images] == ["x/a.png", "x/b.png"]


def test_frames_of_one_video_are_told_apart(tmp_path):
    sets = [one(tmp_path, "v.mp4", frame=i) for i in (3, 3, 5)]
    merged = merge(sets, list("abc")).annotations
    assert [(im.path, im.frame) for im in merged.images] == [("v.mp4", 3), ("v.mp4", 5)]
    assert len(set(groups_of(merged).tolist())) == 1


def test_set_labels(tmp_path):
    for name in ("a/labels.json", "b/labels.json", "mice.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert set_labels([tmp_path / "a", tmp_path / "mice.json"]) == ["a", "mice"]
    assert set_labels([tmp_path / "a/labels.json", tmp_path / "b/labels.json"]) == ["a/labels", "b/labels"]
    with pytest.raises(PosewrightError, match=r"mice.json: is given twice"):
        set_labels([tmp_path / "mice.json", tmp_path / "a/../mice.json"])


def test_terms_are_kept_once_each(tmp_path):
    sets = [
        replace(one(tmp_path / name), terms=terms) for name, terms in (("x", "research"), ("y", ""), ("z", "research"))
    ]
    assert merge(sets, list("abc")).annotations.terms == "research"
