"""What a person labels: pictures with what is known of them so far, read from a folder or from labels of any tool.

The labels file that comes of it is COCO JSON. It lists a picture where an object is labelled on it or where somebody
said that it is done; pictures still to do are only noted, since a listed picture without objects says "no object here"
to whatever trains on it. The notes stand in ``info.posewright.labelling``: ``done``, ``flagged`` and ``todo``, each a
list of picture paths, or of [path, frame] for a video's frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from posewright.annotations import Annotations, Image, boxes_from_keypoints
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton

Key = tuple[str, int | None]
"""A picture's path and frame."""
Id = int | str
"""What COCO labels call an object."""

SAME_BOX = 0.01
"""Pixels within which a box counts as the one that is made from the keypoints."""


@dataclass(frozen=True)
class State:
    """What is known of one picture.

    Attributes:
        objects: each a mapping with ``points`` (K times [x, y, v], see ``Annotations.keypoints``), ``box``
            ([x0, y0, x1, y1], or None where it follows from the points) and ``extra`` (what else the labels said of it).
        done: a person has looked at it and is content.
        flagged: somebody should look at it again.
    """

    objects: tuple[Mapping[str, Any], ...] = ()
    done: bool = False
    flagged: bool = False

    @property
    def labelled(self) -> bool:
        """Whether any object has a keypoint or a box of its own."""
        return any(is_object(o) for o in self.objects)


def is_object(o: Mapping[str, Any]) -> bool:
    """Whether there is anything of an object: one just begun has nothing yet."""
    return o["box"] is not None or any(point[2] > 0 for point in o["points"])


@dataclass
class LabelSet:
    """Pictures to label, with their labels so far.

    Attributes:
        annotations: all pictures, those still to do among them, and the objects known at the start.
        done, flagged, todo: indices of pictures; ``todo`` are those that the labels do not list yet.
        ids: what COCO labels call an object, by its row; the others get numbers when they are written.
    """

    annotations: Annotations
    done: set[int] = field(default_factory=set)
    flagged: set[int] = field(default_factory=set)
    todo: set[int] = field(default_factory=set)
    ids: Mapping[int, Id] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rows: dict[int, list[int]] = {}
        for row, image in enumerate(self.annotations.image.tolist()):
            self._rows.setdefault(image, []).append(row)
        a = self.annotations
        self._made = np.abs(a.boxes - boxes_from_keypoints(a.keypoints)).max(1, initial=0) < SAME_BOX
        self.place: dict[Key, int] = {(im.path, im.frame): i for i, im in enumerate(a.images)}

    def __len__(self) -> int:
        return len(self.annotations.images)

    def state(self, i: int) -> State:
        """What was known of picture ``i`` at the start."""
        objects = tuple(self._object(row) for row in self._rows.get(i, ()))
        return State(objects, i in self.done, i in self.flagged)

    def _object(self, row: int) -> dict[str, Any]:
        a, made = self.annotations, bool(self._made[row])
        extra: dict[str, Any] = {"id": self.ids[row]} if row in self.ids else {}
        if a.iscrowd[row]:
            extra["iscrowd"] = True
        if a.track[row] >= 0:
            extra["track"] = int(a.track[row])
        if a.weight[row] != 1:
            extra["weight"] = float(a.weight[row])
        if not np.isnan(a.head_size[row]):
            extra["head_size"] = float(a.head_size[row])
        if a.polygons[row]:
            polygons = a.polygons[row]
            extra["polygons"] = polygons if isinstance(polygons, dict) else [np.asarray(p).tolist() for p in polygons]
        x0, y0, x1, y1 = a.boxes[row].tolist()
        if abs(a.area[row] - (x1 - x0) * (y1 - y0)) > 1e-3 * a.area[row]:
            extra["area"] = float(a.area[row])
        return {"points": a.keypoints[row].tolist(), "box": None if made else [x0, y0, x1, y1], "extra": extra}

    def with_states(self, states: Mapping[int, State]) -> tuple[Annotations, dict[str, Any], list[Id]]:
        """The set as it is now: what the labels file lists, the notes it carries, and what it calls the objects.

        Args:
            states: the pictures that changed since the start.
        """
        a, skeleton = self.annotations, self.annotations.skeleton
        untouched = ~np.isin(a.image, list(states))
        fresh = [(i, o) for i, state in states.items() for o in state.objects if is_object(o)]
        both = joined(a.objects(untouched), _table(skeleton, a.images, fresh))
        called = [self.ids.get(row) for row in np.flatnonzero(untouched).tolist()]
        called += [o["extra"].get("id") for _, o in fresh]
        order = np.argsort(both.image, kind="stable")
        everything = replace(both, image=both.image[order], **both._columns(order), root=a.root)
        filled = set(everything.image.tolist())
        done = {i for i in self.done if i not in states} | {i for i, s in states.items() if s.done}
        flagged = {i for i in self.flagged if i not in states} | {i for i, s in states.items() if s.flagged}
        listed = [
            i in filled or i in done or (i not in self.todo and i not in states) for i in range(len(everything.images))
        ]
        notes = {"done": done, "flagged": flagged, "todo": {i for i, there in enumerate(listed) if not there}}
        keyed = {what: [_written(a.images[i]) for i in sorted(rows)] for what, rows in notes.items()}
        ids = _each_once([called[row] for row in order.tolist()], self.ids.values())
        return everything.subset(np.array(listed, bool)), {"labelling": keyed}, ids


def _each_once(called: Iterable[Id | None], taken: Iterable[Id]) -> list[Id]:
    """What objects are called, each in its own way: those without a name, or with another's, get a number that none has
    or had."""
    known = list(called)
    number = max((i for i in [*taken, *known] if isinstance(i, int)), default=0)
    ids: list[Id] = []
    seen: set[Id] = set()
    for own in known:
        if own is None or own in seen:
            number += 1
            own = number
        seen.add(own)
        ids.append(own)
    return ids


def checked_objects(raw: Any, skeleton: Skeleton, image: Image) -> tuple[dict[str, Any], ...]:
    """Objects as a page or a journal gives them, held against what a set of labels may hold.

    Raises:
        PosewrightError: where they are something else.
    """
    record = f"image '{image.path}'"
    if not isinstance(raw, list):
        raise PosewrightError("its objects are no list", record=record)
    objects = []
    for number, o in enumerate(raw):
        try:
            points = [[float(x), float(y), int(v)] for x, y, v in o["points"]]
            points = [p if p[2] else [0.0, 0.0, 0] for p in points]
            box = None if o.get("box") is None else [float(value) for value in o["box"]]
            more = o.get("extra") or {}
            extra = {name: more[name] for name in _EXTRAS if name in more}
            extra |= {"id": more["id"]} if is_id(more.get("id")) else {}
            objects.append({"points": points, "box": box, "extra": extra})
            if len(points) != len(skeleton) or (box is not None and len(box) != 4):
                raise ValueError
            if is_object(objects[-1]):
                _table(skeleton, [image], [(0, objects[-1])])
        except (PosewrightError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            why = error.what if isinstance(error, PosewrightError) else "is not made as an object is"
            raise PosewrightError(why, record=f"object {number + 1} on {record}") from None
    return tuple(objects)


def is_id(value: object) -> bool:
    return type(value) is int or (isinstance(value, str) and len(value) <= 200)


_EXTRAS: dict[str, Any] = {
    "iscrowd": False,
    "area": None,
    "weight": 1.0,
    "track": -1,
    "head_size": np.nan,
    "polygons": [],
}
"""What labels may say of an object beside its keypoints and box, and what stands where they do not."""


def _table(skeleton: Skeleton, images: list[Image], rows: list[tuple[int, Mapping[str, Any]]]) -> Annotations:
    """Objects, each with the index of its image, as a table."""
    keypoints = np.array([o["points"] for _, o in rows], float).reshape(len(rows), len(skeleton), 3)
    boxes = boxes_from_keypoints(keypoints)
    for i, (_, o) in enumerate(rows):
        if o["box"] is not None:
            boxes[i] = o["box"]
    columns = {name: [o["extra"].get(name, default) for _, o in rows] for name, default in _EXTRAS.items()}
    with np.errstate(invalid="ignore"):
        own = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    columns["area"] = [made if area is None else area for made, area in zip(own, columns["area"])]
    polygons = [
        p if isinstance(p, dict) else [np.array(q, float).reshape(-1, 2) for q in p] for p in columns["polygons"]
    ]
    return Annotations(
        skeleton,
        images,
        np.array([i for i, _ in rows], np.int64),
        keypoints,
        boxes,
        iscrowd=np.array(columns["iscrowd"], bool),
        area=np.array(columns["area"], float),
        weight=np.array(columns["weight"], float),
        track=np.array(columns["track"], np.int64),
        head_size=np.array(columns["head_size"], float),
        polygons=polygons,
    )


def joined(a: Annotations, b: Annotations) -> Annotations:
    """Two tables of objects on the same images."""
    names = ("keypoints", "boxes", "iscrowd", "area", "weight", "track", "head_size")
    columns: dict[str, Any] = {name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in names}
    return replace(a, image=np.concatenate([a.image, b.image]), polygons=a.polygons + b.polygons, **columns)


def _written(im: Image) -> str | list[Any]:
    return im.path if im.frame is None else [im.path, im.frame]


def count_states(states: Iterable[State]) -> dict[str, int]:
    """How many pictures are labelled, done and flagged."""
    rows = [(s.labelled, s.done, s.flagged) for s in states]
    return {name: sum(row[i] for row in rows) for i, name in enumerate(("labelled", "done", "flagged"))}
