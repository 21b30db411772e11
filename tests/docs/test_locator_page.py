"""The presets of docs/locator.md are those there are."""

from __future__ import annotations

import re
from pathlib import Path

from posewright.models.locator_presets import PRESETS

PAGE = (Path(__file__).resolve().parents[2] / "docs/locator.md").read_text(encoding="utf-8")


def test_its_presets():
    assert re.findall(r"^\| `(locator\w*)` \|", PAGE, re.M) == list(PRESETS)
