"""int8 ONNX files: what is quantised, by which ranges.

The layers from the first convolution to the last but one are quantised: weights to signed 7 bits in a byte, one scale a channel,
activations to unsigned 8 bits, one scale a tensor, from the least and largest value seen on training pictures. What comes
before (normalising) and behind (decoding) stays in float32, and so do the layers that draw the maps: they are small, and
whatever rounds a map moves its peak.

- 7 bits: processors without VNNI instructions, and relaxed SIMD in browsers, add up pairs of products in 16 bits, which
  products of 8 x 8 bits overflow without a word; 7 x 8 bits do not. On the shipped models the eighth bit gained nothing that
  stands out from chance.
- Which layers stay in float32 besides is found by measurement, only where it is needed: see
  :mod:`posewright.export.sensitive`.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from posewright.console import hushed
from posewright.errors import PosewrightError
from posewright.export.onnx import running
from posewright.export.sensitive import Found, search
from posewright.runtime.modelfile import INPUT

if TYPE_CHECKING:
    import onnx

OPS = ("Conv", "ConvTranspose", "Relu", "Add", "MaxPool", "AveragePool", "Resize", "Concat")
"""Kinds of layers that onnxruntime's processor kernels compute in integers."""
GROUPS = 48
"""Layers are tried one by one, or this many groups of neighbours in larger nets."""
LOOKS = 16
"""Crops on which each is tried."""
BATCH = 8

Loss = Callable[["onnx.ModelProto"], float]
"""Tells the share of right keypoints that a graph loses against the float32 one."""


def quantised(model: onnx.ModelProto, crops: NDArray[np.uint8], loses: Loss, aim: float) -> Found[onnx.ModelProto]:
    """Quantise a graph, but for the layers that cost too much: see :func:`posewright.export.sensitive.search`.

    Args:
        model: takes ``uint8 [B, H, W, 3]``; left as it was.
        crops: ``uint8 [N, H, W, 3]`` of training pictures.
        loses: measures a graph.
        aim: share of right keypoints that may be lost.

    Raises:
        PosewrightError: where the graph has nothing to quantise.
    """
    quantiser = Quantiser(model, crops)
    return search(quantiser.made, loses, aim, len(quantiser.layers), quantiser.by_harm)


class Quantiser:
    """Quantises one graph, with more or fewer of its layers.

    Args:
        model: takes ``uint8 [B, H, W, 3]``; left as it was.
        crops: ``uint8 [N, H, W, 3]`` of training pictures.

    Raises:
        PosewrightError: where the graph has nothing to quantise.
    """

    def __init__(self, model: onnx.ModelProto, crops: NDArray[np.uint8]) -> None:
        self._parts, self._crops = _Parts.of(model), crops

    @property
    def layers(self) -> tuple[str, ...]:
        """Names in the net of the layers with weights that can be quantised, each once."""
        return tuple(dict.fromkeys(self._parts.layers.values()))

    def made(self, kept: Collection[str]) -> onnx.ModelProto:
        """The graph with all its layers quantised but some, by their names in the net."""
        with hushed("root", ""):
            return _quantise(self._parts, self._ranges, self._parts.layers.keys() - self._nodes(kept))

    def by_harm(self) -> list[tuple[str, ...]]:
        """The layers, in groups of neighbours where there are many, that one by one move the maps most; the worst first."""
        per = math.ceil(len(self.layers) / GROUPS)
        groups = [self.layers[i : i + per] for i in range(0, len(self.layers), per)]
        trunk = _Parts(self._parts.trunk(), self._parts.nodes, self._parts.layers, self._parts.ends)
        crops = self._crops[:LOOKS]
        with hushed("root", ""):
            true = _maps(trunk.model, crops)
            harm = [
                float(np.square(_maps(_quantise(trunk, self._ranges, self._nodes(group)), crops) - true).mean())
                for group in groups
            ]
        return [groups[i] for i in np.argsort(harm)[::-1]]

    @cached_property
    def _ranges(self) -> Any:
        with hushed("root", ""):
            return _ranges(self._parts, self._crops)

    def _nodes(self, layers: Collection[str]) -> set[str]:
        """A layer is several nodes in a graph that computes it for the picture and for its mirror image."""
        return {node for node, layer in self._parts.layers.items() if layer in layers}


@dataclass(frozen=True)
class _Parts:
    """A graph and what of it can be quantised.

    Attributes:
        model: with a name for each node.
        nodes: names of the nodes from the first layer to those before the last ones.
        layers: of them, those with weights, to what they are called in the net.
        ends: tensors that the last layers return: the maps before they are activated.
    """

    model: onnx.ModelProto
    nodes: tuple[str, ...]
    layers: dict[str, str]
    ends: tuple[str, ...]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> _Parts:
        import onnx

        named = onnx.ModelProto()
        named.CopyFrom(model)
        graph = named.graph
        for index, node in enumerate(graph.node):
            node.name = f"n{index}"
        makers = {name: node for node in graph.node for name in node.output}
        last = _last_layers(graph, makers)
        if not last:
            raise PosewrightError("has no layer that can be quantised")
        ends = [node.output[0] for node in last]
        before = _ancestors(makers, ends)
        seen: set[str] = set()
        between = []
        for node in graph.node:
            if node.name in before and (_has_weights(node) or seen & set(node.input)):
                seen.update(node.output)
                between.append(node)
        lasts = {node.name for node in last}
        inner = [node for node in between if node.op_type in OPS and node.name not in lasts]
        layers = {node.name: str(node.input[1]).removesuffix(".weight") for node in inner if _has_weights(node)}
        if not layers:
            raise PosewrightError("has no layer that can be quantised")
        return cls(named, tuple(node.name for node in inner), layers, tuple(ends))

    def trunk(self) -> onnx.ModelProto:
        """The graph up to its last layers, which it returns: nothing of what decodes the maps."""
        import onnx

        made = onnx.ModelProto()
        made.CopyFrom(self.model)
        graph = made.graph
        wanted = _ancestors({name: node for node in graph.node for name in node.output}, self.ends)
        kept = [node for node in self.model.graph.node if node.name in wanted]
        del graph.node[:], graph.output[:]
        graph.node.extend(kept)
        graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in self.ends)
        needed = {name for node in kept for name in node.input}
        weights = [tensor for tensor in self.model.graph.initializer if tensor.name in needed]
        del graph.initializer[:]
        graph.initializer.extend(weights)
        return made


def _has_weights(node: onnx.NodeProto) -> bool:
    return node.op_type in ("Conv", "ConvTranspose")


def _last_layers(graph: onnx.GraphProto, makers: dict[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The layers behind which no other comes on the way to some output."""
    waiting, seen, found = [value.name for value in graph.output], set(), {}
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if _has_weights(node):
            found[node.name] = node
        else:
            waiting += node.input
    return [node for node in graph.node if node.name in found]


def _ancestors(makers: dict[str, onnx.NodeProto], names: Sequence[str]) -> set[str]:
    """Names of all nodes that some tensors are made by."""
    waiting, found = list(names), set()
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting += node.input
    return found


def _batches(crops: NDArray[np.uint8], model: onnx.ModelProto) -> Iterator[NDArray[np.uint8]]:
    """Crops in batches that the graph takes; of a fixed one what is left over is filled up with the first."""
    side = model.graph.input[0].type.tensor_type.shape.dim[0]
    size = side.dim_value if side.HasField("dim_value") else BATCH
    fixed = side.HasField("dim_value")
    for start in range(0, len(crops), size):
        batch = crops[start : start + size]
        yield np.resize(batch, (size, *crops.shape[1:])) if fixed and len(batch) < size else batch


def _ranges(parts: _Parts, crops: NDArray[np.uint8]) -> Any:
    """The least and largest value of each tensor on the way to the maps."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    trunk = parts.trunk()
    batches = _batches(crops, trunk)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(batches, None)
            return None if batch is None else {INPUT: batch}

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trunk.onnx"
        onnx.save(trunk, path)
        calibrator = create_calibrator(
            path, None, augmented_model_path=str(Path(folder) / "more.onnx"), calibrate_method=CalibrationMethod.MinMax
        )
        calibrator.collect_data(Reader())
        found = calibrator.compute_data()
        del calibrator  # it holds the file open
    return found


def _quantise(parts: _Parts, ranges: Any, layers: Collection[str]) -> onnx.ModelProto:
    """The graph with some of its layers quantised, and whatever lies between those."""
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    copy = onnx.ModelProto()
    copy.CopyFrom(parts.model)
    skipped = parts.layers.keys() - set(layers)
    chosen = [name for name in parts.nodes if name not in skipped]
    quantizer = QDQQuantizer(copy, True, True, QuantType.QInt8, QuantType.QUInt8, ranges, chosen, [], list(OPS), {})
    quantizer.quantize_model()
    return slimmed(quantizer.model.model)


def slimmed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph without what only takes room: constants that are there twice, long names, shapes of tensors inside."""
    graph = model.graph
    del graph.value_info[:]
    fixed = {value.name for value in (*graph.input, *graph.output)}
    first: dict[bytes, str] = {}
    names: dict[str, str] = {}
    constants: list[onnx.TensorProto] = []
    for tensor in graph.initializer:
        name, tensor.name = tensor.name, ""
        key = tensor.SerializeToString(deterministic=True)
        if key in first and name not in fixed:
            names[name] = first[key]
            continue
        tensor.name = names[name] = name if name in fixed else f"c{len(constants)}"
        first[key] = tensor.name
        constants.append(tensor)
    made = [name for node in graph.node for name in node.output if name and name not in fixed]
    names |= {name: f"t{index}" for index, name in enumerate(made)}
    for index, node in enumerate(graph.node):
        node.name = f"n{index}"
        for given in (node.input, node.output):
            given[:] = [names.get(name, name) for name in given]
    kept = [tensor.SerializeToString() for tensor in constants]
    del graph.initializer[:]
    for data in kept:
        graph.initializer.add().ParseFromString(data)
    return model


def _maps(model: onnx.ModelProto, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a graph returns on crops, all in one row."""
    run, names = running(model), [value.name for value in model.graph.output]
    found = [array.ravel() for batch in _batches(crops, model) for array in run(batch, names)]
    return np.concatenate(found)
