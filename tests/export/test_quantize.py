"""int8 and fp16 ONNX files: what is in them, what they lose, and that a layer which spoils all is found."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

import posewright
from helpers.untrained import fresh
from posewright.errors import PosewrightError
from posewright.export import exporting, quantize
from posewright.export.exporting import export
from posewright.export.half import halved
from posewright.export.job import make_job
from posewright.export.onnx import running
from posewright.export.parity import BOUNDS, Bounds, CheckSet, Parity, smooth_crops
from posewright.export.quantize import quantised, slimmed
from posewright.runtime.modelfile import read_info

ANY = Bounds(median=float("inf"))
SMALL = {"name": "hourglass_s1_nano", "channels": 16}


def crops(count: int = 8, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    return smooth_crops(size[1], size[0], count)


@pytest.fixture(scope="module", autouse=True)
def no_search():
    """Nets with random weights lose much of what they find to any rounding: no layers are looked for but where asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "AIM", 1.0)
        yield


@pytest.fixture(scope="module")
def job():
    """A small net whose graph is made once for all tests here."""
    made = make_job(fresh(**SMALL))
    assert made.graph.graph.node
    return made


@pytest.fixture(scope="module")
def small(job):
    return quantised(job.graph, crops(), lambda _: 0.0, 0.0)


@pytest.fixture(scope="module")
def graphs(job, small):
    """The same net in each precision."""
    return {
        "fp32": job.graph,
        "fp16": halved(job.graph),
        "int8": small.file,
    }


def maps(model):
    return running(model)(crops(), ["heatmaps"])[0]


def off(model, true):
    """The mean error of a graph's maps, as a share of what differs between their cells."""
    return float(np.abs(maps(model) - true).mean() / true.std())


def test_sizes(graphs):
    def weights(model):
        return sum(tensor.ByteSize() for tensor in model.graph.initializer)

    sizes = {precision: weights(model) for precision, model in graphs.items()}
    # Of a net this small names and scales are a good part; the shipped models' files are at 0.51 and 0.28.
    assert sizes["fp16"] < 0.6 * sizes["fp32"]
    assert sizes["int8"] < 0.5 * sizes["fp32"]
    assert graphs["int8"].ByteSize() < graphs["fp32"].ByteSize()


def test_what_is_integer_and_what_is_not(graphs):
    model = graphs["int8"]
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    integers = [node for node in layers if node.input[1] in makers]
    assert len(layers) - len(integers) == 1  # the layer that draws the maps
    assert len(integers) > 20
    for node in integers:
        weights, scales = (constants[name] for name in makers[node.input[1]].input[:2])
        assert weights.dtype == np.int8
        assert np.abs(weights).max() <= 64  # 7 bits: sums of two products stay within 16
        assert scales.size == weights.shape[0]  # one a channel
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert {opset.domain for opset in model.opset_import} <= {"", "ai.onnx"}  # nothing that only onnxruntime knows


def test_fp16_stores_halves_and_computes_in_float(graphs):
    constants = [onnx.numpy_helper.to_array(tensor) for tensor in graphs["fp16"].graph.initializer]
    assert sum(c.size for c in constants if c.dtype == np.float16) > 0.9 * sum(c.size for c in constants)
    assert 0 < off(graphs["fp16"], maps(graphs["fp32"])) < 2e-3


def test_int8_maps_are_those_of_float(graphs):
    assert 1e-3 < off(graphs["int8"], maps(graphs["fp32"])) < 0.1


def test_a_weight_that_half_cannot_hold_stays_whole():
    net = torch.nn.Conv2d(3, 8, 3)
    with torch.no_grad():
        net.weight[0, 0, 0, 0] = 1e6
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Conv", ["x", "w"], ["y"])],
            "g",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 8, 6, 6])],
            [onnx.numpy_helper.from_array(net.weight.detach().numpy(), "w")],
        )
    )
    assert [t.data_type for t in halved(model).graph.initializer] == [onnx.TensorProto.FLOAT]


def test_a_fixed_batch_mirrored_inside_without_maps(small, tmp_path):
    path = tmp_path / "m.onnx"
    report = export(
        fresh(**SMALL),
        path,
        precision="int8",
        calibration=crops(5),
        bounds=ANY,
        batch=2,
        flip=True,
        wanted="keypoints",
    )
    assert report.notes == (f"int8: all {small.layers} layers but those that draw the maps.",)
    info = read_info(path)
    assert (info.precision, info.flip, info.outputs) == ("int8", True, ("keypoints", "presence"))
    assert len(posewright.load(path, "cpu").predict_batch(list(crops(5)))) == 5


def test_layers_that_cost_most_stay_in_float(monkeypatch):
    """One channel between two layers is scaled up a thousandfold and down again: one scale a tensor leaves the others nothing."""
    monkeypatch.setattr(quantize, "GROUPS", 14)
    job = make_job(fresh(**SMALL))
    unit = job.net.net.stem.residual1
    with torch.no_grad():
        unit.unit1.conv.weight[0] *= 3000
        unit.unit1.conv.bias[0] *= 3000
        unit.unit2.conv.weight[:, 0] /= 3000
    true = maps(job.graph)

    def harm(model):
        return off(model, true)

    whole = quantised(job.graph, crops(), harm, float("inf"))
    assert whole.kept == ()
    aim = 0.7 * whole.loss
    found = quantised(job.graph, crops(), harm, aim)
    assert {"net.stem.residual1.unit1.conv", "net.stem.residual1.unit2.conv"} & set(found.kept)
    assert found.loss <= aim
    assert len(found.kept) <= found.layers // 2
    assert found.loss == pytest.approx(harm(found.file), rel=1e-3)
    assert "left in float32 for what they cost: " in found.sentence()


def test_slimming_changes_no_result(job):
    graph = onnx.ModelProto()
    graph.CopyFrom(job.graph)
    before, size = maps(graph), graph.ByteSize()
    slim = slimmed(graph)
    assert slim.ByteSize() < size
    np.testing.assert_allclose(maps(slim), before, atol=1e-4 * before.std())


def test_int8_without_pictures_is_refused(tmp_path):
    with pytest.raises(PosewrightError, match="int8 has to see training pictures"):
        export(fresh(**SMALL), tmp_path / "m.onnx", precision="int8")
    assert list(tmp_path.iterdir()) == []


def test_calibration_of_another_size_is_refused(tmp_path):
    with pytest.raises(PosewrightError, match="calibration crops are 64 x 64, the model takes 96 x 64"):
        export(fresh(**SMALL), tmp_path / "m.onnx", precision="int8", calibration=crops(size=(64, 64)))
    assert list(tmp_path.iterdir()) == []


def test_what_loses_too_much_is_not_kept(tmp_path):
    checkpoint = fresh(activation="sigmoid", **SMALL)
    net = make_job(checkpoint).net
    with torch.no_grad():
        truth = net.found(torch.from_numpy(crops(6)))["keypoints"].numpy().astype(float)
    truth[..., 2] = 2
    check = CheckSet(crops(6), "crops", truth, np.full(6, 0.01), "PCK@0.2 (box)", 0.2)
    with pytest.raises(PosewrightError, match=r"it loses .* of PCK@0\.2"):
        export(
            checkpoint,
            tmp_path / "m.onnx",
            precision="int8",
            calibration=crops(),
            check=check,
            bounds=Bounds(median=float("inf"), loss=0.5),
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lost", "of", "changes", "kept"),
    [
        (1, 16, {}, True),  # one of a few is no 6 points
        (2, 16, {}, False),
        (1, 16, {"grain": 0}, False),  # as where a person said how much may be lost
        (10, 1600, {}, True),
        (17, 1600, {}, False),
    ],
)
def test_a_keypoint_of_a_few_says_nothing(lost, of, changes, kept):
    found = Parity(0.0, 0.0, 4, points=of, kept=(0.5, 0.5 - lost / of), of=of, rule="PCK@0.1 (box)")
    assert ("too few to tell" in found.sentence()) == (of < 100)
    with nullcontext() if kept else pytest.raises(PosewrightError, match="it loses 0"):
        found.require(replace(BOUNDS["int8"], **changes), 4)
