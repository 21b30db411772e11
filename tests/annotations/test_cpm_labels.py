"""labels.txt in both column conventions: told apart by columns and picture sizes, or asked for; round trips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.labels import picture, random_annotations
from posewright.annotations import Annotations, ReadOptions, find_format, get_format, read_annotations
from posewright.annotations.cpm_joints import stored_order
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

HAND = BUILTIN["hand-21"]
BOX = (20, 10, 180, 60)
JOINTS = [(30.0 + 6 * i, 12.0 + 2 * i) for i in range(21)]
"""Joint 0 (the thumb's tip) to 20 (the wrist), in a picture of 200 x 80."""


def script_line(name: str = "a.jpg", joints: list[tuple[float, float]] = JOINTS) -> str:
    ordered = [joints[-1], *joints[:-1]]
    return " ".join([name, *map(str, BOX), "0 0", *(f"{x:g} {y:g}" for x, y in ordered)])


def readme_line(name: str = "a.jpg", joints: list[tuple[float, float]] = JOINTS) -> str:
    x0, y0, x1, y1 = BOX
    return " ".join([name, f"{y0} {x0} {y1} {x1}", *(f"{y:g} {x:g}" for x, y in joints)])


def labels(folder: Path, *lines: str, pictures: tuple[str, ...] = ("a.jpg",)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in pictures:
        picture(folder / "imgs" / name, 200, 80)
    path = folder / "labels.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def check(a: Annotations) -> None:
    assert a.skeleton == HAND
    assert (a.images[0].path, a.images[0].width, a.images[0].height) == ("a.jpg", 200, 80)
    assert a.boxes[0].tolist() == [19.5, 9.5, 179.5, 59.5]
    for name, joint in (("wrist", 20), ("thumb_4", 0), ("thumb_1", 3), ("index_4", 4), ("little_1", 19)):
        assert a.keypoints[0, HAND.index(name)].tolist() == [*JOINTS[joint], 2]


def test_both_conventions_by_their_columns(tmp_path):
    for name, line, count in (("cpm-labels", script_line(), 49), ("cpm-labels-readme", readme_line(), 47)):
        assert len(line.split()) == count
        path = labels(tmp_path / name, line)
        assert find_format(path).name == find_format(path.parent).name == name
        check(read_annotations(path))


def test_the_system_order_of_the_hand():
    order = stored_order(HAND)
    assert sorted(order) == list(range(21))
    assert [HAND.keypoints[i] for i in (*order[:5], order[20])] == [
        *("thumb_4", "thumb_3", "thumb_2", "thumb_1", "index_4"),
        "wrist",
    ]
    assert stored_order(BUILTIN["body-14"]) == list(range(14))


def test_a_number_of_columns_that_fits_both_is_decided_by_the_pictures_or_asked(tmp_path):
    """23 columns: 8 joints in one convention, 9 in the other; y first puts points below the picture."""
    wide = [(150.0 + i, 20.0 + i) for i in range(9)]
    y_first = " ".join(["a.jpg", "15 140 40 170", *(f"{y:g} {x:g}" for x, y in wide)])
    nine = Skeleton("nine", tuple("abcdefghi"))
    path = labels(tmp_path / "seen", y_first)
    assert find_format(path).name == "cpm-labels-readme"
    a = read_annotations(path, options=ReadOptions(skeleton=nine))
    np.testing.assert_allclose(a.keypoints[0, :, :2], wide)
    unseen = labels(tmp_path / "unseen", y_first, pictures=())
    with pytest.raises(
        PosewrightError, match=r"could be any of cpm-labels, cpm-labels-readme. Say which with --format"
    ):
        read_annotations(unseen)
    a = read_annotations(unseen, "cpm-labels-readme", ReadOptions(skeleton=nine))
    np.testing.assert_allclose(a.keypoints[0, :, :2], wide)
    with pytest.raises(PosewrightError, match=r"has 8 joints an object, and does not say which. Give --skeleton"):
        read_annotations(unseen, "cpm-labels")


def test_columns_that_the_pictures_contradict_are_asked_about(tmp_path):
    """49 columns as the script has them, but y first."""
    swapped = script_line(joints=[(y, x) for x, y in JOINTS]).replace("20 10 180 60", "10 20 60 180")
    with pytest.raises(PosewrightError, match=r"could be any of cpm-labels, cpm-labels-readme"):
        read_annotations(labels(tmp_path, swapped))


def test_people_in_folders_are_groups(tmp_path):
    labels(tmp_path / "person_1", script_line(), script_line("b.png"), pictures=("a.jpg", "b.png"))
    labels(tmp_path / "person_2", script_line(), script_line(), "notes of the day")
    options = ReadOptions()
    a = read_annotations(tmp_path, options=options)
    assert [(im.path, im.group) for im in a.images] == [
        ("person_1/imgs/a.jpg", "person_1"),
        ("person_1/imgs/b.png", "person_1"),
        ("person_2/imgs/a.jpg", "person_2"),
    ]
    assert a.image.tolist() == [0, 1, 2, 2]
    assert a.missing_pictures() == []
    assert "line 3: its name does not end with jpg or png" in options.skipped[0]


def test_corners_in_any_order(tmp_path):
    a = read_annotations(labels(tmp_path, script_line().replace("20 10 180 60", "180 10 20 60")))
    assert a.boxes[0].tolist() == [19.5, 9.5, 179.5, 59.5]


@pytest.mark.parametrize("name", ["cpm-labels", "cpm-labels-readme"])
@pytest.mark.parametrize("skeleton", ["hand-21", "body-14", "coco-17"])
@pytest.mark.parametrize("seed", [0, 1])
def test_round_trip(tmp_path, name, skeleton, seed):
    a = random_annotations(seed, BUILTIN[skeleton], every_image_used=True)
    for im in a.images:
        object.__setattr__(im, "path", im.path.replace(" ", "_"))
        object.__setattr__(im, "frame", None)
        picture(tmp_path / "photos" / im.path, im.width, im.height)
    a.root = tmp_path / "photos"
    a.keypoints[0, 0] = -1, -1, 2  # the place that stands for a joint that is missing
    written = get_format(name).write(a, tmp_path / "out")
    assert [p.name for p in written] == ["labels.txt"] + [
        f"labels_{kind}.txt" for kind in ("classes", "match_point", "skeleton")
    ]
    assert find_format(tmp_path / "out").name == name
    b = read_annotations(tmp_path / "out")
    assert b.missing_pictures() == []
    assert b.skeleton.keypoints == a.skeleton.keypoints
    assert [b.images[i].path for i in b.image] == [a.images[i].path for i in a.image]
    np.testing.assert_allclose(b.boxes, a.boxes, atol=1e-4)
    np.testing.assert_array_equal(b.labelled, a.labelled)
    np.testing.assert_allclose(b.keypoints[..., :2], a.keypoints[..., :2], atol=1.01e-4)
    lost = " ".join(get_format(name).losses(a))
    assert "keypoints are hidden: they count as visible" in lost
    assert "weight" in lost
    again = get_format(name).write(b, tmp_path / "again")
    assert again[0].read_text().splitlines()[1:] == written[0].read_text().splitlines()[1:]


def test_what_the_script_reads(tmp_path):
    """Line by line: the columns as the system's script takes them."""
    a = read_annotations(labels(tmp_path, script_line()))
    out = get_format("cpm-labels").write(a, tmp_path / "out/mine.txt")[0]
    columns = out.read_text().splitlines()[1].split()
    assert len(columns) == 49
    assert columns[:5] == ["a.jpg", "20", "10", "180", "60"]
    assert columns[7:9] == ["150", "52"]  # joint 20
    assert columns[9:11] == ["30", "12"]  # joint 0
    out = get_format("cpm-labels-readme").write(a, tmp_path / "out/other.txt")[0]
    columns = out.read_text().splitlines()[1].split()
    assert columns[:7] == ["a.jpg", "10", "20", "60", "180", "12", "30"]


def test_names_that_cannot_be_written(tmp_path):
    a = read_annotations(labels(tmp_path, script_line()))
    for name in ("a b.jpg", "a.webp", ""):
        object.__setattr__(a.images[0], "path", name)
        with pytest.raises(PosewrightError, match=r"cannot stand in this format"):
            get_format("cpm-labels").write(a, tmp_path / "out")
    assert not (tmp_path / "out").exists()


BAD = {
    "word": (script_line("b.jpg").replace("30 12", "30 x2"), r"line 2 \('b.jpg'\): 'x2' is not a number"),
    "column": (script_line("b.jpg") + " 3", r"line 2 \('b.jpg'\): has 50 columns, not 49"),
    "NaN": (script_line("b.jpg").replace("30 12", "nan 12"), "'thumb_4' is not a finite number"),
    "infinite": (script_line("b.jpg").replace("20 10 180", "20 10 inf"), "box is not finite"),
    "no box": (script_line("b.jpg").replace("20 10 180 60", "20 10 20 60"), "has no area"),
    "far outside": (script_line("b.jpg").replace("30 12", "900 12"), "far outside the 200 x 80 picture"),
    "path": (script_line("../b.jpg"), "leaves the data folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_line(tmp_path, case):
    line, says = BAD[case]
    good = [script_line(f"{i}.jpg") for i in range(3)]
    path = labels(tmp_path, script_line(), line, *good, pictures=("a.jpg", "b.jpg"))
    with pytest.raises(PosewrightError, match=says) as raised:
        read_annotations(path)
    assert f"{path}: line 2" in str(raised.value)
    options = ReadOptions(skip_bad=True)
    assert [im.path for im in read_annotations(path, options=options).images] == ["a.jpg", "0.jpg", "1.jpg", "2.jpg"]
    assert len(options.skipped) == 1


def test_no_line_is_left(tmp_path):
    path = labels(tmp_path, script_line().replace("30 12", "30 x2"))
    assert len(read_annotations(path, "cpm-labels", ReadOptions(skip_bad=True)).images) == 0


def test_a_file_that_says_what_it_is(tmp_path):
    a = read_annotations(labels(tmp_path, script_line()))
    path = get_format("cpm-labels").write(a, tmp_path / "out")[0]
    with pytest.raises(PosewrightError, match=r"in the convention of the script. Leave --format out"):
        read_annotations(path, "cpm-labels-readme")


def test_convert_does_not_write_over_what_it_reads(tmp_path, capsys):
    from posewright.cli import main

    path = labels(tmp_path / "hands", script_line())
    for source in (path, path.parent):
        for target in (path, path.parent):
            assert main(["convert", str(source), "-o", str(target), "--to", "cpm-labels-readme"]) == 2
            assert "belongs to the labels being read" in capsys.readouterr().err
    assert path.read_text() == script_line() + "\n"
    assert main(["convert", str(path), "-o", str(tmp_path / "out"), "--to", "cpm-labels-readme"]) == 0
    check(read_annotations(tmp_path / "out"))
