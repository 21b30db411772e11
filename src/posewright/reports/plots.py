"""Charts as files: training curves, PCK curves, figures by keypoint. Drawn by matplotlib's Agg, without any display."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from posewright.errors import PosewrightError
from posewright.files import whole_file
from posewright.reports.curves import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
"""Files that a chart can be written as."""
COLOURS = ("#0b6bcb", "#d9480f", "#2b8a3e", "#862e9c", "#b08900", "#0c8599", "#c2255c", "#5f6770")


def check_ending(path: str | Path) -> Path:
    """The path, where a chart can be written under that name.

    Raises:
        PosewrightError: where its ending is none of :data:`ENDINGS`.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise PosewrightError(f"'{path.suffix}' is no ending of a chart", file=path, fix="Use " + ", ".join(ENDINGS))
    return path


def training_curves(runs: Sequence[Run], path: str | Path) -> Path:
    """Draw losses and PCK of one or several runs by epoch, the best epoch marked; return the path.

    Raises:
        PosewrightError: where the runs hold nothing to draw, or the ending is no picture's.
    """
    from matplotlib.ticker import MaxNLocator

    panels = [
        (title, [(n, style) for n, style in names if any(np.isfinite(r.series.get(n, np.nan)).any() for r in runs)])
        for title, names in (
            ("PCK on the validation pictures", (("val_pck", "-"),)),
            ("AP of boxes on the validation pictures", (("val_ap50", "-"),)),
            ("loss (dashed: training)", (("train_loss", "--"), ("val_loss", "-"))),
            ("learning rate", (("lr", "-"),)),
        )
    ]
    panels = [(title, names) for title, names in panels if names]
    if not panels:
        raise PosewrightError("no loss and no PCK in what was read", file=runs[0].file if runs else None)
    figure = _figure(4.6 * len(panels), 3.9)
    for place, (title, names) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1)
        for i, run in enumerate(runs):
            colour = COLOURS[i % len(COLOURS)]
            for name, style in names:
                values = run.series.get(name)
                if values is None:
                    continue
                seen = np.isfinite(values)
                dot = "o" if seen.sum() == 1 else ""
                label = run.name if name == names[-1][0] else None
                axes.plot(run.epoch[seen], values[seen], style, color=colour, label=label, lw=1.6, marker=dot, ms=4)
            best = run.best()
            figure_of = names[0][0]
            if best is not None and figure_of == run.figure and math.isfinite(run.at(figure_of, best)):
                value = run.at(figure_of, best)
                axes.plot(run.epoch[best], value, "o", color=colour, ms=6, mfc="white", mew=1.8)
                axes.annotate(
                    f"{value:.3f}", (run.epoch[best], value), (0, -14), textcoords="offset points", ha="center"
                )
        _dress(axes, title, "epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if title.startswith("loss"):
            _log_where_wide(axes, [run.series[n] for run in runs for n, _ in names if n in run.series])
        elif title.startswith(("PCK", "AP")):
            axes.set_ylim(bottom=0)
    if len(runs) > 1:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(runs)), frameon=False)
    return _save(figure, path)


def pck_curve(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], path: str | Path, *, normaliser: str, marks: Sequence[float] = ()
) -> Path:
    """Draw PCK by threshold; return the path.

    Args:
        curves: by name, thresholds and PCK of equal length, as :meth:`posewright.metrics.Evaluation.curve` gives them.
        normaliser: names the axis.
        marks: thresholds at which the first curve's value is written.
    """
    figure = _figure(6.4, 4.4)
    axes = figure.add_subplot()
    for i, (name, (x, y)) in enumerate(curves.items()):
        x, y = np.asarray(x, float), np.asarray(y, float)
        axes.plot(x, y, color=COLOURS[i % len(COLOURS)], label=name, lw=2)
        for mark in marks if i == 0 else ():
            if x[0] <= mark <= x[-1] and np.isfinite(y).all():
                at = float(np.interp(mark, x, y))
                axes.plot(mark, at, "o", color=COLOURS[0], ms=5)
                # A PCK curve bends downwards: below and right of it there is room.
                axes.annotate(f"{at:.3f} at {mark:g}", (mark, at), (6, -14), textcoords="offset points", fontsize=9)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, max(float(np.max(x)) for x, _ in curves.values()))
    _dress(axes, "share of labelled keypoints found", f"distance / {normaliser}")
    if len(curves) > 1:
        axes.legend(frameon=False, loc="lower right")
    return _save(figure, path)


def keypoint_bars(values: Mapping[str, float], path: str | Path, *, title: str) -> Path:
    """Draw one bar from 0 to 1 for each keypoint; return the path.

    Args:
        values: by keypoint name; NaN for one that is never labelled.
    """
    names = list(values)
    shown = np.array([values[n] for n in names], float)
    figure = _figure(6.4, 1.1 + 0.27 * len(names))
    axes = figure.add_subplot()
    axes.barh(range(len(names)), np.nan_to_num(shown), color=COLOURS[0], height=0.68)
    for row, value in enumerate(shown):
        axes.text(
            np.nan_to_num(value) + 0.01,
            row,
            f"{value:.2f}" if math.isfinite(value) else "not labelled",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.08)
    _dress(axes, title, "")
    axes.grid(axis="y", visible=False)
    return _save(figure, path)


def likeness_over_time(times: ArrayLike, oks: ArrayLike, told: ArrayLike, path: str | Path) -> Path:
    """Draw OKS over time, and when there was something to change; return the path.

    Args:
        times: ``[F]`` in seconds.
        oks: ``[F]`` in 0..1; NaN where there is no pose.
        told: ``[F]``, whether something was to be changed.
    """
    figure = _figure(7.2, 3.2)
    axes = figure.add_subplot()
    axes.plot(times, oks, color=COLOURS[0], lw=1.6)
    axes.fill_between(times, 0, 1, where=told, color=COLOURS[1], alpha=0.15, lw=0, label="something to change")
    axes.set_ylim(0, 1.02)
    if np.any(told):
        axes.legend(frameon=False, loc="lower right")
    _dress(axes, "likeness of the poses (OKS after alignment)", "seconds")
    return _save(figure, path)


def accuracy_by_latency(
    points: Sequence[tuple[str, float, float]], path: str | Path, *, figure: str, lower: bool = False
) -> Path:
    """Draw models by how long they take and how good they are; return the path.

    Args:
        points: name, milliseconds a picture, and figure of each; NaN where none was measured.
        figure: names the axis.
        lower: the figure is better where it is lower; it is drawn with the better at the top all the same.
    """
    drawn = [point for point in points if math.isfinite(point[2])]
    if not drawn:
        raise PosewrightError("no model has a figure to draw")
    figure_ = _figure(6.8, 4.6)
    axes = figure_.add_subplot()
    for i, (name, milliseconds, value) in enumerate(drawn):
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(milliseconds, value, "o", color=colour, ms=8, label=f"{name}  ({milliseconds:.1f} ms, {value:.4g})")
    values = [value for *_, value in drawn]
    room = max(0.25 * (max(values) - min(values)), 0.005 * max(map(abs, values)), 1e-6)
    axes.set_ylim(min(values) - room, max(values) + room)
    slowest, fastest = max(point[1] for point in drawn), min(point[1] for point in drawn)
    if fastest > 0 and slowest > 8 * fastest:
        axes.set_xscale("log")
        axes.set_xlim(fastest / 1.5, slowest * 1.5)
    else:
        axes.set_xlim(0, 1.15 * slowest)
    if lower:
        axes.invert_yaxis()
    _dress(
        axes,
        f"{figure} by time: the better, the higher; the faster, the further left",
        "ms a picture (net, batch of 1)",
    )
    axes.set_ylabel(figure)
    figure_.legend(loc="outside lower center", ncols=1 if len(drawn) < 4 else 2, frameon=False, fontsize=9)
    return _save(figure_, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def _dress(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(below)
    axes.grid(color="#e3e5e8", lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _log_where_wide(axes: Axes, series: Sequence[Any]) -> None:
    """A logarithmic scale where losses span more than a factor of ten and all are above zero."""
    values = np.concatenate(series)
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")


def _save(figure: Figure, path: str | Path) -> Path:
    path = check_ending(path)
    with whole_file(path) as temporary:
        figure.savefig(temporary)
    return path
