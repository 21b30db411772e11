"""``posewright describe`` on presets, checkpoints and model files."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from helpers.discs import DISCS
from helpers.spots import spot_model
from posewright.cli import main
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint, save_checkpoint
from posewright.models.presets import build_net, preset


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    net = build_net(preset("hourglass_s1_nano", channels=16), 3)
    path = tmp_path_factory.mktemp("net") / "model.safetensors"
    return save_checkpoint(Checkpoint(net, DISCS, CropRule((96, 64)), "hourglass_s1_nano"), path)


def test_a_preset(capsys):
    assert main(["describe", "hourglass_s1_nano", "--input-size", "64x96", "--keypoints", "5"]) == 0
    said = capsys.readouterr().out
    assert "hourglass_s1_nano at 64x96" in said and "5 x 16 x 24" in said and "GMAC" in said
    assert "Next: posewright train --data LABELS --model hourglass_s1_nano" in said


def test_every_layer_is_listed(capsys, checkpoint):
    assert main(["describe", str(checkpoint), "--layers"]) == 0
    said = capsys.readouterr().out
    assert "stem.residual1.unit2.conv" in said and "Conv2d 6x6 /2" in said
    assert "Next: posewright export" in said


def test_pictures_of_layers(capsys, checkpoint, tmp_path):
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 256, (70, 120, 3), np.uint8))
    out = tmp_path / "look"
    wanted = [
        "--picture",
        str(photo),
        "--layer",
        "stem.residual1,heads.0",
        "--maximise",
        "stem.conv",
        "--channels",
        "2",
    ]
    assert main(["describe", str(checkpoint), *wanted, "-o", str(out)]) == 0
    names = {p.name for p in out.iterdir()}
    assert names == {"features_stem.residual1.png", "features_heads.0.png", "kernels.png", "maximised_stem.conv.png"}
    assert all(cv2.imread(str(p)).std() > 5 for p in out.iterdir())


FILE = """
import sys
from posewright.cli import main
code = main(["describe", sys.argv[1]])
assert not {"torch", "onnx", "onnxruntime"} & set(sys.modules)
sys.exit(code)
"""


def test_a_model_file_needs_no_torch(tmp_path):
    path = spot_model(tmp_path / "spots.onnx")
    done = subprocess.run([sys.executable, "-c", FILE, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "uint8 [B, 64, 96, 3]" in done.stdout and "3 keypoints of 'spots'" in done.stdout
    assert "opset 18" in done.stdout and "Next: posewright predict" in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["hourglas_s2"], "Did you mean 'hourglass_s2'?"),
        (["nowhere/model.onnx"], "does not exist"),
        (["hourglass_s1_nano", "--input-size", "50"], "does not fit the net"),
        (["hourglass_s1_nano", "--input-size", "auto"], "neither a number nor HEIGHTxWIDTH"),
        (["hourglass_s1_nano", "--keypoints", "-2"], "--keypoints must be at least 1"),
        (["hourglass_s1_nano", "--layer", "stem"], "Add --picture FILE"),
        (["hourglass_s1_nano", "--maximise", "stem.cnv"], "Did you mean 'stem.conv'?"),
        (["FILE", "--layers"], "which a model file no longer has"),
        (["CHECKPOINT", "--keypoints", "4"], "are for presets"),
    ],
)
def test_bad_input_is_one_line(args, message, capsys, tmp_path, checkpoint):
    places = {"CHECKPOINT": str(checkpoint), "FILE": str(tmp_path / "m.onnx")}
    if args[0] == "FILE":
        spot_model(tmp_path / "m.onnx")
    assert main(["describe", *(places.get(a, a) for a in args)]) == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1 and said.out == ""
