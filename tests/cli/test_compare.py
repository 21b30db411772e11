"""``posewright compare`` as it is typed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.labels import save_json
from posewright.cli import main
from posewright.skeleton import Skeleton

SKELETON = Skeleton("lamp", ("red", "green", "blue"))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Labels of 60 pictures, and two results: B finds red where A misses it by 30 px, and loses blue."""
    rng = np.random.default_rng(0)
    points = rng.uniform(20, 80, (60, 3, 2)).round(2)
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 100} for i in range(60)]
    flat = np.concatenate([points, np.full((60, 3, 1), 2)], 2).reshape(60, -1).tolist()
    common = [{"id": i + 1, "image_id": i, "category_id": 1, "keypoints": k} for i, k in enumerate(flat)]
    labels = [row | {"bbox": [0, 0, 100, 100], "area": 10_000, "iscrowd": 0} for row in common]
    save_json(tmp_path / "labels.json", {"images": images, "annotations": labels, "categories": [SKELETON.to_coco()]})
    for name, wrong in (("a", 0), ("b", 2)):
        rows = [row | {"keypoints": list(row["keypoints"]), "score": 0.9} for row in common]
        for row in rows[:40]:
            row["keypoints"][3 * wrong] += 30
        save_json(tmp_path / f"{name}.json", rows)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_says_which_keypoints_changed(place, capsys):
    options = ["--resamples", "500", "--json", "out/found.json"]
    assert main(["compare", "a.json", "b.json", "--data", "labels.json", *options]) == 0
    said = capsys.readouterr().out
    assert "Clearly better: red." in said
    assert "Clearly worse: blue." in said
    assert "No clear difference between A and B" in said
    assert "PCK@0.1 normalised by box" in said
    assert "Next: posewright evaluate b.json labels.json" in said
    got = json.loads((place / "out" / "found.json").read_text())
    assert got["by_keypoint"]["red"]["a"] == pytest.approx(1 / 3, abs=1e-6)
    assert got["by_keypoint"]["red"]["b"] == 1
    assert got["by_keypoint"]["green"]["verdict"] == "not clear"
    assert (got["resamples"], got["pictures"], got["all"]["difference"]) == (500, 60, 0)


def test_the_threshold_and_normaliser_are_used(place):
    options = ["--threshold", "1.1", "--normaliser", "fixed:30", "--resamples", "100", "--json", "found.json"]
    assert main(["compare", "a.json", "b.json", "--data", "labels.json", *options]) == 0
    got = json.loads((place / "found.json").read_text())
    assert (got["threshold"], got["all"]["a"], got["all"]["b"]) == (1.1, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["a.json", "none.json", "--data", "labels.json"], "none.json: No such file"),
        (["a.json", "labels.json", "--data", "labels.json"], "not COCO results"),
        (["a.json", "b.json", "--data", "none"], "none: does not exist"),
        (["a.json", "b.json", "--data", "labels.json", "--resamples", "3"], "at least 100 resamples"),
        (["a.json", "b.json", "--data", "labels.json", "--split", "test"], "has no split 'test'"),
        (["a.json", "b.json", "--data", "labels.json", "--normaliser", "head"], "no object has a head size"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(place, capsys, arguments, complaint):
    before = sorted(place.iterdir())
    assert main(["compare", *arguments, "--json", "found.json"]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert len(said.strip().splitlines()) == 1
    assert sorted(place.iterdir()) == before
