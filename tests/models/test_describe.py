"""Counts against the published figures of the two older systems, and fields and memory against arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from posewright.errors import PosewrightError
from posewright.models.base import HeatmapNet
from posewright.models.describe import describe_net
from posewright.models.layers import feature_maps, find_layer, first_kernels, maximise, part_names
from posewright.models.presets import Hourglass, build_net, preset


class Small(HeatmapNet):
    """A net whose figures can be worked out by hand: 3x3, 3x3, a pooling by two, 3x3 twice; stride 2, two stages."""

    def __init__(self) -> None:
        super().__init__(Hourglass(stacks=2, poolings=1), 2)
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.heads = nn.ModuleList([nn.Conv2d(4, 2, 3, padding=1, bias=False), nn.Conv2d(2, 2, 3, padding=1)])

    def stage_maps(self, x):
        x = torch.relu(self.norm(self.second(self.first(x))))
        one = self.heads[0](torch.max_pool2d(x, 2))
        return [one, self.heads[1](one)]


@pytest.mark.parametrize(
    ("name", "settings", "keypoints", "side", "gmac"),
    [
        ("hourglass_s2", {"order": "conv_relu_bn"}, 17, 256, 10.12),
        ("hourglass_s1", {"order": "conv_relu_bn"}, 17, 256, 6.04),
        ("hourglass_s2_tiny", {"order": "conv_relu_bn"}, 17, 256, 2.64),
        ("hourglass_s2_mobile_tiny", {"order": "conv_relu_bn"}, 17, 192, 0.73),
        ("cpm_hand", {"stages": 3}, 21, 256, 37.1),
    ],
)
def test_multiplications_are_the_published_ones(name, settings, keypoints, side, gmac):
    found = describe_net(build_net(preset(name, **settings), keypoints), (side, side))
    assert found.macs / 1e9 == pytest.approx(gmac, abs=0.006 if gmac < 20 else 0.06)
    assert sum(layer.parameters for layer in found.layers) == found.parameters


def test_a_net_worked_out_by_hand():
    found = describe_net(Small(), (64, 48))
    rows = {layer.name: layer for layer in found.layers}
    assert rows["first"].kind == "Conv2d 3x3" and rows["first"].shape == (4, 64, 48)
    assert rows["first"].macs == 64 * 48 * 4 * 27 and rows["heads.1"].macs == 32 * 24 * 2 * 18
    assert rows["first"].parameters == 4 * 27 + 4 and rows["heads.0"].part == "heads.0"
    # 3, 5, then a pooling: 6; a 3x3 at stride 2 adds 4.
    assert found.stages == ((10, 10), (14, 14))
    assert found.parameters == 112 + 148 + 8 + 72 + 38
    assert found.weight_bytes == 4 * (found.parameters + 8) + 8  # running mean and variance, and an int64 counter


def test_the_memory_of_a_chain_is_its_two_largest_neighbours():
    found = describe_net(Small(), (64, 48))
    map_bytes = 4 * 64 * 48 * 4
    # The pixels as they come, normalised, and two maps of four channels: what the second convolution needs.
    image, normalised = 64 * 48 * 3, 64 * 48 * 3 * 4
    assert 2 * map_bytes <= found.activation_bytes <= 2 * map_bytes + 2 * normalised + image


def test_the_field_of_a_pose_machine():
    """164 px by arithmetic for the first stage; each later one adds five 7x7 at stride 8."""
    found = describe_net(build_net(preset("cpm_hand", stages=2), 3), (64, 64))
    assert found.stages == ((164, 164), (404, 404))


def test_describing_leaves_the_net_alone():
    net = Small()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    describe_net(net, (64, 64))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules())
    with pytest.raises(PosewrightError, match="does not fit the net"):
        describe_net(net, (63, 64))


def test_feature_maps_and_kernels():
    net = Small().eval()
    image = torch.randint(0, 256, (32, 40, 3), dtype=torch.uint8)
    found = feature_maps(net, image.numpy(), ["first", "heads.1"])
    assert {k: v.shape for k, v in found.items()} == {"first": (4, 32, 40), "heads.1": (2, 16, 20)}
    true = net.first(net.pixels(image[None]))[0].detach().numpy()
    assert abs(found["first"] - true).max() < 1e-5
    name, kernels = first_kernels(net)
    assert name == "first" and kernels.shape == (4, 3, 3, 3)
    assert part_names(net) == ["first", "second", "norm", "heads.0", "heads.1"]
    with pytest.raises(PosewrightError, match="Did you mean 'second'"):
        find_layer(net, "secund")


def test_gradient_ascent_excites_its_channel():
    torch.manual_seed(0)
    net = Small().eval()
    crops = dict(maximise(net, "heads.0", [1, 0], (32, 32)))
    assert list(crops) == [1, 0]
    noise = (128 + 20 * torch.rand(8, 32, 32, 3) - 10).round().byte().numpy()
    for channel, crop in crops.items():
        plain = max(feature_maps(net, n, ["heads.0"])["heads.0"][channel].mean() for n in noise)
        assert feature_maps(net, crop, ["heads.0"])["heads.0"][channel].mean() > plain
    with pytest.raises(PosewrightError, match="has 2 channels, numbered from 0"):
        list(maximise(net, "heads.0", [2], (32, 32)))
