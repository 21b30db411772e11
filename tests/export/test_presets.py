"""Every preset, and every order of layers, through every format whose writer and engine are installed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from helpers.nets import presets, smallest
from helpers.untrained import fresh
from posewright.export.job import Job, make_job
from posewright.export.parity import BOUNDS, compare, patterns
from posewright.export.targets import TARGETS
from posewright.runtime.engines import ENGINES, open_engine

COLOURS = {"cpm_body": "bgr", "cpm_hand": "grey"}
"""Of the nets that get another than RGB."""


def each_once() -> list[tuple[str, dict[str, Any]]]:
    """Every preset once, the hourglasses in turn in all orders of layers: torch's export takes seconds each."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, settings in presets(1):
        found.setdefault(name, []).append(settings)
    return [(name, choice[i % len(choice)]) for i, (name, choice) in enumerate(found.items())]


@pytest.fixture(scope="module", params=each_once(), ids=lambda p: "-".join([p[0], *map(str, p[1].values())]))
def job(request) -> Job:
    """One job a preset, so that its ONNX graph is made once for all formats that start from it."""
    name, settings = request.param
    activation = None if name.endswith("slim") else "sigmoid"
    settings = settings | {"activation": activation, "colour": COLOURS.get(name)}
    return make_job(fresh(name, smallest(name, settings), **settings))


@pytest.mark.parametrize("to", ["onnx", "openvino", "mnn", "litert", "executorch", "savedmodel", "frozen"])
def test_the_file_returns_what_the_net_does(job, to, tmp_path):
    target = TARGETS[to]
    engines = [name for name in target.format.engines if ENGINES[name].installed]
    if not target.installed or not engines:
        pytest.skip(f"{to} needs {' and '.join(target.packages)} and {' or '.join(target.format.engines)}")
    path = tmp_path / f"m{target.format.ending}"
    if target.format.folder:
        path.mkdir()
    target.writer()(replace(job, batch=1) if target.fixed_batch else job, path)
    for name in engines:
        report = compare(job.net, open_engine(path, "cpu", engine=name, exact=True, trust=True).run, patterns(job.size))
        assert report.crops == 4
        report.require(BOUNDS["fp32"], job.info.stride)
        assert report.worst_px < 0.05, name
        assert report.worst_map < 1e-3, name
