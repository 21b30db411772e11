"""The settings of augmentation: each does something, repeats itself, and is refused out of its range."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from helpers.discs import six_points
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.config import TrainConfig
from posewright.training.dataset import CropDataset

RULE = CropRule((96, 64))
STRONG = {
    "scale": 0.5, "rotation": 90, "shift": 0.2, "flip": 1, "flip_vertical": 1, "perspective": 40, "colour": 1,
    "hue": 90, "saturation": 1, "value": 1, "contrast": 1, "sharpness": 1, "grey": 1, "clahe": 1, "blur": 1, "cutout": 1,
    "half_body": 1, "negative": 1,
}  # fmt: skip
BESIDE = {"cutout": {"cutout_size": 0.5}, "rotation": {"rotation_share": 1}}


def test_every_setting_is_known_here_and_off_in_plain():
    beside = {"rotation_share", "cutout_size", "background", "background_share"}
    assert {f.name for f in fields(AugmentConfig)} == set(STRONG) | beside
    assert all(getattr(PLAIN, name) == 0 for name in STRONG)
    assert PLAIN.background is None


def test_plain_is_bit_identical_to_no_augmentation(discs):
    plain, bare = CropDataset(discs, RULE, PLAIN), CropDataset(discs, RULE)
    for item in range(len(bare)):
        a, b = plain[(7, item)], bare[item]
        assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("name", STRONG)
def test_each_change_does_something_and_repeats_itself(discs, name):
    config = replace(PLAIN, **{name: STRONG[name]}, **BESIDE.get(name, {}))
    labels = six_points(discs) if name == "half_body" else discs
    plain, varied = CropDataset(labels, RULE, PLAIN), CropDataset(labels, RULE, config)
    again, fresh = CropDataset(labels, RULE, config), []
    for item in range(6):
        sample = varied[(1, item)]
        assert not torch.equal(sample["image"], plain[(1, item)]["image"])
        repeated = again[(1, item)]
        assert all(torch.equal(sample[k], repeated[k]) for k in sample)
        fresh.append(not torch.equal(sample["image"], varied[(2, item)]["image"]))
    assert any(fresh) or name in ("flip", "flip_vertical", "grey", "clahe")  # those have nothing more to draw


@pytest.mark.parametrize("name", STRONG)
def test_strengths_and_shares_out_of_range_are_refused(name):
    share = name in ("flip", "flip_vertical", "grey", "clahe", "blur", "cutout", "half_body", "negative")
    for bad in (-0.1, float("nan"), 1.5 if share else float("inf")):
        with pytest.raises(PosewrightError, match=f"augment.{name} "):
            AugmentConfig(**{name: bad})


def test_no_tilt_up_to_the_horizon():
    with pytest.raises(PosewrightError, match=r"augment\.perspective is at most 50 degrees, not 60"):
        AugmentConfig(perspective=60)


def test_settings_survive_the_file_beside_a_run(tmp_path):
    config = TrainConfig(augment=AugmentConfig(hue=12, half_body=0.25, perspective=20, background="rooms"))
    config.save(tmp_path / "config.yaml")
    assert TrainConfig.load(tmp_path / "config.yaml").augment == config.augment
