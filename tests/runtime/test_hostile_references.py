"""Model files that point at other files: refused, and nothing is opened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import posewright
from helpers.hostile import PICTURE, changed, external, in_function, in_sparse, refused
from helpers.spots import spot_model
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.media.pictures import write_picture


@pytest.fixture
def model(tmp_path) -> Path:
    return spot_model(tmp_path / "model.onnx")


@pytest.mark.parametrize("location", ["/etc/hostname", "../secret.bin", "beside.bin", "", "a/../../secret.bin"])
def test_a_weight_in_another_file(model, tmp_path, capsys, location):
    # It is there, so that it is the reference that is refused and not its absence.
    (tmp_path / "beside.bin").write_bytes(bytes(4096))
    (tmp_path.parent / "secret.bin").write_bytes(bytes(4096))
    changed(model, lambda m: external(m.graph.initializer[0], location))
    assert "refers to another file" in refused(model, tmp_path, capsys)


def in_constant(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "t")
    external(tensor, "beside.bin")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["spare"], value=tensor))


def in_branch(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "spare")
    external(tensor, "beside.bin")
    inner = helper.make_graph([], "branch", [], [helper.make_tensor_value_info("spare", 1, [4])], [tensor])
    condition = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True), "yes"))
    branch = helper.make_node("If", ["yes"], ["either"], then_branch=inner, else_branch=inner)
    model.graph.node.insert(0, branch)
    model.graph.node.insert(0, condition)


def location_alone(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def place_alone(model: onnx.ModelProto) -> None:
    entry = onnx.StringStringEntryProto(key="location", value="beside.bin")
    model.graph.initializer[0].external_data.append(entry)


@pytest.mark.parametrize(
    "hidden", [in_constant, in_branch, in_sparse, in_function, location_alone, place_alone], ids=lambda f: f.__name__
)
def test_a_reference_is_found_wherever_it_hides(model, tmp_path, capsys, hidden):
    (tmp_path / "beside.bin").write_bytes(bytes(4096))
    changed(model, hidden)
    assert "refers to another file" in refused(model, tmp_path, capsys)


def test_openvino_follows_no_reference_either(model, tmp_path):
    pytest.importorskip("openvino", reason="needs pip install 'posewright[openvino]'")
    (tmp_path / "beside.bin").write_bytes(bytes(4096))
    changed(model, lambda m: external(m.graph.initializer[0], "beside.bin"))
    with pytest.raises(PosewrightError, match="refers to another file"):
        posewright.load(model, engine="openvino")


def test_nor_does_another_project_s_detector(tmp_path, capsys):
    other = spot_model(tmp_path / "other.onnx", described=False)
    changed(other, lambda m: external(m.graph.initializer[0], "/etc/hostname"))
    picture = write_picture(tmp_path / "picture.png", PICTURE)
    assert main(["predict", "hand", str(picture), "--locator", str(other), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "refers to another file" in error


def test_nothing_is_opened_for_a_reference(model, tmp_path):
    """Not even looked for: a pipe in its place would block whoever opens it, and nobody does."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("named pipes are not to be had here")
    os.mkfifo(tmp_path / "beside.bin")
    changed(model, lambda m: external(m.graph.initializer[0], "beside.bin"))
    code = f"import posewright; posewright.load({str(model)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert "refers to another file" in done.stderr
