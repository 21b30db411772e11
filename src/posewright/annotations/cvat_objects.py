"""From what is drawn in CVAT to objects: skeletons, single points, or shapes of several points; ``cvat_xml`` tells the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from posewright.annotations.categories import chosen
from posewright.annotations.cvat_shapes import Array, Drawn, Frame, Meta
from posewright.annotations.loose_points import Outline, Point, Thing, gather, skeleton_for
from posewright.annotations.registry import ReadOptions
from posewright.errors import PosewrightError
from posewright.skeleton import ALIASES, Skeleton

Part = tuple[Path, list[Frame], Meta]
"""A file, its frames and what it says of labels."""


def objects_of(parts: Sequence[Part], options: ReadOptions, source: Path) -> tuple[Skeleton, list[list[list[Thing]]]]:
    """What the points are, and for each part and frame the objects on it.

    A frame that cannot be used is reported and marked broken.

    Raises:
        PosewrightError: where there are no points, or several kinds of objects and no choice.
    """
    frames = [frame for _, part, _ in parts for frame in part if not frame.broken]
    if any(frame.skeletons for frame in frames):
        return _skeletons(parts, frames, options, source)
    if not any(frame.points for frame in frames) and options.skeleton is None:
        fix = "Draw points or skeletons, or give --skeleton to read pictures without any"
        raise PosewrightError("holds neither a skeleton nor a point", file=source, fix=fix)
    if any(len(drawn.points) > 1 for frame in frames for drawn in frame.points):
        return _rows(parts, frames, options, source)
    return _single(parts, frames, options, source)


def _skeletons(
    parts: Sequence[Part], frames: list[Frame], options: ReadOptions, source: Path
) -> tuple[Skeleton, list[list[list[Thing]]]]:
    names: dict[str, list[str]] = {}
    links: dict[str, list[tuple[int, int]]] = {}
    for _, _, meta in parts:
        for label, listed in meta.skeletons.items():
            names.setdefault(label, list(listed))
            links.setdefault(label, meta.links.get(label, []) if names[label] == listed else [])
    counts: Counter[str] = Counter()
    for drawn in (drawn for frame in frames for drawn in frame.skeletons):
        counts[drawn.label] += 1
        listed = names.setdefault(drawn.label, [])
        listed += [name for name in drawn.points if name not in listed]
    kinds = {label: names[label] for label in counts}
    labels = chosen(kinds, counts, options, source)
    first = labels[0]
    skeleton = skeleton_for(names[first], names[first], options.skeleton, first)
    if list(skeleton.keypoints) == names[first] and not skeleton.links and links.get(first):
        skeleton = replace(skeleton, links=tuple(links[first]), link_colours=())
    wanted = set(skeleton.keypoints)
    aside = sum(len(frame.points) for frame in frames)
    if aside:
        options.skipped.append(f"{source}: {aside} points outside skeletons")

    def things(frame: Frame) -> list[Thing]:
        mine = [drawn for drawn in frame.skeletons if drawn.label in labels]
        cut = [{n: p for n, p in drawn.points.items() if ALIASES.get(n, n) in wanted} for drawn in mine]
        pairs = [(drawn, points) for drawn, points in zip(mine, cut) if points]
        return _with_boxes([Thing(p, label=d.label, track=d.track) for d, p in pairs], [d for d, _ in pairs], frame)

    return skeleton, [[things(frame) if not frame.broken else [] for frame in part] for _, part, _ in parts]


INSIDE = 0.6
"""The share of an object's points that a loose box must hold to be its box: hidden ones are often guessed outside."""


def _with_boxes(things: list[Thing], drawn: list[Drawn], frame: Frame) -> list[Thing]:
    """Give objects the boxes and outlines of their group, and to those without a group the loose boxes that fit best."""
    marks = Counter(shape.mark for shape in drawn)
    for thing, shape in zip(things, drawn):
        if shape.mark is not None and marks[shape.mark] == 1:  # a group of several objects says nothing of one
            boxes = [rectangle.box for rectangle in frame.rectangles if rectangle.mark == shape.mark]
            thing.box = boxes[0] if len(boxes) == 1 else None
            thing.outlines += [outline.points for outline in frame.outlines if outline.mark == shape.mark]
    loose = [thing for thing, shape in zip(things, drawn) if shape.mark is None]
    boxes = [rectangle.box for rectangle in frame.rectangles if rectangle.mark is None]
    if loose and boxes:
        for i, r in _matched(loose, np.array(boxes)):
            loose[i].box = boxes[r]
    return things


def _matched(things: list[Thing], boxes: Array) -> list[tuple[int, int]]:
    """Which object each box is of: the assignment with the best overlaps of boxes and the keypoints' extents.

    A box that holds all points of a further object, which gets none, could be either's and is nobody's.
    """
    from scipy.optimize import linear_sum_assignment

    share, overlap = np.zeros((len(things), len(boxes))), np.zeros((len(things), len(boxes)))
    with np.errstate(all="ignore"):  # a box of any size may stand in a file
        for i, thing in enumerate(things):
            xy = np.array([point[:2] for point in thing.points.values()])
            inside = (xy[:, None] >= boxes[:, :2]) & (xy[:, None] <= boxes[:, 2:])
            share[i] = inside.all(2).mean(0)
            (low, high) = xy.min(0), xy.max(0)
            common = (np.minimum(high, boxes[:, 2:]) - np.maximum(low, boxes[:, :2])).clip(0).prod(1)
            together = (high - low).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - common
            overlap[i] = np.nan_to_num(common / together, nan=0, posinf=0, neginf=0)
    fits = share >= INSIDE
    rows, columns = linear_sum_assignment(-np.where(fits, overlap + share, 0))
    pairs = [(i, r) for i, r in zip(rows.tolist(), columns.tolist()) if fits[i, r]]
    empty = [i for i in range(len(things)) if i not in dict(pairs)]
    return [(i, r) for i, r in pairs if not any(share[other, r] == 1 for other in empty)]


def _rows(
    parts: Sequence[Part], frames: list[Frame], options: ReadOptions, source: Path
) -> tuple[Skeleton, list[list[list[Thing]]]]:
    """Shapes of several points: each is an object."""
    counts = Counter(drawn.label for frame in frames for drawn in frame.points)
    sizes = {
        label: Counter(len(d.points) for frame in frames for d in frame.points if d.label == label).most_common(1)[0][0]
        for label in counts
    }
    # The points have no names: what two labels call their first need not be the same thing.
    kinds = {label: [f"{label} {i}" for i in range(1, size + 1)] for label, size in sizes.items()}
    label = chosen(kinds, counts, replace(options, skeleton=None), source)[0]
    size, wanted = sizes[label], options.skeleton
    if wanted is not None and len(wanted) != size:
        what = f"'{label}' has {size} points, and skeleton '{wanted.name}' {len(wanted)} keypoints"
        raise PosewrightError(what, file=source, fix="Give one with as many, in the order they were clicked")
    skeleton = wanted or Skeleton(label, tuple(str(i) for i in range(1, size + 1)))
    out: list[list[list[Thing]]] = []
    for file, part, _ in parts:
        out.append([])
        for frame in part:
            mine = [] if frame.broken else [drawn for drawn in frame.points if drawn.label == label]
            odd = next((drawn for drawn in mine if len(drawn.points) != size), None)
            if odd is not None:
                what = f"'{label}' has {len(odd.points)} points here and {size} elsewhere"
                options.bad(PosewrightError(what, file=file, record=frame.record))
                frame.broken, mine = True, []
            named = [Thing(dict(zip(skeleton.keypoints, d.points.values())), track=d.track) for d in mine]
            out[-1].append(_with_boxes(named, mine, frame))
    return skeleton, out


def _single(
    parts: Sequence[Part], frames: list[Frame], options: ReadOptions, source: Path
) -> tuple[Skeleton, list[list[list[Thing]]]]:
    """Single points: keypoints by their labels."""
    if options.category is not None:
        fix = "Leave --category out"
        raise PosewrightError("its points are single ones, of no kind of object", file=source, fix=fix)
    seen = list(dict.fromkeys(drawn.label for frame in frames for drawn in frame.points))
    order = list(dict.fromkeys(name for _, _, meta in parts for name in meta.names))
    typed = {name for _, _, meta in parts for name in meta.points}
    listed = [name for name in order if name in seen or name in typed]
    out: list[list[list[Thing]]] = []
    for file, part, _ in parts:
        out.append([])
        for frame in part:
            points = [Point(d.label, *d.points["1"], mark=d.mark) for d in frame.points]
            try:
                out[-1].append([] if frame.broken else gather(points, frame.rectangles, _marked(frame.outlines)))
            except PosewrightError as error:
                options.bad(PosewrightError(error.what, file=file, record=frame.record, fix=error.fix))
                frame.broken = True
                out[-1].append([])
    things = [thing for part in out for row in part for thing in row]
    kinds = {thing.label for thing in things if thing.points}
    named = Counter(thing.label for thing in things if thing.points and thing.label).most_common(1)
    try:
        skeleton = skeleton_for(seen, listed, options.skeleton, named[0][0] if named else None)
    except PosewrightError as error:
        raise PosewrightError(error.what, file=source, fix=error.fix) from None
    return skeleton, [[[t for t in row if t.points or t.label in kinds] for row in part] for part in out]


def _marked(outlines: list[Outline]) -> list[Outline]:
    """Those that a group says something of: a polygon drawn around a point by chance is no outline of it."""
    return [outline for outline in outlines if outline.mark is not None]
