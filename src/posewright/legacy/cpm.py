"""The pose machine system's weights, from a pickle or a TensorFlow checkpoint: settings read off the arrays' shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.legacy.filling import Filling, listed
from posewright.legacy.names import (
    cpm_modules,
    cpm_pickle_names,
    cpm_variable_names,
    pickle_layout,
    pickle_stages,
    variable_stages,
)
from posewright.models.base import HeatmapNet
from posewright.models.presets import Cpm, build_net

Arrays = Mapping[str, NDArray[Any]]
FEATURES = 128
"""Channels of the features that all stages share."""
MOST = 4096
"""More channels than this are built for no file: an array of no numbers can claim any shape."""


def import_pickle(arrays: Arrays, path: Path, changes: Mapping[str, Any]) -> HeatmapNet:
    """Build the net whose weights a pickle holds.

    These are the weights of the nets that the original authors trained with Caffe. Their targets have each cell's value at
    the cell's own centre, which is our convention: no shift.

    Args:
        arrays: by name, kernels ``[h, w, in, out]``.
        path: the file, for messages.
        changes: settings to change from what the file shows.

    Raises:
        PosewrightError: where arrays are missing, unknown or of shapes that fit no such net.
    """
    layout = pickle_layout(arrays)
    if layout is None:
        what = "holds arrays, but neither conv4_7_CPM (a body net's) nor conv5_3_CPM (a hand net's)"
        raise PosewrightError(what, file=path)
    stages = max(2, pickle_stages(arrays))
    names = cpm_pickle_names(layout, stages)
    kernels = {module: (name, f"{name}_b") for module, name in zip(cpm_modules(stages), names, strict=True)}
    used = {name for pair in kernels.values() for name in pair}
    unknown = sorted(set(arrays) - used)
    if unknown:
        raise PosewrightError(f"holds arrays that no such net has: {listed(unknown)}", file=path)
    return _build(arrays, path, kernels, stages, {}, changes)


def import_variables(arrays: Arrays, path: Path, changes: Mapping[str, Any]) -> HeatmapNet:
    """Build the net whose weights a TensorFlow checkpoint of the system's own training holds.

    Its targets stand in cell joint // stride, rounded down: half a pixel left and above of our cell's centre on average,
    for joints in pixels with the first one's centre at 0. What else a checkpoint holds, such as an optimiser's state, is
    not looked at.

    Args:
        arrays: by variable name, kernels ``[h, w, in, out]``.
        path: the checkpoint, for messages.
        changes: settings to change from what the file shows, such as ``stride``, which leaves no trace in the weights.
    """
    if not any(name.startswith(("sub_stages/", "stage_1/")) for name in arrays):
        raise PosewrightError("is a checkpoint, but of no pose machine: it has no variable sub_stages/...", file=path)
    stages = max(2, variable_stages(arrays))
    slim = any(name.endswith("/weights") for name in arrays)
    kernel, bias = ("weights", "biases") if slim else ("kernel", "bias")
    names = cpm_variable_names(stages)
    kernels = {m: (f"{n}/{kernel}", f"{n}/{bias}") for m, n in zip(cpm_modules(stages), names, strict=True)}
    stride = changes.get("stride", Cpm.stride)
    shift = -1 / (2 * stride) if stride in (4, 8) else 0.0
    # The slim nets pass their maps through a ReLU, as by that library's default.
    settings = {"activation": "relu" if slim else "linear", "label_shift": (shift, shift)}
    return _build(arrays, path, kernels, stages, settings, changes)


def _build(
    arrays: Arrays,
    path: Path,
    kernels: dict[str, tuple[str, str]],
    stages: int,
    settings: dict[str, Any],
    changes: Mapping[str, Any],
) -> HeatmapNet:
    """Read the settings off the shapes, and fill the net."""
    missing = [name for pair in kernels.values() for name in pair if name not in arrays]
    if missing:
        raise PosewrightError(f"lacks {listed(missing)}", file=path)
    shape = {}
    for module, (name, _) in kernels.items():
        shape[module] = arrays[name].shape
        if len(shape[module]) != 4:
            raise PosewrightError(f"is {list(shape[module])}, no kernel", file=path, record=f"'{name}'")
    maps, trunk = shape["stages.0.heatmap"][3], shape["trunk.conv11"][3]
    centre = shape["stages.1.conv1"][2] - maps - FEATURES
    if not 2 <= maps <= MOST or not 8 <= trunk <= MOST or centre not in (0, 1) or shape["trunk.conv1"][2] not in (1, 3):
        raise PosewrightError("holds kernels whose shapes fit no pose machine", file=path)
    found = {
        "stages": stages,
        "trunk": trunk,
        "centre": centre == 1,
        "colour": "grey" if shape["trunk.conv1"][2] == 1 else "bgr",
    }
    net = build_net(Cpm(**(found | settings | dict(changes))), maps - 1)
    filling = Filling(net, path)
    for module, (name, bias) in kernels.items():
        filling.put(f"{module}.weight", arrays[name], f"'{name}'")
        filling.put(f"{module}.bias", arrays[bias], f"'{bias}'")
    return filling.finish()


def preset_name(config: Cpm) -> str:
    """The preset that comes closest to a net's settings."""
    slim = "_slim" if config.activation == "relu" else ""
    kind = "body" if config.centre else "hand_v2" if config.stride == 4 and not slim else "hand"
    return f"cpm_{kind}{slim if kind != 'hand_v2' else ''}_s{config.stages}"
