"""Every preset of every family goes through the same tests."""

from __future__ import annotations

import pytest
import torch

from helpers.nets import NARROW, presets
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from posewright.models.hourglass import Separable
from posewright.models.overrides import as_overrides, net_overrides
from posewright.models.presets import FAMILIES, build_net, family_of, net_config, preset
from posewright.skeletons import BODY_14

CASES = presets(2)
CHEAP = [(name, settings) for name, settings in CASES if "nano" in name or "cpm" in name]


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_shapes_gradients_and_dtype(name, settings):
    config = preset(name, **settings)
    net = build_net(config, 5)
    height, width = config.multiple * 2, config.multiple * 3
    image = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8)
    maps = net(image)
    assert config.stages == len(net.predictors()) == 2
    assert maps.shape == (2, 2, 5 + config.background, height // config.stride, width // config.stride)
    maps.square().mean().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None]
    assert not silent


@pytest.mark.parametrize(("name", "settings"), CHEAP)
def test_fusing_changes_nothing_but_the_layers(name, settings):
    torch.manual_seed(0)
    net = build_net(preset(name, **settings, activation="sigmoid"), 3)
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
    assert (norms == 0) == (settings.get("order", "conv_bn_relu") == "conv_bn_relu")


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_separable_layer_is_the_same_in_training_and_folded(kernel):
    """Where one pointwise convolution does the work of both, maps and gradients are those of the two."""
    torch.manual_seed(0)
    layer, x = Separable(6, 4, kernel, bias=True).double(), torch.randn(2, 6, 5, 7, dtype=torch.float64)
    found = []
    for mode in (True, False):
        layer.train(mode).zero_grad()
        maps = layer(x)
        maps.square().sum().backward()
        found.append([maps.detach(), *(p.grad.clone() for p in layer.parameters())])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-10)
    layer.fold()
    assert torch.allclose(layer(x), found[0][0], rtol=1e-10)
    assert isinstance(layer.depthwise, torch.nn.Identity) == (kernel == 1)


@pytest.mark.parametrize(("name", "settings"), CHEAP)
def test_a_checkpoint_brings_the_same_net_back(name, settings, tmp_path):
    net = build_net(preset(name, **settings), 14).eval()
    path = save_checkpoint(Checkpoint(net, BODY_14, CropRule((64, 64)), name, (3.0, -1.0)), tmp_path / "a.safetensors")
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


def test_maps_too_small_to_be_decoded_are_refused():
    net = build_net(preset("cpm_hand", **NARROW["cpm"]), 2)
    net.check_size(40, 48)
    with pytest.raises(PosewrightError, match="multiples of 8, such as 40x48"):
        net.check_size(32, 48)


@pytest.mark.parametrize("colour", ["bgr", "grey"])
@pytest.mark.parametrize(("name", "settings"), [("hourglass_s1_nano", {}), ("cpm_hand", NARROW["cpm"])])
def test_the_net_itself_brings_channels_into_its_order(name, settings, colour):
    torch.manual_seed(0)
    net = build_net(preset(name, **settings, colour=colour, mean=(0.5, 0.4, 0.3), scale=256.0), 2)
    picture = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    seen = net.pixels(picture)
    rgb = [picture[..., i].float() / 256 - m for i, m in enumerate((0.5, 0.4, 0.3))]
    grey = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
    assert torch.allclose(seen, torch.stack(rgb[::-1] if colour == "bgr" else [grey], 1), atol=1e-6)
    assert net.logits(picture).isfinite().all()


@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid"])
@pytest.mark.parametrize(("name", "settings"), [("hourglass_s2_nano", {}), *NARROW.items()])
def test_maps_start_near_what_most_targets_are(name, settings, activation):
    torch.manual_seed(0)
    net = build_net(preset(name, **settings, activation=activation, background=True), 4)
    maps = net(torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8))
    assert maps[:, :, :4].abs().mean() < 0.1
    assert (maps[:, :, 4] - 1).abs().mean() < 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_settings_survive_their_dictionary(family):
    name = FAMILIES[family].shown[0][0].replace("{N}", "2")
    assert net_config(preset(name).to_dict()) == preset(name)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_settings_survive_being_written_for_the_command_line(name, settings):
    config = preset(
        name, **settings, mean=(0.1, 0.2, 0.25), activation="sigmoid", background=not preset(name).background
    )
    family = family_of(name)[0].config
    assert preset(family.family, **net_overrides(family, as_overrides(config))) == config


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("stages",), "'stages' is no setting of a net"),
        (("stage=3",), "has no setting 'stage'. Did you mean 'stages'"),
        (("stages=3", "stages=4"), "'stages' is given twice"),
        (("stages=many",), "'stages' is a whole number, not 'many'"),
        (("background=perhaps",), "'background' is true or false, not 'perhaps'"),
        (("mean=0.5,0.5",), "'mean' is numbers with commas between them, not '0.5,0.5'"),
        (("stages=1",), "at least 2 stages"),
        (("stride=2",), "stride is 4 or 8, not 2"),
        (("colour=gray",), "unknown colour 'gray'. Did you mean 'grey'"),
        (("activation=tanh",), "unknown activation 'tanh'"),
    ],
)
def test_settings_of_the_command_line_that_cannot_be_used(texts, message):
    family = family_of("cpm_body")[0].config
    with pytest.raises(PosewrightError, match=message):
        preset("cpm_body", **net_overrides(family, texts))


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
