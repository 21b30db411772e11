"""Model files whose graphs are not what they should be: one clear line each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import posewright
from helpers.hostile import changed, in_function, in_sparse, refused
from helpers.spots import spot_model
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.protobuf import encode_varint, length_delimited
from posewright.runtime.graph import read_graph


@pytest.fixture
def model(tmp_path) -> Path:
    return spot_model(tmp_path / "model.onnx")


def custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type, model.graph.node[0].domain = "Evil", "com.evil"
    model.opset_import.append(helper.make_opsetid("com.evil", 1))


def python_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type, model.graph.node[0].domain = "PyOp", "ai.onnx.contrib"
    model.opset_import.append(helper.make_opsetid("ai.onnx.contrib", 1))


def future_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def future_format(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def no_opset(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


def huge_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [10**9, 10**9]


def negative_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-5]


def huge_result(model: onnx.ModelProto) -> None:
    shape = numpy_helper.from_array(np.array([10**6, 10**7]), "shape")
    model.graph.initializer.append(shape)
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["spare"]))
    model.graph.node.insert(1, helper.make_node("ReduceSum", ["spare"], ["spare_sum"]))
    model.graph.output.append(helper.make_tensor_value_info("spare_sum", 1, None))


def float_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def other_size(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 65


def planes_first(model: onnx.ModelProto) -> None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, value in zip(dims[1:], (3, 64, 96)):
        dim.dim_value = value


def renamed_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "x"
    model.graph.node[0].input[0] = "x"


def no_input(model: onnx.ModelProto) -> None:
    del model.graph.input[:]


def no_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", 1, [1]))


def lacking_output(model: onnx.ModelProto) -> None:
    del model.graph.output[0]


def whole_number_output(model: onnx.ModelProto) -> None:
    """Keypoints of another kind: text in the place of numbers."""
    node = next(n for n in model.graph.node if "keypoints" in n.output)
    node.output[0] = "numbers"
    model.graph.node.append(helper.make_node("Cast", ["numbers"], ["keypoints"], to=TensorProto.STRING))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING


def fewer_keypoints(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if "keypoints" in n.output)
    node.output[0] = "all"
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 1]), "two"))
    model.graph.node.append(helper.make_node("Gather", ["all", "two"], ["keypoints"], axis=1))


def no_graph(model: onnx.ModelProto) -> None:
    model.ClearField("graph")


CHANGES = [
    custom_operator,
    python_operator,
    future_opset,
    future_format,
    no_opset,
    huge_weight,
    negative_weight,
    huge_result,
    float_input,
    other_size,
    planes_first,
    renamed_input,
    no_input,
    no_shape,
    second_input,
    lacking_output,
    whole_number_output,
    fewer_keypoints,
    no_graph,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_a_graph_that_is_not_what_it_should_be(model, tmp_path, capsys, change):
    assert str(changed(model, change)) in refused(model, tmp_path, capsys)


@pytest.mark.parametrize("change", [*CHANGES, in_function, in_sparse], ids=lambda f: f.__name__)
def test_telling_of_it_does_no_harm(model, capsys, change):
    """`describe` reads the graph by itself: it says what it finds, or what is wrong, in one line."""
    capsys.readouterr()
    code = main(["describe", str(changed(model, change))])
    error = capsys.readouterr().err
    assert (code, error.count("\n")) in ((0, 0), (2, 1)), error


def test_a_length_in_the_place_of_a_text(tmp_path):
    """A number where a text belongs is no order to set so much memory aside."""
    opset = encode_varint(1 << 3) + encode_varint(10**13) + encode_varint(2 << 3) + encode_varint(18)
    path = tmp_path / "model.onnx"
    path.write_bytes(length_delimited(8, opset) + length_delimited(7, b""))
    assert read_graph(path).opset == 0


def test_a_field_that_readers_would_see_differently(model):
    """A tag of more than 32 bits, which some cut: it must not hide a reference."""
    data = model.read_bytes()
    hidden = encode_varint((1 << 32) | (7 << 3) | 2) + encode_varint(4) + bytes(4)
    model.write_bytes(data + hidden)
    with pytest.raises(PosewrightError):
        posewright.load(model)
