"""A headless Chromium for the tests of this folder, the label page open in it, and small nets to serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import posewright
from helpers import chromium
from helpers.discs import draw_discs
from helpers.label_page import WINDOW, Tab, serving
from helpers.spots import spot_model


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


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Model files of three spots, by what they return."""
    folder = tmp_path_factory.mktemp("nets")
    everything = ("keypoints", "presence", "heatmaps", "covariance", "visibility")
    return {
        "spots": spot_model(folder / "spots.onnx"),
        "all": spot_model(folder / "all.onnx", outputs=everything, size=(64, 64)),
        "bare": spot_model(folder / "bare.onnx", outputs=("keypoints", "presence")),
    }


@pytest.fixture
def models(files):
    return {name: posewright.load(path, threads=1) for name, path in files.items()}
