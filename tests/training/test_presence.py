"""Presence on nets of every kind of map: fitted, measured, and with figures that mean what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint
from posewright.models.presets import build_net, preset
from posewright.training.dataset import CropDataset
from posewright.training.heldout import calibrate, look
from posewright.training.presence import fit_presence, presence_figures


def test_false_alarms_are_counted_where_95_percent_are_kept():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0.6, 0.1, 4000), rng.normal(0.3, 0.1, 4000)])
    present = np.arange(8000) < 4000
    figures, line = presence_figures(scores, present)
    # Two normal distributions three standard deviations apart: AUC Phi(3 / sqrt 2), false alarms Phi(1.645 - 3).
    assert figures["presence_AUC"]["value"] == pytest.approx(0.983, abs=0.004)
    assert figures["presence_false_alarms@95"]["value"] == pytest.approx(0.0877, abs=0.015)
    assert "4000 validation crops with an object, 4000 without" in line


def test_a_kind_that_is_nearly_missing_is_not_fitted_to():
    scores, present = np.linspace(0, 1, 40), np.arange(40) >= 4
    assert fit_presence(scores, present) is None
    assert fit_presence(scores, np.arange(40) >= 5) is not None


@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid"])
def test_scores_are_the_keypoints_alone_whatever_the_maps(discs, activation):
    """A background map, which is high everywhere, takes no part; scores stay within 0..1."""
    torch.manual_seed(0)
    net = build_net(preset("hourglass_s1_nano", channels=16, background=True, activation=activation), 3)
    items = [0, 1, 2, 3]
    found = look(net, CropDataset(discs, CropRule((64, 64))), items, "cpu")
    score = found.points[..., 2]
    assert score.shape == (4, 3) and score.min() >= 0 and score.max() <= 1
    with torch.no_grad():
        for predict in net.predictors():
            predict.bias[3] = 1e3
    again = look(net, CropDataset(discs, CropRule((64, 64))), items, "cpu")
    np.testing.assert_allclose(again.points, found.points, atol=1e-4)
    assert found.seen is None and found.present.all() and np.isfinite(found.error).any()


def test_what_cannot_be_fitted_is_said_and_left_as_it_was(discs):
    few = discs.subset([0, 4, 8])
    net = build_net(preset("hourglass_s1_nano", channels=16), 3)
    checkpoint = Checkpoint(net, replace(few).skeleton, CropRule((64, 64)), "x")
    said = " ".join(calibrate(checkpoint, few))
    assert "Presence is not calibrated" in said and "No covariance" in said
    assert checkpoint.presence == (12.0, -4.0) and checkpoint.covariance is None and checkpoint.metrics == {}
