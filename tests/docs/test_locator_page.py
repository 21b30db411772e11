"""The commands of docs/locator.md are ones that are taken, and its presets and families those there are."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from posewright.cli import main
from posewright.models.locator_presets import PRESETS

PAGE = (Path(__file__).resolve().parents[2] / "docs/locator.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^posewright ([a-z-]+ .*?)(?:\s+#.*)?$", PAGE, re.M)


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_are_taken(line, monkeypatch):
    taken = []
    command = importlib.import_module(f"posewright.cli.{line.split()[0].replace('-', '_')}").Command
    monkeypatch.setattr(command, "run", lambda self: taken.append(self) or 0)
    assert main(shlex.split(line)) == 0
    assert taken


def test_its_presets():
    assert len(COMMANDS) >= 5
    assert re.findall(r"^\| `(locator\w*)` \|", PAGE, re.M) == list(PRESETS)
