"""What a model file tells besides keypoints: covariance and visibility, from the graph to the picture's own pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import posewright
from helpers.discs import DISCS
from posewright.errors import PosewrightError
from posewright.export import checkpoint_predictor, export_onnx, exporting
from posewright.export.deploy import DeployedNet, outputs_of
from posewright.export.parity import Bounds, smooth_crops
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from posewright.models.heatmaps import decode
from posewright.models.peaks import PeakCovariance, covariance, map_spread, peak_cells, read_maps
from posewright.models.presets import build_net, preset
from posewright.runtime.modelfile import read_info

SIZE = (96, 64)
NUMBERS = PeakCovariance((-3.0, -2.0, -2.5), -1.5, 1.0, 2.5)


@pytest.fixture(scope="module")
def telling(tmp_path_factory):
    """An untrained checkpoint that tells everything, with a background channel, and its files."""
    torch.manual_seed(3)
    config = preset("hourglass_s1_nano", channels=16, visibility=True, background=True, activation="sigmoid")
    net = build_net(config, 3).eval()
    with torch.no_grad():
        for predict in net.predictors():
            predict.weight.mul_(200)  # maps with peaks
            predict.bias[:3] = -1.0
    checkpoint = Checkpoint(net, DISCS, CropRule(SIZE), "hourglass_s1_nano", (5.0, -2.0), covariance=NUMBERS)
    folder = tmp_path_factory.mktemp("telling")
    save_checkpoint(checkpoint, folder / "m.safetensors")
    return checkpoint, export_onnx(checkpoint, folder / "m.onnx"), folder


def test_the_file_tells_what_the_net_tells(telling):
    checkpoint, report, folder = telling
    assert report.worst_told < 1e-3
    info = read_info(folder / "m.onnx")
    assert info.outputs == outputs_of(checkpoint) == ("keypoints", "presence", "heatmaps", "covariance", "visibility")
    assert info.covariance_tail == 2.5
    plain = Checkpoint(checkpoint.net, DISCS, CropRule(SIZE), "x")
    assert outputs_of(plain) == ("keypoints", "presence", "heatmaps", "visibility")


def test_each_is_read_at_the_decoded_peak(telling):
    checkpoint, _, _ = telling
    net, crops = checkpoint.net, torch.from_numpy(smooth_crops(64, 96))
    with torch.no_grad():
        told = dict(zip(outputs_of(checkpoint), DeployedNet(checkpoint, fuse=False)(crops), strict=True))
        logits, seen = net.outputs(crops)
        maps = net.activate(logits)[:, -1, :3]
    assert told["heatmaps"].shape[2] == 4  # with the background, without the visibility
    points = decode(maps, 4)
    cells = peak_cells(maps, points[..., :2], net.config)
    assert torch.allclose(told["visibility"], read_maps(seen[:, -1], cells).sigmoid(), atol=1e-5)
    level = torch.tensor(NUMBERS.level)
    expected = covariance(map_spread(maps, cells), points[..., 2], 4, level, NUMBERS.score, NUMBERS.spread)
    assert torch.allclose(told["covariance"], expected, rtol=1e-4)


def test_it_reaches_the_picture_in_its_own_pixels_also_mirrored(telling):
    _, _, folder = telling
    model, other = posewright.load(folder / "m.onnx", "cpu"), checkpoint_predictor(folder / "m.safetensors", "cpu")
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    large = np.repeat(np.repeat(picture, 3, 0), 3, 1)
    small, big = model(picture), model(large)
    sure = (small.score[0] > 0.1) & (np.abs(big.xy[0] / 3 - small.xy[0]) < 1).all(-1)
    assert sure.any()
    np.testing.assert_allclose(big.covariance[0][sure], 9 * small.covariance[0][sure], rtol=0.2)
    np.testing.assert_allclose(other(picture).covariance, small.covariance, rtol=0.02)
    np.testing.assert_allclose(other(picture).visibility, small.visibility, atol=0.01)
    # A picture and its mirror image, both averaged with their mirror images: left and right change places, xy its sign.
    one, two = model(picture, flip=True), model(np.ascontiguousarray(picture[:, ::-1]), flip=True)
    order = DISCS.flip_order()
    np.testing.assert_allclose(two.covariance[:, order] * [1, -1, 1], one.covariance, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(two.visibility[:, order], one.visibility, atol=1e-4)
    pose = json.loads(one.to_json())["poses"][0]
    assert np.shape(pose["covariance"]) == (3, 3) and len(pose["visibility"]) == 3


def test_a_file_that_tells_something_else_is_not_written(telling, tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.BOUNDS, "fp32", Bounds(median=1, told=-1))
    with pytest.raises(PosewrightError, match="covariance or visibility is off by"):
        export_onnx(telling[0], tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_checkpoint_keeps_the_numbers(telling, tmp_path):
    path = telling[2] / "m.safetensors"
    back = load_checkpoint(path)
    assert back.covariance == NUMBERS and back.net.config.visibility
    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["posewright"])
    for bad in ({"level": [1.0], "score": 0, "spread": 0, "tail": 1}, {"level": 3}, [1, 2]):
        header["covariance"] = bad
        save_file(weights, tmp_path / "bad.safetensors", {"posewright": json.dumps(header)})
        with pytest.raises(PosewrightError, match="header that cannot be used"):
            load_checkpoint(tmp_path / "bad.safetensors")
    del header["covariance"]  # as checkpoints were before
    save_file(weights, tmp_path / "old.safetensors", {"posewright": json.dumps(header)})
    assert load_checkpoint(tmp_path / "old.safetensors").covariance is None
