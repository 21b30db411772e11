"""The model file's description: written, read back, and refused with a reason wherever it cannot be used."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import onnx
import pytest

from helpers.spots import SPOTS, spot_model
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.runtime.modelfile import ModelInfo, read_info

INFO = ModelInfo(
    SPOTS,
    CropRule((96, 64), margin=1.3, border=7),
    4,
    "hourglass_s2_tiny",
    ("keypoints", "presence", "heatmaps"),
    calibrated=True,
    calibration="PCK@0.2 (torso)",
    training_data=("spots: 12 objects", "more spots"),
    metrics={"PCK@0.2": {"value": 0.91, "normaliser": "box", "images": 40}},
    terms="research only",
    tool_version="0.1.0",
)


def changed(**entries):
    """The entry of INFO with some values replaced, or removed where they are None."""
    d = json.loads(INFO.to_json()) | entries
    return json.dumps({k: v for k, v in d.items() if v is not None})


def test_everything_comes_back():
    assert ModelInfo.from_json(INFO.to_json()) == INFO
    d = json.loads(INFO.to_json())
    assert d["format_version"] == 1 and d["input_size"] == {"width": 96, "height": 64}


def test_tool_version_is_filled_in():
    from posewright import __version__

    fresh = dataclasses.replace(INFO, tool_version="")
    assert ModelInfo.from_json(fresh.to_json()).tool_version == __version__


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (changed(format_version=2), "format version 2; this posewright reads version 1. Update posewright"),
        (changed(format_version="1.0"), "format version 1.0"),
        (changed(format_version=None), "format version None"),
        (changed(kind="segmenter"), "model kind 'segmenter' is not known here"),
        (changed(stride=None), "lacks 'stride'"),
        (changed(crop=None), "lacks 'crop'"),
        (changed(stride=5), "stride 5 does not divide the input size 96x64"),
        (changed(stride="four"), "makes no sense: ValueError"),
        (changed(input_size={"width": 64, "height": 96}), "(64, 96) is not its crop's (96, 64)"),
        (changed(outputs=["keypoints", "heatmap"]), "unknown output 'heatmap'. Did you mean 'heatmaps'?"),
        (changed(outputs=["presence"]), "needs keypoints or heatmaps"),
        (changed(skeleton={"name": "x", "keypoints": []}), "has no keypoints"),
        (changed(skeleton=3), "not a skeleton"),
        (changed(crop={"width": 96}), "makes no sense: KeyError"),
        (changed(crop=json.loads(changed())["crop"] | {"interpolation": "cubic"}), "unknown interpolation 'cubic'"),
        (changed(metrics={"PCK@0.2": 0.9}), "metric 'PCK@0.2' has no value"),
        ("[1, 2]", "not a JSON object"),
        ("{", "not JSON"),
    ],
)
def test_refused_with_the_reason(text, reason):
    with pytest.raises(PosewrightError) as caught:
        ModelInfo.from_json(text, "m.onnx")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("m.onnx: ")


def test_read_info_finds_the_entry(tmp_path):
    path = spot_model(tmp_path / "m.onnx", info=INFO)
    assert read_info(path) == INFO


def test_read_info_of_large_files_steps_over_the_weights(tmp_path):
    path = spot_model(tmp_path / "m.onnx", info=INFO)
    model = onnx.load(path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3_000_000, np.float32), "weights"))
    onnx.save(model, path)
    assert read_info(path) == INFO


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    whole = spot_model(tmp_path / "m.onnx").read_bytes()
    cut = tmp_path / "cut.onnx"
    reasons = set()
    for length in range(1, len(whole), 37):
        cut.write_bytes(whole[:length])
        with pytest.raises(PosewrightError) as caught:
            read_info(cut)
        reasons.add(caught.value.what)
    assert reasons <= {"was cut short", "is not an ONNX model file", "is an ONNX file, but not a posewright model file"}
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PosewrightError, match="was cut short"):
        read_info(cut)


def test_other_files_are_refused(tmp_path):
    def complaint(content: bytes) -> str:
        path = tmp_path / "other.onnx"
        path.write_bytes(content)
        with pytest.raises(PosewrightError) as caught:
            read_info(path)
        return str(caught.value)

    assert "is empty" in complaint(b"")
    for content in (b"hello world " * 50, b"\x89PNG\r\n\x1a\n" + bytes(100), b"PK\x03\x04" + bytes(200), b"\xff" * 400):
        assert "is not an ONNX model file" in complaint(content)
    plain = spot_model(tmp_path / "plain.onnx", described=False)
    assert "not a posewright model file" in complaint(plain.read_bytes())
    with pytest.raises(PosewrightError, match=r"none\.onnx: does not exist"):
        read_info(tmp_path / "none.onnx")
    with pytest.raises(PosewrightError, match="is a folder"):
        read_info(tmp_path)


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_never_crash(tmp_path, seed):
    path = tmp_path / "noise.onnx"
    path.write_bytes(np.random.default_rng(seed).bytes(500))
    with pytest.raises(PosewrightError):
        read_info(path)
