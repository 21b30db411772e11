"""Fixtures of the tests of exports."""

from __future__ import annotations

import pytest

from helpers.graphs import made_once
from posewright.export import onnx


@pytest.fixture(scope="session", autouse=True)
def graphs_made_once():
    """No net is traced twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx, "graph_of", made_once(onnx.graph_of))
        yield
