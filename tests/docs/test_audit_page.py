"""The commands of docs/audit.md are ones that the command takes, and the kinds it tells of are those there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from posewright.audit import KINDS
from posewright.cli import main
from posewright.cli.audit import Command

PAGE = (Path(__file__).resolve().parents[2] / "docs/audit.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^posewright (audit .*)$", PAGE, re.M)


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_are_taken(line, monkeypatch):
    taken = []
    monkeypatch.setattr(Command, "run", lambda self: taken.append(self) or 0)
    assert main(shlex.split(line)) == 0
    assert taken[0].data == Path("labels.json")
    taken[0]._check()


def test_it_shows_every_copy_that_can_be_written():
    assert len(COMMANDS) >= 4
    assert {"--fix", "--weigh", "--folds", "--model"} <= set(shlex.split(" ".join(COMMANDS)))


def test_its_kinds():
    assert re.findall(r"^\| `([a-z]+)` \|", PAGE, re.M) == list(KINDS)
