"""What an ONNX file's graph holds, read with neither onnx nor any engine: its operators, weights, inputs and outputs."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from posewright.errors import PosewrightError
from posewright.protobuf import fields, packed

# Field numbers of ModelProto, GraphProto, NodeProto, TensorProto, ValueInfoProto and what lies below them (onnx.proto3).
_GRAPH, _NODE, _INITIALIZER, _INPUT, _OUTPUT = 7, 1, 5, 11, 12
_OPSET, _PRODUCER, _PRODUCER_VERSION = 8, 2, 3
_SIZES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    16: "bfloat16",
}


@dataclass(frozen=True)
class Graph:
    """What a file's graph holds.

    Attributes:
        operators: how often each kind of node occurs.
        weights: numbers among the stored tensors of floating point or of 8 bits.
        weight_bytes: their size.
        inputs, outputs: by name, type and shape in words, such as "uint8 [batch, 256, 256, 3]".
        opset: version of the standard operators.
        producer: the program that wrote the file.
    """

    operators: dict[str, int]
    weights: int
    weight_bytes: int
    inputs: dict[str, str]
    outputs: dict[str, str]
    opset: int
    producer: str

    @property
    def nodes(self) -> int:
        return sum(self.operators.values())


def read_graph(path: str | Path) -> Graph:
    """Read an ONNX file's graph.

    Raises:
        PosewrightError: where the file cannot be read or is no whole ONNX file.
    """
    path = Path(path)
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
    try:
        return _graph(data)
    except (ValueError, IndexError, UnicodeDecodeError):
        raise PosewrightError("is not an ONNX model file, or was cut short", file=path) from None


# Where messages that may hold a tensor lie within one another: kind -> {field number: kind}.
_HOLDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_DEEPEST = 64
"""Graphs within graphs; no net of ours has any."""


def refuse_references(path: str | Path) -> None:
    """Raise a PosewrightError where an ONNX file says that values of its tensors lie in another file.

    Model files are self-contained. Whoever follows such a reference reads a file that the maker of the model has chosen, so
    that this is looked for before any engine opens the file, and the other file is not even looked for.

    Raises:
        PosewrightError: where there is a reference, or the file cannot be read or is no whole ONNX file.
    """
    path = Path(path)
    try:
        found = _refers(memoryview(path.read_bytes()), "model", 0)
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
    except (ValueError, IndexError):
        raise PosewrightError("is not an ONNX model file, or was cut short", file=path) from None
    if found:
        what = "refers to another file for its weights; model files hold all of them"
        raise PosewrightError(what, file=path, fix="Export it in one file")


def _refers(message: memoryview, kind: str, depth: int) -> bool:
    """Whether a tensor anywhere within a message lies in another file."""
    if depth > _DEEPEST:
        raise ValueError("graphs within graphs without an end")
    if kind == "tensor":
        return any(n == _EXTERNAL_DATA or (n == _DATA_LOCATION and value != 0) for n, value in fields(message))
    within = _HOLDS[kind]
    return any(
        _refers(value, within[number], depth + 1)
        for number, value in fields(message)
        if number in within and isinstance(value, memoryview)
    )


def _graph(data: memoryview) -> Graph:
    operators: Counter[str] = Counter()
    ends: dict[int, dict[str, str]] = {_INPUT: {}, _OUTPUT: {}}
    weights = weight_bytes = opset = 0
    producer = {_PRODUCER: "", _PRODUCER_VERSION: ""}
    graphs = 0
    for number, value in fields(data):
        if number in producer and isinstance(value, memoryview):
            producer[number] = bytes(value).decode()
        elif number == _OPSET and isinstance(value, memoryview):
            entry = dict(fields(value))
            version = entry.get(2, 0)
            if not entry.get(1) and isinstance(version, int):
                opset = version
        elif number == _GRAPH and isinstance(value, memoryview):
            graphs += 1
            for part, body in fields(value):
                if not isinstance(body, memoryview):
                    continue
                if part == _NODE:
                    kinds = [bytes(v).decode() for n, v in fields(body) if n == 4 and isinstance(v, memoryview)]
                    operators.update(kinds[:1])
                elif part == _INITIALIZER:
                    count, size = _tensor(body)
                    weights, weight_bytes = weights + count, weight_bytes + size
                elif part in ends:
                    name, words = _value(body)
                    ends[part][name] = words
    if graphs != 1:
        raise ValueError("no graph")
    made_by = f"{producer[_PRODUCER]} {producer[_PRODUCER_VERSION]}".strip()
    return Graph(dict(operators.most_common()), weights, weight_bytes, ends[_INPUT], ends[_OUTPUT], opset, made_by)


def _tensor(message: memoryview) -> tuple[int, int]:
    """(numbers, bytes) of a stored tensor; none for indices and shapes, which are whole numbers of 32 or 64 bits."""
    dims: list[int] = []
    kind = 0
    for number, value in fields(message):
        if number == 1:
            dims += [value] if isinstance(value, int) else list(packed(value))
        elif number == 2 and isinstance(value, int):
            kind = value
    if kind in (6, 7, 9):
        return 0, 0
    count = math.prod(dims)
    return count, count * _SIZES.get(kind, 0)


def _value(message: memoryview) -> tuple[str, str]:
    """Name, and type and shape in words, of an input or output."""
    name, words = "", ""
    for number, value in fields(message):
        if number == 1 and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == 2 and isinstance(value, memoryview):
            tensor = dict(fields(value)).get(1)
            words = _shape(tensor) if isinstance(tensor, memoryview) else ""
    return name, words


def _shape(tensor: memoryview) -> str:
    kind, dims = 0, []
    for number, value in fields(tensor):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, memoryview):
            for _, dim in fields(value):
                entry = dict(fields(dim)) if isinstance(dim, memoryview) else {}
                text = entry.get(2)
                dims.append(bytes(text).decode() if isinstance(text, memoryview) else str(entry.get(1, "?")))
    return f"{_TYPES.get(kind, f'type {kind}')} [{', '.join(dims)}]"
