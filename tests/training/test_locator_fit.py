"""Training a locator: it learns, its run folder is whole, and a run that was broken off goes on as if it had not been."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from helpers.blobs import draw_blobs
from helpers.discs import draw_discs
from helpers.untrained import fresh
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.export.locator import export_locator
from posewright.models.centres import IGNORED, overlap_of
from posewright.models.checkpoint import load_checkpoint, save_checkpoint
from posewright.models.locator_checkpoint import load_locator_checkpoint, save_locator
from posewright.runtime.locator import load_locator
from posewright.runtime.modelfile import read_info
from posewright.training.augment_config import SceneAugment
from posewright.training.locator_config import LocatorConfig
from posewright.training.locator_fit import fit_locator
from posewright.training.locator_task import LocatorTask, box_loss, focal_loss

SMALL = LocatorConfig(
    model="locator_small",
    net=("channels=24",),
    input_size="64x96",
    epochs=2,
    batch_size=6,
    workers=0,
    threads=1,
    precision="fp32",
    device="cpu",
    ema=0.9,
    most=10,
    augment=SceneAugment(scale=0.2, mosaic=0.1, hue=0.0),
)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return draw_blobs(tmp_path_factory.mktemp("blobs"), count=24)


@pytest.fixture(scope="module")
def finished(blobs, tmp_path_factory):
    """A run long enough to have learned something."""
    folder = tmp_path_factory.mktemp("runs") / "learned"
    config = replace(SMALL, output=str(folder), epochs=18, lr=8e-3, ema=0.8, least_side=2.0, seed=1)
    return fit_locator(config, blobs, terms="free")


@pytest.fixture
def no_export(monkeypatch):
    """Leave out the model file, which takes longer than the run that it comes from."""
    monkeypatch.setattr("posewright.export.locator.export_locator", lambda *_: 0.0)


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_a_net_learns_the_squares(finished, blobs):
    rows = history(finished.folder)
    assert rows[-1]["train_loss"] < 0.5 * rows[0]["train_loss"]
    assert finished.recall > 0.5 and max(row["val_ap50"] for row in rows) > 0.5


def test_the_model_file_finds_them_in_pictures_of_another_size(finished, blobs):
    locator = load_locator(finished.folder, threads=1, threshold=0.2)
    hit = total = 0
    for row in range(8):
        picture = cv2.imread(str(blobs.image_path(row)))[..., ::-1]
        picture = cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
        boxes, _ = locator.find(np.ascontiguousarray(picture))
        for x0, y0, x1, y1 in 3 * (blobs.boxes[blobs.image == row] + 0.5) - 0.5:
            centre = np.array([x0 + x1, y0 + y1]) / 2
            total += 1
            hit += bool(((boxes[:, :2] < centre) & (boxes[:, 2:] > centre)).all(1).any())
    assert hit > 0.6 * total


def test_the_run_folder_says_what_was_measured(finished):
    info = read_info(finished.folder / "model.onnx")
    assert info.kind == "locator" and info.size_text == "96x64" and info.terms == "free"
    assert {"recall", "false boxes a picture", "AP@0.5"} == set(info.metrics)
    assert info.metrics["recall"]["threshold"] == info.threshold and info.metrics["recall"]["overlap"] == 0.5
    assert info.metrics["false boxes a picture"]["value"] <= SMALL.false_boxes
    for name in ("model.safetensors", "curves.png", "config.yaml"):
        assert (finished.folder / name).is_file()
    assert LocatorConfig.load(finished.folder / "config.yaml").most == 10


def test_a_file_with_weights_in_half_precision_is_smaller_and_says_so(finished, tmp_path):
    export_locator(finished.checkpoint, tmp_path / "half.onnx", half=True)
    assert read_info(tmp_path / "half.onnx").precision == "fp16"
    assert (tmp_path / "half.onnx").stat().st_size < 0.8 * (finished.folder / "model.onnx").stat().st_size


def test_each_kind_of_checkpoint_refuses_the_other(finished):
    path = finished.folder / "model.safetensors"
    with pytest.raises(PosewrightError, match=r"is a locator's checkpoint. Name a keypoint model"):
        load_checkpoint(path)
    shipped = Path(__file__).parents[2] / "src/posewright/weights/hand.safetensors"
    with pytest.raises(PosewrightError, match=r"is the checkpoint of a keypoint model. Name a locator"):
        load_locator_checkpoint(shipped)


def test_a_checkpoint_comes_back(finished, tmp_path):
    one = load_locator_checkpoint(finished.folder / "model.safetensors")
    save_locator(one, tmp_path / "again.safetensors")
    other = load_locator_checkpoint(tmp_path / "again.safetensors")
    assert (one.threshold, one.most, one.rule, one.net.config) == (
        other.threshold,
        other.most,
        other.rule,
        other.net.config,
    )
    state = other.net.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in one.net.state_dict().items())


def test_a_run_that_was_stopped_goes_on_as_if_nothing_had_happened(blobs, tmp_path, no_export):
    whole = fit_locator(replace(SMALL, output=str(tmp_path / "whole"), epochs=3), blobs)
    step = LocatorTask.training_step

    def stopped(task, batch, batch_idx):
        if task.steps_taken == 4:  # in the middle of the second epoch
            raise KeyboardInterrupt
        return step(task, batch, batch_idx)

    undone = pytest.MonkeyPatch()
    undone.setattr(LocatorTask, "training_step", stopped)
    config = replace(SMALL, output=str(tmp_path / "stopped"), epochs=3, checkpoint_minutes=1e-6)
    with pytest.raises(KeyboardInterrupt):
        fit_locator(config, blobs)
    undone.undo()
    again = fit_locator(config, blobs, resume=True)
    one, other = history(whole.folder), history(again.folder)
    assert len(one) == len(other) == 3
    for x, y in zip(one, other, strict=True):
        for name in ("epoch", "step", "train_loss", "val_loss", "val_ap50", "val_recall", "val_false", "lr"):
            assert y[name] == pytest.approx(x[name], rel=1e-6, abs=1e-6), (name, x["epoch"])
    state = again.checkpoint.net.state_dict()
    assert all(torch.allclose(v, state[k], atol=1e-6) for k, v in whole.checkpoint.net.state_dict().items())


def test_a_run_starts_from_another_locator(finished, blobs, tmp_path, capsys, no_export):
    plain = replace(SMALL, model="locator", net=(), input_size="256")
    config = replace(plain, output=str(tmp_path / "tuned"), init=str(finished.folder), epochs=1, lr=1e-6)
    run = fit_locator(config, blobs)
    assert "starting from" in capsys.readouterr().out
    assert run.checkpoint.rule.size == (96, 64) and run.checkpoint.net.config.channels == 24
    assert run.recall == pytest.approx(finished.recall, abs=0.35)
    assert run.checkpoint.training["start"]["data"] == ["blobs"] and "free" in run.checkpoint.terms


def test_a_run_reads_the_features_of_a_keypoint_model(blobs, tmp_path, capsys):
    """Its weights are the trunk's; the run can be resumed, exported, and gone on from."""
    model = fresh("hourglass_s2_nano", (64, 64))
    model.terms = "of the model"
    save_checkpoint(model, tmp_path / "model.safetensors")
    plain = replace(SMALL, model="locator", net=("channels=16", "depth=1"), input_size="64x128", lr=1e-9, ema=0.0)
    config = replace(plain, output=str(tmp_path / "run"), init=str(tmp_path / "model.safetensors"), epochs=1)
    run = fit_locator(config, blobs)
    assert "starting from the keypoint model" in capsys.readouterr().out
    given, net = model.net.state_dict(), run.checkpoint.net
    trunk = net.features.net.state_dict()
    weights = [name for name in trunk if name.endswith("weight")]
    assert weights and all(torch.allclose(trunk[name], given[name], atol=1e-6) for name in weights)
    assert set(given) - set(trunk) == {"heads.1.predict.weight", "heads.1.predict.bias"}
    assert "of the model" in run.checkpoint.terms
    assert load_locator(run.folder, threads=1).info.kind == "locator"
    again = fit_locator(config, blobs, resume=True)
    assert again.checkpoint.net.config == net.config and "of the model" in again.checkpoint.terms
    more = replace(SMALL, model="locator", net=(), init=str(tmp_path / "run"), input_size="256", epochs=1)
    assert fit_locator(replace(more, output=str(tmp_path / "more")), blobs).checkpoint.rule.size == (128, 64)
    other = replace(config, output=str(tmp_path / "other"))
    with pytest.raises(PosewrightError, match="is another net than the trunk that --net names"):
        fit_locator(replace(other, net=("trunk=hourglass_s1_nano",)), blobs)
    with pytest.raises(PosewrightError, match="has 3 keypoints, not 4"):
        fit_locator(replace(other, net=("keypoints=4",)), blobs)
    told = ("trunk=hourglass_s2_nano", "keypoints=3", "channels=16", "depth=1")
    assert fit_locator(replace(other, net=told), blobs).checkpoint.net.config == net.config


def test_a_net_without_batch_norm_keeps_its_low_learning_rate(blobs, tmp_path, no_export):
    save_checkpoint(fresh("cpm_hand", (64, 64), stages=2, width=0.0625), tmp_path / "model.safetensors")
    config = replace(SMALL, model="locator", net=("channels=16",), init=str(tmp_path / "model.safetensors"), epochs=1)
    run = fit_locator(replace(config, output=str(tmp_path / "run"), input_size="64"), blobs)
    assert run.checkpoint.training["config"]["lr"] == pytest.approx(0.1 * LocatorConfig().highest_lr)


def test_what_an_earlier_version_left_is_told_from_what_this_one_writes(finished, blobs, tmp_path):
    from posewright.models.locator_presets import locator_config

    old = finished.checkpoint.net.config.to_dict()
    del old["trunk"]
    with pytest.raises(PosewrightError, match=r"earlier version, whose net was another. Train it again"):
        locator_config(old)
    folder = shutil.copytree(finished.folder, tmp_path / "run")
    state = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    state["state_dict"] = {f"old.{name}": value for name, value in state["state_dict"].items()}
    torch.save(state, folder / "checkpoints/last.ckpt")
    with pytest.raises(PosewrightError, match="is of a run by another version of posewright"):
        fit_locator(replace(SMALL, output=str(folder)), blobs, resume=True)


def test_a_locators_run_is_not_resumed_by_train_nor_the_other_way_round(finished):
    from posewright.training.config import TrainConfig
    from posewright.training.fit import fit

    with pytest.raises(PosewrightError, match=r"is of a run that trains locator. Use posewright train-locator"):
        fit(TrainConfig(output=str(finished.folder)), resume=True)


def test_data_that_cannot_be_learned_from(blobs, tmp_path, capsys):
    config = replace(SMALL, output=str(tmp_path / "run"))
    with pytest.raises(PosewrightError, match="has no training picture with a boxed object"):
        fit_locator(config, blobs.objects([]))
    with pytest.raises(PosewrightError, match="has no training picture with a boxed object"):
        fit_locator(config, replace(blobs, iscrowd=np.ones(len(blobs), bool)))
    with pytest.raises(PosewrightError, match="batch_size is 99, and there are 18 pictures"):
        fit_locator(replace(config, batch_size=99), blobs)
    with pytest.raises(PosewrightError, match=r"input size 60x96 does not fit the net. Use multiples of 32"):
        fit_locator(replace(config, input_size="60x96"), blobs)
    assert main(["train-locator", "--data", str(tmp_path / "nowhere")]) == 2
    assert main(["train-locator", "--model", "locater", "--data", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 2


def test_a_keypoint_models_presets_are_not_a_locators(blobs, tmp_path):
    with pytest.raises(PosewrightError, match="unknown locator preset 'hourglass_s1_tiny'"):
        fit_locator(replace(SMALL, model="hourglass_s1_tiny", net=(), output=str(tmp_path)), blobs)


@pytest.mark.parametrize("settings", [{"most": 0}, {"false_boxes": -1.0}, {"heat_weight": 0.0}, {"lr": -1.0}])
def test_settings_that_make_no_sense(settings):
    with pytest.raises(PosewrightError, match=next(iter(settings))):
        LocatorConfig(**settings)


def test_losses_by_hand():
    logits = torch.zeros(1, 1, 2)
    target, counted = torch.tensor([[[1.0, 0.5]]]), torch.ones(1, 1, 2)
    expected = -(0.25 * np.log(0.5) + 0.5**4 * 0.25 * np.log(0.5))
    assert float(focal_loss(logits, target, counted)) == pytest.approx(expected)
    assert float(focal_loss(logits, target, torch.tensor([[[1.0, 0.0]]]))) == pytest.approx(-0.25 * np.log(0.5))
    maps, true = torch.zeros(1, 4, 1, 1), torch.tensor([0.5, -0.5, 1.0, 0.0]).view(1, 4, 1, 1)
    # A square of side 1 at the origin, and one of e^0.5 by e^-0.5 a cell to the right: both have an area of 1.
    common = (0.5 - (1 - np.exp(0.5) / 2)) * np.exp(-0.5)
    around = 1 + np.exp(0.5) / 2 + 0.5
    generalised = common / (2 - common) - (around - (2 - common)) / around
    assert float(box_loss(maps, true, overlap_of(maps, true)[1], torch.ones(1, 1, 1))) == pytest.approx(
        0.5 + 0.5 + 2 * 1.0 / np.exp(0.5) + 2 * (1 - generalised)
    )


def test_a_picture_without_objects_teaches_silence(blobs, tmp_path):
    """Its loss is that of its heat alone, and falls where the net finds less."""
    from posewright.models.locator import CentreNet
    from posewright.models.locator_presets import locator_preset

    net = CentreNet(locator_preset("locator_small", {"channels": 24}))
    task = LocatorTask(net, SMALL, blobs, 1, blobs)
    image = torch.randint(0, 255, (1, 64, 96, 3), dtype=torch.uint8)
    batch = {"image": image, "boxes": torch.zeros(1, 1, 4), "state": torch.zeros(1, 1), "index": torch.zeros(1)}
    with torch.no_grad():
        parts = task.losses(batch)
    assert float(parts["box"]) == float(parts["overlap"]) == 0 and float(parts["heat"]) > 0
    with torch.no_grad():
        net.heat[1].bias -= 3
        assert float(task.losses(batch)["heat"]) < float(parts["heat"])
    unknown = batch | {"boxes": torch.tensor([[[-1.0, -1.0, 96.0, 64.0]]]), "state": torch.tensor([[IGNORED]])}
    with torch.no_grad():
        assert float(task.losses(unknown)["loss"]) == 0


def test_keypoint_labels_train_a_locator_by_their_boxes(tmp_path, no_export):
    discs = draw_discs(tmp_path, count=12, empty=2)
    run = fit_locator(replace(SMALL, output=str(tmp_path / "run"), epochs=1, input_size="64"), discs)
    assert run.checkpoint.skeleton.name == "discs"
