"""posewright evaluate: which pictures are measured, what is left out on request, and bad input in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.lamps import SKELETON, as_results, figures, lamp_model, lamp_set
from posewright.annotations import Annotations, Image, read_annotations
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.skeleton import Skeleton
from posewright.training.augment_config import PLAIN
from posewright.training.packing import PackConfig, pack
from posewright.training.parting import choose_split, held_out


@pytest.fixture
def place(tmp_path, monkeypatch):
    lamp_set(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_limit_measures_on_fewer_pictures_and_says_so(place, capsys):
    (place / "r.json").write_text(json.dumps(as_results("labels.json")))
    assert main(["evaluate", "r.json", "labels.json", "--limit", "3", "--json", "figures.json"]) == 0
    assert figures()["n_images"] == 3
    said = capsys.readouterr().out
    assert "3 pictures, spread evenly over all pictures" in said
    assert "4 results are for pictures outside" in said


def test_skip_bad_goes_on_and_lists(place, capsys):
    lamp_model(place / "lamp.onnx")
    (place / "images" / "lamp_1.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (place / "images" / "lamp_2.png").unlink()
    assert main(["evaluate", "lamp.onnx", "labels.json", "-o", "out"]) == 2
    assert not (place / "out").exists()
    capsys.readouterr()
    options = ["--skip-bad", "--save-pictures", "--json", "figures.json"]
    assert main(["evaluate", "lamp.onnx", "labels.json", "-o", "out", *options]) == 0
    said = capsys.readouterr().out
    assert figures()["n_objects"] == 4
    assert figures()["metrics"]["PCK@0.05"] == 1
    for name in ("lamp_1.png", "lamp_2.png"):
        assert any(name in line for line in said.splitlines() if line.startswith("left out: "))
        assert name in (place / "out" / "report.html").read_text()
    assert len(list((place / "out" / "pictures").iterdir())) == 4


def bad_labels(text):
    return lambda place: (place / "labels.json").write_text(text)


def bad_results(text):
    return lambda place: (place / "r.json").write_text(text)


@pytest.mark.parametrize(
    ("prepare", "arguments", "complaint"),
    [
        (None, ["none.onnx", "labels.json"], "none.onnx: does not exist"),
        (None, ["lamp.onnx", "none.json"], "none.json: does not exist"),
        (None, ["none.json", "labels.json"], "none.json: No such file"),
        (None, ["lamp.onnx", "labels.json", "--split", "test"], "has no split 'test'; it has no splits"),
        (None, ["lamp.onnx", "labels.json", "--thresholds", "0.1,high"], "thresholds '0.1,high' are not numbers"),
        (None, ["lamp.onnx", "labels.json", "--thresholds", "0"], "each must be above 0"),
        (None, ["lamp.onnx", "labels.json", "--thresholds", "nan"], "each must be above 0"),
        (None, ["lamp.onnx", "labels.json", "--normaliser", "bx"], "unknown normaliser 'bx'. Did you mean 'box'"),
        (None, ["lamp.onnx", "labels.json", "--normaliser", "segment:red,bleu"], "Did you mean 'blue'"),
        (None, ["lamp.onnx", "labels.json", "--normaliser", "head"], "no object has a head size"),
        (None, ["lamp.onnx", "labels.json", "--sigmas", "0.1,0.2"], "--sigmas has 2 numbers; give one, or 3"),
        (None, ["lamp.onnx", "labels.json", "--sigmas", "wide"], "sigmas 'wide' are not numbers"),
        (None, ["lamp.onnx", "labels.json", "--sigmas", "-1"], "each must be above 0"),
        (None, ["lamp.onnx", "labels.json", "--protocol", "mpii"], "needs MPII's joints; 'lamp' lacks"),
        (None, ["lamp.onnx", "labels.json", "--limit", "0"], "--limit below 1"),
        (None, ["lamp.onnx", "labels.json", "--batch-size", "0"], "batch size must be at least 1"),
        (None, ["lamp.onnx", "labels.json", "--device", "abacus"], "unknown device 'abacus'"),
        (
            None,
            ["lamp.onnx", "labels.json", "--engine", "onnxruntim"],
            "unknown engine 'onnxruntim'. Did you mean",
        ),
        (
            None,
            ["lamp.onnx", "labels.json", "--engine", "mnn"],
            "is an ONNX file, which mnn does not run. Take onnxruntime or",
        ),
        (None, ["lamp.onnx", "labels.json", "--format", "cocoo"], "Did you mean 'coco'"),
        (None, ["lamp.onnx", "labels.json", "--images", "none"], "none: is no folder"),
        (None, ["other.onnx", "labels.json"], "does not find 'blue', which the labels ('lamp') have"),
        (None, ["broken.onnx", "labels.json"], "broken.onnx: "),
        (None, ["lamp.onnx", "labels.json", "-o", "labels.json"], "cannot be written"),
        (bad_labels("{"), ["lamp.onnx", "labels.json"], "labels.json: "),
        (bad_labels('{"images": [], "annotations": []}'), ["lamp.onnx", "labels.json"], "labels.json: "),
        (bad_results("[]"), ["r.json", "labels.json", "--flip"], "--threads, --engine and --trust need a model"),
        (bad_results("[1]"), ["r.json", "labels.json"], "r.json: result 0: has no image_id"),
        (bad_results("{}"), ["r.json", "labels.json"], "not COCO results"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(place, capsys, prepare, arguments, complaint):
    lamp_model(place / "lamp.onnx")
    lamp_model(place / "other.onnx", Skeleton("other", ("red", "green", "violet")))
    (place / "broken.onnx").write_bytes((place / "lamp.onnx").read_bytes()[:500])
    if prepare:
        prepare(place)
    before = sorted(p.name for p in place.iterdir())
    assert main(["evaluate", *arguments]) == 2
    said = capsys.readouterr()
    assert complaint in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert sorted(p.name for p in place.iterdir()) == before


def three(*splits):
    images = [Image(f"{i}.png", split=s) for i, s in enumerate(splits)]
    n = len(images)
    return Annotations(SKELETON, images, np.arange(n), np.full((n, 3, 3), 2.0), np.tile([0.0, 0, 9, 9], (n, 1)))


@pytest.mark.parametrize(
    ("splits", "wanted", "paths", "words"),
    [
        ((None, None), None, ["0.png", "1.png"], "all pictures"),
        (("train", "val", "val"), None, ["1.png", "2.png"], "the val split"),
        (("train", "val", "val"), "train", ["0.png"], "the train split"),
        (("train", "val"), "all", ["0.png", "1.png"], "all splits (train, val)"),
        (("train", "test"), None, ["0.png", "1.png"], "all splits (test, train)"),
        (("train", "test"), "test", ["1.png"], "the test split"),
    ],
)
def test_which_part_is_measured(splits, wanted, paths, words):
    got, said = choose_split(three(*splits), wanted, None)
    assert ([im.path for im in got.images], said) == (paths, words)


def test_a_set_that_was_packed_too_tightly_is_not_measured(place, capsys):
    """Grey where the picture went on would be measured as the model's fault."""
    lamp_model(place / "lamp.onnx")
    for name, margin in (("tight", 0.6), ("wide", 1.25)):
        config = PackConfig(CropRule((96, 96), margin), PLAIN, lossless="png")
        pack(read_annotations("labels.json"), name, config)
    assert main(["evaluate", "lamp.onnx", "tight", "--worst", "0"]) == 2
    assert "was packed too tightly for a margin of 1.25 at 96x96" in capsys.readouterr().err
    for data in ("wide", "labels.json"):
        assert main(["evaluate", "lamp.onnx", data, "--worst", "0", "--negatives", "0", "--json", f"{data}.json"]) == 0
    one, other = (figures(f"{data}.json")["metrics"] for data in ("wide", "labels.json"))
    assert one == pytest.approx(other, abs=1e-3, nan_ok=True)


def test_a_part_that_is_not_there():
    with pytest.raises(PosewrightError, match="has no split 'val'; its splits are test, train"):
        choose_split(three("train", "test"), "val", None)


def test_a_run_is_measured_on_what_it_held_out(place, capsys):
    """The same pictures that training validated on, though the labels themselves know no splits."""
    pytest.importorskip("yaml")
    from posewright.training.config import TrainConfig

    config = TrainConfig(data="labels.json", val_share=0.4, seed=3)
    (place / "run").mkdir()
    config.save(place / "run" / "config.yaml")
    lamp_model(place / "run" / "model.onnx")
    trained = read_annotations("labels.json").with_validation(config.val_share, config.seed)
    for part in ("train", "val"):
        expected = [im.path for im in trained.of_split(part).images]
        held = held_out("run/model.onnx", place / "labels.json")
        assert [im.path for im in choose_split(read_annotations("labels.json"), part, held)[0].images] == expected
    assert main(["evaluate", "run", "labels.json", "--json", "figures.json"]) == 0
    assert figures()["n_images"] == len(trained.of_split("val").images) < 7
    assert "the val split (what this run held out) of labels.json" in capsys.readouterr().out
    assert (place / "run" / "evaluation" / "report.html").is_file()
    assert held_out("run", place / "other.json") is None
    assert held_out("hand", place / "labels.json") is None
    own, _ = choose_split(three("train", "val"), None, held)
    assert [im.path for im in own.images] == ["1.png"]  # splits of the labels' own go first
