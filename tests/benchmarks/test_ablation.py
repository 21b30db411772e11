"""The table of choices, what is confirmed of it, and a whole comparison on a few discs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import ablation
import ablation_arms
import comparing
from ablation_arms import ARMS, BASELINE, configured
from helpers.runs import small_run
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.training.config import TrainConfig
from posewright.training.dataset import DRAWN, EMPTY, IGNORED
from posewright.training.nets import net_settings

BASE = TrainConfig(model="hourglass_s1_nano", init="none", input_size="128", batch_size=32)


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_changes_something_and_can_be_trained(name):
    one = ARMS[name]
    config, parts = configured(BASE, [one], "teacher.safetensors")
    net = net_settings(config)
    assert config.size[0] % net.multiple == 0
    assert sum([config != BASE, parts != comparing.OWN, bool(one.reading)]) == 1
    assert one.costs == (
        config.size != BASE.size or bool(one.net) or config.teacher is not None or config.batch_size != 32
    )


def test_unlabelled_and_outside_keypoints_by_either_rule(discs):
    keypoints = discs.keypoints.copy()
    keypoints[0, 0] = 0
    keypoints[0, 1, :2] = 1  # in the corner of the picture, outside the crop
    labels = replace(discs, keypoints=keypoints)
    rule = CropRule((64, 64))
    states = [
        cls(labels, rule)[0]["state"].tolist() for cls in (ablation_arms.UnlabelledEmpty, ablation_arms.OutsideIgnored)
    ]
    assert states == [[EMPTY, EMPTY, DRAWN], [IGNORED, IGNORED, DRAWN]]


def rows(**differences):
    return {
        name.replace("_", " "): {
            "trains": not ARMS[name.replace("_", " ")].reading,
            "group": ARMS[name.replace("_", " ")].group,
            "against the baseline": {"PCK@0.1": {"difference": d}},
        }
        for name, d in differences.items()
    }


def test_the_best_are_of_different_groups_trained_and_above_the_baseline():
    found = rows(mse=0.03, mae=0.04, flip_test=0.1, preact=0.01, sigma_2=-0.01, distilled=0.02)
    assert ablation.best_arms(found, 3) == ["mae", "distilled", "preact"]
    assert ablation.best_arms(found, 5) == ["mae", "distilled", "preact"]
    with pytest.raises(PosewrightError, match="nothing to confirm"):
        ablation.best_arms(rows(mse=-0.01), 3)


def test_what_is_confirmed_stands_alone_and_together(tmp_path):
    file = tmp_path / "results.json"
    with pytest.raises(PosewrightError, match="no results"):
        ablation.to_confirm(["best3"], file)
    file.write_text(json.dumps(rows(mse=0.03, preact=0.01)))
    trials = ablation.to_confirm(["best3"], file)
    assert list(trials) == ["mse", "preact", ablation.TOGETHER]
    config, _ = configured(BASE, trials[ablation.TOGETHER], "")
    assert (config.loss, config.net) == ("mse", ("order=preact",))
    assert list(ablation.to_confirm(["mse"], file)) == ["mse"]
    with pytest.raises(PosewrightError, match="unknown arm 'msee'"):
        ablation.to_confirm(["msee"], file)


def test_a_comparison_trains_measures_and_draws(discs, tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "baseline", lambda args, epochs=1, seed=0: small_run(epochs=epochs, seed=seed))
    args = ablation.Args(tmp_path, epochs=1, seeds=(3,))
    trials = {"mse": [ARMS["mse"]], "argmax": [ARMS["argmax"]], "flip test": [ARMS["flip test"]]}
    found = ablation.run_trials(args, trials, comparing.thinned(discs, 8), tmp_path / "out")
    assert list(found) == [BASELINE, "argmax", "flip test", "mse"]
    assert found["argmax"]["trains"] is False and list(found["mse"]["of each seed"]) == ["3"]
    assert set(found["mse"]["against the baseline"]) == {"PCK@0.1", "PCK@0.2"}
    there = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"results.json", "table.md", "ablation.png", "baseline_1_3", "mse_1_3"} <= there
    assert json.loads((tmp_path / "out" / "results.json").read_text()).keys() == found.keys()
    # Arms that another call adds stand beside those that are there.
    more = ablation.run_trials(args, {"mae": [ARMS["mae"]]}, comparing.thinned(discs, 8), tmp_path / "out")
    assert list(more) == [BASELINE, "argmax", "flip test", "mse", "mae"]
