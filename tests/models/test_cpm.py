"""Convolutional pose machines: their numbers of parameters, their centre map, what a stage sees of the one before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.nets import NARROW
from posewright.errors import PosewrightError
from posewright.models.cpm import LaterStage, centre_map
from posewright.models.presets import build_net, preset

BODY, HAND = (8_815_680, 295_040, 73_743, 4_133_519), (15_304_768, 589_952, 77_334, 4_172_054)
"""Parameters of trunk, feature layer, first stage and each later one, with 14 and 21 keypoints and the background."""


@pytest.fixture(scope="module")
def counted():
    """Parameters of a net on no device, by its parts."""

    def count(name: str, keypoints: int) -> tuple[tuple[int, ...], int]:
        with torch.device("meta"):
            net = build_net(preset(name), keypoints)
        parts = (net.trunk, net.feature, *net.stages)
        return tuple(sum(p.numel() for p in part.parameters()) for part in parts), sum(
            p.numel() for p in net.parameters()
        )

    return count


@pytest.mark.parametrize(
    ("name", "keypoints", "parts", "total"),
    [
        ("cpm_body", 14, BODY, 29_852_058),
        ("cpm_body_slim", 14, BODY, 29_852_058),
        ("cpm_hand_s6", 21, HAND, 36_832_324),
        ("cpm_hand_slim", 21, HAND, 36_832_324),
        ("cpm_hand", 21, HAND, 24_316_162),
        ("cpm_hand_v2", 21, HAND, 24_316_162),
        ("cpm_body_s2", 14, BODY, 13_317_982),
    ],
)
def test_parameters_are_those_of_the_published_nets(counted, name, keypoints, parts, total):
    found, everything = counted(name, keypoints)
    assert found == (*parts[:3], *[parts[3]] * (len(found) - 3))
    assert everything == total


@pytest.mark.parametrize(
    ("name", "stages"), [("cpm_body", 6), ("cpm_hand", 3), ("cpm_hand_s9", 9), ("cpm_light_s4", 4)]
)
def test_the_name_says_how_many_stages(name, stages):
    assert preset(name).stages == stages


@pytest.mark.parametrize("name", ["cpm_body", "cpm_hand_v2", "cpm_light"])
def test_one_stage_is_no_pose_machine(name):
    with pytest.raises(PosewrightError, match="at least 2 stages"):
        preset(name, stages=1)


@pytest.mark.parametrize(("name", "keypoints", "channels"), [("cpm_body", 14, 15), ("cpm_hand", 1, 2)])
@pytest.mark.parametrize(("height", "width"), [(40, 64), (368, 72)])
def test_any_size_and_number_of_keypoints(name, keypoints, channels, height, width):
    net = build_net(preset(name, **NARROW["cpm"]), keypoints)
    maps = net(torch.zeros(2, height, width, 3, dtype=torch.uint8))
    assert maps.shape == (2, 2, channels, height // 8, width // 8)


@pytest.mark.parametrize(("height", "width", "stride"), [(128, 128, 8), (368, 240, 8), (48, 64, 4)])
def test_the_centre_map_is_a_gaussian_averaged_over_windows_that_end_at_the_edge(height, width, stride):
    y, x = np.mgrid[:height, :width]
    gaussian = np.exp(-((x - width / 2) ** 2 + (y - height / 2) ** 2) / (2 * 21.0**2))
    rows, columns = range(0, height, stride), range(0, width, stride)
    windows = [[gaussian[i : i + stride + 1, j : j + stride + 1].mean() for j in columns] for i in rows]
    assert np.allclose(centre_map(height, width, stride, 21.0).numpy(), windows, atol=1e-7)


def test_the_centre_map_is_the_one_the_original_was_given(shared_data):
    given = np.load(shared_data / "legacy" / "cpm_body_128_s3_seed9_io.npz")["centre_map"].astype(np.float64)
    windows = [[given[i : i + 9, j : j + 9].mean() for j in range(0, 128, 8)] for i in range(0, 128, 8)]
    assert np.allclose(centre_map(128, 128, 8, preset("cpm_body").centre_sigma).numpy(), windows, atol=1e-6)


def test_the_centre_map_tells_later_stages_where_to_look():
    torch.manual_seed(0)
    picture = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    found = []
    for sigma in (8.0, 30.0):
        torch.manual_seed(1)
        found.append(build_net(preset("cpm_body", **NARROW["cpm"], centre_sigma=sigma), 3).logits(picture)[0])
    assert torch.equal(found[0][0], found[1][0])
    assert not torch.allclose(found[0][1], found[1][1])


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "linear"])
def test_a_later_stage_sees_maps_as_the_caller_does(activation, monkeypatch):
    torch.manual_seed(0)
    net = build_net(preset("cpm_hand", **NARROW["cpm"], activation=activation), 3)
    net.stages[0].heatmap.weight.data.mul_(100)
    seen = []
    forward = LaterStage.forward
    monkeypatch.setattr(LaterStage, "forward", lambda stage, x: (seen.append(x[0]), forward(stage, x))[1])
    picture = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    maps = net(picture)
    assert torch.equal(seen[0], maps[:, 0])
    assert net.logits(picture)[:, 0].min() < 0
    assert (seen[0].min() >= 0) == (activation != "linear")


def test_width_narrows_every_layer_but_keeps_the_shape():
    net = build_net(preset("cpm_body", width=0.125), 14)
    assert [m.out_channels for m in net.trunk.children()] == [8, 8, 16, 16, 32, 32, 32, 32, 64, 64, 32, 32, 32, 32]
    assert net.stages[1].conv1.in_channels == 15 + 16 + 1
