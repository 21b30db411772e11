"""``posewright evaluate`` as it is typed, with a small real model file whose accuracy is known."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.lamps import SKELETON, as_results, figures, lamp_model, lamp_set
from posewright.cli import main
from posewright.geometry import CropRule


@pytest.fixture
def one_thread():
    """A net this small is faster on one thread, many times so where other work keeps the cores busy."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path, monkeypatch):
    lamp_set(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("options", [[], ["--flip"], ["--batch-size", "1"]])
def test_a_good_model_is_found_good(place, capsys, options):
    lamp_model(place / "lamp.onnx")
    assert main(["evaluate", "lamp.onnx", "labels.json", "--json", "figures.json", *options]) == 0
    got = figures()
    assert (got["n_images"], got["n_objects"], got["n_keypoints"]) == (7, 6, 18)
    assert got["metrics"]["PCK@0.05"] == 1
    assert got["metrics"]["mean_error_px"] < 0.3
    assert got["normaliser"] == "segment (red to blue)"
    assert set(got["by_keypoint"]) == {"red", "green", "blue"}
    said = capsys.readouterr().out
    assert "all pictures of labels.json" in said
    assert "PCK@0.2" in said
    assert "Next: posewright predict lamp.onnx" in said


def test_the_folder_it_leaves(place):
    lamp_model(place / "lamp.onnx")
    assert main(["evaluate", "lamp.onnx", "labels.json", "-o", "out", "--save-pictures"]) == 0
    names = sorted(p.name for p in (place / "out").iterdir())
    assert names == ["keypoints.png", "pck_curve.png", "pictures", "report.html", "results.json", "worst.jpg"]
    drawn = sorted((place / "out" / "pictures").iterdir())
    assert [p.name for p in drawn] == [f"lamp_{i}.jpg" for i in range(6)]
    before, after = cv2.imread(str(place / "images" / "lamp_0.png")), cv2.imread(str(drawn[0]))
    assert after.shape == before.shape
    assert (after.max(2) > 60).sum() > 1.5 * (before.max(2) > 60).sum()
    page = (place / "out" / "report.html").read_text()
    assert "Evaluation of lamp" in page
    assert page.count("data:image") == 1  # the worst cases
    assert page.count("<svg ") == 4  # by keypoint, the curve, by visibility, the score's reliability
    assert "By visibility" in page and "hidden (v = 1)" in page
    assert "Caution: only 6 objects were measured" in page


def test_its_own_results_evaluate_to_the_same_figures(place):
    lamp_model(place / "lamp.onnx")
    assert main(["evaluate", "lamp.onnx", "labels.json", "--json", "a.json"]) == 0
    assert main(["evaluate", "evaluation/lamp/results.json", "labels.json", "--json", "b.json"]) == 0
    a, b = figures("a.json"), figures("b.json")
    assert a["metrics"] == pytest.approx(b["metrics"], abs=2e-3)
    assert not (place / "evaluation" / "results" / "results.json").exists()  # nothing new to write


def test_the_official_tool_takes_its_results(place):
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    lamp_model(place / "lamp.onnx")
    assert main(["evaluate", "lamp.onnx", "labels.json", "-o", "out"]) == 0
    truth = coco.COCO("labels.json")
    official = COCOeval(truth, truth.loadRes("out/results.json"), "keypoints")
    official.params.kpt_oks_sigmas = np.full(3, 0.05)
    official.evaluate()
    official.accumulate()
    official.summarize()
    assert official.stats[0] > 0.9  # AP


def test_a_checkpoint_is_measured_by_its_own_net(place, one_thread):
    """Its figures are those of crops put through the unfused net by hand."""
    torch = one_thread
    from posewright.annotations import read_annotations
    from posewright.media.pictures import read_picture
    from posewright.metrics import evaluate
    from posewright.models.checkpoint import Checkpoint, save_checkpoint
    from posewright.models.heatmaps import decode
    from posewright.models.presets import build_net, preset
    from posewright.warp import warp

    torch.manual_seed(0)
    net = build_net(preset("hourglass_s1_mobile_tiny"), len(SKELETON)).eval()
    rule = CropRule((64, 64))
    save_checkpoint(Checkpoint(net, SKELETON, rule, "hourglass_s1_mobile_tiny"), place / "net.safetensors")
    assert main(["evaluate", "net.safetensors", "labels.json", "--json", "figures.json"]) == 0

    truth = read_annotations("labels.json")
    expected = []
    for i, box in enumerate(truth.boxes):
        to_crop = rule.similarity(box)
        crop = warp(read_picture(truth.image_path(int(truth.image[i]))), to_crop, rule)
        with torch.inference_mode():
            found = decode(net(torch.from_numpy(crop)[None])[:, -1, :3], net.config.stride)[0]
        expected.append(to_crop.inverse().apply(found[:, :2].double().numpy()))
    by_hand = evaluate(np.array(expected), truth).to_json()
    metrics = {name: value for name, value in figures()["metrics"].items() if not name.startswith("score_")}
    assert metrics == pytest.approx(by_hand["metrics"], abs=1e-3)
    assert figures()["metrics"]["mean_error_px"] > 5  # an untrained net: not zero by accident


def test_results_of_another_tool(place, capsys):
    (place / "r.json").write_text(json.dumps(as_results("labels.json", (3, 4))[1:]))
    options = ["--normaliser", "fixed:5", "--thresholds", "0.9,1.1", "--json", "figures.json"]
    assert main(["evaluate", "r.json", "labels.json", *options]) == 0
    got = figures()
    assert got["metrics"]["mean_error_px"] == pytest.approx(5)
    assert got["metrics"]["PCK@0.9"] == 0
    assert got["metrics"]["PCK@1.1"] == pytest.approx(15 / 18, abs=1e-6)
    assert got["n_missing"] == 1
    assert "1 of 6 objects have no prediction" in capsys.readouterr().out


def test_average_precision_takes_every_detection(place, capsys):
    """A spare detection that scores higher than the right one costs AP, though PCK does not see it."""
    rows = as_results("labels.json")
    for row in as_results("labels.json", (60, 0)):
        rows.append(row | {"score": 2.0})
    (place / "r.json").write_text(json.dumps(rows))
    assert main(["evaluate", "r.json", "labels.json", "--sigmas", "0.05", "--json", "figures.json"]) == 0
    got = figures()
    assert got["metrics"]["PCK@0.1"] == 1
    assert got["metrics"]["AP"] == pytest.approx(0.5, abs=1e-6)
    assert got["metrics"]["AR"] == 1
    assert any("12 detections on 7 pictures for 6 objects" in line for line in got["conventions"])
    assert "AP 0.500, AP50 0.500" in capsys.readouterr().out
    assert main(["evaluate", "r.json", "labels.json", "--json", "figures.json"]) == 0
    assert "AP" not in figures()["metrics"]


def test_a_model_has_an_average_precision_too(place):
    """That of its own results file."""
    lamp_model(place / "lamp.onnx")
    assert main(["evaluate", "lamp.onnx", "labels.json", "--sigmas", "0.05,0.06,0.07", "--json", "a.json"]) == 0
    results = "evaluation/lamp/results.json"
    assert main(["evaluate", results, "labels.json", "--sigmas", "0.05,0.06,0.07", "--json", "b.json"]) == 0
    a, b = figures("a.json")["metrics"], figures("b.json")["metrics"]
    assert a["AP"] > 0.9
    assert {n: a[n] for n in ("AP", "AR")} == pytest.approx({n: b[n] for n in ("AP", "AR")}, abs=1e-6)


def test_the_table_of_the_hourglass_system(place, capsys):
    (place / "r.json").write_text(json.dumps(as_results("labels.json")))
    assert main(["evaluate", "r.json", "labels.json", "--protocol", "hourglass", "--json", "figures.json"]) == 0
    got = figures()["protocol"]
    assert (got["name"], got["PCK"], got["n"]) == ("hourglass PCK", 1, 18)
    assert "in heatmap cells of a 256 x 256 input: distance < 3.2 cells" in capsys.readouterr().out
    assert "hourglass PCK" in (place / "evaluation" / "r" / "report.html").read_text()
    lamp_model(place / "lamp.onnx")
    assert main(["evaluate", "lamp.onnx", "labels.json", "--protocol", "hourglass", "--json", "figures.json"]) == 0
    assert (figures()["protocol"]["input_size"], figures()["protocol"]["PCK"]) == ([96, 96], 1)


def test_hidden_keypoints_can_be_left_out(place):
    (place / "r.json").write_text(json.dumps(as_results("labels.json")))
    assert main(["evaluate", "r.json", "labels.json", "--visible-only", "--json", "figures.json"]) == 0
    assert figures()["n_keypoints"] == 17


def test_results_need_no_pictures(place):
    (place / "r.json").write_text(json.dumps(as_results("labels.json")))
    for picture in (place / "images").iterdir():
        picture.unlink()
    assert main(["evaluate", "r.json", "labels.json", "-o", "out"]) == 0
    assert not (place / "out" / "worst.jpg").exists()
    assert "lamp_0.png: does not exist" in (place / "out" / "report.html").read_text()
    assert main(["evaluate", "r.json", "labels.json", "-o", "out2", "--save-pictures"]) == 2
    assert not (place / "out2").exists()


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as done:
        main(["evaluate", "--help"])
    assert done.value.code == 0
    said = capsys.readouterr().out
    assert "posewright evaluate runs/mine labels.json" in said
    assert "--normaliser" in said


# -- real labels -----------------------------------------------------------------------------------------------------


@pytest.fixture
def coco(shared_data):
    found = sorted((shared_data / "formats" / "coco").rglob("*.json"))
    keypoints = [p for p in found if "keypoints" in json.loads(p.read_text())["categories"][0]]
    assert keypoints
    return keypoints[0]


def test_real_labels_as_results_are_perfect_and_a_shift_is_exact(coco, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [r for r in as_results(coco) if any(r["keypoints"])]
    labelled = sum(sum(v > 0 for v in r["keypoints"][2::3]) for r in rows)
    Path("r.json").write_text(json.dumps(rows[::-1]))
    assert main(["evaluate", "r.json", str(coco), "--split", "all", "--json", "figures.json", "-o", "out"]) == 0
    got = figures()
    assert (got["n_keypoints"], got["n_missing"]) == (labelled, 0)
    assert (got["metrics"]["PCK@0.05"], got["metrics"]["mean_error_px"], got["metrics"]["NME"]) == (1, 0, 0)
    Path("r.json").write_text(json.dumps(as_results(coco, (0.6, -0.8))))
    assert main(["evaluate", "r.json", str(coco), "--split", "all", "--json", "figures.json", "-o", "out"]) == 0
    got = figures()
    assert got["metrics"]["mean_error_px"] == pytest.approx(1, abs=1e-6)
    assert got["metrics"]["median_error_px"] == pytest.approx(1, abs=1e-6)
