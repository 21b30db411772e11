"""Model files spoilt on purpose, and what is said about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import posewright
from helpers.spots import picture_with_spots
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.media.pictures import write_picture
from posewright.runtime.entries import ENTRY

PICTURE = picture_with_spots(160, 120, [(40, 30), (110, 52), (75, 88)], 3)


def refused(path: Path, tmp_path: Path, capsys) -> str:
    """What is said about a file that must be refused, in Python and on the command line alike."""
    with pytest.raises(PosewrightError) as caught:
        posewright.load(path)(PICTURE)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 1500
    picture, out = write_picture(tmp_path / "picture.png", PICTURE), tmp_path / "out"
    capsys.readouterr()
    assert main(["predict", str(path), str(picture), "-o", str(out)]) == 2
    error = capsys.readouterr().err
    assert error == f"posewright: {text}\n"
    assert not out.exists() or not list(out.rglob("*"))
    return text


def changed(path: Path, change) -> Path:
    """The file with its protobuf changed by a function."""
    model = onnx.load_model_from_string(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def described(path: Path, text: str) -> Path:
    """The file with another text in the place of its description."""

    def change(model: onnx.ModelProto) -> None:
        del model.metadata_props[:]
        model.metadata_props.append(onnx.StringStringEntryProto(key=ENTRY, value=text))

    return changed(path, change)


def external(tensor: onnx.TensorProto, location: str, length: int | None = None) -> None:
    """Say that a tensor's values lie in another file."""
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(length or size)}.items():
        tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=value))


def in_sparse(model: onnx.ModelProto) -> None:
    values, indices = (numpy_helper.from_array(np.zeros(1, t), "s") for t in (np.float32, np.int64))
    external(values, "beside.bin")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def in_function(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "t")
    external(tensor, "beside.bin")
    node = helper.make_node("Constant", [], ["y"], value=tensor)
    opset = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("own", "f", [], ["y"], [node], opset))
    model.opset_import.append(helper.make_opsetid("own", 1))
