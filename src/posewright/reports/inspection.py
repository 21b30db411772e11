"""What `posewright inspect` shows of a labelled set: counts, shares, sizes, the mean pose, what looks wrong, sheets."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.duplicates import BITS, NEAR, Hashed, Twin, across_splits, clusters, hash_images
from posewright.annotations.statistics import (
    MeanPose,
    box_shares,
    count_rows,
    keypoint_rows,
    mean_pose,
    parts,
    size_rows,
    unusualness,
)
from posewright.annotations.suspicious import Suspicion, suspicious
from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.reports.html import Report
from posewright.reports.plots import keypoint_bars
from posewright.reports.tiles import Picture, Sheets, cut, pair, scene

LISTED = 100
"""Suspicious records that the page's table holds; ``to_dict`` has all."""


@dataclass(frozen=True)
class Inspected:
    """A labelled set with what was found out about it.

    Attributes:
        annotations: the set.
        data: what it is, in words.
        hashed: its pictures; None where they were not read.
        mean: the mean pose.
        suspicions: what looks wrong, kind by kind.
        twins: pictures that are nearly the same as one in an earlier split.
        groups: ``[M]`` number of the cluster of near-duplicates that each picture read is in.
        seed: of the pictures chosen by chance.
        notes: one line for each thing left out.
    """

    annotations: Annotations
    data: str
    hashed: Hashed | None
    mean: MeanPose
    suspicions: list[Suspicion]
    twins: list[Twin]
    groups: NDArray[np.int64]
    seed: int = 0
    notes: list[str] = field(default_factory=list)

    # -- in words and figures ---------------------------------------------------------------------------------------

    def suspicion_rows(self) -> list[dict[str, Any]]:
        """One row a kind: how many records, and the oddest of them."""
        counts = Counter(s.kind for s in self.suspicions)
        first: dict[str, Suspicion] = {}
        for s in self.suspicions:
            first.setdefault(s.kind, s)
        return [
            {"suspicious": kind, "records": n, "the oddest": f"{self.name(first[kind].image)}: {first[kind].what}"}
            for kind, n in counts.items()
        ]

    def statements(self) -> list[str]:
        """What was found, one sentence each."""
        odd = {(s.image, s.object) for s in self.suspicions}
        lines = [f"{len(odd)} records look suspicious." if odd else "No record looks suspicious."]
        if self.hashed is None:
            return [*lines, "The pictures were not read: nothing is said about near-duplicates."]
        rule = f"at most {NEAR} of {BITS} bits of a perceptual hash apart"
        if len(self.annotations.splits) > 1:
            share = f"{len(self.twins)} of {self._later()} pictures of later splits"
            lines.append(f"Near-duplicates across splits: {share} are nearly the same as one in an earlier ({rule}).")
        sizes = np.bincount(self.groups) if len(self.groups) else np.zeros(1, int)
        several = sizes[sizes > 1]
        if len(several):
            words = f"{several.sum()} of {len(self.groups)} pictures are in {len(several)} clusters"
            lines.append(f"Near-duplicates in all: {words}, the largest of {several.max()} ({rule}).")
        else:
            lines.append(f"No two pictures are near-duplicates ({rule}).")
        return lines

    def _later(self) -> int:
        order = [s for s in ("train", "val", "test") if s in self.annotations.splits]
        return sum(im.split in order[1:] for im in self.annotations.images)

    def name(self, image: int) -> str:
        return self.annotations.images[image].full_name

    def to_dict(self) -> dict[str, Any]:
        """All figures, for ``json.dumps``; what is not known is None."""
        a = self.annotations
        mean = [
            {"keypoint": name, "n": int(n), "x": _number(x), "y": _number(y)}
            for name, n, (x, y) in zip(a.skeleton.keypoints, self.mean.count, self.mean.xy)
        ]
        return {
            "data": self.data,
            "skeleton": a.skeleton.name,
            "counts": count_rows(a),
            "keypoints": [{k: _number(v) for k, v in row.items()} for row in keypoint_rows(a)],
            "sizes": size_rows(a),
            "mean_pose": {"unit": "the box's longer side, from its centre", "keypoints": mean},
            "suspicious": [
                {**asdict(s), "image": self.name(s.image), "degree": _number(s.degree)} for s in self.suspicions
            ],
            "across_splits": [
                {"image": self.name(t.image), "like": self.name(t.other), "bits": t.bits} for t in self.twins
            ],
            "pictures_read": None if self.hashed is None else len(self.hashed.images),
            "left_out": self.notes,
        }

    # -- pictures ---------------------------------------------------------------------------------------------------

    def mean_picture(self, side: int = 560) -> Picture:
        """The mean pose with the ellipses that hold half of all objects' keypoints, ``uint8 [side, side, 3]``."""
        from posewright.media.drawing import draw_ellipses, draw_keypoints

        seen, skeleton = self.mean.count > 0, self.annotations.skeleton
        reach = np.abs(self.mean.xy[seen]) + 1.2 * np.sqrt(self.mean.covariance[seen][:, [0, 2]])
        scale = 0.45 * side / max(float(reach.max(initial=0.0)), 0.1)
        xy, covariance = self.mean.xy * scale + (side - 1) / 2, self.mean.covariance * scale**2
        canvas = np.full((side, side, 3), 58, np.uint8)
        draw_ellipses(canvas, xy, covariance, seen, skeleton)
        return draw_keypoints(canvas, xy, seen, skeleton, names=len(skeleton) <= 25)

    def sheets(self, tiles: int) -> tuple[list[tuple[str, str, Picture]], list[str]]:
        """Contact sheets.

        Args:
            tiles: how many pictures each holds at most.

        Returns:
            Heading, caption and ``uint8 [H, W, 3]`` of each; and why pictures are missing from them.
        """
        sheets, made = [], Sheets()
        drawn = "Filled: visible. Rings: hidden. The thin frame is the box."
        for name, part in self._pictured_parts():
            rng = np.random.default_rng(self.seed)
            order = rng.permutation(len(part.images)).tolist()
            scenes = ((scene(part, i), part.images[i].name) for i in order)
            sheet = made.sheet(scenes, tiles)
            if sheet is not None:
                sheets.append((f"By chance: {name}", f"Pictures drawn with seed {self.seed}. {drawn}", sheet))
            edges = ((cut(part, i), caption) for i, caption in extremes(part, max(1, tiles // 4)))
            sheet = made.sheet(edges, tiles)
            if sheet is not None:
                words = "The smallest boxes, the largest against their picture, the fewest labelled keypoints, the "
                words += "poses furthest from the mean one (1 is usual). "
                sheets.append((f"Extremes: {name}", words + drawn, sheet))
        a = self.annotations
        oddest = (
            (cut(a, s.object), f"{s.kind}: {a.images[s.image].name}") for s in self._in_turn() if s.object is not None
        )
        sheet = made.sheet(oddest, tiles)
        if sheet is not None:
            sheets.insert(0, ("Suspicious records", f"The oddest of each kind in turn. {drawn}", sheet))
        pairs = (
            (pair(a, t.image, t.other), f"{t.bits} bits: {_split(a, t.image)}, {_split(a, t.other)}")
            for t in self.twins
        )
        sheet = made.sheet(pairs, tiles, columns=3)
        if sheet is not None:
            words = "The pictures most alike, the later split's on the left."
            sheets.insert(0, ("Near-duplicates across splits", words, sheet))
        return sheets, made.missing

    def _pictured_parts(self) -> list[tuple[str, Annotations]]:
        found = parts(self.annotations)
        if len(found) > 1:
            found.pop("all")
        return list(found.items())

    def _in_turn(self) -> list[Suspicion]:
        """Suspicious objects, the oddest of each kind before the next of any; each object once."""
        place: Counter[str] = Counter()
        ranked = []
        for s in self.suspicions:
            if s.object is not None:
                ranked.append((place[s.kind], s))
                place[s.kind] += 1
        shown: dict[int | None, Suspicion] = {}
        for _, s in sorted(ranked, key=lambda row: row[0]):
            shown.setdefault(s.object, s)
        return list(shown.values())

    # -- the page ---------------------------------------------------------------------------------------------------

    def write(self, path: Path, *, tiles: int = 20, then: str = "") -> Path:
        """Write everything as one HTML file that needs no other.

        Args:
            path: of the page; replaced where it exists.
            tiles: pictures on each contact sheet; 0 for no sheets.
            then: the commands that the page ends with.
        """
        from posewright.media.pictures import write_picture

        a = self.annotations
        sheets, missing = self.sheets(tiles) if tiles else ([], [])
        report = Report(f"Inspection of {Path(self.data).name or self.data}")
        report.lead(f"{self.data}: {a.skeleton.name}, {len(a.skeleton)} keypoints.").tiles(self._tiles())
        report.text("\n\n".join(self.statements()))
        report.heading("Counts").table(count_rows(a), strong=[-1] if len(parts(a)) > 1 else [])
        with tempfile.TemporaryDirectory() as folder:
            report.heading("Keypoints").table(keypoint_rows(a), "Shares of the objects.", strong=[-1])
            shares = {row["keypoint"]: row["visible"] for row in keypoint_rows(a)[:-1]}
            if len(a) and min(shares.values()) < 1:
                bars = keypoint_bars(shares, Path(folder) / "visible.png", title="share of objects it is visible on")
                report.figure(bars, width=640)
            report.heading("Sizes").table(size_rows(a), "Quantiles over pictures and objects.")
            if self.mean.count.any():
                words = (
                    "Each object's box laid on the others', centre on centre, longer side on longer side. An ellipse "
                )
                words += "holds about half of the objects' keypoints."
                report.heading("Mean pose").figure(self.mean_picture(), words)
            self._suspicions(report)
            for number, (heading, caption, sheet) in enumerate(sheets):
                shown = write_picture(Path(folder) / f"sheet{number}.jpg", sheet, quality=85)
                report.heading(heading).figure(shown, caption)
        left_out = [*self.notes, *missing]
        if left_out:
            more = [f"and {len(left_out) - LISTED} more"] if len(left_out) > LISTED else []
            report.heading("Left out").code("\n".join([*left_out[:LISTED], *more]))
        if then:
            report.heading("Next").code(then)
        return report.write(path)

    def _tiles(self) -> dict[str, Any]:
        a = self.annotations
        labelled = keypoint_rows(a)[-1]["not labelled"]
        tiles: dict[str, Any] = {"pictures": len(a.images), "objects": len(a)}
        tiles["of keypoints labelled"] = f"{1 - labelled:.1%}" if np.isfinite(labelled) else None
        tiles["suspicious records"] = len({(s.image, s.object) for s in self.suspicions})
        if self.hashed is not None and len(a.splits) > 1:
            tiles["near-duplicates across splits"] = len(self.twins)
        return tiles

    def _suspicions(self, report: Report) -> None:
        if not self.suspicions:
            return
        report.heading("What looks wrong").table(self.suspicion_rows())
        rows = [{"picture": self.name(s.image), "object": s.object, "kind": s.kind, "why": s.what} for s in self._all()]
        kept = f"The first {LISTED} of {len(rows)}; --json writes all." if len(rows) > LISTED else ""
        report.table(rows[:LISTED], kept)

    def _all(self) -> list[Suspicion]:
        """Whole pictures first, then objects as the sheet has them."""
        return [*(s for s in self.suspicions if s.object is None), *self._in_turn()]


def inspect(
    annotations: Annotations,
    data: str,
    *,
    pictures: bool = True,
    seed: int = 0,
    notes: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Inspected:
    """Find out what a labelled set holds and what looks wrong in it.

    Args:
        annotations: the set; its pictures need not all exist.
        data: what it is, in words.
        pictures: read every picture, for near-duplicates and for files that are broken or of another size than labelled.
        seed: of the pictures chosen by chance.
        notes: what was left out while the labels were read, one line each.
        progress: called with 1 for each picture read.
    """
    if not annotations.images:
        raise PosewrightError("lists no images: nothing to inspect", file=annotations.source or None)
    notes = list(notes)
    hashed = hash_images(annotations, progress) if pictures else None
    suspicions = suspicious(annotations)
    if hashed is None or not len(hashed.images):
        if hashed is not None:
            notes.append(f"none of the pictures could be read; first: {next(iter(hashed.unreadable.values()))}")
        return Inspected(annotations, data, None, mean_pose(annotations), suspicions, [], np.zeros(0, int), seed, notes)
    suspicions = [*_odd_files(annotations, hashed), *suspicions]
    twins, groups = across_splits(annotations, hashed), clusters(hashed.hashes)
    return Inspected(annotations, data, hashed, mean_pose(annotations), suspicions, twins, groups, seed, notes)


def _odd_files(annotations: Annotations, hashed: Hashed) -> list[Suspicion]:
    """Pictures that cannot be read, or whose size is not what the labels say."""
    found = [Suspicion(i, None, "picture", error.what, np.inf) for i, error in hashed.unreadable.items()]
    for i, (width, height) in zip(hashed.images.tolist(), hashed.sizes.tolist()):
        im = annotations.images[i]
        if im.width and im.height and (im.width, im.height) != (width, height):
            what = f"is {width} x {height} pixels, but labelled as {im.width} x {im.height}"
            found.append(Suspicion(i, None, "picture", what, abs(np.log(width * height / (im.width * im.height)))))
    return sorted(found, key=lambda s: -s.degree)


def extremes(part: Annotations, count: int) -> list[tuple[int, str]]:
    """Objects at the edges of a set, ``count`` of each kind, with a caption: (object, why)."""
    sides = (part.boxes[:, 2:] - part.boxes[:, :2]).max(1)
    shares, poses = box_shares(part), unusualness(part, mean_pose(part))
    labelled = part.labelled.sum(1)
    k = len(part.skeleton)
    kinds: list[tuple[NDArray[Any], Callable[[int], str]]] = [
        (sides, lambda i: f"{sides[i]:.0f} px"),
        (-shares, lambda i: f"{shares[i]:.0%} of picture"),
        (np.where(labelled < k, labelled, np.nan), lambda i: f"{labelled[i]} of {k}"),
        (-poses, lambda i: f"pose {poses[i]:.1f}"),
    ]
    chosen: dict[int, str] = {}
    for values, words in kinds:
        values = np.where(part.iscrowd, np.nan, values)
        ranked = [int(i) for i in np.argsort(values, kind="stable") if np.isfinite(values[i]) and i not in chosen]
        for i in ranked[:count]:
            chosen[i] = f"{words(i)}  {part.images[part.image[i]].name}"
    return list(chosen.items())


def _split(annotations: Annotations, image: int) -> str:
    im = annotations.images[image]
    return f"{im.split} {im.name}"


def _number(value: Any) -> Any:
    """A value as JSON can hold it."""
    return (float(value) if np.isfinite(value) else None) if isinstance(value, (float, np.floating)) else value
