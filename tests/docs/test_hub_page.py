"""The commands of docs/hub.md are ones that are taken, and what it says is pushed is what is pushed."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from posewright.cli import main
from posewright.hub.address import is_address, parse_address
from posewright.hub.fetch import FETCHED
from posewright.hub.push import PUSHED

PAGE = (Path(__file__).resolve().parents[2] / "docs/hub.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^posewright ([a-z-]+ .*?)(?:\s+#.*)?$", PAGE, re.M)


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_are_taken(line, monkeypatch):
    taken = []
    command = importlib.import_module(f"posewright.cli.{line.split()[0]}").Command
    monkeypatch.setattr(command, "run", lambda self: taken.append(self) or 0)
    assert main(shlex.split(line)) == 0
    assert taken


def test_its_addresses():
    found = [word for line in COMMANDS for word in line.split() if word.startswith("hf:")]
    assert found and all(is_address(word) and parse_address(word) for word in found)


def test_its_files():
    assert set(re.findall(r"^\| `([\w.]+)` \|", PAGE, re.M)) == set(PUSHED)
    assert all(f"`{ending}`" in PAGE for ending in FETCHED)
