"""docs/serving.md: its commands are taken, its limits are the defaults, and its counters and statuses those there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the service is tested with pip install 'posewright[serve]'")

from posewright.cli import main, serve
from posewright.web.service.limits import BODIES, Limits
from posewright.web.service.metrics import Metrics
from posewright.web.service.schemas import Query

PAGE = (Path(__file__).resolve().parents[2] / "docs/serving.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(?:POSEWRIGHT_TOKEN=\S+ \S+ \S+ \S+ )?posewright (serve .*?)(?:\s+#.*)?$", PAGE, re.M)


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_are_taken(line, monkeypatch):
    taken = []
    monkeypatch.setattr(serve.Command, "run", lambda self: taken.append(self) or 0)
    assert main(shlex.split(line)) == 0
    assert taken


def test_its_limits_and_options():
    assert len(COMMANDS) == 4
    command, limits = serve.Command(("hand",)), Limits()
    told = dict(re.findall(r"`--([a-z-]+) ([0-9]+)`", PAGE.partition("## Together")[0]))
    assert told == {
        name.replace("_", "-"): f"{getattr(command, name):g}" if name != "max_pixels" else str(command.max_pixels)
        for name in ("body_seconds", "max_megabytes", "max_pixels", "max_boxes", "max_pictures", "queue")
    }
    assert (limits.megabytes, limits.pixels, limits.boxes) == (
        command.max_megabytes,
        command.max_pixels,
        command.max_boxes,
    )
    assert (limits.queue, limits.batch, limits.delay) == (command.queue, command.max_batch, command.max_delay_ms / 1000)
    assert (limits.pictures, limits.body_seconds) == (command.max_pictures, command.body_seconds)
    assert f"{BODIES} times `--max-megabytes`" in PAGE
    for name in Query.model_fields:
        assert f"| `{name}`" in PAGE


def test_its_counters():
    text = Metrics().page().decode()
    for name in re.findall(r"`(posewright_\w+)`", PAGE):
        assert f"# TYPE {name} " in text, name
