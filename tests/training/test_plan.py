"""What a run chooses by itself: model, batch, epochs and start, and that a person's word counts before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.discs import DISCS
from helpers.runs import small_run
from helpers.starts import start_of
from posewright.errors import PosewrightError
from posewright.media.pictures import write_picture
from posewright.models.presets import build_net, preset
from posewright.training.config import TrainConfig
from posewright.training.plan import batch_for, epochs_for, like_start, model_for, settle
from posewright.training.start import free_start, take_over


def test_rules():
    assert [batch_for(n) for n in (1, 3, 35, 90, 255, 256, 10_000)] == [1, 3, 4, 8, 16, 32, 32]
    # As many as the devices can share, and never more than there are.
    assert [batch_for(n, ranks) for n, ranks in ((35, 2), (35, 3), (3, 2), (5, 4), (256, 8))] == [4, 6, 2, 4, 32]
    assert [epochs_for(n) for n in (1, 39, 100, 1000, 9000, 100_000)] == [300, 300, 190, 60, 20, 20]
    assert model_for(50, "cpu") == model_for(50, "cuda") == model_for(10**5, "cpu") == "hourglass_s1_tiny"
    assert model_for(5000, "cuda") == "hourglass_s2_tiny"
    assert model_for(50_000, "cuda") == "hourglass_s2"


def test_a_small_set_starts_from_free_weights_and_says_so(discs, capsys):
    config, start = settle(TrainConfig(), discs, "cpu")
    assert start is not None
    assert (config.model, config.init, config.input_size, config.epochs) == ("hourglass_s1_tiny", "hand", "256", 300)
    said = capsys.readouterr().out
    assert "for 16 objects: hourglass_s1_tiny" in said
    assert "starting from hand (--init none" in said
    net = build_net(start.checkpoint.net.config, 3)
    assert take_over(net, DISCS, start).parameters > 0.99 * sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("change", [{"init": "none"}, {"model": "cpm_hand"}, {"net": ("order=preact",)}])
def test_no_start_where_it_is_refused_or_does_not_fit(discs, change):
    config, start = settle(TrainConfig(**change), discs, "cpu")
    assert start is None
    assert config.init == "none"


def test_a_large_set_starts_from_nothing(discs):
    many = discs.objects(np.repeat(np.arange(len(discs)), 70))
    assert settle(TrainConfig(), many, "cpu")[1] is None


def test_only_weights_as_free_as_the_code_are_taken_unasked():
    found = free_start(preset("hourglass_s1_tiny"), 14)
    assert found is not None
    assert "Apache-2.0" in found.checkpoint.terms


def test_what_a_person_says_wins(discs, capsys):
    given = small_run()
    assert settle(given, discs, "cpu") == (given, None)
    assert capsys.readouterr().out == ""


def test_nobody_is_told_of_a_preset_where_the_net_is_given(discs, capsys):
    settle(TrainConfig(), discs, "cpu", own_net=True)
    said = capsys.readouterr().out
    assert "300 epochs" in said
    assert "hourglass" not in said


def test_a_batch_larger_than_the_data(discs):
    with pytest.raises(PosewrightError, match=r"batch_size is 64, and there are 16 objects.*at most 16"):
        settle(TrainConfig(batch_size=64), discs, "cpu")


def test_pictures_that_a_teacher_labels_count_for_batch_and_epochs(discs, tmp_path):
    for i in range(30):
        write_picture(tmp_path / f"{i}.png", np.zeros((8, 8, 3), np.uint8))
    config = small_run(batch_size=40, epochs=0, teacher="hand", unlabelled=str(tmp_path))
    settled, _ = settle(config, discs, "cpu")
    assert (settled.batch_size, settled.epochs) == (40, epochs_for(46))
    with pytest.raises(PosewrightError, match=r"batch_size is 47, and there are 46 objects"):
        settle(replace(config, batch_size=47), discs, "cpu")


def test_counting_from_beyond_the_usual_epochs(discs):
    usual = settle(small_run(epochs=0), discs, "cpu")[0].epochs
    assert settle(small_run(epochs=0, init_epoch=5), discs, "cpu")[0].epochs == usual
    assert settle(small_run(epochs=0, init_epoch=usual + 10), discs, "cpu")[0].epochs == 2 * usual + 10


def test_a_named_start_brings_its_net_and_input_size():
    given = preset(
        "hourglass_s2_nano", channels=16, poolings=2, scale=128.0, activation="sigmoid", label_shift=(0.5, 0.25)
    )
    start = start_of(build_net(given, 3), DISCS)
    alike = like_start(TrainConfig(), start)
    assert (alike.model, alike.input_size) == ("hourglass_s2_nano", "64x64")
    assert set(alike.net) == {"channels=16", "poolings=2", "scale=128.0", "label_shift=0.5,0.25"}
    other = like_start(TrainConfig(model="hourglass_s1_tiny", net=("poolings=3",), input_size="96"), start)
    assert other.input_size == "96"
    assert set(other.net) == {"scale=128.0", "label_shift=0.5,0.25"}  # the preset settles stacks, channels, mobile


@pytest.mark.parametrize(
    ("change", "lr"),
    [
        ({}, 2e-3),
        ({"optimiser": "sgd"}, 0.05),
        ({"model": "cpm_hand"}, 2e-4),  # no batch norm
        ({"model": "cpm_light"}, 2e-3),
        ({"model": "cpm_hand", "lr": 1e-3}, 1e-3),
    ],
)
def test_the_learning_rate(change, lr, discs, capsys):
    settled, _ = settle(TrainConfig(init="none", **change), discs, "cpu")
    assert settled.lr == pytest.approx(lr)
    chosen = f"--lr {lr:g}" in capsys.readouterr().out
    assert chosen == (lr != 2e-3 and "lr" not in change)
