"""The reference decoder in examples/ gives what the runtime gives, in every rule, and so do its maps to and from the crop."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from posewright.geometry import CropRule, picture_box
from posewright.runtime.decode import RULES, decode

FILE = Path(__file__).resolve().parents[2] / "examples" / "decoder.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("decoder", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def some_maps(height: int = 9, width: int = 12) -> np.ndarray:
    """``[N, h, w]``: gaussians anywhere, the edge included, noise, plateaus, and maps of nothing or less than nothing."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width]
    maps = [
        np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * sigma**2)) * peak
        for a, b, sigma, peak in zip(
            rng.uniform(-1, width, 40), rng.uniform(-1, height, 40), rng.uniform(0.4, 3, 40), rng.uniform(0.01, 1.2, 40)
        )
    ]
    maps += list(rng.random((20, height, width))) + list(rng.normal(0, 0.2, (10, height, width)))
    plateau = np.zeros((height, width))
    plateau[3:6, 2:7] = 0.5
    maps += [plateau, np.zeros((height, width)), np.full((height, width), 0.3), np.full((height, width), -1.0)]
    return np.array(maps, np.float32)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("stride", "shift"), [(4, (0.0, 0.0)), (3, (0.25, -0.5)), (8, (0.5, 0.5))])
def test_it_decodes_as_the_runtime_does(example, rule, stride, shift):
    maps = some_maps()
    found = np.array([example.decode(one.tolist(), stride, shift, rule) for one in maps])
    expected = decode(maps, stride, shift, rule)
    if rule == "argmax_resized":  # which of two equal pixels is the higher one is a matter of rounding
        same = np.abs(found - expected)[:, :2].max(1) < 1e-6
        assert same[:70].mean() > 0.9
        np.testing.assert_allclose(found[:, 2], expected[:, 2], atol=1e-5)
    else:
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("box", [None, (10.0, 20.0, 200.0, 90.0), (-30.0, 5.0, 12.5, 300.0)])
def test_its_crop_is_the_crop_rule(example, box):
    rule = CropRule((96, 128), margin=1.3)
    if box is None:
        expected, mapped = rule.letterbox(640, 480), example.crop_map(tuple(picture_box(640, 480)), rule.size)
    else:
        expected, mapped = rule.similarity(box), example.crop_map(box, rule.size, rule.margin)
    np.testing.assert_allclose(expected.matrix, [[mapped[0], 0, mapped[1]], [0, mapped[0], mapped[2]]], atol=1e-9)
    np.testing.assert_allclose(expected.inverse().apply([30.5, 7.25]), example.to_picture((30.5, 7.25), mapped))


def test_it_needs_nothing_but_python():
    imports = [line for line in FILE.read_text().splitlines() if line.startswith(("import ", "from "))]
    assert imports == ["from __future__ import annotations", "import math", "from collections.abc import Sequence"]
