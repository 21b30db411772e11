"""What `posewright audit` shows: rows for the terminal, audit.csv, a sheet of the worst, one HTML page."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.audit import KINDS, Audited, Finding
from posewright.files import write_text
from posewright.geometry import CropRule
from posewright.reports.html import Report
from posewright.reports.tiles import Picture, Sheets, part_of_picture

COLUMNS = (
    "rank",
    "picture",
    "object",
    "kind",
    "keypoint",
    "score",
    "probability",
    "label_x",
    "label_y",
    "proposed_x",
    "proposed_y",
)
TILE = CropRule((256, 256), margin=1.3)
WRONG, RIGHT = (240, 60, 50), (50, 205, 80)
"""Colours of a label that is doubted, and of what is proposed."""


def ranks(audited: Audited) -> list[int]:
    """The rank of each finding: objects are ranked by their surest finding, and all findings of one share its rank."""
    number: dict[int, int] = {}
    return [number.setdefault(f.object, len(number) + 1) for f in audited.findings]


def place(audited: Audited, f: Finding) -> tuple[str, int]:
    """The picture of a finding, and which of the objects on it is meant, from 0."""
    labels = audited.annotations
    image = int(labels.image[f.object])
    return labels.images[image].full_name, int((labels.image[: f.object] == image).sum())


def count_rows(audited: Audited) -> list[dict[str, Any]]:
    """One row a kind: how many are listed, how many are sure, how many there probably are."""
    rows = []
    for kind, what in KINDS.items():
        if kind not in audited.expected:
            continue
        sure = [f.probability for f in audited.findings if f.kind == kind]
        row: dict[str, Any] = {"kind": kind, "meaning": what, "above 90 %": sum(p >= 0.9 for p in sure)}
        rows.append(row | {"above 50 %": sum(p >= 0.5 for p in sure), "estimated": round(audited.expected[kind])})
    return rows


def top_rows(audited: Audited, count: int) -> list[dict[str, Any]]:
    """The first findings by rank, one row each: all of one object stand together."""
    rows = []
    for rank, f in sorted(zip(ranks(audited), audited.findings), key=lambda row: row[0])[:count]:
        picture, number = place(audited, f)
        row: dict[str, Any] = {"rank": rank, "picture": picture, "object": number, "kind": f.kind, "which": f.what}
        rows.append(row | {"score": f.score, "probability": f.probability})
    return rows


def write_csv(audited: Audited, path: Path) -> Path:
    """Write every finding, a row for each of its keypoints (or corners of its box), by rank.

    The object is counted from 0 on its picture. Places are in pixels of the picture, (0, 0) at the first pixel's centre; empty
    where there is none. The score is in log odds.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    names = audited.annotations.skeleton.keypoints
    numbered = sorted(zip(ranks(audited), audited.findings), key=lambda row: row[0])
    for rank, f in numbered:
        which = [names[k] for k in f.keypoints] or ["top left", "bottom right"]
        for name, label, proposed in zip(which, f.label, f.proposed, strict=True):
            xy = [f"{v:.2f}" if np.isfinite(v) else "" for v in (*label, *proposed)]
            head = (rank, *place(audited, f), f.kind, name)
            table.writerow([*head, f"{f.score:.4f}", f"{f.probability:.5f}", *xy])
    return write_text(path, text.getvalue())


def sheet(audited: Audited, findings: Sequence[Finding]) -> tuple[Picture | None, list[str]]:
    """Tiles of findings: the label with its links, doubted keypoints ringed red, the proposal green with a line to it.

    Returns:
        ``uint8 [H, W, 3]``, None where no picture could be read; and why pictures are missing.
    """
    made = Sheets()
    tiles = ((partial(_tile, audited, f), f"{f.probability:.0%} {f.kind}: {f.what}") for f in findings)
    return made.sheet(tiles, len(findings)), made.missing


def _tile(audited: Audited, f: Finding) -> Picture:
    import cv2

    from posewright.media.drawing import draw_box, draw_keypoints

    labels = audited.annotations
    shown = np.concatenate([labels.boxes[f.object].reshape(2, 2), f.proposed, f.label])
    shown = shown[np.isfinite(shown).all(1)]
    around = np.concatenate([shown.min(0), shown.max(0)])
    to_tile = TILE.similarity(around)
    tile = part_of_picture(labels, int(labels.image[f.object]), to_tile, TILE)
    points = to_tile.apply(labels.keypoints[f.object, :, :2])
    draw_keypoints(tile, points, labels.labelled[f.object], labels.skeleton)
    label, proposed = to_tile.apply(f.label), to_tile.apply(f.proposed)
    if f.kind == "box":
        draw_box(tile, label.ravel(), WRONG)
        return draw_box(tile, proposed.ravel(), RIGHT)

    def at(xy: NDArray[np.float64]) -> tuple[int, int]:
        return round(float(xy[0])), round(float(xy[1]))

    for old, new in zip(label, proposed, strict=True):
        if np.isfinite(old).all():
            if np.isfinite(new).all() and f.kind != "swap":
                cv2.line(tile, at(old), at(new), RIGHT, 1, cv2.LINE_AA)
            cv2.circle(tile, at(old), 8, WRONG, 2, cv2.LINE_AA)
        if np.isfinite(new).all() and f.kind != "swap":
            cv2.circle(tile, at(new), 6, RIGHT, 2, cv2.LINE_AA)
    return tile


def shown_first(audited: Audited, kind: str | None, count: int) -> list[Finding]:
    """The surest findings, of one kind or all, each object once."""
    seen: dict[int, Finding] = {}
    for f in audited.findings:
        if kind in (None, f.kind):
            seen.setdefault(f.object, f)
    return list(seen.values())[:count]


def write_page(
    audited: Audited, path: Path, *, title: str, lead: str, tiles: int, notes: Sequence[str], then: str
) -> Path:
    """Write the HTML page: counts, the first rows, a sheet for each kind."""
    report = Report(title).lead(lead)
    report.heading("What is probably wrong").table(
        count_rows(audited), "estimated: how many there are in the whole set."
    )
    report.table(top_rows(audited, 100), "The surest findings; audit.csv has all.")
    kinds = Counter(f.kind for f in audited.findings)
    missing: list[str] = []
    for kind, what in KINDS.items():
        if not tiles or not kinds[kind]:
            continue
        drawn, failed = sheet(audited, shown_first(audited, kind, tiles))
        missing += failed
        if drawn is not None:
            words = "Red rings: the doubted label. Green: what is proposed; exchanged keypoints change places."
            report.heading(what[0].upper() + what[1:]).figure(drawn, words)
    left_out = [*notes, *missing]
    if left_out:
        report.heading("Left out").code("\n".join(left_out[:100]))
    return report.heading("Next").code(then).write(path)
