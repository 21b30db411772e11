"""Every preset in every order of layers, through every format whose writer and engine are installed."""

from __future__ import annotations

import pytest

from helpers.nets import presets, smallest
from helpers.untrained import fresh
from posewright.export.job import Job, make_job
from posewright.export.parity import BOUNDS, compare, patterns
from posewright.export.targets import TARGETS
from posewright.runtime.engines import ENGINES, open_engine

COLOURS = {"cpm_body": "bgr", "cpm_hand": "grey"}
"""Of the nets that get another than RGB."""


@pytest.fixture(scope="module", params=presets(1), ids=lambda p: "-".join([p[0], *map(str, p[1].values())]))
def job(request) -> Job:
    """One job a preset, so that its ONNX graph is made once for all formats that start from it."""
    name, settings = request.param
    activation = None if name.endswith("slim") else "sigmoid"
    settings = settings | {"activation": activation, "colour": COLOURS.get(name)}
    return make_job(fresh(name, smallest(name, settings), **settings))


@pytest.mark.parametrize("to", ["onnx", "openvino", "mnn", "litert"])
def test_the_file_returns_what_the_net_does(job, to, tmp_path):
    target = TARGETS[to]
    engines = [name for name in target.format.engines if ENGINES[name].installed]
    if not target.installed or not engines:
        pytest.skip(f"{to} needs {' and '.join(target.packages)} and {' or '.join(target.format.engines)}")
    path = tmp_path / f"m{target.format.ending}"
    if target.format.folder:
        path.mkdir()
    target.writer()(job, path)
    for name in engines:
        report = compare(job.net, open_engine(path, "cpu", 1, engine=name, exact=True).run, patterns(job.size))
        assert report.crops == 4
        report.require(BOUNDS["fp32"], job.info.stride)
        assert report.worst_px < 0.01, name
        assert report.worst_map < 1e-3, name
