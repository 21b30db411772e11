"""Charts that stand in a report's page itself and take its colours, light or dark. Drawn by matplotlib as SVG."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from posewright.metrics.reliability import BINS, Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, LINE, MARK, SECOND = "#010101", "#020202", "#030303", "#040404", "#050505"
"""Stand for the page's own colours until the chart is written."""
RARELY = 0.01
"""A place of a reliability diagram that stands for a smaller share of the predictions is not joined to the others."""
VARIABLES = {INK: "--ink", FAINT: "--faint", LINE: "--line", MARK: "--mark", SECOND: "--second"}


def bars(
    values: Mapping[str, float],
    title: str,
    *,
    intervals: Sequence[tuple[float, float]] = (),
    counts: Sequence[int] = (),
) -> str:
    """One bar from 0 to 1 for each name, top down.

    Args:
        values: by name; NaN for what was not measured.
        title: stands above.
        intervals: (low, high) of each, drawn as a thin line; none where empty.
        counts: how many each is of, written behind the name.
    """
    names = list(values)
    shown = np.array([values[name] for name in names], float)
    figure = _figure(6.6, 0.75 + 0.26 * len(names))
    axes = figure.add_subplot()
    axes.barh(range(len(names)), np.nan_to_num(shown), color=MARK, height=0.66)
    for row, value in enumerate(shown):
        reach = float(np.nan_to_num(value))
        if intervals and math.isfinite(value):
            low, high = intervals[row]
            axes.plot([low, high], [row, row], color=INK, lw=1.1, alpha=0.75)
            reach = max(reach, high)
        text = f"{value:.2f}" if math.isfinite(value) else "not measured"
        axes.text(min(reach, 1.0) + 0.015, row, text, va="center", fontsize=8, color=INK)
    labels = [f"{name} ({n})" for name, n in zip(names, counts)] if counts else names
    axes.set_yticks(range(len(names)), labels, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.09)
    _dress(axes, title, "")
    axes.grid(axis="y", visible=False)
    return _inline(figure, title)


def curves(
    lines: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str, below: str, marks: Sequence[float] = ()
) -> str:
    """Shares from 0 to 1 by threshold, the first line the heaviest.

    Args:
        lines: by name, thresholds and shares of equal length.
        title: stands above.
        below: names the axis.
        marks: thresholds at which the first line's value is written.
    """
    figure = _figure(6.6, 4.2)
    axes = figure.add_subplot()
    for i, (name, (x, y)) in enumerate(lines.items()):
        x, y = np.asarray(x, float), np.asarray(y, float)
        colour, style = (MARK, "-") if i == 0 else (SECOND, "--" if i == 1 else ":")
        axes.plot(x, y, style, color=colour, label=name, lw=2.2 if i == 0 else 1.5)
        for mark in marks if i == 0 else ():
            if x[0] <= mark <= x[-1] and np.isfinite(y).all():
                at = float(np.interp(mark, x, y))
                axes.plot(mark, at, "o", color=MARK, ms=5)
                text = f"{at:.3f} at {mark:g}"
                axes.annotate(text, (mark, at), (7, -13), textcoords="offset points", fontsize=9, color=INK)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, max(float(np.max(np.asarray(x))) for x, _ in lines.values()))
    _dress(axes, title, below)
    if len(lines) > 1:
        axes.legend(frameon=False, loc="lower right", fontsize=9, labelcolor=INK)
    return _inline(figure, title)


def reliability_diagram(found: Reliability, title: str) -> str:
    """What came true by what was said: on the dashed line, claims hold; below it, they are too sure of themselves.

    The bars underneath, and the size of the dots, say how many predictions each place stands for.
    """
    figure = _figure(3.2, 3.95)
    top, under = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    held = np.flatnonzero(found.count)
    top.plot([0, 1], [0, 1], "--", color=FAINT, lw=1)
    low, high = np.array([_interval(found.true[b], int(found.count[b])) for b in held]).reshape(-1, 2).T
    top.vlines(found.said[held], low, high, color=MARK, lw=1, alpha=0.6)
    often = held[found.share[held] >= RARELY]
    top.plot(found.said[often], found.true[often], "-", color=MARK, lw=1.4)
    top.scatter(found.said[held], found.true[held], s=6 + 200 * found.share[held], color=MARK)
    top.text(0.03, 0.97, f"ECE {found.ece:.3f}\nBrier {found.brier:.3f}", va="top", fontsize=9, color=INK)
    top.set_xlim(0, 1)
    top.set_ylim(0, 1)
    top.set_ylabel("share that came true", fontsize=9, color=FAINT)
    _dress(top, title, "")
    under.bar((np.arange(BINS) + 0.5) / BINS, found.share, width=0.9 / BINS, color=SECOND)
    under.set_yticks([])
    _dress(under, "", f"{found.what} said")
    under.spines["left"].set_visible(False)
    return _inline(figure, title)


def _interval(share: float, count: int) -> tuple[float, float]:
    from posewright.metrics.interval import wilson

    return wilson(float(share), count)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _dress(axes: Axes, title: str, below: str) -> None:
    if title:
        axes.set_title(title, fontsize=10.5, loc="left", color=INK)
    axes.set_xlabel(below, fontsize=9, color=FAINT)
    axes.tick_params(colors=FAINT, labelcolor=INK, labelsize=8.5, length=0)
    axes.grid(color=LINE, lw=0.8)
    axes.set_axisbelow(True)
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LINE)


def _inline(figure: Figure, title: str) -> str:
    """The chart as an ``<svg>`` element in the page's colours and letters."""
    import matplotlib

    written = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "posewright"}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", text)
    text = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 system-ui, sans-serif", text)  # older matplotlib's way
    words = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)
