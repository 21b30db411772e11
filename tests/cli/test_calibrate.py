"""``posewright evaluate --calibrate`` as it is typed: what it stores, what it leaves alone, what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import posewright
from posewright.annotations import read_annotations
from posewright.cli import main
from posewright.geometry import CropRule
from posewright.runtime.modelfile import read_info
from posewright.skeleton import Skeleton

torch = pytest.importorskip("torch")

SKELETON = Skeleton("lamp", ("left_end", "right_end", "middle"), swaps=((0, 1),))
RIGHT = ["--normaliser", "fixed:30", "--thresholds", "0.5,1", "--calibrate-at", "1"]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """An untrained net that is right by chance, its model file, and pictures with room beside the objects."""
    from posewright.export.exporting import export_onnx
    from posewright.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from posewright.models.presets import build_net, preset

    folder = tmp_path_factory.mktemp("calibrate")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = build_net(preset("hourglass_s1_nano", channels=16, activation="sigmoid"), 3).eval()
    with torch.no_grad():
        for predict in net.predictors():
            predict.weight.mul_(200)  # maps with peaks, of many heights
            predict.bias.copy_(torch.tensor([-2.0, -1.0, 0.0])[: len(predict.bias)])
    checkpoint = Checkpoint(net, SKELETON, CropRule((64, 64)), "hourglass_s1_nano", (3.0, -1.0))
    save_checkpoint(checkpoint, folder / "net.safetensors", half=True)
    export_onnx(load_checkpoint(folder / "net.safetensors"), folder / "net.onnx")
    label(folder, 60)
    yield folder
    torch.set_num_threads(threads)


def label(folder: Path, count: int) -> None:
    """COCO labels of small objects in the middle of noisy pictures."""
    rng = np.random.default_rng(1)
    (folder / "images").mkdir(exist_ok=True)
    images, annotations = [], []
    for i in range(count):
        noise = rng.integers(0, 255, (12, 12, 3), np.uint8)
        cv2.imwrite(str(folder / "images" / f"{i}.png"), cv2.resize(noise, (120, 120)))
        images.append({"id": i, "file_name": f"{i}.png", "width": 120, "height": 120})
        points = np.column_stack([rng.uniform(40, 80, (3, 2)), [2, 2, 2]])
        record = {"id": i + 1, "image_id": i, "category_id": 1, "keypoints": points.ravel().tolist()}
        annotations.append(record | {"bbox": [38, 38, 44, 44], "area": 1936, "iscrowd": 0})
    record = {"images": images, "annotations": annotations, "categories": [SKELETON.to_coco()]}
    (folder / "labels.json").write_text(json.dumps(record))


@pytest.fixture
def place(original, tmp_path, monkeypatch):
    for name in ("net.safetensors", "net.onnx", "labels.json"):
        shutil.copyfile(original / name, tmp_path / name)
    (tmp_path / "images").symlink_to(original / "images")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def calibrate(model: str = "net.safetensors", *more: str) -> int:
    return main(["evaluate", model, "labels.json", "--calibrate", *RIGHT, "--worst", "0", *more])


def test_checkpoint_and_model_file_tell_the_calibrated_score(place, capsys):
    from posewright.export import checkpoint_predictor
    from posewright.models.checkpoint import load_checkpoint, stored_as_half

    before, points = load_checkpoint("net.safetensors"), posewright.load("net.onnx", "cpu")("images/0.png")
    assert calibrate("net.onnx", "--json", "figures.json") == 0
    after, info = load_checkpoint("net.safetensors"), read_info("net.onnx")
    curve = after.score_curve
    assert curve is not None and curve.rise > 0 and curve.fall > 0
    assert (info.calibrated, info.calibration, info.score_curve) == (True, "PCK@1, fixed (30 px)", curve)
    assert "half of all pictures of labels.json" in curve.data
    assert stored_as_half(place / "net.safetensors")
    for name, value in after.net.state_dict().items():
        assert torch.equal(value, before.net.state_dict()[name]), name
    # Heights become scores, points stay where they were, and mirrored averages go through the same curve.
    model, net = posewright.load("net.onnx", "cpu"), checkpoint_predictor("net.safetensors", "cpu")
    now = model("images/0.png")
    np.testing.assert_allclose(now.score, curve.apply(points.score), atol=1e-4)
    np.testing.assert_allclose(now.xy, points.xy, atol=1e-3)
    for flip in (False, True):
        one, other = (m("images/1.png", flip=flip).score for m in (net, model))
        np.testing.assert_allclose(one, other, atol=2e-3)
    said, record = capsys.readouterr().out, json.loads(Path("figures.json").read_text())["calibration"]
    assert record["after"]["score_Brier"] < record["before"]["height_Brier"]
    assert record["after"]["n"] < 180  # of the half that it was not fitted to
    assert "calibrated: net.safetensors, net.onnx; the model file's scores and points are the net's (4 crops)" in said
    assert "peak's height, before" in Path("evaluation/net/report.html").read_text()
    # From now on it is measured by what it claims, ...
    options = ["--normaliser", "fixed:30", "--thresholds", "0.5,1", "--worst", "0", "--json", "figures.json"]
    assert main(["evaluate", "net.onnx", "labels.json", *options]) == 0
    assert "The score is calibrated: the share of such keypoints that are right by PCK@1" in capsys.readouterr().out
    score = json.loads(Path("figures.json").read_text())["reliability"]["score"]
    assert "PCK@1 (fixed (30 px))" in score["event"] and score["score_ECE"] < 0.15
    # ... and calibrated again, it starts from the heights.
    Path("net.onnx").unlink()
    assert calibrate() == 0
    again = load_checkpoint("net.safetensors")
    assert again.score_curve == curve
    assert again.metrics == after.metrics


def test_without_a_model_file_only_the_checkpoint_is_written(place, capsys):
    Path("net.onnx").unlink()
    assert calibrate() == 0
    assert not Path("net.onnx").exists()
    assert "posewright export net.safetensors makes one" in capsys.readouterr().out


def test_a_shipped_model_is_left_as_it_is(place, monkeypatch):
    """And pictures that were trained on are named."""
    from posewright.models.checkpoint import load_checkpoint
    from posewright.training.recalibration import Candidate, trained_on

    Path("shipped").mkdir()
    for name in ("net.safetensors", "net.onnx"):
        Path(name).rename(place / "shipped" / name)
    monkeypatch.setenv("POSEWRIGHT_MODELS", str(place / "shipped"))
    candidate = Candidate.open("net", place / "out", "cpu")
    assert (candidate.source, candidate.target) == (place / "shipped/net.safetensors", place / "out/net.safetensors")
    checkpoint, labels = load_checkpoint(candidate.source), read_annotations("labels.json")
    assert trained_on(checkpoint, labels, Path("labels.json"), "", False) is None
    train = replace(labels, images=[replace(im, split="train") for im in labels.images])
    assert "those of a train split" in trained_on(checkpoint, train, Path("labels.json"), "", False)
    assert "those of a train split" in trained_on(checkpoint, labels, Path("labels.json"), "all", True)
    known = replace(checkpoint, training={"data": "labels.json"})
    assert "nothing says which of them it held out" in trained_on(known, labels, Path("labels.json"), "", False)
    assert trained_on(known, labels, place / "shipped/labels.json", "", False) is None
    words = replace(checkpoint, training={"data": "300-W training faces"})
    assert "was trained on 300-W training faces. Where these" in trained_on(
        words, labels, Path("labels.json"), "", False
    )


def results(place):
    (place / "r.json").write_text("[]")


def alone(place):
    (place / "net.safetensors").unlink()


def quantised(place):
    import onnx
    from onnx import helper

    model = onnx.load("net.onnx")
    model.graph.node.append(helper.make_node("DequantizeLinear", ["a", "b"], ["c"]))
    Path("net.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("prepare", "arguments", "complaint"),
    [
        (results, ["r.json", "labels.json", "--calibrate"], "--calibrate needs a model with its checkpoint"),
        (alone, ["net.onnx", "labels.json", "--calibrate"], "no checkpoint lies beside it"),
        (quantised, ["net.onnx", "labels.json", "--calibrate"], "is quantised, and would be replaced"),
        (None, ["net.onnx", "labels.json", "--calibrate", "--flip"], "not of the average that --flip makes"),
        (None, ["net.onnx", "labels.json", "--calibrate-at", "0.1"], "--calibrate-at needs --calibrate"),
        (None, ["net.onnx", "labels.json", "--calibrate", "--calibrate-at", "-1"], "PCK threshold above 0"),
        (None, ["net.onnx", "labels.json", "--negatives", "-1"], "--negatives must not be below 0"),
        (None, ["net.onnx", "labels.json", "--calibrate", "--limit", "30", *RIGHT], "30 pictures (or groups of them) are too"),
        (None, ["net.onnx", "labels.json", "--calibrate", *RIGHT[:4], "--calibrate-at", "9"], "another --calibrate-at: smaller"),
    ],
)  # fmt: skip
def test_bad_input_leaves_everything_as_it_was(place, capsys, prepare, arguments, complaint):
    if prepare:
        prepare(place)
    before = {p.name: p.read_bytes() for p in place.iterdir() if p.is_file()}
    assert main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1
    assert {p.name: p.read_bytes() for p in place.iterdir() if p.is_file()} == before
    assert not (place / "evaluation").exists()
