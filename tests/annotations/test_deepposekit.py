"""DeepPoseKit: pictures taken out of the file, names from the CSV, marks, and bad files in one line."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from posewright.annotations import ReadOptions, find_format, read_annotations
from posewright.errors import PosewrightError
from posewright.media.pictures import read_picture

CSV = "name,parent,swap\nhead,,\neyeL,head,eyeR\neyeR,head,eyeL\n"


def dataset(folder: Path, marked: bool = True) -> Path:
    path = folder / "fly.h5"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["images"] = rng.integers(0, 255, (3, 24, 32, 1), np.uint8)
        file["annotations"] = rng.uniform(2, 20, (3, 3, 2))
        file["annotated"] = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0]], bool) & marked
        file["skeleton"] = np.array([[-1, -1], [0, 2], [0, 1]], np.int32)
    (folder / "fly_skeleton.csv").write_text(CSV)
    return path


def test_pictures_come_out_of_the_file(tmp_path):
    path = dataset(tmp_path)
    assert find_format(path).name == find_format(tmp_path).name == "deepposekit"
    a = read_annotations(path, options=ReadOptions(extract=tmp_path / "out"))
    assert a.skeleton.keypoints == ("head", "eyeL", "eyeR")
    assert (a.skeleton.swaps, a.skeleton.links) == (((1, 2),), ((0, 1), (0, 2)))
    assert a.labelled.tolist() == [[True, True, False], [True] * 3]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(read_picture(a.image_path(1))[..., 0], file["images"][1, ..., 0])
        np.testing.assert_array_equal(a.keypoints[1, :, :2], file["annotations"][1])
    again = read_annotations(path, options=ReadOptions(images=tmp_path / "out"))
    assert again.images == a.images
    with pytest.raises(PosewrightError, match=r"out: is there already"):
        read_annotations(path, options=ReadOptions(extract=tmp_path / "out"))


def test_without_marks_every_place_counts(tmp_path):
    a = read_annotations(dataset(tmp_path, marked=False), options=ReadOptions(extract=tmp_path / "out"))
    assert a.labelled.all()
    assert len(a) == 3


def test_nothing_is_written_unasked(tmp_path):
    with pytest.raises(PosewrightError, match=r"holds its pictures inside.*posewright convert"):
        read_annotations(dataset(tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fly.h5", "fly_skeleton.csv"]


def test_the_real_flies(shared_data, tmp_path):
    path = shared_data / "formats/deepposekit/fly.h5"
    a = read_annotations(path, options=ReadOptions(extract=tmp_path / "out"))
    assert (len(a), a.keypoints.shape, a.missing_pictures()) == (100, (100, 32, 3), [])
    np.testing.assert_allclose(a.keypoints[0, 0], [145.44, 91.28, 2], atol=1e-4)


def test_damaged_copies(tmp_path):
    path = dataset(tmp_path)
    whole, rng = path.read_bytes(), np.random.default_rng(3)
    refused = 0
    for n in range(50):
        data = bytearray(whole)
        for at in rng.integers(0, min(len(data), 3000), 6):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data if n % 2 else data[: rng.integers(0, len(data))])
        try:
            read_annotations(path, "deepposekit", ReadOptions(extract=tmp_path / f"out{n}"))
        except PosewrightError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 10
