"""Runs of the benchmarks: broken off and gone on with, measured once, compared by picture."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import comparing
from helpers.runs import small_run
from posewright.errors import PosewrightError
from posewright.training.dataset import CropDataset
from posewright.training.fit import LAST
from posewright.training.task import KeypointTask


class Killed(Exception):
    pass


def breaking_at(epoch: int) -> comparing.Parts:
    class Breaks(KeypointTask):
        def on_train_epoch_start(self) -> None:
            super().on_train_epoch_start()
            if self.current_epoch == epoch:
                raise Killed

    return comparing.Parts(task=Breaks)


def test_a_run_goes_on_after_its_last_finished_epoch_and_is_made_once(discs, tmp_path, capsys):
    config = small_run(output=str(tmp_path / "run"))
    with pytest.raises(Killed):
        comparing.train(config, discs, breaking_at(2))
    assert (tmp_path / "run" / LAST).is_file() and not (tmp_path / "run" / comparing.DONE).exists()
    capsys.readouterr()
    comparing.train(config, discs)
    printed = capsys.readouterr().out
    assert "epoch 3:" in printed and "epoch 2:" not in printed
    assert [row["epoch"] for row in comparing.history(tmp_path / "run")] == [0, 1, 2]
    assert not (tmp_path / "run" / "model.onnx").exists()  # nets alone, unless a model file is asked for
    assert comparing.train(replace(config, lr=1.0), discs) > 0
    assert capsys.readouterr().out == ""


def test_a_run_that_broke_before_its_first_checkpoint_begins_again(discs, tmp_path):
    config = small_run(output=str(tmp_path / "run"), epochs=1)
    with pytest.raises(Killed):
        comparing.train(config, discs, breaking_at(0))
    comparing.train(config, discs)
    assert len(comparing.history(tmp_path / "run")) == 1


def test_parts_stand_in_for_the_packages_own_only_within_the_block(discs, tmp_path):
    made = []

    class Own(CropDataset):
        def __init__(self, annotations, rule, *more):
            super().__init__(annotations, rule, *more)
            made.append((len(annotations.images), rule.border))

    config = small_run(output=str(tmp_path / "run"), epochs=1)
    comparing.train(config, discs, comparing.Parts(dataset=Own, border=7))
    assert made == [(len(discs.of_split("train").images), 7)]
    comparing.train(replace(config, output=str(tmp_path / "other")), discs)
    assert len(made) == 1


def test_what_was_measured_is_read_the_next_time(discs, tmp_path):
    truth, calls = discs.of_split("val"), []

    def perfect():
        calls.append(1)
        return truth.keypoints[..., :2]

    first = comparing.measured(tmp_path, "plain", truth, perfect)
    again = comparing.measured(tmp_path, "plain", truth, perfect)
    assert len(calls) == 1 and first.metrics["PCK@0.1"] == 1
    np.testing.assert_array_equal(first.normalised, again.normalised)


def test_a_difference_is_over_the_seeds_that_both_sides_have(discs):
    truth = discs.of_split("val")
    shape = truth.keypoints.shape[:2]
    right, wrong = (
        comparing.Measured(np.full(shape, v), {"PCK@0.1": s, "PCK@0.2": s}) for v, s in ((0.0, 1), (9.0, 0))
    )
    found = comparing.difference({0: wrong, 1: right}, {0: right, 2: wrong}, truth)
    assert found["PCK@0.1"]["difference"] == 1 and found["PCK@0.1"]["of each seed"] == [1]
    assert comparing.difference({0: wrong}, {1: right}, truth) == {}


def test_pictures_to_measure_on_show_an_object(discs):
    few = comparing.thinned(discs, 5, 0)
    assert len(few.of_split("train").images) == 5
    held = few.of_split("val")
    assert len(held.images) == len(held) == len(discs.of_split("val"))


def test_a_folder_of_other_settings_is_left_alone(tmp_path):
    comparing.keep_settings(tmp_path, {"size": 64})
    comparing.keep_settings(tmp_path, {"size": 64})
    with pytest.raises(PosewrightError, match="size 64"):
        comparing.keep_settings(tmp_path, {"size": 96})
    assert json.loads((tmp_path / "settings.json").read_text()) == {"size": 64}


def test_a_pace_is_measured_once(discs, tmp_path):
    config = small_run()
    first = comparing.paces({"a": (config, comparing.OWN)}, discs, tmp_path, batches=2, rounds=1)
    assert list(first) == ["a"] and len(json.loads((tmp_path / "pace.json").read_text())["a"]) == 1
    (tmp_path / "pace.json").write_text(json.dumps({"a": [0.25]}))
    assert comparing.paces({"a": (config, comparing.OWN)}, discs, tmp_path, rounds=1) == {"a": 0.25}
    assert comparing.epochs_in(10, 0.25, 240) == 10
