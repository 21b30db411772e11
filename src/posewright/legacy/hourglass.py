"""The tf.keras hourglass system's weights: one net in a file, its settings read off its layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.legacy.filling import Filling, listed
from posewright.legacy.keras_h5 import KerasFile
from posewright.legacy.names import Layer, count_stacks, hourglass_layers, is_old, norm_number, predict_name
from posewright.models.base import HeatmapNet
from posewright.models.presets import Hourglass, build_net

LABEL_SHIFT = (1.0, 1.0)
"""The system draws a keypoint at t, in cells counted from the map's edge, into cell floor(t) + 1. That is 0.5 above t on
average; and what lies t cells from the edge is t - 0.5 in our cells, whose centres are at whole numbers."""

MOST_STACKS, MOST_CHANNELS = 64, 2048
"""No net is built that is larger: a few bytes of a file can claim one that fills the memory."""

Weights = dict[str, NDArray[np.float32]]
_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_PLAIN = {"kernel": "weight", "bias": "bias"}
_SEPARABLE = {"depthwise_kernel": "depthwise.weight", "pointwise_kernel": "pointwise.weight", "bias": "pointwise.bias"}


def import_hourglass(file: KerasFile, changes: Mapping[str, Any] | None = None) -> HeatmapNet:
    """Build the net that a file of the hourglass system holds.

    Args:
        file: the file's layers.
        changes: settings to change from what the file shows, such as ``decoding``.

    Returns:
        The net in eval mode; its ``config`` and ``keypoints`` say what was found.

    Raises:
        PosewrightError: where it is no hourglass of that system, or layers are missing, unknown or of other shapes.
    """
    names = set(file.layers)
    stacks, old = count_stacks(names), is_old(names)
    if stacks > MOST_STACKS:
        raise PosewrightError(
            f"names layers of {stacks} stacks; no such hourglass has over {MOST_STACKS}", file=file.path
        )
    if stacks == 0:
        what = f"is a Keras file, but no hourglass: it has no layer '{predict_name(0, False)}' or '{predict_name(0, True)}'"
        raise PosewrightError(what, file=file.path)
    layers = hourglass_layers(stacks, old)
    config, keypoints = _settings(file, stacks, old, changes or {})
    filling = Filling(build_net(config, keypoints), file.path)
    present = [layer for layer in layers if _has_place(filling, layer)]
    _check_names(file, present, layers)
    norms = _norms(file, present)
    for layer in present:
        _put(filling, file.layers[layer.name], layer.name, layer.module, _kinds(file.layers[layer.name]))
        if layer.norm:
            _put(filling, norms[layer.name][1], norms[layer.name][0], layer.norm, _NORM)
    return filling.finish()


def _settings(file: KerasFile, stacks: int, old: bool, changes: Mapping[str, Any]) -> tuple[Hourglass, int]:
    """The net's settings and its number of keypoints."""
    name = next((n for n in (predict_name(i, old) for i in range(stacks)) if "kernel" in file.layers.get(n, {})), None)
    if name is None:
        raise PosewrightError(f"lacks layer '{predict_name(0, old)}'", file=file.path)
    kernel = file.layers[name]["kernel"]
    if kernel.ndim != 4 or not 8 <= kernel.shape[2] <= MOST_CHANNELS or kernel.shape[2] % 4 or kernel.shape[3] < 1:
        raise PosewrightError(f"is {list(kernel.shape)}, no kernel of an hourglass", file=file.path, record=name)
    found: dict[str, Any] = {
        "stacks": stacks,
        "channels": kernel.shape[2],
        "order": "conv_relu_bn",
        "mobile": any("depthwise_kernel" in weights for weights in file.layers.values()),
        "label_shift": LABEL_SHIFT,
    }
    return Hourglass(**(found | dict(changes))), kernel.shape[3]


def _has_place(filling: Filling, layer: Layer) -> bool:
    """Whether the net has the layer at all: few blocks have a skip, and the last stack hands nothing on."""
    return any(filling.has(f"{layer.module}.{name}") for name in ("weight", "pointwise.weight"))


def _is_norm(weights: Weights) -> bool:
    return "moving_mean" in weights


def _kinds(weights: Weights) -> dict[str, str]:
    return _SEPARABLE if "depthwise_kernel" in weights else _PLAIN


def _check_names(file: KerasFile, present: list[Layer], layers: list[Layer]) -> None:
    """Every layer of the net is in the file, and every convolution of the file is one of the system's."""
    missing = [layer.name for layer in present if layer.name not in file.layers]
    if missing:
        many = "s" if len(missing) > 1 else ""
        raise PosewrightError(f"lacks layer{many} {listed(missing)}", file=file.path)
    # The last stack's two convolutions towards a next one, which nothing uses, may be there.
    known = {layer.name for layer in present} | {layer.name for layer in layers if layer.module.startswith("heads.")}
    unknown = [name for name, weights in file.layers.items() if name not in known and not _is_norm(weights)]
    if unknown:
        raise PosewrightError(f"has layers that no such hourglass has: {listed(unknown)}", file=file.path)


def _norms(file: KerasFile, layers: list[Layer]) -> dict[str, tuple[str, Weights]]:
    """The batch norm behind each convolution that has one: its name and its weights, by the convolution's name.

    Batch norms are not named after anything. A whole model says which layer each follows; of weights alone the numbers in
    the names are all there is, and they count the order in which the system makes its layers.
    """
    followed = [layer.name for layer in layers if layer.norm]
    norms = [name for name, weights in file.layers.items() if _is_norm(weights)]
    if file.before:
        behind = {source: name for name in norms for source in file.before.get(name, [])}
        missing = [name for name in followed if name not in behind]
        if missing:
            raise PosewrightError(f"lacks the batch norm behind {listed(missing)}", file=file.path)
        return {name: (behind[name], file.layers[behind[name]]) for name in followed}
    if len(norms) != len(followed):
        what = f"has {len(norms)} batch norms where such an hourglass has {len(followed)}"
        raise PosewrightError(what, file=file.path)
    ordered = sorted(norms, key=norm_number)
    return {name: (norm, file.layers[norm]) for name, norm in zip(followed, ordered, strict=True)}


def _put(filling: Filling, weights: Weights, name: str, module: str, kinds: dict[str, str]) -> None:
    """Hand all weights of a layer over."""
    for short, ours in kinds.items():
        if short not in weights:
            raise PosewrightError(f"lacks its {short}", file=filling.path, record=f"layer '{name}'")
        if not filling.has(f"{module}.{ours}"):
            kind = "separable" if kinds is _SEPARABLE else "plain"
            what = f"is a {kind} convolution, unlike the net's other ones"
            raise PosewrightError(what, file=filling.path, record=f"layer '{name}'")
        array = weights[short]
        # A depthwise kernel is [h, w, channels, 1]: one filter for each channel, so that its last two axes trade places.
        if short == "depthwise_kernel" and array.ndim == 4:
            array = array.swapaxes(2, 3)
        filling.put(f"{module}.{ours}", array, f"layer '{name}', {short}")
