"""Charts inside a page: whole SVG, in the page's own colours, and true to the figures."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from posewright.metrics.reliability import reliability
from posewright.reports.charts import VARIABLES, bars, curves, reliability_diagram
from posewright.reports.html import Report

SVG = "{http://www.w3.org/2000/svg}"


def whole(svg: str) -> ET.Element:
    """The chart parsed, after what every chart has to keep."""
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert not any(colour in svg for colour in VARIABLES)
    colours = set(re.findall(r"(?:fill|stroke): ?(#[0-9a-fA-F]{6})", svg))
    assert colours <= {"#ffffff", "#000000"} and "var(--mark)" in svg
    assert "<metadata" not in svg and "DejaVu" not in svg
    return root


def texts(root: ET.Element) -> list[str]:
    return ["".join(node.itertext()).strip() for node in root.iter(f"{SVG}text")]


def widths(svg: str) -> list[float]:
    """How wide the bars are: the paths filled with the page's mark."""
    found = []
    for path in ET.fromstring(svg).iter(f"{SVG}path"):
        if "fill: var(--mark)" in path.get("style", ""):
            x = [float(v) for v in re.findall(r"[ML] (-?[\d.]+)", path.get("d", ""))]
            found.append(max(x) - min(x))
    return found


def test_bars_are_as_long_as_their_figures():
    values = {"nose": 0.8, "left_eye": 0.4, "gone": float("nan")}
    svg = bars(values, "PCK@0.2 <b>", intervals=[(0.7, 0.9), (0.3, 0.5), (np.nan, np.nan)], counts=[10, 12, 0])
    said = texts(whole(svg))
    assert {"0.80", "0.40", "not measured", "nose (10)", "PCK@0.2 <b>"} <= set(said)
    long, short, none = widths(svg)
    assert long == pytest.approx(2 * short, rel=0.01) and none == 0
    assert 'aria-label="PCK@0.2 &lt;b>"' in svg


def test_curves():
    x = np.linspace(0, 0.5, 11)
    said = texts(whole(curves({"all": (x, 2 * x), "hidden": (x, x)}, "found", "distance / torso", (0.1, 0.3))))
    assert {"0.200 at 0.1", "0.600 at 0.3", "all", "hidden", "distance / torso"} <= set(said)
    whole(curves({"all": (x, x * np.nan)}, "found", "distance", (0.1,)))  # nothing to draw is an empty chart


def test_reliability_diagram():
    rng = np.random.default_rng(0)
    said = rng.random(500)
    found = reliability(said, rng.random(500) < said, "score", "being right")
    text = " ".join(texts(whole(reliability_diagram(found, "score"))))
    assert f"ECE {found.ece:.3f}" in text and f"Brier {found.brier:.3f}" in text and "score said" in text
    whole(reliability_diagram(reliability([1.0], [True], "presence", "x"), "one prediction"))


def test_they_stand_in_the_page_itself():
    page = str(
        Report("t").caution("Only <3>.").charts(bars({"a": 0.5}, "one"), bars({"b": 0.5}, "two"), caption="Both.")
    )
    assert page.count("<svg ") == 2 and '<p class="caution">Only &lt;3&gt;.</p>' in page and "Both." in page
    assert "http://" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", page)
