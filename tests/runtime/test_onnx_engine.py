"""The onnxruntime engine: devices, fixed batch sizes, and graphs that are not what they say."""

from __future__ import annotations

import re

import numpy as np
import pytest

from helpers.spots import ALL, SIZE, SPOTS, picture_with_spots, spot_model
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.runtime.engines.onnx import DEVICES, OnnxEngine
from posewright.runtime.modelfile import ModelInfo


@pytest.fixture(scope="module")
def crops():
    rng = np.random.default_rng(3)
    places = rng.uniform((20, 20), (SIZE[0] - 20, SIZE[1] - 20), (5, 3, 2))
    return np.stack([picture_with_spots(*SIZE, [tuple(p) for p in centres], 4) for centres in places])


def test_outputs_come_in_the_order_asked_for(tmp_path, crops):
    engine = OnnxEngine(spot_model(tmp_path / "m.onnx", outputs=ALL), "cpu")
    presence, keypoints = engine.run(crops, ["presence", "keypoints"])
    assert presence.shape == (5,) and keypoints.shape == (5, 3, 3)
    (again,) = engine.run(crops, ["keypoints"])
    assert np.array_equal(again, keypoints)


@pytest.mark.parametrize("batch", [1, 2, 5, 8])
def test_a_fixed_batch_size_does_not_show(tmp_path, crops, batch):
    free = OnnxEngine(spot_model(tmp_path / "free.onnx"), "cpu")
    fixed = OnnxEngine(spot_model(tmp_path / "fixed.onnx", batch=batch), "cpu")
    assert free.batch is None and fixed.batch == batch
    names = ["keypoints", "heatmaps"]
    for got, wanted in zip(fixed.run(crops, names), free.run(crops, names)):
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_auto_and_cpu(tmp_path):
    path = spot_model(tmp_path / "m.onnx")
    assert OnnxEngine(path, "cpu", threads=1).device == "cpu"
    assert OnnxEngine(path).device in ("cpu", "cuda")


@pytest.mark.parametrize("device", [d for d in DEVICES if d != "cpu"])
def test_a_missing_device_says_what_to_install(tmp_path, device, monkeypatch):
    monkeypatch.setattr("posewright.runtime.engines.onnx._available", lambda: ["CPUExecutionProvider"])
    with pytest.raises(PosewrightError) as caught:
        OnnxEngine(spot_model(tmp_path / "m.onnx"), device)
    assert f"cannot run on {device}. Install onnxruntime" in str(caught.value)


def test_a_provider_that_fails_to_start_is_not_replaced_in_silence(tmp_path, monkeypatch):
    """onnxruntime falls back to the processor when CUDA's libraries are missing: an explicit --device must not."""
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("posewright.runtime.engines.onnx._available", lambda: names)
    import onnxruntime

    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda path, options, providers: real(path, options))
    path = spot_model(tmp_path / "m.onnx")
    with pytest.raises(PosewrightError, match="could not start on cuda"):
        OnnxEngine(path, "cuda")
    assert OnnxEngine(path, "auto").device == "cpu"


def test_unknown_device_and_threads(tmp_path):
    path = spot_model(tmp_path / "m.onnx")
    with pytest.raises(PosewrightError, match=r"unknown device 'cudda'\. Did you mean 'cuda'"):
        OnnxEngine(path, "cudda")
    with pytest.raises(PosewrightError, match="at least 1, not 0"):
        OnnxEngine(path, threads=0)


def test_the_command_line_names_every_device(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    words = capsys.readouterr().out.split("--device")[1].split("--threads")[0]
    assert set(DEVICES) <= set(re.findall(r"\w+", words))


def test_a_graph_that_is_not_what_it_says(tmp_path):
    def info(size=SIZE, outputs=("keypoints",)):
        return ModelInfo(SPOTS, CropRule(size), 4, "spots", outputs)

    wide = spot_model(tmp_path / "wide.onnx", info=info(size=(128, 64)))
    with pytest.raises(PosewrightError, match=r"does not take 'image' as uint8 \[B, 64, 128, 3\]"):
        OnnxEngine(wide)
    poor = spot_model(tmp_path / "poor.onnx", outputs=("keypoints",), info=info(outputs=("keypoints", "heatmaps")))
    with pytest.raises(PosewrightError, match="lacks the output 'heatmaps'"):
        OnnxEngine(poor)


def test_a_damaged_graph_is_one_line(tmp_path, capfd):
    path = spot_model(tmp_path / "m.onnx")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"ReduceMax", b"ReduceMix"))
    with pytest.raises(PosewrightError) as caught:
        OnnxEngine(path)
    assert "cannot be loaded by onnxruntime" in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_failing_run_is_one_line(tmp_path, crops, capfd):
    engine = OnnxEngine(spot_model(tmp_path / "m.onnx", trap=True))
    with pytest.raises(PosewrightError) as caught:
        engine.run(crops, ["heatmaps"])
    assert "onnxruntime failed on cpu" in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
