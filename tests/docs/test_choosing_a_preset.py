"""The table of docs/choosing-a-preset.md is what its command prints, and names presets that there are."""

from __future__ import annotations

import importlib.util
import re
import sys

import pytest

from helpers.pages import REPOSITORY
from posewright.models.presets import family_of, preset_table

PAGE = (REPOSITORY / "docs/choosing-a-preset.md").read_text(encoding="utf-8")
ROWS = {m[1]: m[0] for m in re.finditer(r"^\| `(\w+)` \|(?: [\d.]+ \|)+$", PAGE, re.M)}


@pytest.fixture(scope="module")
def bench():
    pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location("presets_benchmark", REPOSITORY / "benchmarks/presets.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


def test_its_rows_are_those_of_the_command(bench):
    assert list(ROWS) == list(bench.PRESETS)


@pytest.mark.parametrize("name", ["hourglass_s1_mobile_nano", "cpm_light", "cpm_hand_v2"])
def test_a_row_is_what_the_command_prints(bench, name):
    assert "| " + " | ".join(bench.row(name, bench.cost(name, 256, 17))) + " |" == ROWS[name]


def test_it_leaves_no_family_out():
    shown = {family_of(row["name"].replace("{N}", "2"))[0].config.family for row in preset_table()}
    assert shown == {family_of(name)[0].config.family for name in ROWS}
