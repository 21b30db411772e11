"""``posewright audit`` as it is typed: with a model, and with nets that it trains itself."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.discs import DISCS, draw_discs
from helpers.runs import small_run
from posewright.annotations import read_annotations
from posewright.annotations.coco_write import write
from posewright.cli import main
from posewright.export import exporting as export_module
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from posewright.models.presets import build_net, preset
from posewright.training import folds as folds_module
from posewright.training.fit import CHECKPOINT, LAST, fit
from posewright.training.task import KeypointTask


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    """More of them than other tests need: what is usual has to be learned."""
    return draw_discs(tmp_path_factory.mktemp("discs"), count=80, size=64)


@pytest.fixture
def place(discs, tmp_path):
    """A checkpoint, and labels of which one has its sides exchanged."""
    torch.manual_seed(0)
    net = build_net(preset("hourglass_s1_nano", channels=16, activation="sigmoid"), len(DISCS))
    save_checkpoint(Checkpoint(net, DISCS, CropRule((64, 64)), "hourglass_s1_nano"), tmp_path / "net.safetensors")
    keypoints = discs.keypoints.copy()
    keypoints[4, [0, 1]] = keypoints[4, [1, 0]]
    write(replace(discs, keypoints=keypoints), tmp_path / "labels.json")
    return tmp_path


def audit(place, discs, *more: str) -> int:
    return main(
        [
            "audit",
            str(place / "labels.json"),
            "--images",
            str(discs.root),
            "-o",
            str(place / "out"),
            "--device",
            "cpu",
            *more,
        ]
    )


def test_files_table_and_next_command(place, discs, capsys):
    before = (place / "labels.json").read_bytes()
    net = str(place / "net.safetensors")
    copies = ("--fix", str(place / "fixed.json"), "--weigh", str(place / "weighed.json"), "--level", "0.15")
    assert audit(place, discs, "--model", net, *copies) == 0
    said = capsys.readouterr().out
    assert f"Next: posewright train --data {place}/fixed.json" in said
    assert "corrected where at least 15% sure: " in said
    with (place / "out" / "audit.csv").open() as file:
        rows = list(csv.DictReader(file))
    # Left is left on all the others: their shape alone tells, whatever a net says that was never trained.
    first = rows[:2]
    assert {(r["rank"], r["picture"], r["object"], r["kind"]) for r in first} == {("1", "004.png", "0", "swap")}
    assert {r["picture"] for r in rows if r["rank"] == "1"} == {"004.png"}
    assert [r["keypoint"] for r in first] == ["left_disc", "right_disc"]
    left, right = ((float(r["label_x"]), float(r["label_y"])) for r in first)
    assert [(float(r["proposed_x"]), float(r["proposed_y"])) for r in first] == [right, left]
    np.testing.assert_allclose([left, right], discs.keypoints[4, [1, 0], :2], atol=0.01)
    probability = float(first[0]["probability"])
    assert probability > 0.15
    assert all(float(r["probability"]) < probability / 2 for r in rows if r["rank"] != "1")
    assert (place / "out" / "worst.png").stat().st_size > 5000
    assert "exchanged" in (place / "out" / "audit.html").read_text()
    fixed, weighed = (read_annotations(place / name) for name in ("fixed.json", "weighed.json"))
    np.testing.assert_allclose(fixed.keypoints[4], discs.keypoints[4], atol=0.01)
    assert (fixed.weight == 1).all()
    assert weighed.weight[4] == pytest.approx(1 - probability, abs=1e-4)
    np.testing.assert_allclose(weighed.keypoints[4, :2], discs.keypoints[4, [1, 0]], atol=0.01)
    others = np.arange(len(discs)) != 4
    assert (weighed.weight[others] == 1).mean() > 0.9
    assert (place / "labels.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--level", "0"], "--level is a probability"),
        (["--model", "x.onnx", "--folds", "2"], "--folds and --minutes train nets"),
        (["--model", "x.onnx"], "x.onnx: does not exist"),
        (["--fix", "labels.csv"], "is no name of a COCO file"),
        (["--points", "move"], "--points says what --fix does"),
        (["--folds", "1"], "--folds must be at least 2"),
        (["--folds", "99"], "80 groups of pictures that stay together, for 99 parts"),
        (["--minutes", "0"], "--minutes must be above 0"),
        (["--split", "test"], "has no split 'test'"),
    ],
)
def test_bad_options_are_one_line_and_exit_2(place, discs, capsys, arguments, complaint):
    assert audit(place, discs, *arguments) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert len(said.strip().splitlines()) == 1
    assert not (place / "out").exists()


def test_the_labels_are_never_overwritten(place, discs, capsys):
    assert audit(place, discs, "--model", "hand", "--fix", str(place / "labels.json")) == 2
    assert "left as they are" in capsys.readouterr().err


def test_nets_trained_for_it_are_kept_and_gone_on_with(tmp_path, capsys, monkeypatch):
    labels = draw_discs(tmp_path, count=20, size=64)
    write(labels, tmp_path / "labels.json")
    plan = folds_module.plan_folds

    def quick(*args, **kwargs):
        return plan(*args, **(kwargs | {"config": small_run(epochs=2)}))

    export, exported = export_module.export_onnx, []

    def export_once(checkpoint, path):
        # Seconds each: the second net's file is the first's.
        exported.append(shutil.copy(exported[0], path) if exported else export(checkpoint, path) and path)

    monkeypatch.setattr(folds_module, "plan_folds", quick)
    monkeypatch.setattr(export_module, "export_onnx", export_once)
    typed = ["audit", str(tmp_path / "labels.json"), "--folds", "2", "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert main(typed) == 0
    said = capsys.readouterr().out
    assert (
        "2 nets (hourglass_s1_nano at 64), 2 epochs each, judge 18 objects that they were not trained on: about" in said
    )
    made = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "folds").glob("*/model.onnx")}
    assert len(made) == 2
    assert main(typed) == 0
    assert "net 1 of 2" not in capsys.readouterr().out
    assert all(p.stat().st_mtime_ns == t for p, t in made.items())
    other = replace(labels, keypoints=labels.keypoints + [1.0, 0.0, 0.0] * (labels.keypoints[..., 2:] > 0))
    write(other, tmp_path / "labels.json")
    assert main(typed) == 2
    assert "holds nets that were trained for other labels" in capsys.readouterr().err


def test_a_single_video_is_parted_in_stretches(tmp_path):
    a = draw_discs(tmp_path, 7)
    a.images = [replace(im, group="clip") for im in a.images]
    parts = folds_module._parts(a, 3, seed=0)
    assert sorted(parts.tolist()) == parts.tolist()
    assert set(parts.tolist()) == {0, 1, 2}


def test_a_run_that_was_broken_off_goes_on_where_it_was(tmp_path, monkeypatch):
    """The first net loses power in its third epoch: the same call trains what was left, to the very same weights."""
    # The model files are no business of this test, and take longer than the training.
    monkeypatch.setattr(export_module, "export_onnx", lambda checkpoint, path: path.write_bytes(b""))
    monkeypatch.setattr(folds_module, "load", lambda folder, device: folder)
    labels = draw_discs(tmp_path, count=20, size=64)

    def plan():
        return folds_module.plan_folds(labels, tmp_path / "nets", folds=2, config=small_run(epochs=3), device="cpu")

    def weights(folder):
        return load_checkpoint(folder / CHECKPOINT).net.state_dict()

    losses, done, stop = KeypointTask.losses, [], 0

    def counted(self, batch):
        done.append(1)
        if len(done) == stop:
            raise RuntimeError("no power")
        return losses(self, batch)

    first = plan()
    monkeypatch.setattr(KeypointTask, "losses", counted)
    fit(replace(first.config, output=str(tmp_path / "whole")), first._without(0))
    all_steps, stop = len(done), len(done) - 1
    done.clear()
    with pytest.raises(RuntimeError, match="no power"):
        first.train()
    broken = tmp_path / "nets/fold0"
    assert (broken / LAST).is_file()
    assert not (broken / CHECKPOINT).exists()
    again, stop, left = plan(), 0, []
    done.clear()
    folders = again.train(lambda line: left.append((line, len(done))))
    assert folders == [broken, tmp_path / "nets/fold1"]
    assert [line for line, _ in left] == ["net 1 of 2:", "net 2 of 2:"]
    assert 0 < left[1][1] <= all_steps / 2
    one, other = weights(tmp_path / "whole"), weights(broken)
    assert all(torch.equal(one[name], other[name]) for name in one)
