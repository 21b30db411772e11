"""A locator's samples: boxes stay with their pixels, and what is not known is marked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.blobs import draw_blobs
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.centres import ABSENT, IGNORED, OBJECT
from posewright.training.augment_config import SceneAugment
from posewright.training.scenes import SceneDataset, collate_scenes

RULE = CropRule((128, 96), margin=1.0)
STILL = dict.fromkeys(("colour", "hue", "saturation", "value", "contrast", "grey", "blur", "cutout"), 0.0)
"""Changes of pixels, switched off, so that bright pixels stay what they are."""


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return draw_blobs(tmp_path_factory.mktemp("blobs"))


def bright(sample):
    return sample["image"].numpy().min(-1) > 150


def painted(sample):
    """The pixels within the sample's boxes, objects and unknown places alike."""
    mask = np.zeros(sample["image"].shape[:2], bool)
    for x0, y0, x1, y1 in np.round(sample["boxes"].numpy() + 0.5).astype(int):
        mask[max(y0, 0) : y1, max(x0, 0) : x1] = True
    return mask


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_boxes_lie_around_their_pixels_whatever_the_augmentation(blobs, mosaic):
    augment = SceneAugment(**STILL, scale=1.0, flip=0.5, flip_vertical=0.5, mosaic=mosaic)
    dataset = SceneDataset(blobs, RULE, augment, seed=3, least_side=0.0)
    apart = total = 0
    for item in range(len(dataset)):
        for epoch in range(2):
            sample = dataset[(epoch, item)]
            apart += int((bright(sample) ^ painted(sample)).sum())
            total += int(painted(sample).sum())
    # Along each side, half a pixel of blur and of rounding.
    assert total > 10_000 and apart < 0.15 * total


def test_the_same_key_gives_the_same_sample_and_another_does_not(blobs):
    datasets = [SceneDataset(blobs, RULE, SceneAugment(mosaic=0.5), seed=1) for _ in range(2)]
    one, other = datasets[0][(4, 3)], datasets[1][(4, 3)]
    assert torch.equal(one["image"], other["image"]) and torch.equal(one["boxes"], other["boxes"])
    assert not torch.equal(one["image"], datasets[0][(5, 3)]["image"])


def test_plain_pictures_are_fitted_whole(blobs):
    dataset = SceneDataset(blobs, RULE)
    sample = dataset[1]
    own = blobs.boxes[blobs.image == 1]
    assert sample["boxes"].numpy() == pytest.approx(
        (own + 0.5) * 128 / 96 - 0.5 + [0, (96 - 64 * 4 / 3) / 2] * 2, abs=1e-3
    )
    assert (sample["state"] == OBJECT).all() and int(sample["index"]) == 1


def test_crowds_and_what_is_too_small_are_unknown_places(blobs):
    crowd = replace(blobs, iscrowd=np.arange(len(blobs)) == 0)
    assert (SceneDataset(crowd, RULE)[int(blobs.image[0])]["state"] == IGNORED).any()
    sample = SceneDataset(blobs, RULE, least_side=60.0)[int(blobs.image[0])]
    assert len(sample["state"]) and (sample["state"] == IGNORED).all()


def test_an_object_that_is_mostly_cut_off_is_unknown_and_one_outside_is_gone(blobs):
    boxes = blobs.boxes.copy()
    first = np.flatnonzero(blobs.image == blobs.image[0])
    boxes[first[0]] = (-40, 10, 15, 30)
    outside = replace(blobs, boxes=boxes, area=None)
    assert SceneDataset(outside, RULE)[int(blobs.image[0])]["state"].tolist()[0] == IGNORED
    boxes[first[0]] = (-40, 10, -5, 30)
    gone = SceneDataset(replace(blobs, boxes=boxes, area=None), RULE)[int(blobs.image[0])]
    assert len(gone["boxes"]) == len(first) - 1


def test_pictures_without_objects_are_samples_too(blobs):
    dataset = SceneDataset(blobs, RULE, SceneAugment())
    assert len(dataset) == len(blobs.images)
    sample = dataset[(0, len(dataset) - 1)]
    assert sample["boxes"].shape == (0, 4) or (sample["boxes"].shape[1] == 4)
    batch = collate_scenes([SceneDataset(blobs, RULE)[i] for i in (0, 1, len(dataset) - 1)])
    most = max(int((blobs.image == i).sum()) for i in (0, 1))
    assert batch["boxes"].shape == (3, most, 4) and (batch["state"][2] == ABSENT).all()
    assert batch["image"].shape == (3, 96, 128, 3)


@pytest.mark.parametrize("settings", [{"mosaic": 1.5}, {"scale": -1.0}, {"shift": 2.0}])
def test_settings_that_make_no_sense(settings):
    with pytest.raises(PosewrightError, match=f"augment.{next(iter(settings))}"):
        SceneAugment(**settings)
