"""The ONNX model file against the net it was made from; on every preset: test_presets.py."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest

import posewright
from helpers.discs import DISCS
from helpers.untrained import fresh
from posewright.errors import PosewrightError
from posewright.export import checkpoint_predictor, export_onnx, exporting
from posewright.export.deploy import OUTPUTS
from posewright.export.parity import Bounds
from posewright.models.checkpoint import save_checkpoint
from posewright.runtime.entries import ENTRY
from posewright.runtime.modelfile import read_info


def test_the_contract(tmp_path):
    checkpoint = fresh(activation="sigmoid")
    path = tmp_path / "m.onnx"
    export_onnx(checkpoint, path)
    info = read_info(path)
    assert (info.skeleton, info.crop, info.stride) == (DISCS, checkpoint.rule, 4)
    assert info.outputs == OUTPUTS
    model = onnx.load(path)
    assert [p.key for p in model.metadata_props] == [ENTRY]
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.output}
    assert {n: s[1:] for n, s in shapes.items()} == {"keypoints": [3, 3], "presence": [], "heatmaps": [2, 3, 16, 24]}
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_the_file_carries_no_trace_of_the_machine_it_was_made_on(tmp_path):
    export_onnx(fresh(), tmp_path / "m.onnx")
    data = (tmp_path / "m.onnx").read_bytes()
    for trace in (str(Path.home()), os.getcwd(), "site-packages", ".py"):  # noqa: PTH109
        assert trace.encode() not in data, trace


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_any_batch_gives_what_one_at_a_time_gives(batch, tmp_path):
    export_onnx(fresh(), tmp_path / "m.onnx")
    model = posewright.load(tmp_path / "m.onnx")
    pictures = list(np.random.default_rng(0).integers(0, 256, (batch, 70, 90, 3), np.uint8))
    together = model.predict_batch(pictures)
    for picture, poses in zip(pictures, together, strict=True):
        alone = model(picture)
        assert np.allclose(alone.xy, poses.xy, atol=1e-3)
        assert np.allclose(alone.presence, poses.presence, atol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
def test_the_unfused_checkpoint_and_the_file_agree(flip, tmp_path, discs):
    checkpoint = fresh(activation="sigmoid")
    save_checkpoint(checkpoint, tmp_path / "m.safetensors")
    export_onnx(checkpoint, tmp_path / "m.onnx")
    one, other = checkpoint_predictor(tmp_path / "m.safetensors", "cpu"), posewright.load(tmp_path / "m.onnx", "cpu")
    for image in range(4):
        boxes = discs.boxes[discs.image == image]
        a, b = (m(discs.image_path(image), boxes, flip=flip) for m in (one, other))
        sure = a.score > 0.1
        assert np.abs(a.xy - b.xy)[sure].max(initial=0) < 0.01
        assert np.allclose(a.score, b.score, atol=1e-4)


@pytest.mark.parametrize(
    ("bounds", "what"),
    [
        (Bounds(median=-1), "off by .* px .median"),
        (Bounds(median=1, p99=-1), "99th percentile"),
        (Bounds(median=1, maps=-1), "heat maps are off by"),
        (Bounds(median=1, presence=-1), "presence is off by"),
    ],
)
def test_a_file_that_differs_from_its_net_is_not_written(bounds, what, tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.BOUNDS, "fp32", bounds)
    with pytest.raises(PosewrightError, match=what):
        export_onnx(fresh(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there(tmp_path):
    path = save_checkpoint(fresh(), tmp_path / "m.safetensors")
    with pytest.raises(PosewrightError, match="device 'mps' is not available"):
        checkpoint_predictor(path, "mps")
