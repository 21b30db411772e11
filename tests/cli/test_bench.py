"""``posewright bench`` as it is typed, with small real model files."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

from helpers.lamps import SKELETON, lamp_model, lamp_set
from helpers.spots import STRIDE, spot_model
from posewright.cli import main
from posewright.geometry import CropRule
from posewright.runtime.modelfile import ModelInfo
from posewright.skeleton import Skeleton

QUICK = ["--rounds", "3", "--threads", "1"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Labels, a model that finds the lamps, and one that takes red for blue."""
    lamp_set(tmp_path, count=9)
    monkeypatch.chdir(tmp_path)
    lamp_model(tmp_path / "good.onnx")
    lamp_model(tmp_path / "bad.onnx", Skeleton("lamp", ("blue", "green", "red"), normaliser=SKELETON.normaliser))
    return tmp_path


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_one_row_a_file(place, capsys):
    options = [*QUICK, "--csv", "out/bench.csv", "--plot", "out/bench.png"]
    assert main(["bench", "good.onnx", "bad.onnx", "good.onnx@onnxruntime", "--data", "labels.json", *options]) == 0
    said = capsys.readouterr().out
    assert "3 models on all pictures of labels.json" in said
    assert "PCK@0.2: share of all labelled keypoints within 0.2 x the normaliser (segment" in said
    assert "bad.onnx against good.onnx" in said
    assert "PCK@0.2: worse (-0.6667" in said
    assert "Next: posewright evaluate good.onnx labels.json" in said
    good, bad, again = read(place / "out" / "bench.csv")
    assert (good["model"], bad["model"], again["model"]) == ("good.onnx", "bad.onnx", "good.onnx@onnxruntime")
    assert float(good["value"]) == float(again["value"]) == 1
    assert float(bad["value"]) == pytest.approx(1 / 3, abs=1e-4)  # of three lamps the one that both call green
    assert float(bad["difference_low"]) <= float(bad["difference"]) == pytest.approx(-2 / 3, abs=1e-4)
    assert float(again["difference"]) == float(again["difference_high"]) == 0
    for row in (good, bad, again):
        assert (row["engine"], row["precision"], row["threads"], row["rounds"]) == ("onnxruntime", "fp32", "1", "3")
        assert 0 < float(row["ms_batch_1"]) <= float(row["ms_batch_1_p95"])
        assert float(row["ms_end_to_end"]) > float(row["ms_batch_1"])
        assert 0 < float(row["ms_batch_8"]) <= float(row["ms_batch_8_p95"])
        assert 0.01 < float(row["cold_start_s"]) < 60
        assert 20 < float(row["MB_peak_memory"]) < 2000
        assert float(row["MB_on_disk"]) == pytest.approx(
            (place / row["model"].split("@")[0]).stat().st_size / 1e6, 1e-3
        )
    assert cv2.imread(str(place / "out" / "bench.png")).shape[1] > 400


def test_nme_is_better_when_it_is_lower(place, capsys, no_starts):
    assert main(["bench", "bad.onnx", "good.onnx", "--data", "labels.json", "--metric", "nme", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "NME: better (-0." in said
    assert "lower is better" in said


def test_ap_with_sigmas(place, capsys, no_starts):
    options = ["--metric", "ap", *QUICK, "--csv", "b.csv"]
    assert main(["bench", "good.onnx", "bad.onnx", "--data", "labels.json", "--sigmas", "0.05", *options]) == 0
    good, bad = read(place / "b.csv")
    assert good["figure"] == "AP"
    assert float(good["value"]) > 0.9 > float(bad["value"])
    assert bad["difference_low"] == ""  # no picture has a part of AP: no interval
    assert main(["bench", "good.onnx", "--data", "labels.json", *options]) == 2
    assert "has no sigmas, which AP needs" in capsys.readouterr().err


def test_pictures_without_labels(place, capsys, no_starts):
    options = ["--images", "images", "--limit", "6", *QUICK, "--csv", "b.csv", "--plot", "b.svg"]
    assert main(["bench", "good.onnx", "bad.onnx", "good.onnx@onnxruntime", *options]) == 0
    said = capsys.readouterr().out
    assert "6 pictures of images, whole and without labels" in said
    assert "Next: posewright predict good.onnx PICTURES" in said
    first, bad, same = read(place / "b.csv")
    assert (first["agrees"], first["median_px"]) == ("", "")
    assert float(bad["agrees"]) < 0.5
    assert (float(same["agrees"]), float(same["median_px"])) == (1, 0)


def test_broken_pictures_are_left_out_for_all_alike(place, capsys, no_starts):
    (place / "images" / "lamp_3.png").write_bytes(b"no picture")
    assert main(["bench", "good.onnx", "bad.onnx", "--data", "labels.json", *QUICK]) == 2
    assert "lamp_3.png" in capsys.readouterr().err
    assert main(["bench", "good.onnx", "bad.onnx", "--data", "labels.json", "--skip-bad", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "lamp_3.png" in said
    assert "8 pictures)" in said


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["good.onnx"], "there is nothing to measure on. Give labelled pictures with --data"),
        (["good.onnx", "good.onnx", "--data", "labels.json"], "model 'good.onnx' is named twice"),
        (["good.onnx", "--data", "labels.json", "--rounds", "0"], "--rounds must be at least 1, not 0"),
        (["good.onnx", "--data", "labels.json", "--threshold", "0"], "--threshold is a share above 0"),
        (["good.onnx", "--data", "labels.json", "--plot", "b.txt"], "'.txt' is no ending of a chart"),
        (["good.onnx", "--data", "labels.json", "--metric", "nme", "--threshold", "0.1"], "NME has none"),
        (["good.onnx", "--images", "images", "--metric", "pck"], "accuracy is measured on labels: give --data"),
        (["good.onnx", "--images", "nowhere"], "nowhere: does not exist"),
        (["good.onnx", "--skip-bad"], "options for reading labels need labels"),
        (["good.onnx@litert", "--data", "labels.json"], "good.onnx: is an ONNX file, which litert does not run"),
        (["other.onnx@who", "--data", "labels.json"], "other.onnx@who: does not exist"),
        (["good.onnx@opnvino", "--data", "labels.json"], "unknown engine 'opnvino'. Did you mean 'openvino'"),
        (["few.onnx", "--data", "labels.json"], "few.onnx: the model ('two') does not find 'green'"),
        ([], "no model to measure"),
    ],
)
def test_one_line_for_what_cannot_be_done(options, what, place, capsys):
    if "few.onnx" in options:
        skeleton, rule = Skeleton("two", ("red", "blue")), CropRule((96, 96))
        info = ModelInfo(skeleton, rule, STRIDE, "spots", ("keypoints", "presence", "heatmaps"))
        spot_model(place / "few.onnx", size=rule.size, outputs=info.outputs, info=info)
    assert main(["bench", *options, "--csv", "b.csv"]) == 2
    said = capsys.readouterr().err
    assert what in said
    assert said.count("\n") == 1
    assert not (place / "b.csv").exists()


def test_synthetic_hands_and_a_checkpoint(tmp_path, monkeypatch, capsys, no_starts):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    assert (
        main(["bench", "hand", "hand@torch", "--limit", "6", "--csv", "b.csv", "--rounds", "1", "--threads", "1"]) == 0
    )
    assert "2 models on synthetic hands" in capsys.readouterr().out
    file, checkpoint = read(tmp_path / "b.csv")
    assert (file["engine"], checkpoint["engine"]) == ("onnxruntime", "torch")
    assert abs(float(checkpoint["difference"])) < 0.01
    assert float(checkpoint["MB_on_disk"]) < float(file["MB_on_disk"])


@pytest.fixture
def no_starts(monkeypatch):
    """Fresh processes take seconds, and one test looks at them."""
    monkeypatch.setattr("posewright.cli.cold_start.start_fresh", lambda *_: None)


def test_a_start_that_fails_is_no_figure(tmp_path):
    from posewright.cli.cold_start import start_fresh
    from posewright.cli.running import Running

    assert start_fresh(str(tmp_path / "none.onnx"), Running()) is None


def test_models_take_turns(monkeypatch):
    from posewright.runtime import timing

    calls = []

    class Model:
        def __init__(self, name):
            self.name, self.spent = name, {"net": 0.0}

        def predict_batch(self, pictures, boxes, *, flip, batch_size):
            calls.append((self.name, len(pictures)))
            self.spent["net"] += {"a": 0.001, "b": 0.002}[self.name] * len(pictures)

    shown = [(np.zeros((4, 4, 3), np.uint8), None)]
    a, b = timing.in_turn([Model("a"), Model("b")], shown, 2)
    assert [name for name, size in calls if size == 1] == ["a", "b", "b", "a", "a", "b"]
    assert np.allclose(a.one, 1) and np.allclose(b.many, 2)
    assert len(a.whole) == 2
