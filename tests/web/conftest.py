"""A headless Chromium for the tests of this folder, and the label page open in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import chromium
from helpers.discs import draw_discs
from helpers.label_page import WINDOW, Tab, serving


@pytest.fixture(scope="package")
def driver() -> Iterator[Any]:
    chromium.find_chromium()
    with chromium.driver() as kind:
        yield kind


@pytest.fixture(scope="package")
def browser(driver) -> Iterator[Any]:
    with chromium.browser(driver) as opened:
        yield opened


@pytest.fixture
def context(browser) -> Iterator[Any]:
    made = browser.new_context(viewport=WINDOW)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "photos").mkdir()
    draw_discs(tmp_path / "photos", 5)
    return tmp_path / "photos"


@pytest.fixture
def tab(context, folder) -> Iterator[Tab]:
    with serving(folder) as labeller:
        opened = Tab(context, labeller)
        yield opened
        context.close()
    assert opened.complaints == []
    assert all(url.startswith((labeller.address, "data:,")) for url in opened.asked)
