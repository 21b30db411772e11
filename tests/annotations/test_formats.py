"""The registry: formats are found by themselves, named, or refused with a reason; and the paths of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.labels import coco_dict, coco_folder, picture, save_json
from posewright.annotations import ReadOptions, find_format, formats, get_format, read_annotations, register
from posewright.annotations.json_file import no_collection, number_rows
from posewright.annotations.pictures import find_root, from_hint, picture_hint, relative_path, split_of
from posewright.errors import PosewrightError


def test_formats_are_listed():
    names = list(formats())
    assert names[:4] == ["coco", "hourglass-json", "lsp", "300w"]
    assert {"mpii", "mpii-json", "animal-pose", "animal-pose-xml", "cvat", "csv"} <= set(names)
    written = {name for name, f in formats().items() if f.write}
    assert {"coco", "hourglass-json", "cpm-labels", "cpm-labels-readme", "cpm-tfrecord"} <= written
    assert written.isdisjoint({"lsp", "mpii", "mpii-json", "animal-pose", "animal-pose-xml"})
    assert all(f.title and not f.title.endswith(".") for f in formats().values())
    with pytest.raises(ValueError, match=r"registered twice"):
        register(get_format("coco"))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(PosewrightError, match=r"unknown annotation format 'cocco'. Did you mean 'coco'"):
        get_format("cocco")


def test_what_is_no_format(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    save_json(tmp_path / "viewer.json", {"version": "5.0", "imagePath": "a.jpg"})
    save_json(tmp_path / "sleap.json", {"version": "2.0.0", "skeletons": [], "videos": [], "labels": []})
    (tmp_path / "empty").mkdir()
    (tmp_path / "zero.json").touch()
    (tmp_path / "export.zip").write_bytes(b"PK\x03\x04")
    for name, says in (
        ("notes.txt", "is in no annotation format known here. Name one with --format"),
        ("viewer.json", "is in no annotation format known here"),
        ("empty", "is in no annotation format known here"),
        ("sleap.json", "is a project that SLEAP saved as JSON. Open it in SLEAP and save it as .slp"),
        ("zero.json", r"zero\.json: is empty"),
        ("export.zip", r"export\.zip: is an archive. Unpack it and give the folder"),
        ("nothing", "nothing: does not exist"),
    ):
        with pytest.raises(PosewrightError, match=says):
            find_format(tmp_path / name)


def test_labels_one_level_down_are_named(tmp_path):
    save_json(tmp_path / "day1/labels.json", coco_dict())
    (tmp_path / "day2").mkdir()
    with pytest.raises(PosewrightError, match=r"holds labels, .* Name one of them: day1 \(coco\)$"):
        find_format(tmp_path)


def test_two_formats_in_one_folder_are_asked_about(tmp_path):
    coco_folder(tmp_path)
    (tmp_path / "a.pts").write_text("n_points: 68")
    with pytest.raises(PosewrightError, match=r"could be any of coco, 300w. Say which with --format"):
        read_annotations(tmp_path)
    assert len(read_annotations(tmp_path, "coco")) == 3


def test_options_are_obeyed_or_refused(tmp_path):
    with pytest.raises(PosewrightError, match=r"flags 'yes' is neither labelled nor hidden"):
        ReadOptions(flags="yes")
    with pytest.raises(PosewrightError, match=r"format coco says itself what its flags mean"):
        read_annotations(coco_folder(tmp_path), options=ReadOptions(flags="hidden"))


def test_the_collector_is_left_as_it_was():
    import gc

    assert gc.isenabled()
    with pytest.raises(KeyError), no_collection():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_number_rows():
    table, problems = number_rows([[1, 2.5], [3, 4]], (2,))
    assert table.tolist() == [[1, 2.5], [3, 4]]
    assert not problems
    table, problems = number_rows([[1, 2], [1], "ab", [1, "2"], [True, 1], [1, None]], (2,))
    assert list(problems) == [1, 2, 3, 4, 5]
    assert problems[1] == "has 1 numbers, not 2"
    assert np.isnan(table[1:]).all()
    assert number_rows([], (3, 2))[0].shape == (0, 3, 2)


@pytest.mark.parametrize("name", ["a.jpg", "deep/er/a.jpg", "./a.jpg", "deep\\a.jpg", "..a/b..jpg"])
def test_paths_inside(name):
    assert relative_path(name, file=Path("x"), record="r") == name.replace("\\", "/").removeprefix("./")


@pytest.mark.parametrize(
    "name", ["/a.jpg", "../a.jpg", "b/../../a.jpg", "..\\a.jpg", "c:/a.jpg", "\\\\host\\a.jpg", ""]
)
def test_paths_that_leave(name):
    with pytest.raises(PosewrightError, match=r"x: r: picture path .*"):
        relative_path(name, file=Path("x"), record="r")


def test_the_folder_with_the_most_pictures_wins(tmp_path):
    for name in ("one/a.jpg", "two/a.jpg", "two/b.jpg"):
        picture(tmp_path / name)
    folders = [tmp_path / "none", tmp_path / "one", tmp_path / "two"]
    assert find_root(["a.jpg", "b.jpg"], folders) == tmp_path / "two"
    assert find_root(["a.jpg"], folders) == tmp_path / "one"
    assert find_root(["c.jpg"], folders) is None
    assert find_root([], folders) is None


def test_hint_leads_back(tmp_path):
    (tmp_path / "pictures").mkdir()
    labels = tmp_path / "deep/er/labels.json"
    labels.parent.mkdir(parents=True)
    hint = picture_hint(tmp_path / "pictures", labels)
    assert hint == "../../pictures"
    assert from_hint(hint, labels) == [(tmp_path / "pictures").resolve()]
    for nonsense in (None, 3, "", "a\0b"):
        assert from_hint(nonsense, labels) == []


def test_hint_survives_a_link_to_the_label_file(tmp_path):
    picture(tmp_path / "set/images/a.jpg")
    labels = save_json(
        tmp_path / "set/labels/labels.json", coco_dict() | {"info": {"posewright": {"images": "../images"}}}
    )
    link = tmp_path / "elsewhere.json"
    try:
        link.symlink_to(labels)
    except OSError:
        pytest.skip("this system makes no links")
    assert read_annotations(link).root.resolve() == (tmp_path / "set/images").resolve()


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("val", "val"),
        ("valid", "val"),
        ("trainset", "train"),
        ("TEST", "test"),
        ("train_val", None),
        ("interval", None),
    ],
)
def test_split_of(name, split):
    assert split_of(name) == split
