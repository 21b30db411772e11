"""docs/model-files.md tells of the precisions, endings and extras that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from posewright.export.targets import TARGETS
from posewright.runtime.engines import ENGINES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/model-files.md").read_text(encoding="utf-8")
ROWS = {
    row[0]: row for row in (re.split(r" *\| *", line)[1:-1] for line in PAGE.splitlines() if line.startswith("| `"))
}


@pytest.mark.parametrize("name", ["openvino", "litert", "mnn"])
def test_its_row(name):
    _, makes, _, precisions, batch, _, to_run = ROWS[f"`{name}`"]
    target = TARGETS[name]
    assert precisions.split(", ") == list(target.precisions)
    assert f"`{target.format.ending}`" in makes
    assert batch.startswith("one size" if target.fixed_batch else "any")
    assert ENGINES[name].install in to_run


def test_the_extras_are_there():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extras in set(re.findall(r"posewright\[([\w,-]+)\]", PAGE)):
        for extra in extras.split(","):
            assert f"\n{extra} = [" in project, extra
