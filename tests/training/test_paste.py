"""Objects on other backgrounds: what is cut out, how soft its edge is, and what cannot be pasted."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from helpers.discs import COLOURS
from posewright.annotations import get_format
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.geometry import CropRule, Similarity
from posewright.media.pictures import read_picture, write_picture
from posewright.training.augment_config import PLAIN
from posewright.training.config import TrainConfig
from posewright.training.dataset import DRAWN, CropDataset
from posewright.training.paste import object_opacity
from posewright.training.perspective import CropMap, Tilt
from posewright.training.preview import augmentation_sheet

RULE = CropRule((96, 64))


MAGENTA, TEAL = (200, 0, 200), (0, 150, 150)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """A folder of backgrounds, each of one colour of its own."""
    folder = tmp_path_factory.mktemp("rooms")
    for name, colour in (("a.png", MAGENTA), ("b.png", TEAL)):
        write_picture(folder / name, np.full((150, 130, 3), colour, np.uint8))
    return folder


@pytest.fixture(scope="module")
def outlined(discs):
    """The discs, each object's outline being three circles around its discs."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = 8 * np.stack([np.cos(turn), np.sin(turn)], 1)
    return replace(discs, polygons=[[point[:2] + circle for point in points] for points in discs.keypoints])


ON_ROOMS = replace(
    PLAIN, rotation=60, rotation_share=0.8, scale=0.3, shift=0.1, flip=0.5, perspective=40, background_share=1
)


def distance(image: np.ndarray, colour) -> np.ndarray:
    return np.abs(image.astype(int) - colour).max(-1)


def test_objects_stand_on_another_background_and_nothing_else_is_left(outlined, rooms):
    pasted = CropDataset(outlined, RULE, replace(ON_ROOMS, background=str(rooms)))
    plain = CropDataset(outlined, RULE, ON_ROOMS)
    used = set()
    for item in range(len(pasted)):
        a, b = pasted[(2, item)], plain[(2, item)]
        assert all(torch.equal(a[k], b[k]) for k in ("points", "state", "inverse", "index", "present"))
        image, before = a["image"].numpy(), b["image"].numpy()
        room = MAGENTA if (distance(image, MAGENTA) == 0).sum() > (distance(image, TEAL) == 0).sum() else TEAL
        used.add(room)
        # Each pixel is the object's own, the background's, or at a soft edge between the two.
        own, other = np.abs(image.astype(int) - before).max(-1) <= 1, distance(image, room) <= 1
        assert (own | other).mean() > 0.85 and other.mean() > 0.3
        mixed = (image >= np.minimum(before, room) - 1) & (image <= np.maximum(before, room) + 1)
        assert mixed.all()
        for colour, point, state in zip(mirrored(a), a["points"].numpy(), a["state"], strict=True):
            if state == DRAWN:
                x, y = point.round().astype(int).clip(0, (95, 63))
                assert own[y, x] and distance(image[y, x], colour) < 90
    assert used == {MAGENTA, TEAL}


def mirrored(sample) -> tuple:
    flipped = np.linalg.det(sample["inverse"][:, :2].numpy()) < 0
    return (COLOURS[1], COLOURS[0], COLOURS[2]) if flipped else COLOURS


def test_masks_cut_like_polygons(outlined):
    height = width = 96
    place = CropMap(Similarity.crop(outlined.boxes[0], RULE.size, rotation=30, margin=1.25), Tilt(RULE.size, 30, 70))
    mask = np.zeros((height, width), np.uint8)
    for polygon in outlined.polygons[0]:
        cv2.fillPoly(mask, [np.round(polygon * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    flat = mask.T.reshape(-1)
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, flat.size]).tolist()
    rle = {"size": [height, width], "counts": runs if flat[0] == 0 else [0, *runs]}
    by_mask = object_opacity(rle, (height, width), place, RULE).astype(int)
    by_polygon = object_opacity(outlined.polygons[0], (height, width), place, RULE).astype(int)
    assert by_mask.max() == by_polygon.max() == 255 and by_mask.min() == by_polygon.min() == 0
    assert np.abs(by_mask - by_polygon).mean() < 4
    assert (np.abs(by_mask - by_polygon) > 128).mean() < 0.01


def test_overlapping_polygons_are_one_object():
    square = np.array([[10.0, 10], [50, 10], [50, 50], [10, 50]])
    place, rule = CropMap(Similarity.identity()), CropRule((80, 60))
    opacity = object_opacity([square, square + 10], (60, 80), place, rule)
    assert opacity[35, 35] == 255 and opacity[5, 70] == 0


def test_edges_are_soft_and_in_their_place():
    square = np.array([[60.0, 60], [180, 60], [180, 180], [60, 180]])
    row = object_opacity([square], (256, 256), CropMap(Similarity.identity()), CropRule((256, 256)))[120].astype(int)
    assert (np.diff(row[:120]) >= 0).all() and (np.diff(row[120:]) <= 0).all()
    assert ((row[:120] > 5) & (row[:120] < 250)).sum() in (3, 4, 5)
    assert row.sum() / 255 == pytest.approx(121, abs=1.5)


def test_objects_without_an_outline_are_left_as_they_are(outlined, rooms):
    polygons = [p if i % 2 else [] for i, p in enumerate(outlined.polygons)]
    polygons[1] = [np.array([[-900.0, -900], [-880, -900], [-880, -880]])]  # shows nothing of its object
    config = replace(ON_ROOMS, background=str(rooms))
    some, plain = CropDataset(replace(outlined, polygons=polygons), RULE, config), CropDataset(outlined, RULE, ON_ROOMS)
    same = [torch.equal(some[(0, i)]["image"], plain[(0, i)]["image"]) for i in range(8)]
    assert same == [True, True, True, False, True, False, True, False]


def test_a_share_of_the_objects_is_pasted(outlined, rooms):
    for share, least, most in ((0.0, 0, 0), (0.4, 10, 34), (1.0, 66, 66)):
        config = replace(PLAIN, background=str(rooms), background_share=share)
        data, plain = CropDataset(outlined, RULE, config), CropDataset(outlined, RULE)
        changed = [not torch.equal(data[(e, i)]["image"], plain[i]["image"]) for e in range(3) for i in range(22)]
        assert least <= sum(changed) <= most


@pytest.mark.parametrize(
    ("content", "message"), [(None, "does not exist"), ("text", "holds no pictures"), ("file", "is no folder")]
)
def test_a_folder_without_pictures_is_one_clear_line(outlined, tmp_path, capsys, content, message):
    folder = tmp_path / "rooms"
    if content == "text":
        folder.mkdir()
        (folder / "notes.txt").write_text("none")
    elif content == "file":
        folder.write_text("none")
    write = get_format("coco").write
    assert write is not None
    write(outlined, outlined.root / "outlined.json")
    data = str(outlined.root / "outlined.json")
    status = main(
        ["augment-preview", "--data", data, "--augment.background", str(folder), "-o", str(tmp_path / "a.png")]
    )
    error = capsys.readouterr().err
    assert status == 2 and error.count("\n") == 1 and message in error and "rooms" in error
    assert not (tmp_path / "a.png").exists()


def test_backgrounds_for_data_without_outlines_are_refused(discs, rooms):
    with pytest.raises(PosewrightError, match="no object has an outline"):
        CropDataset(discs, RULE, replace(PLAIN, background=str(rooms)))


def test_a_mask_that_is_not_the_pictures_names_its_object(outlined, rooms):
    polygons = [{"size": [40, 40], "counts": [1600]}, {"size": [96, 96], "counts": [5]}, *outlined.polygons[2:]]
    config = replace(PLAIN, background=str(rooms), background_share=1)
    data = CropDataset(replace(outlined, polygons=polygons), RULE, config)
    with pytest.raises(PosewrightError, match=r"object 0 on image '000.png': the mask is 40 x 40, its picture 96 x 96"):
        data[0]
    with pytest.raises(PosewrightError, match=r"object 1 on image '001.png': the mask has runs of 5 pixels"):
        data[1]


def test_the_sheet_shows_objects_that_can_be_pasted_first(outlined, rooms, tmp_path):
    polygons = [p if i == 9 else [] for i, p in enumerate(outlined.polygons)]
    config = TrainConfig(input_size="64", augment=replace(PLAIN, background=str(rooms), background_share=1))
    path = augmentation_sheet(
        replace(outlined, polygons=polygons), config, tmp_path / "sheet.png", objects=1, variants=5
    )
    sheet = read_picture(path)
    assert (np.minimum(distance(sheet, MAGENTA), distance(sheet, TEAL)) == 0).mean() > 0.3
