"""The hourglass system's recipe, against what its own code is known to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import hourglass_recipe as recipe
from helpers.runs import small_run
from posewright.geometry import CropRule, Similarity
from posewright.models.presets import build_net, preset
from posewright.training.dataset import DRAWN, EMPTY, CropDataset, collate
from posewright.training.task import KeypointTask


def test_only_labels_three_cells_from_the_first_and_four_from_the_last_are_drawn():
    cells = torch.arange(64.0)
    # t = cell - 1 lies at crop pixel 4 t - 0.5; a quarter of a cell more is still cut down to it.
    x = (cells - 1) * 4 - 0.5 + 1
    points = torch.stack([x, torch.full_like(x, 120.0)], -1)[None]
    maps = recipe.hourglass_targets(points, torch.ones(1, 64, dtype=torch.bool), (64, 64), 4)
    there = maps[0].amax((1, 2)) > 0
    assert there.nonzero()[:, 0].tolist() == list(range(3, 60))
    row, column = divmod(int(maps[0, 30].argmax()), 64)
    assert (column, row) == (30, int((120 + 0.5) / 4) + 1) and maps[0, 30].max() == 1
    assert (maps[0, 30] > 0).sum() == 49  # a patch of 7 x 7


def test_its_round_trip_lies_right_and_below_by_what_was_measured_of_its_own_code():
    """0.62 cells at a scale of 1 (a person of 200 px) at 256 x 256, with perfect maps."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(60, 190, (1, 400, 2))
    similarity = Similarity.crop((-0.5, -0.5, 249.5, 249.5), (256, 256))
    points = torch.from_numpy(similarity.apply(truth)).float()
    net = build_net(preset("hourglass_s1_nano", channels=16), 400)
    maps = recipe.hourglass_targets(points, torch.ones(1, 400, dtype=torch.bool), (64, 64), 4)
    batch = {"inverse": torch.tensor(similarity.inverse().matrix)[None].float()}
    away = (recipe.hourglass_points(net, maps, batch).numpy() - truth) / (250 / 64)
    assert away.mean((0, 1)) == pytest.approx([0.62, 0.62], abs=0.04)


def test_a_peak_in_the_first_row_or_column_stays_in_cells():
    net, maps = build_net(preset("hourglass_s1_nano", channels=16), 2), torch.zeros(1, 2, 16, 16)
    maps[0, 0, 5, 0], maps[0, 1, 5, 4] = 1, 1
    similarity = Similarity.crop((100, 100, 200, 200), (64, 64))
    found = recipe.hourglass_points(net, maps, {"inverse": torch.tensor(similarity.inverse().matrix)[None].float()})
    assert found[0, 0].tolist() == [0, 5]
    assert found[0, 1, 0] > 100


@pytest.mark.parametrize("mirrors", [(True, False), (False, True), (True, True)])
def test_mirrored_labels_lie_one_picture_pixel_beside(mirrors):
    """There: x -> W - x and y -> H - y of the labels, mirrored pixels, then the turn."""
    width, height, label = 100, 80, np.array([20.0, 50.0])
    box, flip, vertical = (10, 10, 70, 70), *mirrors
    similarity = Similarity.crop(box, (64, 64), rotation=20, scale=1.3, flip=flip, flip_vertical=vertical)
    # The same crop of the mirrored picture.
    mirror = Similarity(
        np.array(
            [
                [-1 if flip else 1, 0, width - 1 if flip else 0],
                [0, -1 if vertical else 1, height - 1 if vertical else 0],
            ]
        )
    )
    onward = similarity @ mirror.inverse()
    there = np.array([width - label[0] if flip else label[0], height - label[1] if vertical else label[1]])
    assert onward.apply(there) == pytest.approx(similarity.apply(label) + recipe.beside(similarity, flip, vertical))


def test_the_crop_lies_lower_by_fifteen_of_two_hundred_parts(discs):
    low, side = recipe.lowered(discs), (discs.boxes[:, 2:] - discs.boxes[:, :2]).max(1)
    np.testing.assert_allclose(low.boxes[:, 1] - discs.boxes[:, 1], 15 * side / 200)
    np.testing.assert_array_equal(low.boxes[:, 0], discs.boxes[:, 0])


def test_samples_teach_silence_where_nothing_is_labelled(discs):
    config = recipe.settings(small_run())
    unlabelled = discs.keypoints.copy()
    unlabelled[:, 1] = 0
    data = recipe.HourglassDataset(replace(discs, keypoints=unlabelled), CropRule((64, 64), border=0), config.augment)
    states = np.stack([data[(epoch, 0)]["state"].numpy() for epoch in range(12)])
    assert set(states.ravel()) == {DRAWN, EMPTY}
    assert ((states == EMPTY).sum(1) == 1).all()
    # Mirrored left to right, left and right change places; top to bottom they do not.
    assert {int(row.argmin() if EMPTY < DRAWN else row.argmax()) for row in states} == {0, 1}


def test_the_loss_is_the_mean_square_summed_over_stacks(discs):
    config = recipe.settings(small_run(model="hourglass_s2_nano"))
    net = build_net(preset("hourglass_s2_nano", channels=16), 3)
    task = recipe.HourglassTask(net, config, discs, 1)
    data = CropDataset(discs, CropRule((64, 64)))
    parts = task.losses(collate([data[0], data[1]]))
    target, _ = task.targets(collate([data[0], data[1]]), (16, 16))
    by_hand = sum(((parts["output"][:, s] - target) ** 2).mean() for s in range(2))
    assert parts["loss"].item() == pytest.approx(by_hand.item())
    optimiser = task.configure_optimizers()
    assert isinstance(optimiser, torch.optim.RMSprop) and optimiser.defaults["eps"] == 1e-7
    assert isinstance(task, KeypointTask)
