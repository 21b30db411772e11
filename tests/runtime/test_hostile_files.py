"""Model files that are damaged, foreign or made to harm: one clear line each, no code run, no other file read."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

import posewright
from helpers.hostile import PICTURE, changed, described, refused
from helpers.spots import SPOTS, spot_model
from posewright.errors import PosewrightError
from posewright.media.pictures import write_picture
from posewright.runtime import read_info
from posewright.runtime.entries import onnx_entry
from posewright.runtime.formats import FORMATS


@pytest.fixture
def model(tmp_path) -> Path:
    return spot_model(tmp_path / "model.onnx")


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
