"""Nets as they are written, and which of them stand on the front."""

from __future__ import annotations

import pytest

import pareto
from posewright.errors import PosewrightError
from posewright.training.config import TrainConfig
from posewright.training.nets import net_settings


@pytest.mark.parametrize(
    "text", [*pareto.CANDIDATES, *pareto.SOURCES, *(n for of in pareto.FAMILY.values() for n in of)]
)
def test_every_net_of_the_tables_takes_its_crops(text):
    net = pareto.Net.parse(text)
    assert str(net) == text
    config = net.onto(TrainConfig())
    assert config.size[0] % net_settings(config).multiple == 0


def test_the_size_of_a_net_is_known_without_running_it():
    parameters, macs = pareto.size_of(pareto.Net.parse("hourglass_s1_nano@128"))
    assert (round(parameters, 2), round(macs)) == (0.22, 106)


@pytest.mark.parametrize("text", ["hourglass_s1_nano", "hourglass_s1_nano@128 width=3", "hourglas_s1@128", "@128"])
def test_what_is_no_net_is_refused(text):
    with pytest.raises(PosewrightError):
        pareto.Net.parse(text)


def test_the_front_holds_what_nothing_beats():
    def at(name, ms, value):
        return {"net": name, "ms": ms, "figures": {"PCK@0.1": value}}

    points = [at("slow", 9, 0.5), at("best", 4, 0.7), at("fast", 1, 0.4), at("beaten", 2, 0.3), at("as fast", 1, 0.35)]
    assert [p["net"] for p in pareto.front(points, "PCK@0.1")] == ["fast", "best"]


def test_the_nearest_are_within_a_factor_of_the_root_of_two():
    found = pareto.nearest({"a": (9.0, 1.1), "b": (9.0, 0.8), "c": (9.0, 3.0), "d": (9.0, 40.0)})
    assert found[1.0] == ["a", "b"] and found[2.0] == [] and found[4.0] == ["c"] and found[16.0] == []
