"""``posewright similarity`` as it is typed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.labels import save_json
from posewright.cli import main
from posewright.poses import Poses
from posewright.skeletons import BODY_14, COCO_17

UP = {"left_elbow": (64, 10), "left_wrist": (66, -10)}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A label file with a person whose left arm is up, and predictions of one whose arms hang, in the second frame."""
    rng = np.random.default_rng(0)
    hanging = rng.uniform(0, 100, (17, 2))
    for name, at in {"left_shoulder": (62, 30), "left_elbow": (64, 50), "left_wrist": (66, 70)}.items():
        hanging[COCO_17.index(name)] = at
    raised = hanging.copy()
    for name, at in UP.items():
        raised[COCO_17.index(name)] = at
    flat = np.column_stack([raised, np.full(17, 2)]).ravel().tolist()
    images = [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}]
    label = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": flat, "bbox": [0, 0, 100, 100]}
    save_json(tmp_path / "a.json", {"images": images, "annotations": [label], "categories": [COCO_17.to_coco()]})
    box = np.array([[0.0, 0, 200, 200]])
    score = np.ones((1, 17))
    score[0, 0] = 0.01
    frames = [Poses.empty(COCO_17, source="v"), Poses(COCO_17, 2 * hanging[None] + 30, score, np.ones(1), box, "v")]
    (tmp_path / "b.jsonl").write_text("".join(poses.to_json() + "\n" for poses in frames))
    other = Poses(BODY_14, np.ones((1, 14, 2)), np.ones((1, 14)), np.ones(1), box)
    (tmp_path / "other.jsonl").write_text(other.to_json() + "\n")
    (tmp_path / "bad.jsonl").write_text("{}\n")
    (tmp_path / "film.jsonl").write_bytes(b"\xff\xd8\xff\xe0")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_says_what_to_change(place, capsys):
    assert main(["similarity", "a.json", "b.jsonl", "--json", "found.json"]) == 0
    said = capsys.readouterr().out
    assert "  left arm higher\n" in said
    got = json.loads((place / "found.json").read_text())
    assert "left arm higher" in got["feedback"]
    assert 0.3 < got["oks"] < 0.95
    assert got["by_keypoint"]["nose"] is None  # its score is too low
    assert main(["similarity", "a.json", "b.jsonl", "--min-score", "0", "--json", "found.json"]) == 0
    assert json.loads((place / "found.json").read_text())["by_keypoint"]["nose"] > 0


def test_a_pose_is_like_itself(place, capsys):
    assert main(["similarity", "a.json", "a.json"]) == 0
    said = capsys.readouterr().out
    assert "OKS 1.000: pose 0 of a.json" in said
    assert "No limb needs to change." in said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["a.json", "none.jsonl"], "none.jsonl: No such file"),
        (["a.json", "film.jsonl"], "film.jsonl: is not a text file"),
        (["a.json", "bad.jsonl"], "bad.jsonl: line 1: is no record of predictions"),
        (["a.json", "b.jsonl", "--index-b", "1"], "has 1 poses, counted from 0; there is no number 1"),
        (["a.json", "other.jsonl"], "has the keypoints of 'body-14'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(place, capsys, arguments, complaint):
    assert main(["similarity", *arguments]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert len(said.strip().splitlines()) == 1
