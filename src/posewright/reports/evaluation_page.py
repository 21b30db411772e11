"""The one page of `posewright evaluate`: everything that was measured, with its conventions, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posewright.metrics.breakdown import by_size, by_visibility
from posewright.metrics.evaluation import CURVE_END, Evaluation, describe
from posewright.metrics.interval import wilson
from posewright.reports.charts import bars, curves, reliability_diagram
from posewright.reports.html import Report
from posewright.score import HEIGHT

if TYPE_CHECKING:
    from posewright.reports.evaluation import Evaluated

Interval = tuple[float, float]


def evaluation_page(done: Evaluated, sheet: Path | None, missing: list[str]) -> Report:
    """Build the page.

    Args:
        done: what was measured.
        sheet: the picture of the worst cases, where there is one.
        missing: why some of them are not on it.
    """
    e = done.evaluation
    report = Report(f"Evaluation of {done.model}").lead(f"Measured on {done.data}: {done.counts()}.")
    report.tiles(_tiles(done))
    for line in e.cautions():
        report.caution(line)
    report.heading("By keypoint").table(done.rows(), _caption(e), strong=[-2, -1])
    report.charts(
        _keypoint_bars(done), caption=f"PCK@{done.right_at:g} with 95 % intervals; behind each name, how often."
    )
    if done.protocol:
        words = " ".join(done.protocol.conventions())
        report.heading(done.protocol.to_json()["name"]).table(done.protocol.rows(), words)
    report.heading("PCK curve").charts(
        curves(_curves(e), "share of labelled keypoints found", f"distance / {e.normaliser.kind}", e.thresholds),
        caption=f"Distance over {describe(e.normaliser)}. The area under it, over {CURVE_END:g}, is the AUC.",
    )
    _parts(report, done)
    _reliability(report, done)
    if sheet is not None:
        words = "Largest mean errors, over the normaliser's length (in px where that is not known). "
        words += "Filled, with links: prediction. Rings: truth. White lines: errors."
        report.heading("Worst cases").figure(sheet, words)
    report.heading("How it was measured").text("\n\n".join(done.statements()))
    left_out = [*done.predicted.skipped, *missing]
    if left_out:
        report.heading("Left out").code("\n".join(left_out))
    return report


def _tiles(done: Evaluated) -> dict[str, Any]:
    """The figures that matter most, with the interval of the one that is quoted."""
    e, metrics = done.evaluation, done.evaluation.metrics
    tiles: dict[str, Any] = {}
    for t, (low, high) in zip(e.thresholds, e.intervals, strict=True):
        tiles[f"PCK@{t:g} ({low:.2f} to {high:.2f})"] = metrics[f"PCK@{t:g}"]
    tiles |= {"NME": metrics["NME"], "median error, px": f"{metrics['median_error_px']:.2f}"}
    if "AP" in metrics:
        tiles["AP"] = metrics["AP"]
    if e.score is not None:
        tiles["ECE of the score"] = e.score.ece
    return tiles


def _caption(e: Evaluation) -> str:
    which = "visible keypoints" if e.visible_only else "labelled keypoints (hidden ones too)"
    return f"PCK: share of {which} within the threshold x {e.normaliser}. Errors in px of the picture."


def _keypoint_bars(done: Evaluated) -> str:
    e, at = done.evaluation, done.right_at
    values = {name: row[f"PCK@{at:g}"] for name, row in e.by_keypoint.items()}
    counts = [int(row["n_PCK"]) for row in e.by_keypoint.values()]
    return bars(values, f"PCK@{at:g}", intervals=_intervals(list(values.values()), counts), counts=counts)


def _intervals(values: list[float], counts: list[int]) -> list[Interval]:
    return [wilson(v, n) if n and np.isfinite(v) else (np.nan, np.nan) for v, n in zip(values, counts, strict=True)]


def _curves(e: Evaluation) -> dict[str, tuple[Any, Any]]:
    """The PCK curve of all keypoints, and where both kinds are labelled those of visible and of hidden ones."""
    lines = {"all": e.curve()}
    counts = ~np.isnan(e.normalised)
    if (counts & e.visible).any() and (counts & ~e.visible).any():
        for name, mask in (("visible", e.visible), ("hidden", ~e.visible)):
            values = np.sort(e.normalised[counts & mask])
            thresholds = lines["all"][0]
            lines[name] = thresholds, np.searchsorted(values, thresholds, side="right") / len(values)
    return lines


def _parts(report: Report, done: Evaluated) -> None:
    """Errors by the objects' size and by visibility."""
    e, at = done.evaluation, f"PCK@{done.right_at:g}"
    sizes, kinds = by_size(e), by_visibility(e)
    if sizes:
        labels = [row["longer side, px"] for row in sizes]
        report.heading("By size of the object").charts(_part_bars(sizes, labels, f"{at} by the box's longer side, px"))
        report.table(
            sizes, "Objects in parts of equal number, by the longer side of the labelled box in px of the picture."
        )
    report.heading("By visibility")
    if kinds:
        labels = [row["keypoints"] for row in kinds]
        report.charts(_part_bars(kinds, labels, f"{at} by the labels' visibility"))
        report.table(kinds, "As the labels have it: visible, or labelled though hidden.")
    else:
        only = "hidden" if not e.visible[~np.isnan(e.distance)].any() else "visible"
        report.text(f"Every keypoint that counts is labelled {only}: there is nothing to tell apart.")


def _part_bars(rows: list[dict[str, Any]], labels: list[str], title: str) -> str:
    key = title.split(" by ")[0]
    values, counts = [row[key] if row[key] is not None else np.nan for row in rows], [row["n"] for row in rows]
    return bars(dict(zip(labels, values, strict=True)), title, intervals=_intervals(values, counts), counts=counts)


def _reliability(report: Report, done: Evaluated) -> None:
    """Whether score and presence can be taken at their word."""
    e, new = done.evaluation, done.calibrated
    drawn = []
    if new is not None:
        drawn = [
            reliability_diagram(new.before, "peak's height, before"),
            reliability_diagram(new.after, "score, after"),
        ]
    elif e.score is not None:
        drawn = [reliability_diagram(e.score, f"score: {done.score_kind}")]
    if done.presence is not None:
        drawn.append(reliability_diagram(done.presence, "presence"))
    if not drawn:
        return
    report.heading(
        "Can score and presence be taken at their word?" if done.presence else "Can the score be taken at its word?"
    )
    words = "On the dashed line what is said comes true as often as it claims; below it, less often. Thin lines: 95 % "
    words += "intervals, as of independent keypoints. Underneath: how often each was said."
    report.charts(*drawn, caption=words)
    if new is not None:
        report.table(new.rows(), new.words())
    elif e.score is not None and done.score_kind == HEIGHT:
        report.text(
            "The score is the height of the decoded peak and claims no share; evaluate --calibrate fits one that does."
        )
