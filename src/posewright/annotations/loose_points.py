"""From single labelled points to objects, for tools in which a person clicks points one by one.

Such tools know of an object only by a mark that its shapes share (a group number, a parent, a relation), or not at all.
Shapes that share a mark are one object. A point without one belongs to the smallest rectangle without one that it lies
in; where a picture has no such rectangle, its points are one object, unless a name stands there twice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.annotations.tables import Annotations, Image
from posewright.errors import PosewrightError, did_you_mean
from posewright.sides import swaps_from_names
from posewright.skeleton import ALIASES, Skeleton
from posewright.skeletons import BUILTIN

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Point:
    """A keypoint's name, its place in the frame of ``Annotations``, its visibility and its object's mark."""

    name: str
    x: float
    y: float
    v: int = 2
    mark: Hashable = None


@dataclass(frozen=True)
class Rectangle:
    """(x0, y0, x1, y1) in the frame of ``Annotations``, what the tool calls it, and its object's mark."""

    box: Box
    label: str
    mark: Hashable = None


@dataclass(frozen=True)
class Outline:
    """A polygon ``[P, 2]`` in the frame of ``Annotations`` and its object's mark."""

    points: NDArray[np.float64]
    mark: Hashable = None


@dataclass
class Thing:
    """One object: its points by name, its box where the tool has one, its outlines, its track (-1 for none)."""

    points: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    box: Box | None = None
    label: str | None = None
    outlines: list[NDArray[np.float64]] = field(default_factory=list)
    track: int = -1


def gather(points: Iterable[Point], rectangles: Iterable[Rectangle], outlines: Iterable[Outline] = ()) -> list[Thing]:
    """The objects of one picture.

    An outline without a mark goes to the smallest rectangle that holds all of it and is else left aside, as are marked
    outlines without a point or a rectangle: they are labels of another kind.

    Raises:
        PosewrightError: where a name stands twice in an object, two rectangles share a mark, or nothing says which
            object a point belongs to.
    """
    marked: dict[Hashable, Thing] = {}
    free: list[Thing] = []
    for rectangle in rectangles:
        thing = Thing(box=rectangle.box, label=rectangle.label)
        if rectangle.mark is None:
            free.append(thing)
        elif rectangle.mark in marked:
            raise PosewrightError(f"two rectangles share the group '{rectangle.mark}'")
        else:
            marked[rectangle.mark] = thing
    free.sort(key=_size)  # stable: of two equal ones the first drawn comes first
    loose = Thing()
    for point in points:
        if point.mark is not None:
            thing = marked.setdefault(point.mark, Thing())
        elif free:
            thing = next((t for t in free if _inside(t, point.x, point.y)), loose)
            if thing is loose:
                what = f"point '{point.name}' at ({point.x:g}, {point.y:g}) lies in no rectangle and has no group"
                raise PosewrightError(what, fix="Give the points of one object a group of their own")
        else:
            thing = loose
        if point.name in thing.points:
            why = "in one object" if thing is not loose else "and nothing says which object each belongs to"
            fix = "Give the points of one object a group of their own"
            raise PosewrightError(f"point '{point.name}' stands there twice {why}", fix=fix)
        thing.points[point.name] = (point.x, point.y, point.v)
    for outline in outlines:
        if outline.mark is not None:
            owner = marked.get(outline.mark)
        else:
            owner = next((t for t in free if all(_inside(t, x, y) for x, y in outline.points)), None)
        if owner is not None:
            owner.outlines.append(outline.points)
    in_order = sorted(free, key=lambda t: (t.box or (0, 0))[1::-1])  # top to bottom, whatever their sizes
    return [*marked.values(), *in_order, *([loose] if loose.points else [])]


def _size(thing: Thing) -> float:
    x0, y0, x1, y1 = thing.box or (0, 0, 0, 0)
    return (x1 - x0) * (y1 - y0)


def _inside(thing: Thing, x: float, y: float) -> bool:
    x0, y0, x1, y1 = thing.box or (0, 0, 0, 0)
    return x0 <= x <= x1 and y0 <= y <= y1


def skeleton_for(
    seen: Sequence[str], listed: Sequence[str] | None, wanted: Skeleton | None, name: str | None
) -> Skeleton:
    """What the points are: as told; else the names the tool lists; else those seen, in the order they were met.

    Names that are those of a shipped skeleton, in any order, take that one.

    Raises:
        PosewrightError: where there is no name, or one that cannot be a keypoint's.
    """
    if wanted is not None:
        return wanted
    names = list(dict.fromkeys(listed if listed and set(seen) <= set(listed) else seen))
    if not names:
        raise PosewrightError("names no keypoint", fix="Label some points, or give --skeleton")
    plain = {ALIASES.get(n, n) for n in names}
    for shipped in BUILTIN.values():
        if plain == set(shipped.keypoints):
            return shipped
    return Skeleton(name or "object", tuple(names), swaps_from_names(names))


def as_tables(
    things: Sequence[Thing],
    image: Sequence[int],
    images: list[Image],
    skeleton: Skeleton,
    root: Path,
    source: Path,
    labels: Callable[[int], Path],
    bad: Callable[[PosewrightError], None],
) -> Annotations:
    """The two tables of a set of objects; boxes that the tool did not give come from the keypoints.

    Args:
        things: the N objects.
        image: the index in ``images`` of each.
        labels: the label file of an image, for messages.
        bad: called for every object that cannot be used, which is then left out; may raise.
    """
    order = {name: k for k, name in enumerate(skeleton.keypoints)}
    keypoints = np.zeros((len(things), len(skeleton), 3))
    boxes = np.full((len(things), 4), np.nan)
    unknown: dict[int, str] = {}
    for i, thing in enumerate(things):
        for name, values in thing.points.items():
            k = order.get(ALIASES.get(name, name))
            if k is None:
                unknown[i] = name
            else:
                keypoints[i, k] = values
        if thing.box is not None:
            boxes[i] = thing.box
    boxless = np.array([thing.box is None for thing in things], bool)
    boxes[boxless] = boxes_from_keypoints(keypoints[boxless])
    keep = np.ones(len(things), bool)
    for i, name in unknown.items():
        what, fix = f"skeleton '{skeleton.name}' has no keypoint '{name}'", did_you_mean(name, skeleton.keypoints)
        bad(PosewrightError(what, file=labels(image[i]), record=f"image '{images[image[i]].path}'", fix=fix))
        keep[i] = False
    kept = np.flatnonzero(keep)

    def report(i: int, problem: str) -> None:
        place = image[kept[i]]
        bad(PosewrightError(problem, file=labels(place), record=f"image '{images[place].path}'"))

    return Annotations(
        skeleton,
        images,
        np.array(image, np.int64)[kept],
        keypoints[kept],
        boxes[kept],
        root,
        track=np.array([things[i].track for i in kept.tolist()], np.int64),
        polygons=[things[i].outlines for i in kept.tolist()],
        source=str(source),
        report=report,
    )
