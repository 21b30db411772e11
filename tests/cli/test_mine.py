"""``posewright mine`` as it is typed, and ``train`` with its list."""

from __future__ import annotations

import csv

import pytest
import torch

from helpers.discs import DISCS
from posewright.annotations.coco_write import write
from posewright.cli import main
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint, save_checkpoint
from posewright.models.presets import build_net, preset


@pytest.fixture
def place(discs, tmp_path):
    """A checkpoint and labels: everything that is typed."""
    torch.manual_seed(0)
    net = build_net(preset("hourglass_s1_nano", channels=16, activation="sigmoid"), len(DISCS))
    save_checkpoint(Checkpoint(net, DISCS, CropRule((64, 64)), "hourglass_s1_nano"), tmp_path / "net.safetensors")
    write(discs, tmp_path / "labels.json")
    return tmp_path


def mine(place, discs, *more: str) -> int:
    labels = ("--images", str(discs.root), "--device", "cpu", "-o", str(place / "out"))
    return main(["mine", str(place / "net.safetensors"), str(place / "labels.json"), *labels, *more])


def test_list_sheet_table_and_next_command(place, discs, capsys):
    assert mine(place, discs, "--worst", "7") == 0
    said = capsys.readouterr().out
    assert f"--init {place}/net.safetensors --hard {place}/out/hard.csv" in said
    with (place / "out" / "hard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "object", "loss", "error", "weight"]
    trained = {im.path for im in discs.images if im.split == "train"}
    assert len(rows) == 16
    assert {r["image"] for r in rows} < trained
    losses = [float(r["loss"]) for r in rows]
    assert losses == sorted(losses, reverse=True)
    assert rows[0]["image"] in said
    assert (place / "out" / "worst.jpg").stat().st_size > 5000


def test_threshold_and_split(place, discs):
    assert mine(place, discs, "--split", "all", "--threshold", "0", "--most", "2.5") == 0
    with (place / "out" / "hard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(discs)
    assert {float(r["weight"]) for r in rows} == {2.5}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--most", "0.5"], "--most is a factor from 1 to 100"),
        (["--worst", "0"], "--worst must be at least 1"),
        (["--split", "test"], "has no split 'test'"),
    ],
)
def test_bad_options_are_one_line_and_exit_2(place, discs, capsys, arguments, complaint):
    assert mine(place, discs, *arguments) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert len(said.strip().splitlines()) == 1
    assert not (place / "out").exists()


def test_a_model_of_other_keypoints(place, discs, capsys):
    assert (
        main(["mine", "hand", str(place / "labels.json"), "--images", str(discs.root), "-o", str(place / "out")]) == 2
    )
    said = capsys.readouterr().err
    assert "the model has 21 keypoints" in said
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--init", "hant"], "--init: no shipped model 'hant'. Did you mean 'hand'"),
        (["--init", "labels.json"], "labels.json: is not a safetensors file"),
        (
            ["--init", "hand", "--model", "cpm_light"],
            "--init hand is hourglass_s1_tiny: none of its weights fits cpm_light",
        ),
        (["--init", "hand", "--freeze", "truck"], "hourglass has no part 'truck'. Did you mean 'trunk'"),
        (["--init", "net.safetensors", "--freeze", "*"], "leaves nothing to train"),
        (["--init", "none", "--hard", "hard.csv"], "is a list of other data"),
        (["--init", "none", "--batch-size", "99"], "batch_size is 99, and there are 16 objects"),
    ],
)
def test_what_train_refuses_is_one_line_and_leaves_nothing(place, discs, capsys, monkeypatch, arguments, complaint):
    monkeypatch.chdir(place)
    (place / "hard.csv").write_text("image,object,weight\nother.png,0,3\n")
    assert (
        main(
            ["train", "--data", "labels.json", "--images", str(discs.root), "--device", "cpu", "-o", "run", *arguments]
        )
        == 2
    )
    said = capsys.readouterr().err
    assert complaint in said
    assert len(said.strip().splitlines()) == 1
    assert not (place / "run").exists()
