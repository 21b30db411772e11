"""The pose machine system's weights: every array in its place, from pickles and from TensorFlow checkpoints."""

from __future__ import annotations

import pickle
import sys
import types

import numpy as np
import pytest
import torch

from helpers.pickles import cpm_arrays, variable_arrays
from posewright.errors import PosewrightError
from posewright.legacy import tf_checkpoint
from posewright.legacy.importer import CPM_BORDER, find_format, import_weights
from posewright.models.presets import Cpm

TRUNK = [f"trunk.conv{n}" for n in range(1, 15)]


def modules(stages):
    later = [f"stages.{s}.conv{n}" for s in range(1, stages) for n in range(1, 8)]
    return [*TRUNK, "feature", "stages.0.conv1", "stages.0.heatmap", *later]


def in_place(net, arrays) -> bool:
    state, kernels = net.state_dict(), [n for n in arrays if not n.endswith("_b")]
    assert len(state) == 2 * len(kernels)
    return all(
        np.array_equal(state[f"{module}.weight"].permute(2, 3, 1, 0).numpy(), arrays[name])
        and np.array_equal(state[f"{module}.bias"].numpy(), arrays[f"{name}_b"])
        for module, name in zip(modules(net.config.stages), kernels, strict=True)
    )


def saved(arrays, folder):
    path = folder / "a.pkl"
    path.write_bytes(pickle.dumps(arrays, 2))
    return path


@pytest.mark.parametrize(
    ("layout", "stages", "keypoints", "colours"), [("body", 2, 3, 3), ("hand", 2, 2, 3), ("body", 2, 1, 1)]
)
def test_every_array_of_a_pickle_finds_its_layer(layout, stages, keypoints, colours, tmp_path):
    arrays = cpm_arrays(layout, stages, keypoints, colours)
    path = saved(arrays, tmp_path)
    assert find_format(path) == "pickle"
    checkpoint = import_weights(path, size=(64, 48)).checkpoint
    net, config = checkpoint.net, checkpoint.net.config
    assert in_place(net, arrays)
    assert isinstance(config, Cpm)
    assert (config.stages, config.centre, config.background, net.keypoints) == (
        stages,
        layout == "body",
        True,
        keypoints,
    )
    assert (config.colour, config.scale, config.mean) == ("bgr" if colours == 3 else "grey", 256, (0.5, 0.5, 0.5))
    assert (config.stride, config.activation, config.label_shift) == (8, "linear", (0, 0))
    assert checkpoint.preset == f"cpm_{layout}_s{stages}"
    assert (checkpoint.rule.size, checkpoint.rule.border) == ((48, 64), CPM_BORDER)
    assert checkpoint.rule.margin == (1.25 if layout == "body" else 2)


def test_sizes_of_the_input_are_the_systems_own(tmp_path):
    assert import_weights(saved(cpm_arrays("body"), tmp_path)).checkpoint.rule.size == (368, 368)
    with pytest.raises(PosewrightError, match="Use multiples of 8"):
        import_weights(tmp_path / "a.pkl", size=(100, 100))


def test_slim_heads_by_switch(tmp_path):
    path = saved(cpm_arrays("hand", 2, 2), tmp_path)
    linear, slim = (import_weights(path, size=(64, 64), net=n).checkpoint for n in ((), ("activation=relu",)))
    assert slim.preset == "cpm_hand_slim_s2"
    image = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = linear.net(image), slim.net(image)
    assert (a < 0).any()
    assert torch.equal(b[:, 0], a[:, 0].relu())  # later stages see the clipped maps, too
    assert (b >= 0).all()
    with pytest.raises(PosewrightError, match=r"no setting 'activtion'. Did you mean 'activation'"):
        import_weights(path, net=("activtion=relu",))


def test_settings_asked_for_that_the_file_has_no_weights_for(tmp_path):
    path = saved(cpm_arrays("hand", 3, 2), tmp_path)
    with pytest.raises(
        PosewrightError, match=r"a\.pkl: has nothing for stages\.3\.conv1\.bias, .* of the net asked for"
    ):
        import_weights(path, net=("stages=4",))
    with pytest.raises(PosewrightError, match=r"'Mconv1_stage3': has no place in a net of the settings asked for"):
        import_weights(path, net=("stages=2",))


# -- bad pickles ------------------------------------------------------------------------------------------------------


def without(arrays, *names):
    return {k: v for k, v in arrays.items() if k not in names}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: without(a, "conv3_2", "Mconv3_stage2_b"), "lacks conv3_2, Mconv3_stage2_b$"),
        (lambda a: without(a, "conv5_2_CPM_b"), "lacks conv5_2_CPM_b$"),
        (lambda a: {k: v for k, v in a.items() if not k.startswith("Mconv")}, "lacks Mconv1_stage2, .* and 10 more"),
        (lambda a: {k: v for k, v in a.items() if k[0] != "c"}, "neither conv4_7_CPM .* nor conv5_3_CPM"),
        (lambda a: a | {"fc6": np.ones(3)}, "holds arrays that no such net has: fc6$"),
        (
            lambda a: a | {"conv2_1": np.ones((3, 3, 64, 64))},
            r"'conv2_1': is \[3, 3, 64, 64\] where .* \[3, 3, 64, 128\]",
        ),
        (lambda a: a | {"conv2_1": np.ones((3, 64))}, r"'conv2_1': is \[3, 64\], no kernel"),
        (lambda a: a | {"conv2_1_b": np.full(128, np.inf)}, "'conv2_1_b': holds values that are no numbers"),
        (lambda a: a | {"conv4_3_CPM": np.ones((0, 3, 512, 1 << 40))}, "whose shapes fit no pose machine"),
        (lambda a: a | {"Mconv1_stage2": np.ones((7, 7, 140, 128))}, "whose shapes fit no pose machine"),
    ],
)
def test_pickles_that_do_not_fit(change, says, tmp_path):
    path = saved(change(ARRAYS), tmp_path)
    with pytest.raises(PosewrightError, match=says) as caught:
        import_weights(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


ARRAYS = cpm_arrays("body", 2, 3)


# -- TensorFlow checkpoints -------------------------------------------------------------------------------------------


class FakeReader:
    """The two methods of TensorFlow's checkpoint reader."""

    def __init__(self, arrays):
        self.arrays = arrays

    def get_variable_to_shape_map(self):
        return {name: list(np.shape(a)) for name, a in sorted(self.arrays.items())}

    def get_tensor(self, name):
        return self.arrays[name]


@pytest.fixture
def tensorflow(monkeypatch):
    """TensorFlow with nothing but a checkpoint reader; what it finds is set by the test."""
    held = types.SimpleNamespace(arrays={})

    def load_checkpoint(prefix):
        if isinstance(held.arrays, Exception):
            raise held.arrays
        return FakeReader(held.arrays)

    train = types.ModuleType("tensorflow.train")
    train.load_checkpoint = load_checkpoint
    package = types.ModuleType("tensorflow")
    package.train = train
    monkeypatch.setitem(sys.modules, "tensorflow", package)
    monkeypatch.setitem(sys.modules, "tensorflow.train", train)
    return held


def triple(folder, name="cpm_hand"):
    for ending in tf_checkpoint.ENDINGS:
        (folder / f"{name}{ending}").write_bytes(b"x")
    return folder / name


@pytest.mark.parametrize("slim", [False, True])
@pytest.mark.parametrize("meant", ["name", "index", "data", "folder"])
def test_every_variable_of_a_checkpoint_finds_its_layer(slim, meant, tmp_path, tensorflow):
    arrays = cpm_arrays("hand", 2, 2)
    training = {
        "train/global_step": np.int64(3),
        "stage_1/conv1/kernel/RMSProp": np.ones(3),
        "OptimizeLoss/sub_stages/sub_conv1/kernel/Adam": np.ones(3),
    }
    tensorflow.arrays = variable_arrays(arrays, Cpm(stages=2), slim) | training
    prefix = triple(tmp_path)
    path = {
        "name": prefix,
        "index": tmp_path / "cpm_hand.index",
        "data": tmp_path / "cpm_hand.data-00000-of-00001",
        "folder": tmp_path,
    }[meant]
    checkpoint = import_weights(path).checkpoint
    config = checkpoint.net.config
    assert in_place(checkpoint.net, arrays)
    assert (config.activation, config.stride, config.centre) == ("relu" if slim else "linear", 8, False)
    assert (config.label_shift, checkpoint.rule.size) == ((-1 / 16, -1 / 16), (256, 256))


def test_what_leaves_no_trace_in_a_checkpoint_is_said(tmp_path, tensorflow):
    tensorflow.arrays = variable_arrays(cpm_arrays("hand", 2, 2), Cpm(stages=2), False)
    checkpoint = import_weights(triple(tmp_path), net=("stride=4",)).checkpoint
    assert (checkpoint.preset, checkpoint.net.config.label_shift) == ("cpm_hand_v2_s2", (-1 / 8, -1 / 8))


def test_checkpoints_that_do_not_fit(tmp_path, tensorflow, monkeypatch):
    prefix = triple(tmp_path)
    whole = variable_arrays(cpm_arrays("hand", 2, 2), Cpm(stages=2), False)
    for arrays, says in (
        (without(whole, "stage_2/mid_conv4/bias"), "lacks stage_2/mid_conv4/bias$"),
        ({"resnet/conv1/kernel": np.ones(3)}, "of no pose machine: it has no variable sub_stages/"),
        (RuntimeError("Data loss: not an sstable\nstack"), "TensorFlow cannot read it: Data loss: not an sstable$"),
    ):
        tensorflow.arrays = arrays
        with pytest.raises(PosewrightError, match=says):
            import_weights(prefix)
    tensorflow.arrays = whole
    monkeypatch.setattr(tf_checkpoint, "MOST_TOGETHER", 1000)
    with pytest.raises(PosewrightError, match="cpm_hand: claims more numbers than any such net has"):
        import_weights(prefix)


def test_without_tensorflow_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(PosewrightError, match=r"needs TensorFlow, which is not installed. pip install tensorflow"):
        import_weights(triple(tmp_path))
    with pytest.raises(PosewrightError, match="does not exist"):
        import_weights(tmp_path / "other")
    triple(tmp_path, "second")
    with pytest.raises(PosewrightError, match="without exactly one TensorFlow checkpoint"):
        import_weights(tmp_path)
