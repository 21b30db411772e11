"""A locator's model file whose right answer is known: the box around everything red in the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from posewright.geometry import CropRule
from posewright.runtime.entries import ENTRY
from posewright.runtime.modelfile import ModelInfo
from posewright.skeleton import Skeleton

LEVEL = 160.0
BOXES = Skeleton("red things", ("middle",))


class Graph:
    """An ONNX graph, put together node by node."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def save(self, path: Path, inputs: list[Any], outputs: list[Any], entries: dict[str, str] | None = None) -> Path:
        graph = helper.make_graph(self.nodes, "graph", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        for key, value in (entries or {}).items():
            model.metadata_props.append(onnx.StringStringEntryProto(key=key, value=value))
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


def box_model(
    path: Path, size: tuple[int, int] = (96, 64), threshold: float = 0.5, info: ModelInfo | None = None
) -> Path:
    """Write the model file; of its two boxes the second stands for nothing."""
    width, height = size
    g = Graph()
    g.add("Cast", ["image"], "pixels", to=TensorProto.FLOAT)
    g.add("Gather", ["pixels", g.constant(0, np.int64)], "red", axis=3)
    g.add("Greater", ["red", g.constant(LEVEL)], "is_red")
    g.add("Cast", ["is_red"], "mask", to=TensorProto.FLOAT)
    axes = g.constant([1, 2], np.int64)
    for name, grid, side in (
        ("x", np.arange(width).reshape(1, 1, width), width),
        ("y", np.arange(height).reshape(1, height, 1), height),
    ):
        g.add("Mul", ["mask", g.constant(grid + 1.0)], f"{name}_far")
        g.add("ReduceMax", [f"{name}_far", axes], f"{name}_last", keepdims=0)
        g.add("Sub", [f"{name}_last", g.constant(0.5)], f"{name}1")
        g.add("Mul", ["mask", g.constant(side - grid)], f"{name}_near")
        g.add("ReduceMax", [f"{name}_near", axes], f"{name}_first", keepdims=0)
        g.add("Sub", [g.constant(side - 0.5), f"{name}_first"], f"{name}0")
    g.add("ReduceMax", ["mask", axes], "any", keepdims=0)
    g.add("Mul", ["any", g.constant(0.9)], "score")
    columns = [g.add("Unsqueeze", [n, g.constant([1], np.int64)], f"{n}_") for n in ("x0", "y0", "x1", "y1", "score")]
    g.add("Concat", columns, "row", axis=1)
    g.add("Unsqueeze", ["row", g.constant([1], np.int64)], "first")
    g.add("Mul", ["first", g.constant(0.0)], "nothing")
    g.add("Concat", ["first", "nothing"], "boxes", axis=1)
    rule = CropRule(size, margin=1.0)
    own = ModelInfo(BOXES, rule, 8, "red", ("boxes",), kind="locator", threshold=threshold)
    return g.save(
        path,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", height, width, 3])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["B", 2, 5])],
        {ENTRY: (info or own).to_json()},
    )


def picture_with(boxes: list[tuple[int, int, int, int]], width: int, height: int) -> np.ndarray:
    """A dark picture with a red rectangle for each (x0, y0, x1, y1), first pixels inside and last ones outside."""
    picture = np.full((height, width, 3), 40, np.uint8)
    for x0, y0, x1, y1 in boxes:
        picture[y0:y1, x0:x1] = (230, 30, 30)
    return picture
