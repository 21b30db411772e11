"""The hourglass system's files: both generations of names, both containers, every variant."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
import torch

pytest.importorskip("h5py", reason="h5py is not installed: pip install 'posewright[legacy]'")
import h5py

from helpers.keras_files import keras_layers, old_name, random_net, write_keras
from posewright.errors import PosewrightError
from posewright.legacy.hourglass import import_hourglass
from posewright.legacy.importer import import_weights
from posewright.legacy.keras_h5 import read_keras

SIZES = {"weights": None, "whole": (64, 96)}


def same_weights(one, other) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a if not k.endswith("tracked"))


@pytest.mark.parametrize("mobile", [False, True], ids=["standard", "mobile"])
@pytest.mark.parametrize("container", SIZES)
@pytest.mark.parametrize("generation", ["new", "old"])
def test_every_kind_of_file_gives_the_net_it_was_written_from(generation, container, mobile, tmp_path):
    net = random_net(mobile=mobile, stacks=2)
    rename = old_name if generation == "old" else str
    path = write_keras(tmp_path / "a.h5", keras_layers(net), size=SIZES[container], rename=rename)
    file = read_keras(path)
    found = import_hourglass(file)
    assert (file.size, bool(file.before)) == (SIZES[container], container == "whole")
    assert (found.config.stacks, found.config.channels, found.config.mobile, found.keypoints) == (2, 16, mobile, 3)
    assert not found.training
    assert same_weights(found, net)
    image = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(found(image), net(image))


@pytest.mark.parametrize(("stacks", "channels"), [(1, 16), (4, 8), (1, 128)])
def test_stacks_and_channels_are_found_in_the_file(stacks, channels, tmp_path):
    net = random_net(stacks=stacks, channels=channels, mobile=channels == 128)
    found = import_hourglass(read_keras(write_keras(tmp_path / "a.h5", keras_layers(net))))
    assert (found.config.stacks, found.config.channels) == (stacks, channels)
    assert same_weights(found, net)


@pytest.mark.parametrize(
    "number", ["batch_normalization_v1{}", "batch_normalization{}", "sync_batch_normalization{}"], ids=str
)
def test_numbers_of_batch_norms_may_start_anywhere(number, tmp_path):
    net = random_net(stacks=1)

    def rename(name):
        match = re.fullmatch(r"batch_normalization(?:_(\d+))?", name)
        return number.format(f"_{int(match[1] or 0) + 95}") if match else name

    layers = keras_layers(net)
    # As a file lists them, by name, _100 comes before _95.
    layers.sort(key=lambda layer: rename(layer[0]))
    assert same_weights(import_hourglass(read_keras(write_keras(tmp_path / "a.h5", layers, rename=rename))), net)


@pytest.mark.parametrize("keras3", [False, True])
def test_a_whole_model_says_itself_which_convolution_a_batch_norm_follows(keras3, tmp_path):
    net = random_net(stacks=1)

    def rename(name):  # numbers that count backwards
        match = re.fullmatch(r"batch_normalization(?:_(\d+))?", name)
        return f"batch_normalization_{900 - int(match[1] or 0)}" if match else name

    layers = keras_layers(net)
    whole = write_keras(tmp_path / "a.h5", layers, size=(64, 64), rename=rename, keras3=keras3)
    assert same_weights(import_hourglass(read_keras(whole)), net)
    weights = write_keras(tmp_path / "b.h5", layers, rename=rename)
    with pytest.raises(PosewrightError, match=r"gamma: is \[16\] where the net has \[\d\]"):
        import_hourglass(read_keras(weights))


def test_the_last_stacks_unused_convolutions_are_dropped(tmp_path):
    net = random_net(stacks=2)
    path = write_keras(tmp_path / "a.h5", keras_layers(net, unused=True))
    with h5py.File(path) as file:
        assert "hg1_conv_1x1_3" in file
    assert same_weights(import_hourglass(read_keras(path)), net)


def test_a_list_of_layers_may_be_spread_over_several_attributes(tmp_path):
    net = random_net(stacks=1)
    assert same_weights(import_hourglass(read_keras(write_keras(tmp_path / "a.h5", keras_layers(net), pieces=3))), net)


def test_half_precision_weights_are_read(tmp_path):
    net = random_net(stacks=1).half().float()
    layers = [(n, {k: v.astype(np.float16) for k, v in w.items()}, b) for n, w, b in keras_layers(net)]
    assert same_weights(import_hourglass(read_keras(write_keras(tmp_path / "a.h5", layers))), net)


# -- bad files --------------------------------------------------------------------------------------------------------


def refused(path, says, **how):
    with pytest.raises(PosewrightError, match=says) as caught:
        import_weights(path, **how)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("generation", ["new", "old"])
def test_missing_layers_are_named(generation, tmp_path):
    rename = old_name if generation == "old" else str
    layers = keras_layers(random_net(stacks=2))
    gone = ("hg0_downsample_4_conv_3x3_2", "hg1_conv_1x1_predict")
    path = write_keras(tmp_path / "a.h5", layers, rename=rename, leave_out=gone)
    refused(path, f"lacks layers {rename(gone[0])}, {rename(gone[1])}$")
    many = tuple(name for name, *_ in layers if name.startswith("hg1_downsample_2") or name == "front_conv_1x1_1")
    path = write_keras(tmp_path / "b.h5", layers, rename=rename, leave_out=many)
    refused(path, f"lacks layers {rename('front_conv_1x1_1')}, {rename('hg1_downsample_2_conv_1x1_1')}, ")


def test_missing_batch_norms_are_named_or_counted(tmp_path):
    layers = keras_layers(random_net(stacks=1))
    gone = next(name for name, _, before in layers if before == "hg0_downsample_1_conv_3x3_2")
    whole = write_keras(tmp_path / "a.h5", layers, size=(64, 64), leave_out=(gone,))
    refused(whole, "lacks the batch norm behind hg0_downsample_1_conv_3x3_2$")
    weights = write_keras(tmp_path / "b.h5", layers, leave_out=(gone,))
    refused(weights, "has 52 batch norms where such an hourglass has 53")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("shape", r"layer 'hg0_conv_1x1_1', kernel: is \[3, 3, 16, 16\] where the net has \[1, 1, 16, 16\]"),
        ("separable", "layer 'hg0_conv_1x1_1': is a separable convolution, unlike"),
        ("bias", "layer 'hg0_conv_1x1_1': lacks its bias"),
        ("nan", "layer 'hg0_conv_1x1_1', kernel: holds values that are no numbers"),
        ("texts", r"layer 'hg0_conv_1x1_1': 'hg0_conv_1x1_1/kernel:0' is \|S1 \[3\], no weight"),
        ("more", "has layers that no such hourglass has: attention$"),
        ("predict", r"hg0_conv_1x1_predict: is \[16, 3\], no kernel of an hourglass"),
    ],
)
def test_layers_that_do_not_fit(change, says, tmp_path):
    layers = keras_layers(random_net(stacks=1))
    place = next(i for i, layer in enumerate(layers) if layer[0] == "hg0_conv_1x1_1")
    name, weights, before = layers[place]
    if change == "shape":
        weights["kernel"] = np.zeros((3, 3, 16, 16), np.float32)
    elif change == "separable":
        weights = {"depthwise_kernel": np.ones((1, 1, 16, 1)), "pointwise_kernel": np.ones((1, 1, 16, 16))}
        weights["bias"] = np.ones(16)
    elif change == "bias":
        del weights["bias"]
    elif change == "nan":
        weights["kernel"] = np.full((1, 1, 16, 16), np.nan, np.float32)
    elif change == "texts":
        weights["kernel"] = np.array([b"a", b"b", b"c"])
    elif change == "more":
        layers.append(("attention", {"kernel": np.ones((1, 1, 3, 3), np.float32)}, name))
    elif change == "predict":
        at = next(i for i, layer in enumerate(layers) if layer[0] == "hg0_conv_1x1_predict")
        layers[at] = (layers[at][0], {"kernel": np.ones((16, 3), np.float32), "bias": np.ones(3)}, name)
    layers[place] = (name, weights, before)
    if change == "separable":
        # One separable layer makes the file a mobile net's, of which the other layers are none.
        says = "layer 'front_residual_1_conv_1x1_1': lacks its depthwise_kernel|is a plain convolution, unlike"
    refused(write_keras(tmp_path / "a.h5", layers), says)


def test_files_that_are_no_hourglass(tmp_path):
    other = [("block1_conv1", {"kernel": np.ones((3, 3, 3, 8), np.float32), "bias": np.ones(8, np.float32)}, "")]
    refused(write_keras(tmp_path / "vgg.h5", other), "no hourglass: it has no layer 'hg0_conv_1x1_predict'")
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["x"] = np.zeros(3)
    refused(tmp_path / "plain.h5", "is an HDF5 file, but Keras has saved no weights in it")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.attrs["layer_names"] = np.array([b"hg0_conv_1x1_predict"])
    refused(tmp_path / "empty.h5", "lists a layer 'hg0_conv_1x1_predict' that is not in it")
    whole = write_keras(tmp_path / "config.h5", keras_layers(random_net(stacks=1)), size=(64, 64))
    with h5py.File(whole, "a") as file:
        file.attrs["model_config"] = b'{"config": 3}'
    refused(whole, "its model_config cannot be understood")


def test_files_that_claim_what_they_do_not_hold(tmp_path, monkeypatch):
    layers = keras_layers(random_net(stacks=1))
    whole = write_keras(tmp_path / "a.h5", layers)
    name, place = "hg0_conv_1x1_1", "hg0_conv_1x1_1/hg0_conv_1x1_1/kernel:0"

    def changed(change):
        copy = tmp_path / "b.h5"
        copy.write_bytes(whole.read_bytes())
        with h5py.File(copy, "a") as file:
            del file[place]
            change(file)
        return copy

    path = changed(lambda f: f.create_dataset(place, (1 << 20, 1 << 20), "f4", chunks=(64, 64)))
    assert path.stat().st_size < 2 * whole.stat().st_size
    refused(path, f"'{name}/kernel:0' is float32 .*, no weight of a net")
    refused(changed(lambda f: f.create_dataset(place, dtype="f4", data=h5py.Empty("f4"))), "lacks the weight")
    (tmp_path / "secret").write_bytes(bytes(1024))
    outside = [(str(tmp_path / "secret"), 0, 1024)]
    refused(changed(lambda f: f.create_dataset(place, (1, 1, 16, 16), "f4", external=outside)), "in another file")

    def link(file):
        file[place] = h5py.ExternalLink("a.h5", place)

    refused(changed(link), "keeps 'hg0_conv_1x1_1/kernel:0' in another file")

    # A pipe that nobody writes to would never open.
    os.mkfifo(tmp_path / "pipe.h5")

    def pipe(file):
        del file[name]
        file[name] = h5py.ExternalLink(str(tmp_path / "pipe.h5"), "/")

    refused(changed(pipe), "another file")

    def flat(file):
        del file[name]
        file[name] = np.zeros(3)

    def flat_all(file):
        file["model_weights"] = np.zeros(3)

    refused(changed(flat), f"lists a layer '{name}' that is not in it")
    refused(changed(flat_all), "Keras has saved no weights in it")
    monkeypatch.setattr("posewright.legacy.keras_h5.MOST_TOGETHER", 5000)
    refused(whole, "claims more numbers than any such net has")


@pytest.mark.parametrize(
    ("stack", "says"), [("999999999", "names layers of 1000000000 stacks"), ("9" * 5000, "lists a")]
)
def test_no_net_is_built_because_a_name_says_so(stack, says, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        name = f"hg{stack}_x"
        file.attrs["layer_names"] = np.array([name.encode()])
        if len(stack) < 99:
            file.create_group(name).attrs["weight_names"] = np.array([b"kernel:0"])
            file[f"{name}/kernel:0"] = np.zeros(3, np.float32)
    refused(path, says)


def test_settings_asked_for_that_the_file_has_no_weights_for(tmp_path):
    path = write_keras(tmp_path / "a.h5", keras_layers(random_net(stacks=2)))
    refused(path, "lacks layers hg1_conv_1x1_2, hg1_conv_1x1_3$", net=("stacks=3",))
    refused(path, "has nothing for .* of the net asked for$", net=("poolings=4",))
    refused(path, "has layers that no such hourglass has: hg1_downsample_1_conv_1x1_1, ", net=("stacks=1",))


@pytest.mark.parametrize("share", [0.0005, 0.1, 0.6, 0.999])
def test_a_file_cut_short_is_refused(share, tmp_path):
    path = write_keras(tmp_path / "a.h5", keras_layers(random_net(stacks=1)), size=(64, 64))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "was damaged or cut short")


def test_without_h5py_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    path = write_keras(tmp_path / "a.h5", keras_layers(random_net(stacks=1)))
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    refused(path, r"needs h5py, which is not installed. pip install 'posewright\[legacy\]'")


def test_sizes_and_settings_that_do_not_fit(tmp_path):
    path = write_keras(tmp_path / "a.h5", keras_layers(random_net(stacks=1)), size=(64, 96))
    assert import_weights(path).checkpoint.rule.size == (96, 64)
    assert import_weights(path, size=(128, 64)).checkpoint.rule.size == (64, 128)
    path = write_keras(tmp_path / "large.h5", keras_layers(random_net(stacks=1)), size=(320_000, 64))
    refused(path, "an input of 320000x64 pixels is too large")
    path = write_keras(tmp_path / "b.h5", keras_layers(random_net(stacks=1)), size=(64, 96))
    with pytest.raises(PosewrightError, match="Use multiples of 32"):
        import_weights(path, size=(100, 100))
    with pytest.raises(PosewrightError, match="no setting 'stride'"):
        import_weights(path, net=("stride=8",))
    refused(path, "its net finds 3 keypoints; skeleton 'coco-17' has 17", skeleton="coco-17")
