"""Layers left in float32 for what they cost: the search itself, and that each format puts back the layers it is asked to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.untrained import fresh
from posewright.export import onnx, quantize, sensitive
from posewright.export.job import make_job
from posewright.export.parity import CheckSet, smooth_crops
from posewright.export.sensitive import search
from posewright.export.targets import TARGETS
from posewright.runtime.engines import open_engine

LAYERS = tuple("abcdefgh")
WORST_FIRST = [(layer,) for layer in "gcbahdef"]


def searched(costs: dict[str, float], aim: float, made: list[tuple[str, ...]] | None = None):
    """A search over layers that each cost something unless they are kept."""

    def make(kept):
        if made is not None:
            made.append(tuple(kept))
        return frozenset(LAYERS) - set(kept)

    return search(make, lambda file: sum(costs.get(x, 0.0) for x in file), aim, len(LAYERS), lambda: WORST_FIRST)


def test_nothing_is_looked_for_where_all_is_well():
    made: list[tuple[str, ...]] = []
    found = searched({"g": 0.01}, 0.01, made)
    assert (found.kept, found.loss, made) == ((), 0.01, [()])
    assert found.sentence() == "int8: all 8 layers but those that draw the maps."


def test_the_worst_are_put_back_until_it_is_well():
    made: list[tuple[str, ...]] = []
    found = searched({"g": 0.2, "c": 0.1, "h": 0.01}, 0.01, made)
    assert made == [(), ("g",), ("g", "c")]
    assert found.kept == ("g", "c") and found.loss == pytest.approx(0.01)
    assert found.sentence() == "int8: 6 of 8 layers; left in float32 for what they cost: g, c."


def test_at_most_half_and_only_what_helps():
    made: list[tuple[str, ...]] = []
    found = searched({"d": 0.2, "c": 0.1}, 0.01, made)
    assert [len(kept) for kept in made] == [0, 1, 2, 4]
    assert found.kept == ("g", "c")  # four were no better than two


@pytest.mark.parametrize("to", ["onnx", "openvino", "litert"])
def test_a_layer_that_spoils_all_is_left_in_float(to, tmp_path, monkeypatch):
    """One channel between layers is scaled up and down again, so that one scale a tensor leaves the others nothing."""
    target = TARGETS[to]
    if not target.installed:
        pytest.skip(f"{target.packages[0]} is not installed ({target.install})")
    if to == "openvino":
        pytest.importorskip("nncf", reason="OpenVINO's int8 needs nncf")
    monkeypatch.setattr(quantize, "GROUPS", 14)
    job = make_job(fresh(name="hourglass_s1_nano", channels=16), "int8")
    stem = job.net.net.stem
    crops = smooth_crops(job.size[1], job.size[0], 8)
    with torch.no_grad():
        stem.conv.weight[0] *= 3000
        stem.conv.bias[0] *= 3000
        for reads in (stem.residual1.unit1, stem.residual1.skip):
            reads.conv.weight[:, 0] /= 3000
        true = job.net.found(torch.from_numpy(crops))["heatmaps"].numpy()

    def off(run):
        """The maps' mean error as a share of what differs between their cells: finer than keypoints of random maps."""
        found = np.concatenate([run(crop[None], ["heatmaps"])[0] for crop in crops])
        return float(np.abs(found - true).mean() / true.std())

    for module in (sensitive, onnx):
        monkeypatch.setattr(module, "loss_on", lambda *_: off)

    def written(aim):
        one = replace(job, seen=CheckSet(crops, "crops"), aim=aim, notes=[])
        one.__dict__["graph"] = job.graph
        path = tmp_path / f"{aim}{target.format.ending}"
        if target.format.folder:
            path.mkdir()
        target.writer()(one, path)
        return off(open_engine(path, "cpu", exact=True).run), one.notes

    whole, notes = written(float("inf"))
    assert notes == ["int8: all 55 layers but those that draw the maps."]
    found, notes = written(0.5 * whole)
    assert "stem.residual1.skip" in notes[0], notes
    assert found < 0.5 * whole
