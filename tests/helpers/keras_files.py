"""Files as the tf.keras hourglass system leaves them, written with h5py from one of our nets.

Names and order of the layers are spelled out here again, from a description of that system, and not taken from the package.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import torch

from posewright.models.presets import Hourglass, build_net

OLD_NAMES = (
    (r"^front_conv_1x1_1$", "front_conv_1x1_x1"),
    (r"^front_residual_(\d)", r"front_residual_x\1"),
    (r"^hg(\d+)_conv_1x1_predict$", r"\1_conv_1x1_parts"),
    (r"^hg(\d+)_conv_1x1_(\d)$", r"\1_conv_1x1_x\2"),
    (r"^hg(\d+)_downsample_f8_short", r"\1_lf8"),
    (r"^hg(\d+)_downsample_f8_(\d)", r"\1_lf8_x\2"),
    (r"^hg(\d+)_downsample_(\d)", r"hg\1_l\2"),
    (r"^hg(\d+)_upsample_f(\d)_short", r"hg\1_rf\2_connect"),
    (r"^hg(\d+)_upsample_f(\d)_merged", r"hg\1_rf\2_connect_conv"),
    (r"_skip$", "skip"),
    (r"_conv_1x1_1$", "_conv_1x1_x1"),
    (r"_conv_3x3_2$", "_conv_3x3_x2"),
    (r"_conv_1x1_3$", "_conv_1x1_x3"),
)
"""From the names used since 2021-09-01 to those before."""


def old_name(name: str) -> str:
    for pattern, then in OLD_NAMES:
        name = re.sub(pattern, then, name)
    return name


def random_net(keypoints: int = 3, **settings):
    """A small net of that system's kind whose batch norms do something."""
    torch.manual_seed(0)
    net = build_net(Hourglass(order="conv_relu_bn", **({"channels": 16} | settings)), keypoints)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
    for head in net.heads:
        torch.nn.init.normal_(head.predict.weight, std=0.3)
    return net.eval()


def keras_layers(net, unused: bool = False) -> list[tuple[str, dict[str, np.ndarray], str]]:
    """(name, weights, name of the layer before it) in the order in which the system makes the layers.

    Args:
        unused: add the last stack's two convolutions that lead nowhere.
    """
    made: list[tuple[str, dict[str, np.ndarray], str]] = []
    norms = 0

    def conv(name, module):
        before = made[-1][0] if made else "image_input"
        if hasattr(module, "depthwise"):
            weights = {
                "depthwise_kernel": module.depthwise.weight.permute(2, 3, 0, 1),
                "pointwise_kernel": module.pointwise.weight.permute(2, 3, 1, 0),
                "bias": module.pointwise.bias,
            }
        else:
            weights = {"kernel": module.weight.permute(2, 3, 1, 0), "bias": module.bias}
        made.append((name, {k: v.detach().numpy() for k, v in weights.items()}, before))

    def norm(module):
        nonlocal norms
        name = f"batch_normalization_{norms}" if norms else "batch_normalization"
        norms += 1
        weights = (module.weight, module.bias, module.running_mean, module.running_var)
        kinds = ("gamma", "beta", "moving_mean", "moving_variance")
        made.append((name, {k: v.detach().numpy() for k, v in zip(kinds, weights, strict=True)}, made[-1][0]))

    def block(name, b):
        if not isinstance(b.skip, torch.nn.Identity):
            conv(f"{name}_skip", b.skip.conv)
        for ending, unit in (("1x1_1", b.unit1), ("3x3_2", b.unit2), ("1x1_3", b.unit3)):
            conv(f"{name}_conv_{ending}", unit.conv)
            norm(unit.bn)

    conv("front_conv_1x1_1", net.stem.conv)
    norm(net.stem.bn)
    for n, b in enumerate((net.stem.residual1, net.stem.residual2, net.stem.residual3), 1):
        block(f"front_residual_{n}", b)
    for i, (stack, head) in enumerate(zip(net.stacks, net.heads, strict=True)):
        for n, b in zip((1, 2, 4, 8), stack.down, strict=True):
            block(f"hg{i}_downsample_{n}", b)
        block(f"hg{i}_downsample_f8_short", stack.bottom_short)
        for n, b in enumerate(stack.bottom, 1):
            block(f"hg{i}_downsample_f8_{n}", b)
        for n, level in ((4, 2), (2, 1), (1, 0)):
            block(f"hg{i}_upsample_f{n}_short", stack.short[level])
            block(f"hg{i}_upsample_f{n}_merged", stack.merged[level])
        conv(f"hg{i}_conv_1x1_1", head.feature.conv)
        norm(head.feature.bn)
        conv(f"hg{i}_conv_1x1_predict", head.predict)
        if head.from_feature is not None:
            conv(f"hg{i}_conv_1x1_2", head.from_feature)
            conv(f"hg{i}_conv_1x1_3", head.from_maps)
        elif unused:
            conv(f"hg{i}_conv_1x1_2", torch.nn.Conv2d(head.predict.in_channels, 8, 1))
            conv(f"hg{i}_conv_1x1_3", torch.nn.Conv2d(head.predict.out_channels, 8, 1))
    return made


def write_keras(
    path: Path,
    layers: list[tuple[str, dict[str, np.ndarray], str]],
    *,
    size: tuple[int, int] | None = None,
    rename=lambda name: name,
    leave_out: tuple[str, ...] = (),
    pieces: int = 1,
    keras3: bool = False,
) -> Path:
    """Write the layers.

    Args:
        path: where to.
        layers: from :func:`keras_layers`.
        size: (height, width) of the input, for a whole model; weights only where None.
        rename: changes the layers' names.
        leave_out: layers that shall be missing, by their names before that.
        pieces: how many attributes the list of layers is spread over.
        keras3: write the structure as Keras 3 does.
    """
    import h5py

    with h5py.File(path, "w") as file:
        group = file if size is None else file.create_group("model_weights")
        kept = [(rename(n), w, rename(b)) for n, w, b in layers if n not in leave_out]
        names = np.array([b"image_input", *(n.encode() for n, *_ in kept)])
        if pieces == 1:
            group.attrs["layer_names"] = names
        else:
            for i, part in enumerate(np.array_split(names, pieces)):
                group.attrs[f"layer_names{i}"] = part
        group.create_group("image_input").attrs["weight_names"] = np.array([], "S1")
        for name, weights, _ in kept:
            layer = group.create_group(name)
            full = [f"{name}/{short}:0" for short in weights]
            layer.attrs["weight_names"] = np.array([f.encode() for f in full])
            for where, array in zip(full, weights.values(), strict=True):
                layer.create_dataset(where, data=array)
        if size is not None:
            file.attrs["model_config"] = json.dumps(_structure(kept, size, keras3)).encode()
    return path


def _structure(layers, size, keras3):
    shape = {"batch_shape" if keras3 else "batch_input_shape": [None, *size, 3], "name": "image_input"}
    found = [{"class_name": "InputLayer", "config": shape, "name": "image_input", "inbound_nodes": []}]
    for name, weights, before in layers:
        kind = "BatchNormalization" if "gamma" in weights else "Conv2D"
        node = [[[before, 0, 0, {}]]]
        if keras3:
            tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [before, 0, 0]}}
            node = [{"args": [tensor], "kwargs": {"training": False}}]
        found.append({"class_name": kind, "config": {"name": name}, "name": name, "inbound_nodes": node})
    return {"class_name": "Functional", "config": {"name": "model", "layers": found}}
