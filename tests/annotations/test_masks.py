"""Run-length masks: as pycocotools writes them, and what is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewright.annotations.masks import decode_rle, encode_rle


def test_runs_go_down_the_columns():
    mask = decode_rle({"size": [2, 3], "counts": [1, 2, 3]})
    assert mask.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert mask.dtype == np.uint8
    assert decode_rle({"size": [1, 2], "counts": [0, 2]}).tolist() == [[1, 1]]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_compressed_masks_are_read_as_pycocotools_wrote_them(height, width, seed, share):
    coco = pytest.importorskip("pycocotools.mask")
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)
    mask[: height // 2, : width // 3] = 1  # runs of several digits, too
    encoded = coco.encode(np.asfortranarray(mask))
    assert np.array_equal(decode_rle(encoded), mask)
    assert np.array_equal(decode_rle({**encoded, "counts": encoded["counts"].decode()}), mask)


@pytest.mark.parametrize(
    "mask",
    [
        {},
        {"size": [2, 3]},
        {"size": [2, 3], "counts": [1, 2]},
        {"size": [2, 3], "counts": [8, -2]},
        {"size": [2, 3], "counts": "o"},
        {"size": [2, 3], "counts": "~~~~"},
        {"size": 6, "counts": [6]},
        {"size": [2, 3], "counts": [[6]]},
        {"size": [2, 3], "counts": None},
    ],
)
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises(ValueError, match=r"is no run-length mask|has runs of"):
        decode_rle(mask)


def test_encoded_masks_are_read_back():
    rng = np.random.default_rng(0)
    masks = [rng.random((7, 5)) < share for share in (0, 0.3, 0.7, 1)]
    for mask in masks:
        assert np.array_equal(decode_rle(encode_rle(mask)), mask)
    assert encode_rle(np.zeros((2, 3)))["counts"] == [6]
