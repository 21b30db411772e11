"""300-W folders: origin, pictures beside, groups and splits, and every way a .pts file can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.labels import picture
from posewright.annotations import (
    Annotations,
    Image,
    ReadOptions,
    boxes_from_keypoints,
    find_format,
    get_format,
    read_annotations,
)
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

POINTS = np.stack([np.linspace(10, 90, 68), np.linspace(20, 70, 68)], 1).round(3)


def text(points: np.ndarray = POINTS) -> str:
    lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
    return f"version: 1\nn_points: {len(points)}\n{{\n{lines}\n}}\n"


def face(folder: Path, stem: str, ending: str = ".png", content: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if ending:
        picture(folder / f"{stem}{ending}", 110, 100)
    path = folder / f"{stem}.pts"
    path.write_text(text() if content is None else content)
    return path


def test_points_are_one_based(tmp_path):
    face(tmp_path, "a")
    a = read_annotations(tmp_path)
    np.testing.assert_allclose(a.keypoints[0, :, :2], POINTS - 1)
    assert (a.keypoints[..., 2] == 2).all()
    assert a.skeleton == BUILTIN["face-68"]
    assert (a.images[0].path, a.images[0].width, a.images[0].height) == ("a.png", 110, 100)
    low, high = POINTS.min(0) - 1, POINTS.max(0) - 1
    np.testing.assert_allclose(a.boxes[0], [*(low - 0.1 * (high - low)), *(high + 0.1 * (high - low))])


def test_subfolders_endings_groups_and_splits(tmp_path):
    face(tmp_path / "helen/trainset", "232194_1", ".jpg")
    face(tmp_path / "helen/trainset", "232194_2", ".JPEG" if Path("/A") != Path("/a") else ".jpeg")
    face(tmp_path / "lfpw/testset", "image_0001", ".png")
    face(tmp_path / ".hidden", "x")
    a = read_annotations(tmp_path)
    assert [im.path.rsplit(".", 1)[0] for im in a.images] == [
        "helen/trainset/232194_1",
        "helen/trainset/232194_2",
        "lfpw/testset/image_0001",
    ]
    assert [im.group for im in a.images] == ["helen/trainset/232194", "helen/trainset/232194", None]
    assert [im.split for im in a.images] == ["train", "train", "test"]
    assert a.missing_pictures() == []
    assert find_format(tmp_path).name == "300w"


def test_one_file_and_pictures_elsewhere(tmp_path):
    path = face(tmp_path / "labels", "a", ending="")
    picture(tmp_path / "photos/a.jpg")
    with pytest.raises(PosewrightError, match=r"has no picture 'a.jpg', .png, ... beside it"):
        read_annotations(path)
    a = read_annotations(path, options=ReadOptions(images=tmp_path / "photos"))
    assert a.image_path(0) == tmp_path / "photos/a.jpg"
    with pytest.raises(PosewrightError, match=r"nowhere: is no folder"):
        read_annotations(path, options=ReadOptions(images=tmp_path / "nowhere"))


def test_another_number_of_points_needs_a_skeleton(tmp_path):
    face(tmp_path, "a", content=text(POINTS[:5]))
    with pytest.raises(PosewrightError, match=r"has 5 points, not the 68 of 'face-68'.*--skeleton"):
        read_annotations(tmp_path)
    five = Skeleton("five", ("a", "b", "c", "d", "e"))
    assert read_annotations(tmp_path, options=ReadOptions(skeleton=five)).keypoints.shape == (1, 5, 3)


def test_header_and_spacing_may_differ(tmp_path):
    body = text().split("{")[1]
    for head in ("n_points:68\n{", "version: 1\r\nn_points: 68\r\n{", "{"):
        face(tmp_path, "a", content=head + body.replace(" ", "   ").replace("\n", "\r\n"))
        np.testing.assert_allclose(read_annotations(tmp_path).keypoints[0, :, :2], POINTS - 1)


# -- writing ----------------------------------------------------------------------------------------------------------


def test_written_and_read_back(tmp_path):
    face(tmp_path / "from/helen/trainset", "232194_1", ".jpg")
    face(tmp_path / "from/lfpw/testset", "image_0001")
    face(tmp_path / "from/more", "a")
    a = read_annotations(tmp_path / "from")
    fmt = get_format("300w")
    assert fmt.losses(a) == ["boxes and sizes"]
    assert fmt.write(a, tmp_path / "to") == [tmp_path / "to"]
    b = read_annotations(tmp_path / "to")
    assert b.images == a.images
    np.testing.assert_allclose(b.keypoints, a.keypoints, atol=1e-4)
    assert (tmp_path / "to/helen/trainset/232194_1.jpg").read_bytes() == a.image_path(0).read_bytes()


def test_several_faces_splits_and_what_cannot_be_written(tmp_path):
    for name in ("x/photo.png", "photo.jpg", "photo.png"):
        picture(tmp_path / name, 110, 100)
    points = np.concatenate([np.tile(POINTS - 1, (5, 1, 1)), np.full((5, 68, 1), 2)], 2)
    points[1, :, 0] += 5
    points[3, 7] = 0
    points[4, 9, 2] = 1
    images = [Image("x/photo.png", 110, 100, split="val", group="g"), *(Image(f"photo.{e}") for e in ("jpg", "png"))]
    boxes = boxes_from_keypoints(points)
    a = Annotations(BUILTIN["face-68"], images, [0, 0, 1, 1, 2], points, boxes, tmp_path)
    fmt = get_format("300w")
    assert fmt.losses(a) == [
        "boxes and sizes",
        "1 objects that lack a keypoint",
        "that 1 keypoints are hidden: they count as visible",
        "the groups of pictures that are not named <photo>_<number>",
    ]
    fmt.write(a, tmp_path / "to")
    b = read_annotations(tmp_path / "to")
    names = {"photo.jpg": None, "photo-2.png": None, "valset/x/photo_1.png": "val", "valset/x/photo_2.png": "val"}
    assert {im.path: im.split for im in b.images} == names
    second = [im.path for im in b.images].index("valset/x/photo_2.png")
    np.testing.assert_allclose(b.keypoints[second], points[1], atol=1e-4)
    nobody = a.objects([3])
    with pytest.raises(PosewrightError, match=r"has no object with all keypoints"):
        fmt.write(nobody, tmp_path / "none")
    assert fmt.losses(nobody)[1:] == [
        "1 objects that lack a keypoint",
        "3 pictures without an object that has all keypoints",
    ]
    (tmp_path / "photo.jpg").unlink()
    with pytest.raises(PosewrightError, match=r"photo\.jpg does not exist"):
        fmt.write(a, tmp_path / "missing")
    with pytest.raises(PosewrightError, match=r"to: is not empty"):
        fmt.write(a, tmp_path / "to")
    assert not (tmp_path / "none").exists() and not (tmp_path / "missing").exists()


def test_the_real_faces_are_written_as_they_were(shared_data, tmp_path):
    a = read_annotations(shared_data / "faces300w/afw")
    a = a.subset(range(4))
    get_format("300w").write(a, tmp_path / "to")
    assert read_annotations(tmp_path / "to").images == a.images
    for im in a.images:
        before = (a.root / im.path).with_suffix(".pts").read_text().split()
        after = (tmp_path / "to" / im.path).with_suffix(".pts").read_text().split()
        assert [float(word) for word in after[5:-1]] == [float(word) for word in before[5:-1]]


BAD = {
    "empty": ("", "is empty"),
    "cut short": (text()[:300], "cut short"),
    "no points": ("version: 1\nn_points: 68\n{\n}\n", "says n_points: 68, but has 0 lines"),
    "count": (text().replace("n_points: 68", "n_points: 67"), "says n_points: 67, but has 68 lines"),
    "words": (text().replace("10.000 20.000", "left eye"), "point 1: 'left eye' is not 'x y'"),
    "three numbers": (text().replace("10.000 20.000", "1 2 3"), "point 1: '1 2 3' is not 'x y'"),
    "one number": (text().replace("10.000 20.000", "1"), "point 1: '1' is not 'x y'"),
    "NaN": (text().replace("10.000 20.000", "nan 1"), "'jaw_1' is not a finite number"),
    "infinite": (text().replace("10.000 20.000", "1 inf"), "'jaw_1' is not a finite number"),
    "far outside": (text().replace("10.000 20.000", "999 1"), "'jaw_1' is marked visible .*far outside the 110 x 100"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file(tmp_path, case):
    content, says = BAD[case]
    face(tmp_path, "a")
    path = face(tmp_path, "b", content=content)
    with pytest.raises(PosewrightError, match=says) as raised:
        read_annotations(tmp_path)
    assert str(path) in str(raised.value)
    options = ReadOptions(skip_bad=True)
    a = read_annotations(tmp_path, options=options)
    assert [im.path for im in a.images] == ["a.png"]
    assert len(a) == len(options.skipped) == 1


def test_binary_file_and_missing_picture(tmp_path):
    face(tmp_path, "a")
    (tmp_path / "b.pts").write_bytes(b"\xff\xfe\x00\x80{")
    face(tmp_path, "c", ending="")
    picture(tmp_path / "d.png").write_bytes(b"no picture")
    (tmp_path / "d.pts").write_text(text())
    options = ReadOptions(skip_bad=True)
    assert [im.path for im in read_annotations(tmp_path, options=options).images] == ["a.png"]
    assert [line.split(": ")[1].split(" (")[0] for line in options.skipped] == [
        "is not a text file",
        "has no picture 'c.jpg', .png, ... beside it. Put it there, or say with --images where the pictures are",
        "is not a picture",
    ]


def test_an_empty_folder(tmp_path):
    with pytest.raises(PosewrightError, match=r"lists no images"):
        read_annotations(tmp_path, "300w").require_labels()
