"""A headless Chromium for the tests of pages, where the machine has one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
FLAGS = ["--headless=new", "--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"]


def find_chromium() -> str:
    """The program, or a skip that says what is missing."""
    named = os.environ.get("POSEWRIGHT_CHROMIUM")
    found = named or next((path for path in map(shutil.which, NAMES) if path), None)
    if not found or not shutil.which(found):
        pytest.skip("no Chromium found: install it (apt-get install chromium) or set POSEWRIGHT_CHROMIUM")
    return found


def playwright() -> Any:
    """What drives it, or a skip."""
    return pytest.importorskip("playwright.sync_api", reason="pages are tested with pip install playwright")


@contextmanager
def driver() -> Iterator[Any]:
    """Playwright's Chromium type; only one of them may be open at a time."""
    with playwright().sync_playwright() as session:
        yield session.chromium


@contextmanager
def browser(kind: Any, *more: str, without: tuple[str, ...] = ()) -> Iterator[Any]:
    """A Chromium driven by Playwright, with more flags, or without some of the usual ones."""
    flags = [flag for flag in FLAGS[1:] if flag not in without]
    opened = kind.launch(executable_path=find_chromium(), args=[*flags, *more])
    yield opened
    opened.close()


@contextmanager
def own_process(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A Chromium in a process group of its own, to be killed, and the address to drive it at."""
    command = [find_chromium(), *FLAGS, f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process, f"http://127.0.0.1:{_port(folder / 'DevToolsActivePort')}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.wait(10)


def _port(note: Path) -> str:
    """Chromium notes the port it chose in its profile."""
    for _ in range(200):
        found = re.match(r"(\d+)\n", note.read_text()) if note.exists() else None
        if found:
            return found[1]
        time.sleep(0.1)
    raise AssertionError("Chromium did not start")
