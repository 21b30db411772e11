"""Model files that are damaged, foreign or made to harm: one clear line each, no code run, no other file read."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import posewright
from helpers.spots import SPOTS, picture_with_spots, spot_model
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.media.pictures import write_picture
from posewright.protobuf import encode_varint, length_delimited
from posewright.runtime import read_info
from posewright.runtime.entries import ENTRY, onnx_entry
from posewright.runtime.formats import FORMATS
from posewright.runtime.graph import read_graph

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


@pytest.fixture
def model(tmp_path) -> Path:
    return spot_model(tmp_path / "model.onnx")


# -- references to other files -----------------------------------------------------------------------------------------


def external(tensor: onnx.TensorProto, location: str, length: int | None = None) -> None:
    """Say that a tensor's values lie in another file."""
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(length or size)}.items():
        tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=value))


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


# -- graphs that are not what they should be ---------------------------------------------------------------------------


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


# -- descriptions that lie ---------------------------------------------------------------------------------------------


def put(*keys: str | int, value: object):
    """A change of one place of the description."""

    def change(d: dict) -> None:
        for key in keys[:-1]:
            d = d[key]
        d[keys[-1]] = value

    return change


def size(side: object):
    def change(d: dict) -> None:
        d["input_size"] = {"width": side, "height": side}
        d["crop"]["width"] = d["crop"]["height"] = side

    return change


def many_keypoints(d: dict) -> None:
    d["skeleton"]["keypoints"] = [f"k{i}" for i in range(10**6)]


LIES = {
    "another version": put("format_version", value=99),
    "a version in words": put("format_version", value="1"),
    "a version that is true": put("format_version", value=[1]),
    "no version": lambda d: d.pop("format_version"),
    "another kind": put("kind", value="weapon"),
    "a locator": put("kind", value="locator"),
    "a huge input": size(10**9),
    "training data in one word": put("training_data", value="coco"),
    "an infinite input": size(float("inf")),
    "a negative input": size(-64),
    "an input in words": size("96"),
    "an input of nothing": size(None),
    "a million keypoints": many_keypoints,
    "no keypoints": put("skeleton", "keypoints", value=[]),
    "keypoints in one word": put("skeleton", "keypoints", value="red"),
    "other keypoints": put("skeleton", "keypoints", value=["a", "b", "c", "d"]),
    "numbers for keypoints": put("skeleton", "keypoints", value=7),
    "a link to nowhere": put("skeleton", "links", value=[[0, 10**9]]),
    "a link to infinity": put("skeleton", "links", value=[[0, float("inf")]]),
    "sigmas of nothing": put("skeleton", "sigmas", value=[float("nan")] * 3),
    "a skeleton in words": put("skeleton", value="body"),
    "no skeleton": put("skeleton", value=None),
    "a margin of nothing": put("crop", "margin", value=float("nan")),
    "an infinite margin": put("crop", "margin", value=float("inf")),
    "a margin beyond numbers": put("crop", "margin", value=10**400),
    "a huge margin": put("crop", "margin", value=1e300),
    "a tiny margin": put("crop", "margin", value=1e-300),
    "a border beyond bytes": put("crop", "border", value=10**6),
    "another interpolation": put("crop", "interpolation", value="__import__('os')"),
    "no reduction": put("crop", "reduce_above", value=float("nan")),
    "a crop in words": put("crop", value="all"),
    "a stride of nothing": put("stride", value=0),
    "a negative stride": put("stride", value=-4),
    "an infinite stride": put("stride", value=float("inf")),
    "a stride in a list": put("stride", value=[4]),
    "unknown outputs": put("outputs", value=["keypoints", "../../etc/passwd"]),
    "outputs in a number": put("outputs", value=5),
    "no outputs": put("outputs", value=[]),
    "outputs it has not": put("outputs", value=["keypoints", "covariance"]),
    "unknown decoding": put("decoding", value="eval"),
    "a shift of nothing": put("label_shift", value=[float("nan"), 0]),
    "a shift of three": put("label_shift", value=[0, 0, 0]),
    "a curve of others": put(
        "score_curve", value={"rise": 1, "fall": 1, "offset": [0], "threshold": 0.2, "normaliser": "box"}
    ),
    "a curve of nothing": put("score_curve", value={"rise": float("nan")}),
    "a tail of nothing": put("covariance_tail", value=float("nan")),
    "metrics in words": put("metrics", value="excellent"),
    "metrics without a value": put("metrics", value={"PCK": {}}),
    "metrics of nothing": put("metrics", value={"PCK": {"value": float("nan")}}),
    "training data in a number": put("training_data", value=3),
    "a list": None,
}


@pytest.mark.parametrize("lie", LIES, ids=lambda name: name.replace(" ", "_"))
def test_a_description_that_lies(model, tmp_path, capsys, lie):
    description = json.loads(onnx_entry(model) or "")
    change = LIES[lie]
    if change is None:
        description = [description]
    else:
        change(description)
    described(model, json.dumps(description))
    text = refused(model, tmp_path, capsys)
    assert str(model) in text
    with pytest.raises(PosewrightError):
        if lie in ("a locator", "other keypoints", "outputs it has not"):  # which only the graph can show
            raise PosewrightError(text)
        read_info(model)


BOMBS = {
    "deep lists": "[" * 200_000,
    "deep objects": '{"a":' * 100_000,
    "deep inside": '{"format_version": 1, "kind": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "many lists": "[" + "[]," * 2_000_000 + "[]]",
    "a long number": '{"format_version": ' + "9" * 100_000 + "}",
    "a long name": '{"format_version": "' + "x" * 5_000_000 + '"}',
    "no JSON": "import os; os.system('id')",
    "nothing": "",
    "half": '{"format_version": 1',
    "NaN": "NaN",
    "zero bytes": "\0\0\0",
    "a pickle": "cos\nsystem\n(S'id'\ntR.",
}


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda name: name.replace(" ", "_"))
def test_a_description_that_is_a_bomb(model, tmp_path, capsys, bomb):
    assert str(described(model, BOMBS[bomb])) in refused(model, tmp_path, capsys)


def test_names_in_a_description_cannot_bring_lines_or_escapes(model, tmp_path, capsys):
    description = json.loads(onnx_entry(model) or "")
    description["decoding"] = "\x1b[2J\nposewright: all is well\r\n" + "x" * 10_000
    assert "\x1b" not in refused(described(model, json.dumps(description)), tmp_path, capsys)


def test_two_descriptions(model, tmp_path, capsys):
    """Readers may differ in which they take; there is no reason for two."""

    def change(m: onnx.ModelProto) -> None:
        m.metadata_props.append(m.metadata_props[0])

    assert "has two descriptions" in refused(changed(model, change), tmp_path, capsys)


# -- files of another kind ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [i / 20 for i in range(20)])
def test_cut_short(model, tmp_path, capsys, share):
    data = model.read_bytes()
    model.write_bytes(data[: int(len(data) * share)])
    text = refused(model, tmp_path, capsys)
    assert any(words in text for words in ("is empty", "was cut short", "is not an ONNX model file")), text


@pytest.mark.parametrize("seed", range(10))
def test_damaged_bytes(model, tmp_path, seed):
    """Whatever happens to single bytes, it loads and runs or says so in one line."""
    rng = np.random.default_rng(seed)
    data = bytearray(model.read_bytes())
    for _ in range(20):
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(256)
        model.write_bytes(data)
        try:
            posewright.load(model)(PICTURE)
        except PosewrightError as error:
            assert "\n" not in str(error)


class Harm:
    """What must not happen: unpickled, it makes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return Path.touch, (self.place,)


def foreign(kind: str, folder: Path) -> bytes:
    import io

    if kind == "png":
        return write_picture(folder / "a.png", PICTURE).read_bytes()
    if kind == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("../../evil.txt", "evil")
            archive.writestr("data.pkl", pickle.dumps(Harm(folder / "harm")))
        return buffer.getvalue()
    if kind == "safetensors":
        header = json.dumps({"__metadata__": {"posewright": "{}"}}).encode()
        return len(header).to_bytes(8, "little") + header
    return {
        "pickle": pickle.dumps(Harm(folder / "harm")),
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "json": b'{"format_version": 1}',
        "text": b"hello\n" * 100,
        "zeros": bytes(4096),
        "ones": b"\xff" * 4096,
        "endless": b"\x80" * 4096,
        "h5": b"\x89HDF\r\n\x1a\n" + bytes(512),
        "git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n",
    }[kind]


KINDS = ["png", "zip", "safetensors", "pickle", "html", "json", "text", "zeros", "ones", "endless", "h5", "git lfs"]
PLAIN = [f.ending for f in FORMATS.values() if not f.folder]


@pytest.mark.parametrize("ending", PLAIN)
@pytest.mark.parametrize("kind", KINDS)
def test_a_renamed_file(tmp_path, capsys, kind, ending):
    path = tmp_path / f"model{ending}"
    path.write_bytes(foreign(kind, tmp_path))
    assert str(path) in refused(path, tmp_path, capsys)
    assert not (tmp_path / "harm").exists() and not list(tmp_path.parent.glob("evil*"))
    if ending != FORMATS["onnx"].ending:
        with pytest.raises(PosewrightError):
            posewright.load(path, trust=True)
        assert not (tmp_path / "harm").exists()


def test_a_folder_in_its_place(tmp_path, capsys):
    (tmp_path / "model.onnx").mkdir()
    assert "holds no model.onnx" in refused(tmp_path / "model.onnx", tmp_path, capsys)


def test_no_right_to_read(model, tmp_path, capsys):
    model.chmod(0)
    if os.access(model, os.R_OK):
        pytest.skip("this user may read everything")
    assert "Permission denied" in refused(model, tmp_path, capsys)


def test_a_true_file_is_taken(model):
    """What is refused above is refused for its fault, not for something else."""
    assert posewright.load(model).skeleton == SPOTS
    assert np.abs(posewright.load(model)(PICTURE).xy[0] - [(40, 30), (110, 52), (75, 88)]).max() < 0.5
