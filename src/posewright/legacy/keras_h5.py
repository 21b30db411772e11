"""Reading Keras' HDF5 files with h5py alone: a whole model, or its weights only.

Either way each layer is a group with an attribute that lists its weights; a whole model says in ``model_config`` how its
layers follow one another, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError

MOST, MOST_TOGETHER = 1 << 26, 1 << 28
"""A weight, or all of a file, with more numbers than this is of no net that is read here. A dataset may claim any size
without a byte of it in the file."""


@dataclass(frozen=True)
class KerasFile:
    """What a file holds.

    Attributes:
        path: the file.
        layers: of each layer that has weights, in the file's order: the weights by their short names, such as "kernel".
        before: which layers' outputs each layer takes; empty where the file holds weights only.
        size: (height, width) of the input; None where the file does not say.
    """

    path: Path
    layers: dict[str, dict[str, NDArray[np.float32]]]
    before: dict[str, list[str]]
    size: tuple[int, int] | None


def read_keras(path: Path) -> KerasFile:
    """Read all weights of a Keras HDF5 file.

    Raises:
        PosewrightError: where h5py is not installed, or the file is missing, cut short, of another kind or damaged.
    """
    with _opened(path) as file:
        group = file.get("model_weights", file)
        names = _texts(group.attrs, "layer_names") if hasattr(group, "get") else None
        if names is None:
            raise PosewrightError("is an HDF5 file, but Keras has saved no weights in it", file=path)
        layers: dict[str, dict[str, NDArray[np.float32]]] = {}
        claimed = 0
        for name in dict.fromkeys(names):
            weights = {w.rsplit("/", 1)[-1].partition(":")[0]: w for w in _weight_names(group, name, path)}
            found = {short: _weight(group[name], name, full, path) for short, full in weights.items()}
            claimed += sum(dataset.size for dataset in found.values())
            if claimed > MOST_TOGETHER:
                raise PosewrightError("claims more numbers than any such net has", file=path)
            if found:
                layers[name] = {short: np.asarray(dataset[()], np.float32) for short, dataset in found.items()}
        before, size = _structure(file.attrs.get("model_config"), path)
    return KerasFile(path, layers, before, size)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ModuleNotFoundError:
        fix = "pip install 'posewright[legacy]'"
        raise PosewrightError(
            "is an HDF5 file; reading it needs h5py, which is not installed", file=path, fix=fix
        ) from None
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as error:
        if not path.is_file():
            raise PosewrightError("does not exist", file=path) from None
        if isinstance(error, PermissionError):
            raise PosewrightError("cannot be read: permission denied", file=path) from None
        raise PosewrightError("is no whole HDF5 file; it was damaged or cut short", file=path) from None


def _texts(attributes: Any, name: str) -> list[str] | None:
    """A list of texts; Keras spreads one that is too long for an attribute over several, numbered from 0."""
    parts = [attributes[name]] if name in attributes else []
    while f"{name}{len(parts)}" in attributes and name not in attributes:
        parts.append(attributes[f"{name}{len(parts)}"])
    if not parts:
        return None
    return [t.decode("utf-8", "replace") if isinstance(t, bytes) else str(t) for part in parts for t in np.ravel(part)]


def _stay_inside(group: Any, name: str, path: Path) -> None:
    """Refuse a name on whose way lies a link to another file, before it is followed: that may be a pipe that never ends."""
    import h5py

    parts = name.strip("/").split("/")
    for i in range(len(parts)):
        link = group.get("/".join(parts[: i + 1]), getlink=True)
        if isinstance(link, (h5py.ExternalLink, h5py.SoftLink)):
            raise PosewrightError(f"keeps '{name}' in another file or place", file=path)
        if link is None:
            return


def _weight_names(group: Any, name: str, path: Path) -> list[str]:
    _stay_inside(group, name, path)
    layer = group.get(name)
    names = _texts(layer.attrs, "weight_names") if hasattr(layer, "get") else None
    if names is None:
        raise PosewrightError(f"lists a layer '{name}' that is not in it", file=path)
    return names


def _weight(layer: Any, name: str, full: str, path: Path) -> Any:
    """The dataset of one weight, of which nothing is read yet."""
    _stay_inside(layer, full, path)
    found = layer.get(full)
    if getattr(found, "size", None) is None:
        raise PosewrightError(f"lacks the weight '{full}'", file=path, record=f"layer '{name}'")
    if found.dtype.kind not in "fiu" or found.size > MOST:
        raise PosewrightError(
            f"'{full}' is {found.dtype} {list(found.shape)}, no weight of a net", file=path, record=f"layer '{name}'"
        )
    # HDF5 lets a dataset be another file, or any other file's bytes.
    if found.external or found.is_virtual:
        raise PosewrightError(f"keeps '{full}' in another file", file=path, record=f"layer '{name}'")
    return found


def _structure(text: Any, path: Path) -> tuple[dict[str, list[str]], tuple[int, int] | None]:
    """From ``model_config``: what each layer follows, and the input's size."""
    if text is None:
        return {}, None
    try:
        layers = json.loads(text)["config"]["layers"]
        before = {str(layer["config"]["name"]): list(_sources(layer.get("inbound_nodes"))) for layer in layers}
        shapes = [
            c.get("batch_input_shape") or c.get("batch_shape")
            for c in (layer["config"] for layer in layers if layer["class_name"] == "InputLayer")
        ]
        shape = shapes[0] if shapes else None
        size = tuple(shape[1:3]) if shape and len(shape) == 4 and all(shape[1:3]) else None
        return before, size and (int(size[0]), int(size[1]))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise PosewrightError("its model_config cannot be understood", file=path) from None


def _sources(node: Any) -> Iterator[str]:
    """The layers named in ``inbound_nodes``: [name, number, number, ...] somewhere in lists, or in dicts since Keras 3."""
    if isinstance(node, dict):
        for value in node.values():
            yield from _sources(value)
    elif isinstance(node, list):
        if len(node) >= 3 and isinstance(node[0], str) and all(isinstance(n, int) for n in node[1:3]):
            yield node[0]
        else:
            for value in node:
                yield from _sources(value)
