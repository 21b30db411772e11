"""Every preset of every family goes through the same tests."""

from __future__ import annotations

import pytest
import torch

from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from posewright.models.presets import FAMILIES, ORDERS, build_net, net_config, preset, preset_table
from posewright.skeletons import BODY_14

PRESETS = [row["name"].replace("{N}", "2") for row in preset_table()]
CASES = [(name, order) for name in PRESETS for order in ORDERS]


@pytest.mark.parametrize(("name", "order"), CASES)
def test_shapes_gradients_and_dtype(name, order):
    config = preset(name, order=order)
    net = build_net(config, 5)
    height, width = config.multiple * 2, config.multiple * 3
    image = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8)
    maps = net(image)
    assert maps.shape == (2, 2, 5, height // config.stride, width // config.stride)
    maps.square().mean().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None]
    assert not silent


@pytest.mark.parametrize(("name", "order"), [c for c in CASES if "nano" in c[0]])
def test_fusing_changes_nothing_but_the_layers(name, order):
    torch.manual_seed(0)
    net = build_net(preset(name, order=order, activation="sigmoid"), 3)
    image = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    for module in net.modules():  # batch norms that do something
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
    net.eval()
    with torch.no_grad():
        before = net.logits(image)
        net.fuse()
        after = net.logits(image)
    assert torch.allclose(before, after, atol=1e-4 * before.abs().max())
    norms = sum(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
    assert (norms == 0) == (order == "conv_bn_relu")


@pytest.mark.parametrize("order", ORDERS)
def test_a_checkpoint_brings_the_same_net_back(order, tmp_path):
    net = build_net(preset("hourglass_s2_nano", order=order), 14).eval()
    path = save_checkpoint(
        Checkpoint(net, BODY_14, CropRule((64, 64)), "hourglass_s2_nano", (3.0, -1.0)), tmp_path / "a.safetensors"
    )
    again = load_checkpoint(path)
    image = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(again.net(image), net(image))
    assert (again.skeleton, again.rule, again.presence) == (BODY_14, CropRule((64, 64)), (3.0, -1.0))


PUBLISHED = {
    "hourglass_s1": 3_444_113,
    "hourglass_s2": 6_603_426,
    "hourglass_s4": 12_922_052,
    "hourglass_s8": 25_559_304,
    "hourglass_s1_mobile": 1_437_073,
    "hourglass_s2_mobile": 2_782_882,
    "hourglass_s2_tiny": 1_680_418,
    "hourglass_s1_mobile_tiny": 383_377,
    "hourglass_s2_mobile_tiny": 736_802,
}
"""Parameters, running means and variances included, of the tf.keras system's nets with 17 keypoints."""


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_the_keras_order_has_the_published_number_of_parameters(name, count):
    net = build_net(preset(name, order="conv_relu_bn"), 17)
    running = sum(b.numel() for n, b in net.named_buffers() if "running" in n)
    assert sum(p.numel() for p in net.parameters()) + running == count


def test_stacks_channels_and_poolings_are_free():
    net = build_net(preset("hourglass_s3_nano", poolings=4, channels=24), 2)
    assert net(torch.zeros(1, 64, 128, 3, dtype=torch.uint8)).shape == (1, 3, 2, 16, 32)
    with pytest.raises(PosewrightError, match="multiples of 64"):
        net.check_size(96, 64)


def test_names_and_settings_that_do_not_exist():
    with pytest.raises(PosewrightError, match="Did you mean 'hourglass_s2_tiny'"):
        preset("hourglas_s2_tiny")
    with pytest.raises(PosewrightError, match=r"no setting 'chanels'. Did you mean 'channels'"):
        preset("hourglass_s2", chanels=3)
    with pytest.raises(PosewrightError, match="unknown order"):
        preset("hourglass_s2", order="bn_conv")
    with pytest.raises(PosewrightError, match="unknown family"):
        net_config({"family": "resnet"})


@pytest.mark.parametrize("family", FAMILIES)
def test_settings_survive_their_dictionary(family):
    name = FAMILIES[family].shown[0][0].replace("{N}", "2")
    assert net_config(preset(name).to_dict()) == preset(name)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "noise", "foreign", "version", "weights"])
def test_a_checkpoint_that_cannot_be_used_is_refused_in_one_line(damage, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "a.safetensors"
    net = build_net(preset("hourglass_s1_nano"), 14)
    save_checkpoint(Checkpoint(net, BODY_14, CropRule((64, 64)), "hourglass_s1_nano"), path)
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "noise":
        path.write_bytes(bytes(range(256)) * 40)
    elif damage == "foreign":
        save_file({"a": torch.zeros(3)}, path)
    elif damage == "version":
        path.write_bytes(data.replace(b'\\"format_version\\": 1', b'\\"format_version\\": 7', 1))
    elif damage == "weights":
        path.write_bytes(data.replace(b'\\"channels\\": 64', b'\\"channels\\": 32', 1))
    with pytest.raises(PosewrightError) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
