"""Grey world: the cast of the light goes, brightness, contrast and padding stay."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.runtime.white_balance import _TABLE, GreyWorld, _srgb

GREY = GreyWorld(114)


def scene(seed: int = 0) -> np.ndarray:
    """Linear light of a world that is grey on average."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.05, 0.5, (64, 64, 1)) * rng.uniform(0.8, 1.2, (64, 64, 3))


def shown(light: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(_srgb(light), 0, 1)).astype(np.uint8)


@pytest.mark.parametrize("cast", [(1.4, 1.0, 0.7), (0.6, 1.0, 1.5), (1.0, 1.0, 1.0), (1.2, 0.8, 1.0)])
def test_a_cast_is_taken_out(cast):
    balanced = _TABLE[GREY(shown(scene() * cast))]
    mean = balanced.mean((0, 1))
    assert np.ptp(mean) / mean.mean() < 0.03
    # Up to its brightness it is the scene before the cast.
    ratio = balanced / scene()
    assert ratio.std() / ratio.mean() < 0.05


def test_brightness_and_contrast_stay():
    before = shown(scene() * (1.3, 1.0, 0.8))
    light = [_TABLE[p] @ (0.2126, 0.7152, 0.0722) for p in (before, GREY(before))]
    assert light[1].mean() == pytest.approx(light[0].mean(), rel=0.02)
    assert light[1].std() == pytest.approx(light[0].std(), rel=0.05)


def test_the_padding_is_not_part_of_the_world():
    crop = shown(scene() * (1.5, 1.0, 0.6))
    padded = np.full((64, 128, 3), 114, np.uint8)
    padded[:, 32:96] = crop
    balanced = GREY(padded)
    assert (balanced[:, :32] == 114).all() and (balanced[:, 96:] == 114).all()
    np.testing.assert_array_equal(balanced[:, 32:96], GREY(crop))


def test_what_tells_nothing_stays():
    for level in (0, 114, 255):
        flat = np.full((32, 32, 3), level, np.uint8)
        np.testing.assert_array_equal(GREY(flat), flat)


def test_the_given_crop_is_not_changed():
    crop = shown(scene() * (1.5, 1.0, 0.6))
    before = crop.copy()
    assert GREY(crop) is not crop
    np.testing.assert_array_equal(crop, before)
