"""The locator's net: on a pyramid of its own and on the features of every keypoint net, and folded for its file."""

from __future__ import annotations

import pytest
import torch

from helpers.nets import presets
from posewright.errors import PosewrightError
from posewright.models.locator import CentreNet
from posewright.models.locator_presets import (
    PRESETS,
    CentreConfig,
    locator_config,
    locator_preset,
    trunk_text,
)
from posewright.models.overrides import as_overrides, net_overrides
from posewright.models.presets import preset

CHEAP = [(name, settings) for name, settings in presets(2) if "nano" in name or "cpm" in name]
NETS = [(name, locator_preset(name, {"channels": 16, "depth": 1})) for name in PRESETS] + [
    (name, CentreConfig(16, max(8, preset(name, **s).stride), 1, trunk_text(preset(name, **s)), 5)) for name, s in CHEAP
]


@pytest.mark.parametrize("config", [c for _, c in NETS], ids=[n for n, _ in NETS])
def test_shapes_gradients_and_folding(config):
    torch.manual_seed(0)
    net = CentreNet(config)
    height, width = 2 * config.multiple, 3 * config.multiple
    image = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8)
    maps = net.logits(image)
    assert maps.shape == (2, 6, height // config.stride, width // config.stride)
    maps.square().mean().backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None]
    for module in net.modules():  # batch norms that do something
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
    net.eval()
    with torch.no_grad():
        before = net(image)
        net.fuse()
        assert torch.allclose(net(image), before, rtol=1e-3, atol=1e-3)
    assert before.shape[1] == 5 and float(before[:, 0].min()) >= 0 and float(before[:, 0].max()) <= 1


@pytest.mark.parametrize("config", [c for _, c in NETS], ids=[n for n, _ in NETS])
def test_settings_come_back_from_a_file_and_from_what_is_typed(config):
    assert locator_config(config.to_dict()) == config
    assert locator_preset("locator", net_overrides(CentreConfig, as_overrides(config))) == config


def test_a_trunk_by_its_presets_name():
    config = locator_preset("locator", net_overrides(CentreConfig, ("trunk=hourglass_s1_nano", "keypoints=3")))
    assert config.multiple == preset("hourglass_s1_nano").multiple and CentreNet(config)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"stride": 16}, "stride is 4 or 8"),
        ({"channels": 6}, "at least 8 channels"),
        ({"depth": 0}, "depth of 1"),
        ({"trunk": "hourglass_s1_nanu", "keypoints": 3}, "unknown preset"),
        ({"trunk": "{", "keypoints": 3}, "no JSON"),
        ({"trunk": "{}", "keypoints": 3}, "unknown family"),
        ({"trunk": "hourglass_s1_nano"}, "number of its keypoints"),
        ({"trunk": "cpm_body", "keypoints": 3, "stride": 4}, "cannot read a keypoint net of stride 8"),
    ],
)
def test_settings_that_make_no_net(settings, what):
    with pytest.raises(PosewrightError, match=what):
        CentreConfig(**settings)
