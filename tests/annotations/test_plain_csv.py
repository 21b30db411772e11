"""The plain CSV rule, wide and long: what it says, how it is told from others, writing, and bad lines."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.labels import NAMES, assert_same, picture, random_annotations
from posewright.annotations import Image, ReadOptions, find_format, get_format, read_annotations
from posewright.annotations.keypoints import BOX_MARGIN
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

write = get_format("csv").write
WIDE = """path,nose_x,nose_y,tail_x,tail_y,tail_v,set,group
a.png,10,20,30.5,40,1,train,cam
b/c.png,,,5,6,,val,
d.png,,,,,,,
a.png,50,60,,,0,,
"""


def table(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding, newline="")
    return path


def test_the_rule(tmp_path):
    for name in ("a.png", "b/c.png"):
        picture(tmp_path / "images" / name)
    path = table(tmp_path / "labels.csv", WIDE)
    assert find_format(path).name == find_format(tmp_path).name == "csv"
    a = read_annotations(tmp_path)
    assert a.skeleton.keypoints == ("nose", "tail")
    assert a.images == [
        Image("a.png", 100, 80, split="train", group="cam"),
        Image("b/c.png", 100, 80, split="val"),
        Image("d.png"),  # shows no object
    ]
    assert a.image.tolist() == [0, 1, 0]
    assert a.keypoints.tolist() == [[[10, 20, 2], [30.5, 40, 1]], [[0, 0, 0], [5, 6, 2]], [[50, 60, 2], [0, 0, 0]]]
    half = np.array([20.5, 20]) * BOX_MARGIN / 2
    np.testing.assert_allclose(a.boxes[0], [20.25 - half[0], 30 - half[1], 20.25 + half[0], 30 + half[1]])


def test_boxes_frames_and_what_else_it_may_say(tmp_path):
    text = (
        "Image,frame,Nose x,Nose.Y,box_x0,box_y0,box_x1,box_y1,track,weight,area,iscrowd,head_size,width,height,comment_\n"
        "clip.mp4,7,10,20,1,2,30,40,3,0.5,99,true,12,640,480,anything\n"
    )
    a = read_annotations(table(tmp_path / "labels.csv", text.replace("Nose.Y", "Nose_y")))
    assert a.skeleton.keypoints == ("Nose",)
    assert a.images == [Image("clip.mp4", 640, 480, 7)]
    assert a.boxes.tolist() == [[1, 2, 30, 40]]
    assert (a.track[0], a.weight[0], a.area[0], bool(a.iscrowd[0]), a.head_size[0]) == (3, 0.5, 99, True, 12)


@pytest.mark.parametrize(
    ("separator", "encoding", "end"), [(";", "utf-8-sig", "\r\n"), ("\t", "utf-8", "\n"), (";", "utf-8", "\r")]
)
def test_as_a_spreadsheet_writes_it(tmp_path, separator, encoding, end):
    lines = [["path", "nose_x", "nose_y"], ["ü a.png", "10,5", " 20 "], ["b.png", "NaN", "-"], ["", "", ""]]
    path = table(tmp_path / "labels.csv", end.join(separator.join(line) for line in lines) + end, encoding)
    assert find_format(path).name == "csv"
    a = read_annotations(path)
    assert a.keypoints.tolist() == [[[10.5, 20, 2]]]
    assert [im.path for im in a.images] == ["ü a.png", "b.png"]


def test_a_folder_of_pictures_that_no_disk_can_hold_is_passed_over(tmp_path):
    text = f"path,nose_x,nose_y,pictures\na.png,10,20,{'deep' * 80}\n"
    assert read_annotations(table(tmp_path / "labels.csv", text)).keypoints.tolist() == [[[10, 20, 2]]]


def test_long(tmp_path):
    text = """filename,object,keypoint,x,y,v,set,box_x0,box_y0,box_x1,box_y1
a.png,1,nose,10,20,2,train,1,2,30,40
a.png,1,tail,30,40,1,,,,,
a.png,2,tail,50,60,,,,,,
b.png,,,,,,,,,,
"""
    path = table(tmp_path / "labels.csv", text)
    assert find_format(path).name == "csv"
    a = read_annotations(path)
    assert a.skeleton.keypoints == ("nose", "tail")
    assert a.keypoints.tolist() == [[[10, 20, 2], [30, 40, 1]], [[0, 0, 0], [50, 60, 2]]]
    assert a.boxes[0].tolist() == [1, 2, 30, 40]
    assert [(im.path, im.split) for im in a.images] == [("a.png", "train"), ("b.png", None)]
    text = text.replace("a.png,2,tail", "a.png,1,tail")
    with pytest.raises(PosewrightError, match=r"line 4: keypoint 'tail' stands there twice for 'a\.png'.*'object'"):
        read_annotations(table(path, text))
    assert len(read_annotations(path, options=ReadOptions(skip_bad=True))) == 1


def test_names_of_a_shipped_skeleton_in_any_order(tmp_path):
    coco = BUILTIN["coco-17"]
    names = coco.keypoints[::-1]
    header = ",".join(f"{name}_{c}" for name in names for c in "xy")
    path = table(tmp_path / "labels.csv", f"path,{header}\na.png,{','.join(str(i) for i in range(34))}\n")
    a = read_annotations(path)
    assert a.skeleton == coco
    assert a.keypoints[0, 0].tolist() == [32, 33, 2]
    two = read_annotations(path, options=ReadOptions(skeleton=Skeleton("two", ("left_eye", "nose"))))
    assert two.keypoints[0, 1].tolist() == [32, 33, 2]
    with pytest.raises(PosewrightError, match=r"no columns of keypoint 'beak', which skeleton 'bird' asks for"):
        read_annotations(path, options=ReadOptions(skeleton=Skeleton("bird", ("beak",))))


# -- writing ----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_round_trip(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("csv")
    skeleton = BUILTIN["coco-17"] if seed % 2 else Skeleton("out", tuple(NAMES), ((1, 2),))
    a = random_annotations(seed, skeleton, polygons=False)
    ending = "tsv" if seed % 3 else "csv"
    (path,) = write(a, folder / f"out.{ending}")
    b = read_annotations(path)
    assert {(im.path, im.frame, im.split, im.group, im.width) for im in b.images} == {
        (im.path, im.frame, im.split, im.group, im.width) for im in a.images
    }
    (again,) = write(b, folder / f"again/out.{ending}")
    assert_same(b, read_annotations(again))
    if list(dict.fromkeys(a.image.tolist())) == sorted(set(a.image.tolist())):
        a.images = [Image(im.path, im.width, im.height, im.frame, im.split, im.group) for im in a.images]
        assert_same(a, b, atol=1e-4)


def test_the_pictures_are_found_again(tmp_path):
    picture(tmp_path / "set/photos/a.png")
    a = read_annotations(table(tmp_path / "set/labels.csv", WIDE), options=ReadOptions(images=tmp_path / "set/photos"))
    for target in (tmp_path / "set/out.csv", tmp_path / "elsewhere/deep"):
        (path,) = write(a, target)
        assert read_annotations(path).image_path(0).resolve() == tmp_path / "set/photos/a.png"
    assert path.name == "labels.csv"
    assert write(a, tmp_path / "set/photos/x.csv")[0].read_text().splitlines()[0].startswith("path,set,group,width")


def test_convert_writes_it_by_its_ending(tmp_path, capsys):
    picture(tmp_path / "set/a.png")
    table(tmp_path / "set/labels.csv", "path,nose_x,nose_y\na.png,1,2\n")
    assert main(["convert", str(tmp_path / "set"), "-o", str(tmp_path / "out.csv")]) == 0
    assert "posewright train --data" in capsys.readouterr().out
    assert read_annotations(tmp_path / "out.csv").keypoints.tolist() == [[[1, 2, 2]]]


def test_what_is_lost_is_said(tmp_path):
    a = random_annotations(3, Skeleton("m", tuple(NAMES), (), (), ((0, 1),)), every_image_used=True)
    says = get_format("csv").losses(a)
    assert says[-1] == "the skeleton's links, left-right pairs"
    with pytest.raises(PosewrightError, match=r"keypoint 'box' would be taken for a box"):
        write(random_annotations(3, Skeleton("m", ("box", "nose"))), tmp_path / "x.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["C:\\me\\set\\x\\b.png", "/home/me/set/x/b.png", "../set/x/b.png"])
def test_paths_of_another_place_are_cut_to_what_is_here(tmp_path, name):
    picture(tmp_path / "x/b.png")
    picture(tmp_path / "photos/b.png")
    path = table(tmp_path / "labels.csv", f"path,nose_x,nose_y\n{name},1,2\n")
    assert read_annotations(path).images[0].path == "x/b.png"
    told = read_annotations(path, options=ReadOptions(images=tmp_path / "photos"))
    assert told.image_path(0) == tmp_path / "photos/b.png"


def test_utf_16_is_read_and_other_encodings_are_refused(tmp_path):
    picture(tmp_path / "a.png")
    text = "path,näse_x,näse_y\na.png,1,2\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le"):
        mark = "\ufeff" if encoding == "utf-16-le" else ""
        (tmp_path / "labels.csv").write_bytes((mark + text).encode(encoding))
        assert find_format(tmp_path).name == "csv"
        assert read_annotations(tmp_path).skeleton.keypoints == ("näse",)
    (tmp_path / "labels.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(PosewrightError, match=r"is not a text file\. If it is text, save it as UTF-8"):
        read_annotations(tmp_path)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_may_be_spelt_another_way_on_the_disk(tmp_path, forms):
    said, stored = (unicodedata.normalize(form, "bär.png") for form in forms)
    picture(tmp_path / "images" / stored)
    a = read_annotations(table(tmp_path / "labels.csv", f"path,nose_x,nose_y\n{said},1,2\n"))
    assert a.missing_pictures() == []
    assert (a.root, a.images[0].width) == (tmp_path / "images", 100)
    assert a.image_path(0).is_file()


def test_thousands_of_lines_are_fast(tmp_path):
    names = [f"k{i}" for i in range(20)]
    values = np.random.default_rng(0).uniform(0, 500, (10_000, 40)).round(2)
    rows = "\n".join(f"p/{i}.png," + ",".join(map(str, row)) for i, row in enumerate(values.tolist()))
    header = ",".join(f"{n}_{c}" for n in names for c in "xy")
    path = table(tmp_path / "labels.csv", f"path,{header}\n{rows}\n")
    start = time.process_time()
    a = read_annotations(path)
    assert time.process_time() - start < 5
    np.testing.assert_array_equal(a.keypoints[..., :2].reshape(-1, 40), values)


# -- what is not it, and what is wrong ----------------------------------------------------------------------------------


def test_other_tables_are_not_taken(tmp_path, shared_data):
    others = {
        "deeplabcut": "scorer,me,me\nbodyparts,nose,nose\ncoords,x,y\nlabeled-data/v/a.png,1,2\n",
        "skeleton": "name,parent,swap\nnose,,\n",
        "predictions": "source,frame,time,pose,track_id,presence,nose_x,nose_y,nose_score\na.png,,,0,,1,1,2,1\n",
        "boxes": "path,x,y,w,h\na.png,1,2,3,4\n",
        "half": "path,nose_x\na.png,1\n",
        "empty": "\n",
    }
    for name, text in others.items():
        assert not get_format("csv").detect(table(tmp_path / f"{name}.csv", text)), name
    assert not get_format("csv").detect(tmp_path)
    for name in ("deeplabcut/openfield", "deepposekit", "sleap", "bees"):
        assert not get_format("csv").detect(shared_data / "formats" / name)


BAD = {
    "word": ("b.png,ten,20,,,,,", r"line 3: nose_x is 'ten', not a number"),
    "half": ("b.png,10,,,,,,", r"line 3 \('b\.png'\): keypoint 'nose' has only one of x and y"),
    "no place": ("b.png,1,2,,,2,,", "keypoint 'tail' has a v and no place"),
    "v": ("b.png,1,2,3,4,7,,", "keypoint 'tail' has visibility 7"),
    "infinite": ("b.png,inf,2,,,,,", "keypoint 'nose' is not a finite number"),
    "long": ("b.png,1,2,3,4,2,train,cam,9", "line 3: has 9 cells, and the first line 8"),
    "no path": (",1,2,3,4,2,train,cam", "line 3: names no picture"),
    "leaves": ("x/../../b.png,1,2,,,,,", "leaves the data folder"),
    "set": ("b.png,1,2,,,,some,", "set 'some' is not one of train, val, test"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_line(tmp_path, case):
    line, says = BAD[case]
    text = "\n".join([*WIDE.splitlines()[:2], line, "c.png,1,2,,,,,"])
    path = table(tmp_path / "labels.csv", text)
    with pytest.raises(PosewrightError, match=rf"labels\.csv: .*{says}"):
        read_annotations(path)
    options = ReadOptions(skip_bad=True)
    a = read_annotations(path, options=options)
    assert [im.path for im in a.images] == ["a.png", "c.png"]
    assert len(options.skipped) == 1


FILES = {
    "empty": ("\n \n", "is empty"),
    "no path": ("picture,nose_x,nose_y\n", "has no column 'path'"),
    "no keypoints": ("path,set\n", "has no columns of keypoints.*NAME_x"),
    "half": ("path,nose_x\n", "has a column for x of 'nose' and none for y"),
    "twice": ("path,nose_x,nose_y,nose_x\n", "has two columns 'nose_x'"),
    "box": ("path,nose_x,nose_y,box_x,box_y,box_w,box_h\n", "has a column 'box_x'.*box_x0, box_y0"),
    "frame": ("path,frame,nose_x,nose_y\na.mp4,1.5,1,2\n", "line 2: frame is 1.5, not a whole number"),
    "track": ("path,track,nose_x,nose_y\na.png,1e300,1,2\n", "track is no whole number"),
    "corner": ("path,box_x0,nose_x,nose_y\na.png,1,1,2\n", "its box has fewer than four numbers"),
    "splits": ("path,set,nose_x,nose_y\na.png,train,1,2\na.png,val,1,2\n", "is in 'val' here and in 'train' before"),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_file(tmp_path, case):
    text, says = FILES[case]
    with pytest.raises(PosewrightError, match=rf"labels\.csv: .*{says}"):
        read_annotations(table(tmp_path / "labels.csv", text), "csv")


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "labels.csv"
    for content in (b"\xff\xfe\x00path", b'path,a_x,a_y\n"' + b"x" * 200_000):
        path.write_bytes(content)
        with pytest.raises(PosewrightError, match=r"is not a text file|is not CSV|is no path"):
            read_annotations(path, "csv")
