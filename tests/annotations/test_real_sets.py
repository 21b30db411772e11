"""The real sets: counts that are known, and reading back what was written."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.labels import assert_same
from posewright.annotations import ReadOptions, get_format, read_annotations
from posewright.media.header import picture_size
from posewright.media.pictures import read_picture

SETS = {
    "lspet": ("lsp", 9000, 9000, "body-14"),
    "faces300w": ("300w", 2012, 2012, "face-68"),
    "hands21": ("coco", 430, 430, "hand-21"),
    "formats/coco": ("coco", 32, 68, "coco-17"),
}


@pytest.mark.parametrize("name", SETS)
def test_counts_sizes_and_round_trips(shared_data, tmp_path, name):
    fmt, images, objects, skeleton = SETS[name]
    options = ReadOptions()
    a = read_annotations(shared_data / name, options=options)
    assert (len(a.images), len(a), a.skeleton.name) == (images, objects, skeleton)
    assert get_format(fmt).detect(shared_data / name)
    assert a.missing_pictures() == []
    assert len(options.skipped) == (1 if name == "lspet" else 0)
    for i in range(0, images, images // 8):
        height, width = read_picture(a.image_path(i)).shape[:2]
        assert (a.images[i].width, a.images[i].height) == (width, height) == picture_size(a.image_path(i))
    inside = a.keypoints[a.labelled][:, :2] >= -0.5
    assert inside.mean() > 0.999
    first = read_annotations(get_format("coco").write(a, tmp_path / "a.json")[0])
    second = read_annotations(get_format("coco").write(first, tmp_path / "b.json")[0])
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert_same(first, second)
    for part in (first, read_annotations(get_format("hourglass-json").write(first, tmp_path / "hourglass")[0])):
        np.testing.assert_allclose(part.keypoints, a.keypoints, atol=1e-4)
        np.testing.assert_allclose(part.boxes, a.boxes, atol=1.1e-4)
        assert part.missing_pictures() == []


def test_lspet_labels(shared_data):
    a = read_annotations(shared_data / "lspet")
    assert a.labelled.sum() == 110_842 - 1  # flags set in the file, less one joint far outside its picture
    assert (a.keypoints[..., 2] != 1).all()
    assert a.images[8999].path == "images/im09000.jpg"


def test_300w_first_point(shared_data):
    a = read_annotations(shared_data / "faces300w/afw/134212_1.pts")
    np.testing.assert_allclose(a.keypoints[0, 0], [131.190 - 1, 173.034 - 1, 2])


def test_coco_people(shared_data):
    a = read_annotations(shared_data / "formats/coco/person_keypoints_val.json")
    i = a.images.index(next(im for im in a.images if im.id == 397133))
    person = int(np.flatnonzero(a.image == i)[0])
    assert a.keypoints[person, 0].tolist() == [433, 94, 2]
    np.testing.assert_allclose(a.boxes[person], [388.16, 69.42, 497.57, 347.04])
    assert {im.split for im in a.images} == {"val"}
