"""A model file whose right answers are known: it finds the centre of the bright spot in each colour channel.

Keypoint k is the centroid of channel 0 (red), 1 (green) or 2 (blue), above a level that the border does not reach.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from posewright.geometry import CropRule
from posewright.runtime.entries import ENTRY
from posewright.runtime.modelfile import ModelInfo
from posewright.skeleton import Skeleton

LEVEL = 160.0
SPOTS = Skeleton("spots", ("red", "green", "blue"), links=((0, 1), (1, 2)))
SIZE = (96, 64)
STRIDE = 4
ALL = ("keypoints", "presence", "heatmaps", "covariance", "visibility")


def spot_model(
    path: Path,
    *,
    size: tuple[int, int] = SIZE,
    margin: float = 1.25,
    outputs: tuple[str, ...] = ("keypoints", "presence", "heatmaps"),
    batch: int | None = None,
    trap: bool = False,
    info: ModelInfo | None = None,
    described: bool = True,
) -> Path:
    """Write the model file.

    Args:
        path: where to.
        size: (width, height) of the input.
        margin: of the crop rule.
        outputs: what the file returns; the covariance is (4, 1, 2) px^2 everywhere, the visibility equals the score.
        batch: a fixed batch size.
        trap: make computing the heat maps fail.
        info: the description, where it shall not be the true one.
        described: whether the file has a description at all.
    """
    width, height = size
    graph = _Graph()
    graph.add("Cast", ["image"], "pixels", to=TensorProto.FLOAT)
    graph.add("Transpose", ["pixels"], "planes", perm=[0, 3, 1, 2])
    graph.add("Sub", ["planes", graph.constant(LEVEL)], "above")
    graph.add("Relu", ["above"], "bright")
    graph.add("ReduceSum", ["bright", graph.constant([2, 3], np.int64)], "mass", keepdims=0)
    graph.add("Add", ["mass", graph.constant(1e-6)], "mass_")
    grids = {"x": np.arange(width).reshape(1, 1, 1, width), "y": np.arange(height).reshape(1, 1, height, 1)}
    for axis, grid in grids.items():
        graph.add("Mul", ["bright", graph.constant(grid)], f"{axis}_parts")
        graph.add("ReduceSum", [f"{axis}_parts", graph.constant([2, 3], np.int64)], f"{axis}_sum", keepdims=0)
        graph.add("Div", [f"{axis}_sum", "mass_"], f"{axis}_mean")
        graph.add("Unsqueeze", [f"{axis}_mean", graph.constant([2], np.int64)], axis)
    graph.add("ReduceMax", ["bright", graph.constant([2, 3], np.int64)], "peak", keepdims=0)
    graph.add("Div", ["peak", graph.constant(255 - LEVEL)], "visibility")
    graph.add("Unsqueeze", ["visibility", graph.constant([2], np.int64)], "score")
    graph.add("Concat", ["x", "y", "score"], "keypoints", axis=2)
    graph.add("ReduceMax", ["visibility", graph.constant([1], np.int64)], "presence", keepdims=0)
    graph.add("Mul", ["keypoints", graph.constant(0.0)], "nothing")
    graph.add("Add", ["nothing", graph.constant([4.0, 1.0, 2.0])], "covariance")
    source = "bright"
    if trap:
        # An index far outside, known only when the graph runs.
        graph.add("Cast", ["mass"], "index", to=TensorProto.INT64)
        graph.add("Add", ["index", graph.constant(10**6, np.int64)], "outside")
        graph.add("Gather", ["bright", "outside"], "caught", axis=3)
        graph.add("ReduceSum", ["caught"], "sum", keepdims=0)
        graph.add("Add", ["bright", "sum"], "trapped")
        source = "trapped"
    graph.add("Div", [source, graph.constant(255 - LEVEL)], "unit")
    graph.add("AveragePool", ["unit"], "maps", kernel_shape=[STRIDE, STRIDE], strides=[STRIDE, STRIDE])
    graph.add("Unsqueeze", ["maps", graph.constant([1], np.int64)], "heatmaps")
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [batch or "B", height, width, 3])
    found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    proto = helper.make_graph(graph.nodes, "spots", [image], found, graph.constants)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if described:
        true = ModelInfo(SPOTS, CropRule(size, margin), STRIDE, "spots", outputs)
        model.metadata_props.append(onnx.StringStringEntryProto(key=ENTRY, value=(info or true).to_json()))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def picture_with_spots(
    width: int, height: int, centres: list[tuple[float, float]], sigma: float, background: int = 30
) -> np.ndarray:
    """``uint8 [H, W, 3]`` RGB: a gaussian spot in channel k around ``centres[k]`` (pixels), none where that is NaN."""
    picture = np.full((height, width, 3), float(background))
    for channel, (x, y) in enumerate(centres):
        if np.isfinite(x):
            gx = np.exp(-((np.arange(width) - x) ** 2) / (2 * sigma**2))
            gy = np.exp(-((np.arange(height) - y) ** 2) / (2 * sigma**2))
            picture[..., channel] += (255 - background) * np.outer(gy, gx)
    return np.round(picture).astype(np.uint8)


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, inputs: list[str], output: str, **attributes) -> None:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))

    def constant(self, value, dtype=np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name
