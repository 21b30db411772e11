"""Visibility: a net learns which keypoints are covered, its model file tells it, and labels of one kind train nothing."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest
import torch

import posewright
from helpers.discs import DISCS, draw_discs
from posewright.media.pictures import read_picture, write_picture
from posewright.metrics import evaluate, run_model
from posewright.models.checkpoint import load_checkpoint
from posewright.models.presets import build_net, preset
from posewright.training.augment_config import AugmentConfig
from posewright.training.config import TrainConfig
from posewright.training.dataset import CropDataset
from posewright.training.fit import fit
from posewright.training.nets import net_settings
from posewright.training.visibility import WEIGHT, learnable, visibility_loss

SHORT = TrainConfig(
    model="hourglass_s1_nano",
    net=("channels=16", "stacks=2"),
    init="none",
    visibility=True,
    input_size="64",
    epochs=8,
    batch_size=6,
    lr=6e-3,
    workers=0,
    threads=1,
    precision="fp32",
    device="cpu",
    ema=0.9,
    augment=AugmentConfig(rotation=10, negative=0.1, cutout=0, colour=0),
)


def covered_discs(folder, count: int = 90):
    """The set of discs with a grey square over about a third of them, which are then labelled hidden."""
    discs = draw_discs(folder, count=count, empty=6)
    rng = np.random.default_rng(8)
    hidden = rng.random(discs.keypoints.shape[:2]) < 0.35
    for i, image in enumerate(discs.image):
        picture = read_picture(discs.image_path(int(image))).copy()
        for x, y in discs.keypoints[i, hidden[i], :2]:
            cv2.rectangle(picture, (round(x) - 6, round(y) - 6), (round(x) + 6, round(y) + 6), (128, 128, 128), -1)
        write_picture(discs.image_path(int(image)), picture)
    discs.keypoints[..., 2] = np.where(hidden, 1, 2)
    return discs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("covered")
    discs = covered_discs(folder)
    return fit(replace(SHORT, output=str(folder / "run")), discs), discs


def test_a_short_run_tells_covered_keypoints(trained):
    """Chance is an AUC of 0.5; the margin asked for is 0.3."""
    metrics = trained[0].checkpoint.metrics
    assert metrics["visibility_AUC"]["value"] > 0.8
    assert metrics["visibility_accuracy"]["value"] > metrics["visibility_accuracy"]["always the commoner kind"]


def test_the_model_file_tells_it_and_its_maps_do_not_show_it(trained):
    run, discs = trained
    graph = onnx.load(run.folder / "model.onnx").graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim][1:] for v in graph.output}
    assert shapes["visibility"] == [3] and shapes["heatmaps"] == [2, 3, 16, 16]
    assert load_checkpoint(run.folder / "model.safetensors").net.config.visibility
    model = posewright.load(run.folder / "model.onnx", "cpu")
    val = discs.of_split("val")
    for flip in (False, True):
        predicted, truth = run_model(model, val, flip=flip)
        assert predicted.visibility is not None and np.nanmin(predicted.visibility) >= 0
        found = evaluate(predicted.xy, truth, visibility=predicted.visibility).metrics
        assert found["visibility_AUC"] > 0.75, flip


def test_labels_of_one_kind_train_nothing(discs, capsys):
    only = replace(discs, keypoints=np.where(discs.keypoints == 1, 2, discs.keypoints))
    for asked in (SHORT, replace(SHORT, visibility=False, net=("channels=16", "visibility=true"))):
        settled = learnable(asked, only)
        assert "visibility is not trained: every labelled keypoint is marked visible" in capsys.readouterr().out
        assert not net_settings(settled).visibility and net_settings(settled).channels == 16
    assert learnable(SHORT, discs) == SHORT and capsys.readouterr().out == ""


def test_the_loss_reads_the_true_places_alone():
    config = preset("hourglass_s1_nano", visibility=True)
    points = torch.tensor([[[21.5, 33.5], [9.5, 5.5], [40.0, 40.0]]])
    maps = torch.zeros(1, 2, 3, 16, 16, requires_grad=True)
    loss = visibility_loss(maps, points, torch.tensor([[2, 1, 0]], dtype=torch.uint8), config)
    assert loss.item() == pytest.approx(WEIGHT * np.log(2), rel=1e-5)
    loss.backward()
    touched = maps.grad[0, 1].nonzero().tolist()
    assert touched == [[0, 8, 5], [1, 1, 2]]
    assert maps.grad[0, 1, 0, 8, 5] < 0 < maps.grad[0, 1, 1, 1, 2]


def test_a_mirrored_sample_keeps_each_keypoints_visibility(discs):
    from posewright.geometry import CropRule

    some = replace(discs, keypoints=discs.keypoints.copy())
    some.keypoints[..., 2] = [2, 1, 1]
    mirrored = AugmentConfig(scale=0, rotation=0, shift=0, flip=1, colour=0, grey=0, blur=0, cutout=0, negative=0)
    assert CropDataset(some, CropRule((64, 64)))[0]["visible"].tolist() == [2, 1, 1]
    assert CropDataset(some, CropRule((64, 64)), mirrored)[0]["visible"].tolist() == [1, 2, 1]


@pytest.mark.parametrize("background", [False, True])
def test_the_extra_channels_stand_behind_the_maps(background):
    net = build_net(
        preset("hourglass_s2_nano", visibility=True, background=background, activation="sigmoid"), len(DISCS)
    )
    image = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    maps, visibility = net.outputs(image)
    assert maps.shape == (2, 2, 3 + background, 16, 16) and visibility.shape == (2, 2, 3, 16, 16)
    assert net(image).shape == net.logits(image).shape == maps.shape
    # Maps start empty, visibility undecided.
    assert maps[:, :, :3].sigmoid().max() < 0.1 and visibility.abs().max() < 1
