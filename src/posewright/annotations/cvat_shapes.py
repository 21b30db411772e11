"""What CVAT's XML says of labels and shapes, as Python objects; ``cvat_xml.py`` tells origin and visibility.

The file's ``meta`` lists the labels: a skeleton's keypoints are labels whose ``parent`` it is, and its links are lines of
the drawing (``svg``) that CVAT keeps of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.coco_write import CORNER
from posewright.annotations.loose_points import Outline, Rectangle
from posewright.errors import PosewrightError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """A skeleton, or one shape of points: what it is called, its keypoints by name in the frame of ``Annotations``."""

    label: str
    points: dict[str, tuple[float, float, int]]
    mark: str | None
    track: int


@dataclass
class Frame:
    """A picture or a video's frame and what is drawn on it.

    Attributes:
        task: the id of its task, "" where the file does not say.
        name: the picture's path as the file gives it; None where it gives the number only.
        number: of the frame in the source video, or of the picture in the task.
        subset: the task's subset, "" for none.
        size: width and height, 0 where unknown.
        broken: whether something on it cannot be used, so that nothing is known of the whole.
    """

    task: str
    name: str | None
    number: int
    subset: str
    size: tuple[int, int]
    broken: bool = False
    skeletons: list[Drawn] = field(default_factory=list)
    points: list[Drawn] = field(default_factory=list)
    rectangles: list[Rectangle] = field(default_factory=list)
    outlines: list[Outline] = field(default_factory=list)

    @property
    def record(self) -> str:
        """How a message names it."""
        return f"frame {self.number}" if self.name is None else f"image '{self.name}'"

    def add(self, node: Element, label: str, mark: str | None, track: int, file: Path) -> None:
        """Take one shape of it.

        Raises:
            PosewrightError: where the shape cannot be used.
        """
        record = f"{self.record}, {node.tag} '{label}'"
        if node.tag == "skeleton":
            points: dict[str, tuple[float, float, int]] = {}
            for inner in node.iter("points"):
                name = (inner.get("label") or "").strip()
                if not name:
                    raise PosewrightError("holds a point without a label", file=file, record=record)
                if name in points:
                    raise PosewrightError(f"holds point '{name}' twice", file=file, record=record)
                if inner.get("outside") == "1":
                    continue
                xy = _points(inner, file, f"{record}, point '{name}'")
                if len(xy) != 1:
                    raise PosewrightError(f"point '{name}' has {len(xy)} places", file=file, record=record)
                points[name] = (float(xy[0, 0]), float(xy[0, 1]), _visibility(inner))
            if points:  # with none inside, the object is not there
                self.skeletons.append(Drawn(label, points, mark, track))
        elif node.tag == "points":
            xy, v = _points(node, file, record), _visibility(node)
            self.points.append(
                Drawn(label, {str(i): (x, y, v) for i, (x, y) in enumerate(xy.tolist(), 1)}, mark, track)
            )
        elif node.tag == "box":
            self.rectangles.append(Rectangle(_box(node, file, record), label, mark))
        elif node.tag == "polygon":
            outline = _points(node, file, record)
            if len(outline) > 2:
                self.outlines.append(Outline(outline, mark))


SHAPES = ("skeleton", "points", "box", "polygon")
"""The shapes that say something about keypoints; others (polyline, ellipse, cuboid, mask, tag) are left aside."""


def _visibility(node: Element) -> int:
    return 1 if node.get("occluded") == "1" else 2


def number(node: Element, name: str, file: Path, record: str) -> float:
    """An attribute that is a number.

    Raises:
        PosewrightError: where it is none.
    """
    try:
        return float(node.get(name, ""))
    except ValueError:
        raise PosewrightError(f"{name} is {node.get(name)!r}, not a number", file=file, record=record) from None


def whole(node: Element, name: str, file: Path, record: str) -> int:
    """An attribute that is a whole number of at least 0 and below a thousand million.

    Raises:
        PosewrightError: where it is none.
    """
    text = (node.get(name) or "").strip()
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise PosewrightError(f"{name} is {node.get(name)!r}, not a whole number", file=file, record=record)
    return int(text)


def _points(node: Element, file: Path, record: str) -> Array:
    """The places of a shape, ``[P, 2]``, in the frame of ``Annotations``."""
    text = node.get("points") or ""
    try:
        xy = np.array([[float(value) for value in pair.split(",")] for pair in text.split(";")])
    except ValueError:  # rows of different lengths, too
        xy = np.empty(0)
    if xy.ndim != 2 or xy.shape[1] != 2:
        said = text if len(text) <= 40 else f"{text[:37]}..."
        raise PosewrightError(f"points are {said!r}, not x,y;x,y;...", file=file, record=record)
    if not np.isfinite(xy).all():
        raise PosewrightError("a place of it is not finite", file=file, record=record)
    return xy - CORNER


def _box(node: Element, file: Path, record: str) -> tuple[float, float, float, float]:
    """The box, upright: around the turned one where CVAT turned it about its centre."""
    x0, y0, x1, y1 = (number(node, name, file, record) - CORNER for name in ("xtl", "ytl", "xbr", "ybr"))
    angle = np.deg2rad(number(node, "rotation", file, record)) if node.get("rotation") else 0.0
    if angle:
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        across, down = (x1 - x0) / 2, (y1 - y0) / 2
        c, s = abs(np.cos(angle)), abs(np.sin(angle))
        half = np.array([c * across + s * down, s * across + c * down])
        (x0, y0), (x1, y1) = (centre - half).tolist(), (centre + half).tolist()
    return x0, y0, x1, y1


# -- meta -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What the file says of one task (or job): its video's file name or "", "annotation" or "interpolation", subset
    and the video's size."""

    source: str = ""
    mode: str = ""
    subset: str = ""
    size: tuple[int, int] = (0, 0)


@dataclass
class Meta:
    """Tasks by id, and labels.

    Attributes:
        tasks: where there is only one, it stands under "" too.
        skeletons: the keypoints of each label that is a skeleton, in order.
        links: pairs of their indices.
        points: labels that are of points and no skeleton's.
        names: all labels that are no skeleton and no skeleton's, in order.
    """

    tasks: dict[str, Task] = field(default_factory=dict)
    skeletons: dict[str, list[str]] = field(default_factory=dict)
    links: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    points: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def task(self, name: str) -> Task:
        return self.tasks.get(name) or self.tasks.get("") or Task()


def read_meta(root: Element) -> Meta:
    """The ``meta`` part of a file, as far as it can be understood: nothing in it is worth refusing the labels for."""
    meta, node = Meta(), root.find("meta")
    if node is None:
        return meta
    tasks = [task for tag in ("task", "job") for task in node.iter(tag)]
    for task in tasks:
        size = task.find("original_size")
        sides = (_text(size, "width"), _text(size, "height")) if size is not None else ("", "")
        known = all(re.fullmatch(r"[0-9]{1,6}", side) for side in sides)
        source = _text(task, "source") or (_text(node, "source") if len(tasks) == 1 else "")
        said = (int(sides[0]), int(sides[1])) if known else (0, 0)
        meta.tasks[_text(task, "id")] = Task(source, _text(task, "mode"), _text(task, "subset"), said)
    if len(tasks) == 1:
        meta.tasks[""] = next(iter(meta.tasks.values()))
    drawings: dict[str, str] = {}
    for label in node.iter("label"):
        name, kind, parent = (_text(label, tag) for tag in ("name", "type", "parent"))
        if not name:
            continue
        if parent:
            names = meta.skeletons.setdefault(parent, [])
            names += [] if name in names else [name]
        elif kind == "skeleton":
            meta.skeletons.setdefault(name, [])
            drawings[name] = _text(label, "svg")
        elif name not in meta.names:
            meta.names.append(name)
            meta.points += [name] if kind == "points" else []
    for name, drawing in drawings.items():
        meta.links[name] = _links(drawing, meta.skeletons[name])
    return meta


def _text(node: Element | None, tag: str) -> str:
    return (node.findtext(tag) or "").strip() if node is not None else ""


def _links(drawing: str, names: list[str]) -> list[tuple[int, int]]:
    """The lines of a skeleton's drawing, between nodes that are circles with a keypoint's name."""
    nodes: dict[str, int] = {}
    for circle in re.findall(r"<circle\b[^>]*>", drawing):
        said = {key: _attribute(circle, f"data-{key}") for key in ("node-id", "label-name", "element-id")}
        if said["label-name"] in names:
            nodes[said["node-id"]] = names.index(said["label-name"])
        elif said["element-id"].isascii() and said["element-id"].isdigit() and not said["label-name"]:
            nodes[said["node-id"]] = int(said["element-id"]) - 1
    links = []
    for line in re.findall(r"<line\b[^>]*>", drawing):
        pair = tuple(nodes.get(_attribute(line, f"data-node-{end}"), -1) for end in ("from", "to"))
        if all(0 <= i < len(names) for i in pair) and pair[0] != pair[1] and pair not in links:
            links.append((pair[0], pair[1]))
    return links


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', tag)
    return found.group(1) if found else ""
