"""``--locator`` of predict and evaluate, and every command's word on a model of the wrong kind."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from helpers.bright_boxes import box_model, picture_with
from helpers.spots import SPOTS, spot_model
from posewright.annotations import Annotations, Image, get_format
from posewright.cli import main

THINGS = [(20, 30, 70, 90), (100, 20, 160, 60), None, (60, 40, 110, 100)]
"""Where the red thing of each picture is; the third has none."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with models, pictures and their labels."""
    folder = tmp_path_factory.mktemp("located")
    spot_model(folder / "spots.onnx")
    box_model(folder / "red.onnx")
    (folder / "shots").mkdir()
    images, owner, boxes, keypoints = [], [], [], []
    for i, thing in enumerate(THINGS):
        picture = picture_with([thing] if thing else [], 200, 120)
        images.append(Image(f"shots/{i}.png", 200, 120, id=i + 1))
        if thing:
            x0, y0, x1, y1 = thing
            spots = [(x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2], [x0 + 9.5, y0 + 9.5], [x1 - 10.5, y1 - 10.5]
            for channel, (x, y) in ((1, spots[1]), (2, spots[2])):
                picture[int(y) - 3 : int(y) + 5, int(x) - 3 : int(x) + 5, channel] = 250
            owner.append(i)
            boxes.append([x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5])
            keypoints.append([[*spot, 2] for spot in spots])
        cv2.imwrite(str(folder / f"shots/{i}.png"), picture[..., ::-1])
    skeleton = replace(SPOTS, sigmas=(0.05,) * 3)
    labels = Annotations(skeleton, images, np.array(owner), np.array(keypoints), np.array(boxes), root=folder)
    write = get_format("coco").write
    assert write is not None
    write(labels, folder / "labels.json")
    return folder


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_predict_finds_every_object_wherever_it_is(place, tmp_path, capsys):
    args = ["predict", str(place / "spots.onnx"), str(place / "shots"), "--locator", str(place / "red.onnx")]
    assert main([*args, "-o", str(tmp_path), "--no-overlay"]) == 0
    for record, thing in zip(records(tmp_path / "shots.jsonl"), THINGS, strict=True):
        assert len(record["poses"]) == (thing is not None)
        if thing:
            assert record["poses"][0]["box"] == pytest.approx(np.array(thing) - 0.5, abs=2.5)
            assert record["poses"][0]["keypoints"][1][:2] == pytest.approx([thing[0] + 9.5, thing[1] + 9.5], abs=1.5)
    capsys.readouterr()
    assert main([*args, "-o", str(tmp_path / "none"), "--no-overlay", "--locator-score", "0.95"]) == 0
    assert all(not record["poses"] for record in records(tmp_path / "none" / "shots.jsonl"))


def test_evaluate_measures_with_both_kinds_of_boxes(place, tmp_path, capsys):
    args = ["evaluate", str(place / "spots.onnx"), str(place / "labels.json"), "--locator", str(place / "red.onnx")]
    assert main([*args, "-o", str(tmp_path), "--json", str(tmp_path / "figures.json"), "--negatives", "0"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "in labelled boxes and in those that the locator found" in out
    assert "recall 1.000, 0.000 false boxes a picture, AP 1.000 on 4 pictures with 3 objects" in out
    found = json.loads((tmp_path / "figures.json").read_text())["located"]
    assert (found["recall"], found["false_boxes"], found["objects"], found["pictures"]) == (1.0, 0.0, 3, 4)
    assert found["AP"] > 0.9
    assert "Located boxes" in (tmp_path / "report.html").read_text()


def test_false_boxes_cost_ap_and_are_counted(place, tmp_path):
    cv2.imwrite(str(tmp_path / "alone.png"), picture_with([(20, 20, 60, 60)], 200, 120)[..., ::-1])
    labels = json.loads((place / "labels.json").read_text())
    labels["annotations"] = [a for a in labels["annotations"] if a["image_id"] != 1]
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    args = ["evaluate", str(place / "spots.onnx"), str(tmp_path / "labels.json"), "--images", str(place)]
    figures = tmp_path / "figures.json"
    more = ["--locator", str(place / "red.onnx"), "--negatives", "0", "--worst", "0"]
    assert main([*args, *more, "-o", str(tmp_path / "out"), "--json", str(figures)]) == 0
    found = json.loads(figures.read_text())["located"]
    assert found["false_boxes"] == pytest.approx(0.25) and found["AP"] < 0.95


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["predict", "red.onnx", "shots"], "is a locator, which finds boxes and no keypoints"),
        (["predict", "spots.onnx", "shots", "--locator", "spots.onnx"], "finds keypoints, and is no locator"),
        (["predict", "spots.onnx", "shots", "--locator", "red.onnx", "--classes", "person"], "--classes is for other"),
        (["predict", "spots.onnx", "shots", "--locator", "red.onnx", "--box", "1,1,9,9"], "--locator finds the boxes"),
        (["predict", "spots.onnx", "shots", "--tiles", "2"], "give --locator too"),
        (["predict", "spots.onnx", "shots", "--locator", "red.onnx", "--locator-score", "7"], "is from 0 to 1"),
        (["predict", "spots.onnx", "shots", "--locator", "red.onnx", "--tiles", "1"], "tiles are 2 or more"),
        (["predict", "spots.onnx", "shots", "--locator", "labels.json"], "is no ONNX file"),
        (["predict", "spots.onnx", "shots", "--locator", "nothing"], "no shipped model 'nothing'"),
        (["evaluate", "red.onnx", "labels.json"], "is a locator, which finds boxes and no keypoints"),
        (["evaluate", "spots.onnx", "labels.json", "--locator", "spots.onnx"], "finds keypoints, and is no locator"),
        (["evaluate", "spots.onnx", "labels.json", "--classes", "person"], "give --locator too"),
    ],
)
def test_one_line_for_what_does_not_go_together(place, tmp_path, capsys, monkeypatch, words, reason):
    monkeypatch.chdir(place)
    assert main([*words, "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert len(err) == 1 and reason in err[0]
    assert not (tmp_path / "out").exists()


def test_a_locators_file_is_described(place, capsys):
    assert main(["describe", str(place / "red.onnx")]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "finds boxes around 'red things' with a score of 0.5 or more" in out and "boxes decoded in the graph" in out
