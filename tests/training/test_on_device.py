"""Pictures on the device: the batches made there are those of the loader."""

from __future__ import annotations

import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from helpers.discs import DISCS, draw_discs
from posewright.annotations import Annotations, Image
from posewright.console import hushed
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.presets import build_net, preset
from posewright.training import on_device
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.config import TrainConfig
from posewright.training.course import NOISY
from posewright.training.data import loaders
from posewright.training.dataset import CropDataset, collate
from posewright.training.on_device import DeviceBatches, Store
from posewright.training.recipes import RecipeDataset
from posewright.training.task import KeypointTask
from posewright.training.trainer import trainer_for

RULE = CropRule((64, 96))
CELLS = 4
BUSY = AugmentConfig(
    blur=0.5, cutout=0.5, sharpness=0.4, grey=0.2, perspective=25, half_body=0.3, flip_vertical=0.3, negative=0.2
)


def both(labels: Annotations, rule: CropRule, augment: AugmentConfig | None, epoch: int):
    """A pass of the loader's samples, and the same from the device."""
    usual, recipes = (kind(labels, rule, augment, seed=5) for kind in (CropDataset, RecipeDataset))
    store = Store(recipes)
    store.fill("cpu")
    items = range(len(usual))
    return collate([usual[(epoch, i)] for i in items]), store.batch([recipes[(epoch, i)] for i in items])


def large(folder, size=(420, 300), count=6) -> Annotations:
    """Smooth pictures whose objects fill most of them, so that small crops shrink them several times."""
    rng = np.random.default_rng(1)
    images, keypoints = [], []
    for i in range(count):
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))
        images.append(Image(f"{i}.png", *size, split="train"))
        keypoints.append(np.column_stack([rng.uniform(0.1, 0.9, (3, 2)) * size, np.full(3, 2)]))
    boxes = np.tile([10.0, 8.0, size[0] - 40.0, size[1] - 12.0], (count, 1))
    return Annotations(DISCS, images, np.arange(count), np.stack(keypoints), boxes, root=folder)


@pytest.mark.parametrize("augment", [None, PLAIN, AugmentConfig(), BUSY], ids=["none", "plain", "default", "busy"])
def test_its_batches_are_the_loaders(discs, augment):
    for epoch in (0, 3):
        usual, ours = both(discs, RULE, augment, epoch)
        for name in set(usual) - {"image"}:
            assert usual[name].dtype == ours[name].dtype
            assert torch.equal(usual[name], ours[name]), name
        apart = (usual["image"].int() - ours["image"].int()).abs().float()
        # OpenCV places samples to a 32nd of a pixel, and rounds after every one of the changes.
        assert apart.mean() < 0.6
        assert apart.quantile(0.999) <= 8


def test_points_lie_on_what_they_label(discs):
    """Held against the pixels alone: the discs' colours are where the points say, within a 20th of a cell on average."""
    augment = replace(PLAIN, scale=0.25, rotation=40, shift=0.06, flip=0.5)
    _, ours = both(discs, CropRule((192, 192)), augment, 1)
    off = []
    for image, points, state in zip(ours["image"].numpy(), ours["points"].numpy(), ours["state"].numpy(), strict=True):
        green = (image[..., 1].astype(int) - np.maximum(image[..., 0], image[..., 2])).clip(60) - 60
        x, y = points[2]
        if state[2] == 1 and min(x, y, 191 - x, 191 - y) > 25:
            rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
            off.append([(green * columns).sum() / green.sum() - x, (green * rows).sum() / green.sum() - y])
    assert len(off) > 8
    assert np.abs(np.mean(off, 0)).max() < 0.05 * CELLS
    assert np.abs(off).max() < 0.15 * CELLS  # of a disc of a few pixels


def test_what_shrinks_is_sampled_from_averages(tmp_path):
    labels = large(tmp_path)
    rule = CropRule((64, 64))
    augment = replace(PLAIN, scale=0.6, rotation=30)
    assert [level.factor for level in Store(RecipeDataset(labels, rule, augment)).levels[0]] == [4, 8]
    for epoch in range(3):
        usual, ours = both(labels, rule, augment, epoch)
        assert torch.equal(usual["points"], ours["points"])
        apart = (usual["image"].int() - ours["image"].int()).abs().float()
        assert apart.mean() < 1.5  # the loader averages by the whole factor, which is not always one that is kept


def test_a_picture_that_is_not_as_large_as_its_labels_say_is_named(tmp_path):
    labels = large(tmp_path)
    labels = replace(labels, images=[replace(im, width=im.width + 9) for im in labels.images])
    with pytest.raises(PosewrightError, match="not 429 x 300 pixels large"):
        Store(RecipeDataset(labels, RULE)).fill("cpu")


def test_the_loader_takes_over_where_nobody_insists(discs, monkeypatch, capsys):
    wrong = replace(discs, images=[replace(im, width=im.width + 9) for im in discs.images])
    monkeypatch.setattr("posewright.training.data.store_for", lambda config, train, where: made(train))

    def made(train):
        return Store(RecipeDataset(train.annotations, train.rule, train.augment))

    train, _ = loaders(TrainConfig(batch_size=4, device="cpu"), wrong, RULE)
    assert not isinstance(train, DeviceBatches)
    assert "105 x 96 pixels large, as its labels say: training pictures are loaded" in capsys.readouterr().out
    with pytest.raises(PosewrightError, match="105 x 96"):
        loaders(TrainConfig(batch_size=4, device="cpu", device_data="on"), wrong, RULE)


def test_a_run_is_the_same_either_way(discs, tmp_path):
    """Order, place in the run and losses do not depend on where crops are made."""
    config = TrainConfig(batch_size=4, epochs=1, precision="fp32", device="cpu", input_size="64")
    losses = []
    for way in ("off", "on"):
        torch.manual_seed(0)
        train, val = loaders(replace(config, device_data=way), discs, CropRule((64, 64)))
        net = build_net(preset("hourglass_s1_nano", channels=16, poolings=2, activation="sigmoid"), 3)
        task = KeypointTask(net, config, val.dataset.annotations, 100)
        with hushed(*NOISY):
            trainer_for(config, "cpu", tmp_path / way, [], max_steps=3).fit(task, train)
        losses.append(task.mean_loss)
    assert losses[0] != losses[1]  # a grey level here and there
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_loader_processes_can_hand_recipes_on(discs):
    data = RecipeDataset(discs, RULE, BUSY)
    again = pickle.loads(pickle.dumps([data[(1, i)] for i in range(4)]))
    assert np.array_equal(again[2].points, data[(1, 2)].points)


def test_it_is_taken_where_asked_and_where_there_is_a_card_with_room(discs, monkeypatch, capsys):
    config = TrainConfig(batch_size=4, device="cpu")
    assert not isinstance(loaders(config, discs, RULE)[0], DeviceBatches)
    train, _ = loaders(replace(config, device_data="on"), discs, RULE, start=2)
    assert isinstance(train, DeviceBatches)
    usual, _ = loaders(config, discs, RULE, start=2)
    assert [b["index"].tolist() for b in train] == [b["index"].tolist() for b in usual]

    samples = CropDataset(discs.of_split("train"), RULE, AugmentConfig())
    monkeypatch.setattr(on_device, "room", lambda device: 10**9)
    assert on_device.store_for(config, samples, "cuda") is not None
    assert on_device.store_for(replace(config, device_data="off"), samples, "cuda") is None
    monkeypatch.setattr(on_device, "room", lambda device: 1000)
    assert on_device.store_for(config, samples, "cuda") is None
    assert "loaded batch by batch" in capsys.readouterr().out
    with pytest.raises(PosewrightError, match="GB of cuda are for them"):
        on_device.store_for(replace(config, device_data="on"), samples, "cuda")


def test_what_it_cannot_make_is_refused_or_left_to_the_loader(discs):
    samples = CropDataset(discs.of_split("train"), RULE, AugmentConfig(clahe=0.5))
    assert on_device.store_for(TrainConfig(), samples, "cuda") is None
    with pytest.raises(PosewrightError, match=r"cannot make augment\.clahe"):
        on_device.store_for(TrainConfig(device_data="on"), samples, "cpu")


def test_pictures_that_no_crop_is_made_of_are_left_behind(tmp_path):
    labels = draw_discs(tmp_path, count=8, empty=3)
    store = Store(RecipeDataset(labels, RULE, replace(AugmentConfig(), negative=0.0)))
    assert [bool(levels) for levels in store.levels] == [True] * 5 + [False] * 3
    assert all(Store(RecipeDataset(labels, RULE, AugmentConfig())).levels)
