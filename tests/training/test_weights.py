"""Objects' own weights, as `posewright audit --weigh` writes them: how often training shows each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.discs import draw_discs
from helpers.runs import small_run
from posewright.annotations import read_annotations
from posewright.annotations.coco_write import write
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.presets import build_net, preset
from posewright.training.config import TrainConfig
from posewright.training.data import loaders
from posewright.training.hard_list import places, write_hard
from posewright.training.task import KeypointTask

RULE = CropRule((64, 64))
PASSES = 400


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return draw_discs(tmp_path_factory.mktemp("weighed"), count=16, size=64, empty=0)


@pytest.fixture(scope="module")
def weighed(labels):
    """Two of the twelve training objects count a quarter, one nothing."""
    weight = np.ones(len(labels))
    weight[[1, 6]], weight[9] = 0.25, 0.0
    return replace(labels, weight=weight)


def trained(labels):
    return np.flatnonzero([labels.images[i].split == "train" for i in labels.image])


def drawn(labels, passes=PASSES, **settings):
    """How often each training object is shown, and the order of every pass."""
    config = TrainConfig(**({"input_size": "64", "batch_size": 1, "workers": 0} | settings))
    sampler = loaders(config, labels, RULE)[0].sampler
    orders = []
    for epoch in range(passes):
        sampler.set_epoch(epoch)
        orders.append([item[1] for item in sampler])
    return np.bincount(np.concatenate(orders), minlength=len(trained(labels))), orders


def test_a_quarter_of_the_weight_is_a_quarter_of_the_passes(weighed):
    counts, orders = drawn(weighed)
    weight = weighed.weight[trained(weighed)]
    assert {len(o) for o in orders} == {9}  # nine ones and two quarters, rounded down
    expected = PASSES * 9 * weight / weight.sum()
    # Systematic sampling: an object is in a pass or not, so that its count has a binomial's spread at most.
    assert (np.abs(counts - expected) <= 4 * np.sqrt(expected)).all(), counts
    assert (counts[weight == 0] == 0).all()
    assert counts[weight == 0.25].mean() == pytest.approx(counts[weight == 1].mean() / 4, rel=0.15)


def test_the_loss_of_a_pass_is_the_weighted_loss(weighed):
    """Over many passes the mean loss of what is shown is the mean of the objects' losses by their weights."""
    torch.manual_seed(0)
    net = build_net(preset("hourglass_s1_nano", channels=16, activation="sigmoid"), 3)
    task = KeypointTask(net.eval(), small_run(), weighed, 1)
    config = TrainConfig(input_size="64", batch_size=1, workers=0)
    data = loaders(config, replace(weighed, weight=np.ones(len(weighed))), RULE)[0].dataset
    with torch.no_grad():
        samples = [{k: v[None] for k, v in data[i].items()} for i in range(len(data))]
        # One of them is far harder than the others, so that the weights show.
        loss = np.array([float(task.losses(s)["loss"]) for s in samples])
    loss[np.flatnonzero(weighed.weight[trained(weighed)] == 0.25)] += 10 * loss.mean()
    counts, _ = drawn(weighed)
    weight = weighed.weight[trained(weighed)]
    shown, meant = (counts * loss).sum() / counts.sum(), (weight * loss).sum() / weight.sum()
    assert shown == pytest.approx(meant, rel=0.05)
    assert abs(shown - loss.mean()) > 0.2 * loss.mean()


def test_any_position_is_gone_on_from_exactly(weighed):
    config = TrainConfig(input_size="64", batch_size=2, workers=0)
    whole = loaders(config, weighed, RULE)[0].sampler
    steps = [list(whole)]
    whole.set_epoch(1)
    steps.append(list(whole))
    taken = len(steps[0]) // 2 + 1  # into the second pass
    resumed = loaders(config, weighed, RULE, start=taken)[0].sampler
    assert resumed.epoch == 1
    assert list(resumed) == steps[1][2:]


def test_weights_come_through_a_file_and_add_to_a_list(weighed, tmp_path):
    write(weighed, tmp_path / "weighed.json")
    again = read_annotations(tmp_path / "weighed.json")
    np.testing.assert_allclose(sorted(again.weight), sorted(weighed.weight))
    rows = [{"image": im, "object": n, "weight": 2.0} for im, n in places(weighed)]
    counts, _ = drawn(weighed, hard=str(write_hard(tmp_path / "hard.csv", rows)))
    plain, _ = drawn(weighed)
    assert counts.sum() == PASSES * int(2 * weighed.weight[trained(weighed)].sum())
    np.testing.assert_allclose(counts / counts.sum(), plain / plain.sum(), atol=0.02)


def test_ones_leave_the_order_as_it_was(labels):
    _, plain = drawn(labels, 3)
    assert all(sorted(order) == list(range(len(trained(labels)))) for order in plain)


def test_weights_that_leave_less_than_a_batch(weighed):
    with pytest.raises(PosewrightError, match=r"weights leave 9.5 of them a pass, less than a batch of 12"):
        loaders(TrainConfig(input_size="64", batch_size=12, workers=0), weighed, RULE)
