"""Pushing a model: the folder, its card, what is kept back, and what the Hub refuses. The Hub here is a folder."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import struct

import numpy as np
import pytest

import posewright
from helpers.bright_boxes import box_model
from helpers.fake_hub import FakeHub
from helpers.spots import SPOTS, picture_with_spots, spot_model
from posewright.cli import main
from posewright.geometry import CropRule
from posewright.hub.card import NOT_STATED, model_card
from posewright.hub.scrub import scrubbed
from posewright.media.pictures import read_picture, write_picture
from posewright.runtime.modelfile import ModelInfo, read_info

HOME = "/home/ann/my pictures/secret project"


def info(**changes) -> ModelInfo:
    about = {
        "training_data": (f"{HOME}/labels.json: 40 objects", "coco: 12 objects"),
        "metrics": {"PCK@0.2": {"value": 0.81, "normaliser": "box", "data": f"{HOME}/val.json, 20 objects"}},
        "terms": "CC BY-NC 4.0; not for sale.",
    }
    return ModelInfo(SPOTS, CropRule((96, 64)), 4, "spots", ("keypoints", "presence", "heatmaps"), **(about | changes))


def checkpoint(path, training: dict) -> None:
    """A file with the header of a checkpoint, and one tensor."""
    own = {"format_version": 1, "training": training, "skeleton": {"name": "a /b/c d"}}
    tensor = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
    header = json.dumps({"__metadata__": {"posewright": json.dumps(own)}, "weight": tensor}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + np.arange(3, dtype=np.float32).tobytes())


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "mine"
    spot_model(folder / "model.onnx", info=info())
    checkpoint(folder / "model.safetensors", {"config": {"data": f"{HOME}/labels.json", "output": "runs/mine"}})
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch) -> FakeHub:
    return FakeHub(tmp_path / "hub", tmp_path / "cache").install(monkeypatch)


def complaint(capsys, *args) -> str:
    assert main(["push", *map(str, args)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def test_a_dry_run_writes_what_would_be_pushed(run, tmp_path, capsys):
    folder = tmp_path / "card"
    assert main(["push", str(run), "ann/spots", "--dry-run", "-o", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "Nothing was." in said and "CC BY-NC 4.0" in said and "Next: read" in said
    names = sorted(p.name for p in folder.iterdir())
    assert names == ["README.md", "model.onnx", "model.safetensors", "posewright.json"]
    # The model still runs, and says the same of itself in both places.
    picture = picture_with_spots(160, 120, [(40, 30), (110, 52), (75, 88)], 3)
    np.testing.assert_array_equal(posewright.load(folder / "model.onnx")(picture).xy, posewright.load(run)(picture).xy)
    assert ModelInfo.from_json((folder / "posewright.json").read_text()) == read_info(folder / "model.onnx")


def test_no_path_of_this_machine_goes_along(run, tmp_path):
    folder = tmp_path / "card"
    assert main(["push", str(run), "ann/spots", "--dry-run", "-o", str(folder)]) == 0
    for path in folder.iterdir():
        data = path.read_bytes()
        assert b"secret" not in data and b"/home/" not in data, path.name
    there = read_info(folder / "model.onnx")
    assert there.training_data == ("labels.json: 40 objects", "coco: 12 objects")
    assert there.metrics["PCK@0.2"]["data"] == "val.json, 20 objects"
    safetensors = pytest.importorskip("safetensors.numpy")
    weights = safetensors.load_file(folder / "model.safetensors")
    assert weights["weight"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/ann/a.json", "a.json"),
        ("/home/ann/a b/c.json: 4 objects", "c.json: 4 objects"),
        ("~/sets/lsp/", "lsp"),
        ("C:\\Users\\Ann B\\a.json", "a.json"),
        ("\\\\server\\share\\a.json, 3", "a.json, 3"),
        ("(from '/data/a.json')", "(from 'a.json')"),
        ("see https://example.org/a/b.html", "see https://example.org/a/b.html"),
        ("runs/mine/labels.json", "runs/mine/labels.json"),
        ("left/right, 3 / 4", "left/right, 3 / 4"),
        ("PCK@0.2 (torso)", "PCK@0.2 (torso)"),
    ],
)
def test_paths_are_shortened(text, left):
    assert scrubbed(text) == left
    assert scrubbed({"a": [text], "skeleton": {"name": text}}) == {"a": [left], "skeleton": {"name": text}}


def test_pushing(run, hub, capsys):
    assert main(["push", str(run), "ann/spots", "--private"]) == 0
    assert "Next: posewright predict hf://ann/spots" in capsys.readouterr().out
    assert hub.private == {"ann/spots"} and [what for what, *_ in hub.asked] == ["create", "model_info", "upload"]
    assert len(list((hub.folder / "ann/spots").iterdir())) == 4
    assert posewright.load("hf://ann/spots").skeleton == SPOTS


def test_a_public_repository_does_not_get_what_is_private(run, hub, capsys):
    (hub.folder / "ann/spots").mkdir(parents=True)
    said = complaint(capsys, run, "ann/spots", "--private")
    assert "is there already and is public. Make it private" in said
    assert list((hub.folder / "ann/spots").iterdir()) == []
    assert main(["push", str(run), "ann/spots"]) == 0


def test_what_is_left_out(run, hub):
    assert main(["push", str(run), "ann/spots", "--no-checkpoint"]) == 0
    folder = hub.folder / "ann/spots"
    assert not (folder / "model.safetensors").exists()
    assert "training cannot go on from these weights" in (folder / "README.md").read_text()


def test_an_example_picture(run, hub, tmp_path):
    picture = picture_with_spots(160, 120, [(40, 30), (110, 52), (75, 88)], 3)
    path = write_picture(tmp_path / "a.png", picture)
    assert main(["push", str(run), "ann/spots", "--picture", str(path)]) == 0
    folder = hub.folder / "ann/spots"
    drawn = read_picture(folder / "example.jpg")
    assert drawn.shape == picture.shape and np.abs(drawn.astype(int) - picture).max() > 60
    assert "![an example](example.jpg)" in (folder / "README.md").read_text()


def test_what_cannot_be_pushed(run, hub, tmp_path, capsys):
    assert "'spots' is no repository's name. Write user/repo" in complaint(capsys, run, "spots")
    assert "is no repository's name" in complaint(capsys, run, "ann/../x")
    assert "-o is where --dry-run writes" in complaint(capsys, run, "ann/spots", "-o", tmp_path / "x")
    assert "is no licence identifier" in complaint(capsys, run, "ann/spots", "--license", "Free Beer")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    assert "is not empty" in complaint(capsys, run, "ann/spots", "--dry-run", "-o", tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").is_file()
    plain = spot_model(tmp_path / "plain.onnx", described=False)
    assert "not a posewright model file" in complaint(capsys, plain, "ann/spots", "--dry-run", "-o", tmp_path / "x")
    assert not (tmp_path / "x").exists() and hub.asked == []


def test_nobody_is_logged_in(run, hub, capsys):
    from huggingface_hub.errors import LocalTokenNotFoundError

    hub.refuses = LocalTokenNotFoundError("no")
    assert "hf://ann/spots: nobody is logged in. Log in: hf auth login" in complaint(capsys, run, "ann/spots")


# -- the card ----------------------------------------------------------------------------------------------------------


def front_matter(card: str) -> dict:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(re.fullmatch(r"---\n(.*?)\n---\n.*", card, re.S).group(1))


def test_its_front_matter():
    front = front_matter(model_card(info(), "ann/spots"))
    assert front["library_name"] == "posewright" and front["pipeline_tag"] == "keypoint-detection"
    assert front["license"] == "other" and front["license_link"].endswith("ann/spots#terms")
    assert {"posewright", "spots"} <= set(front["tags"])
    result = front["model-index"][0]["results"][0]
    assert result["metrics"][0]["value"] == 0.81 and "normaliser: box" in result["metrics"][0]["name"]
    assert front_matter(model_card(info(), "ann/spots", license="cc-by-nc-4.0"))["license"] == "cc-by-nc-4.0"
    assert "model-index" not in front_matter(model_card(info(metrics={}), "ann/spots"))


def test_the_hub_reads_it():
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(model_card(info(), "ann/spots")).data
    assert data.library_name == "posewright" and data.eval_results[0].metric_value == 0.81


def test_it_says_what_the_file_says():
    card = model_card(info(), "ann/spots", checkpoint=True)
    for words in (
        "`red`, `green`, `blue`",
        "96 x 64",
        "CC BY-NC 4.0",
        "coco: 12 objects",
        "normaliser: box",
        "| 0.81 |",
    ):
        assert words in card
    bare = model_card(info(metrics={}, terms="", training_data=()), "ann/spots")
    assert NOT_STATED in bare and "Nothing was measured." in bare and "has not said" in bare


def test_names_bring_no_markup():
    card = model_card(info(training_data=("<script>alert(1)</script>\n# own heading",)), "ann/spots")
    assert "<script>" not in card and "\n# own heading" not in card


@pytest.mark.parametrize("kind", ["keypoints", "locator"])
def test_its_commands_are_taken(kind, tmp_path, monkeypatch):
    about = info() if kind == "keypoints" else read_info(box_model(tmp_path / "boxes.onnx"))
    card = model_card(about, "ann/spots", checkpoint=True)
    lines = re.findall(r"posewright ((?:predict|train|train-locator|evaluate) [^`\n]+)", card)
    assert len(lines) == 3
    taken = []
    for line in lines:
        command = importlib.import_module(f"posewright.cli.{line.split()[0].replace('-', '_')}").Command
        monkeypatch.setattr(command, "run", lambda self: taken.append(self) or 0)
        assert main(shlex.split(line)) == 0
    assert len(taken) == 3


def test_its_python_runs(hub, run, tmp_path, monkeypatch):
    assert main(["push", str(run), "ann/spots"]) == 0
    card = (hub.folder / "ann/spots/README.md").read_text()
    monkeypatch.chdir(tmp_path)
    write_picture("photo.jpg", picture_with_spots(160, 120, [(40, 30), (110, 52), (75, 88)], 3))
    found: dict = {}
    exec(compile(re.search(r"```python\n(.*?)```", card, re.S).group(1), "card", "exec"), found)
    assert abs(found["x"] - 40) < 0.5 and abs(found["y"] - 30) < 0.5
