"""Reading an ONNX file's graph by hand, against the onnx package."""

from __future__ import annotations

import math
from collections import Counter

import onnx
import pytest
from onnx import TensorProto

from helpers.spots import spot_model
from posewright.errors import PosewrightError
from posewright.runtime.graph import read_graph


def test_a_graph_is_read_as_onnx_reads_it(tmp_path):
    path = spot_model(tmp_path / "m.onnx")
    model, found = onnx.load(path), read_graph(path)
    assert found.operators == dict(Counter(node.op_type for node in model.graph.node))
    assert found.nodes == len(model.graph.node)
    floats = [t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT]
    assert found.weights == sum(math.prod(t.dims) for t in floats) and found.weight_bytes == 4 * found.weights
    assert found.inputs == {"image": "uint8 [B, 64, 96, 3]"}
    assert list(found.outputs) == [v.name for v in model.graph.output]
    assert found.opset == 18


@pytest.mark.parametrize(
    "damage", [lambda d: d[: len(d) // 2], lambda d: b"", lambda d: b"\xff" * 64, lambda d: b"GIF89a"]
)
def test_what_is_no_graph(tmp_path, damage):
    path = tmp_path / "m.onnx"
    path.write_bytes(damage(spot_model(tmp_path / "whole.onnx").read_bytes()))
    with pytest.raises(PosewrightError, match=r"m\.onnx: is not an ONNX model file, or was cut short"):
        read_graph(path)
    with pytest.raises(PosewrightError, match="No such file"):
        read_graph(tmp_path / "none.onnx")
