"""What a person labels: pictures with what is known of them so far, read from a folder or from labels of any tool.

The labels file that comes of it is COCO JSON. It lists a picture where an object is labelled on it or where somebody
said that it is done; pictures still to do are only noted, since a listed picture without objects says "no object here"
to whatever trains on it. The notes stand in ``info.posewright.labelling``: ``done``, ``flagged`` and ``todo``, each a
list of picture paths, or of [path, frame] for a video's frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from posewright.annotations import Annotations, Image, ReadOptions, boxes_from_keypoints, formats, read_annotations
from posewright.annotations.json_file import load_json
from posewright.annotations.pictures import fill_sizes, join_roots
from posewright.errors import PosewrightError
from posewright.media.sources import VIDEO_ENDINGS, find_sources
from posewright.skeleton import Skeleton

Key = tuple[str, int | None]
"""A picture's path and frame."""

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
    """

    annotations: Annotations
    done: set[int] = field(default_factory=set)
    flagged: set[int] = field(default_factory=set)
    todo: set[int] = field(default_factory=set)

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
        extra: dict[str, Any] = {}
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

    def with_states(self, states: Mapping[int, State]) -> tuple[Annotations, dict[str, Any]]:
        """The set as it is now: what the labels file lists, and the notes it carries.

        Args:
            states: the pictures that changed since the start.
        """
        a, skeleton = self.annotations, self.annotations.skeleton
        kept = a.objects(~np.isin(a.image, list(states)))
        fresh = [(i, o) for i, state in states.items() for o in state.objects if is_object(o)]
        both = _joined(kept, _table(skeleton, a.images, fresh))
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
        return everything.subset(np.array(listed, bool)), {"labelling": keyed}


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
            extra = {name: o["extra"][name] for name in _EXTRAS if name in (o.get("extra") or {})}
            objects.append({"points": points, "box": box, "extra": extra})
            if len(points) != len(skeleton) or (box is not None and len(box) != 4):
                raise ValueError
            if is_object(objects[-1]):
                _table(skeleton, [image], [(0, objects[-1])])
        except (PosewrightError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            why = error.what if isinstance(error, PosewrightError) else "is not made as an object is"
            raise PosewrightError(why, record=f"object {number + 1} on {record}") from None
    return tuple(objects)


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


def _joined(a: Annotations, b: Annotations) -> Annotations:
    """Two tables of objects on the same images."""
    names = ("keypoints", "boxes", "iscrowd", "area", "weight", "track", "head_size")
    columns: dict[str, Any] = {name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in names}
    return replace(a, image=np.concatenate([a.image, b.image]), polygons=a.polygons + b.polygons, **columns)


# -- where a set comes from -------------------------------------------------------------------------------------------


def open_set(data: Path, output: Path | None, format: str | None, options: ReadOptions) -> tuple[LabelSet, Path]:
    """The set to label, and the file its labels go to.

    Args:
        data: a folder of pictures, or labels in any known format.
        output: COCO JSON file; where it exists already, its labels are gone on from. None for ``data`` itself where that
            is such a file written by posewright, and for ``labels.json`` in the current folder otherwise.
        format: of ``data``, where it is labels.
        options: how to read it; its skeleton is needed for a folder of pictures, unless ``output`` exists.

    Raises:
        PosewrightError: where there is nothing to label, or ``output`` is about something else.
    """
    if output is None:
        output = data if data.is_file() and _is_ours(data) else Path("labels.json")
    if output.suffix.lower() != ".json" or output.is_dir():
        raise PosewrightError("is no name of a JSON file", file=output, fix="End it with .json")
    # Its own keypoints, whatever is asked for: with a choice of them the others would be lost when it is written.
    whole = replace(options, skeleton=None)
    if output.exists() and data.exists() and output.resolve() == data.resolve():
        start = _read_labels(data, format or "coco", whole)
        _same_keypoints(start.annotations.skeleton, options.skeleton, output, "asked for")
    elif output.exists():
        before = _read_labels(output, "coco", replace(whole, images=None))
        own = before.annotations.skeleton
        _same_keypoints(own, options.skeleton, output, "asked for")
        start = _read_data(data, format, replace(options, skeleton=options.skeleton or own))
        _same_keypoints(own, start.annotations.skeleton, output, f"in {data}")
        start = _continued(before, start, output, data)
    else:
        start = _read_data(data, format, options)
    if not start.annotations.images:
        raise PosewrightError("lists no images: nothing to label", file=data)
    return _with_ids(start), output


def _same_keypoints(own: Skeleton, other: Skeleton | None, output: Path, where: str) -> None:
    if other is not None and not own.same_keypoints(other):
        raise PosewrightError(f"has other keypoints than those {where}", file=output, fix="Name another file with -o")


def _is_ours(path: Path) -> bool:
    """Whether a file is COCO JSON written by posewright, so that writing it again loses nothing of it."""
    if path.suffix.lower() != ".json":
        return False
    try:
        info = load_json(path).get("info")
    except (PosewrightError, AttributeError):
        return False
    return isinstance(info, dict) and isinstance(info.get("posewright"), dict)


def _read_data(data: Path, format: str | None, options: ReadOptions) -> LabelSet:
    if data.suffix.lower() in VIDEO_ENDINGS and data.is_file():
        raise PosewrightError("is a video", file=data, fix="Write frames of it to a folder, and label that")
    if format is None and data.is_dir() and not any(f.detect(data) for f in formats().values()):
        return _pictures(data, options)
    return _read_labels(data, format, options)


def _read_labels(path: Path, format: str | None, options: ReadOptions) -> LabelSet:
    annotations = read_annotations(path, format, options)
    notes: Any = {}
    if path.suffix.lower() == ".json" and path.is_file():
        content = load_json(path)
        for name in ("info", "posewright", "labelling"):
            content = content.get(name) if isinstance(content, dict) else None
        notes = content if isinstance(content, dict) else {}
    keys = {what: [_key(entry, path) for entry in _entries(notes.get(what))] for what in ("done", "flagged", "todo")}
    listed = {(im.path, im.frame) for im in annotations.images}
    more = [Image(name, frame=frame) for name, frame in dict.fromkeys(keys["todo"]) if (name, frame) not in listed]
    images = annotations.images + fill_sizes(more, annotations.root, lambda error: None)[0]
    place = {(im.path, im.frame): i for i, im in enumerate(images)}
    marks = {what: {place[key] for key in keys[what] if key in place} for what in ("done", "flagged")}
    todo = set(range(len(annotations.images), len(images)))
    return LabelSet(replace(annotations, images=images), marks["done"], marks["flagged"], todo)


def _entries(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _pictures(folder: Path, options: ReadOptions) -> LabelSet:
    if options.skeleton is None:
        fix = "Say which with --skeleton (a shipped name or files), --keypoints, or --model"
        raise PosewrightError(
            "is a folder of pictures, and nothing says which keypoints to label", file=folder, fix=fix
        )
    found = find_sources([folder])[0].pictures
    images = [Image(path.relative_to(folder).as_posix()) for path in found]
    filled, unreadable = fill_sizes(images, folder, lambda error: options.skipped.append(str(error)))
    images = [im for i, im in enumerate(filled) if i not in set(unreadable)]
    k = len(options.skeleton)
    nothing = np.zeros((0, k, 3)), np.zeros((0, 4))
    annotations = Annotations(options.skeleton, images, np.zeros(0, np.int64), *nothing, folder, source=str(folder))
    return LabelSet(annotations, todo=set(range(len(images))))


def _continued(before: LabelSet, start: LabelSet, output: Path, data: Path) -> LabelSet:
    """The labels of ``output``, with those pictures of ``data`` that it does not know yet."""
    a, b = before.annotations, start.annotations
    root, (ours, theirs) = join_roots([(a.root, [im.path for im in a.images]), (b.root, [im.path for im in b.images])])
    known = {(path, im.frame) for path, im in zip(ours, a.images)}
    new = [i for i, im in enumerate(b.images) if (theirs[i], im.frame) not in known]
    if a.images and len(new) == len(b.images):
        what = f"exists, and holds labels of other pictures than {data}"
        raise PosewrightError(what, file=output, fix="Name another file with -o")
    added = b.subset(new)
    images = [replace(im, path=path) for path, im in zip(ours, a.images)]
    shift, place = len(images), {i: row for row, i in enumerate(new)}
    images += [replace(b.images[i], path=theirs[i], id=None) for i in new]
    first = replace(a, images=images, root=root)
    second = replace(added, images=images, image=added.image + shift)
    marks = {
        what: getattr(before, what) | {shift + place[i] for i in getattr(start, what) if i in place}
        for what in ("done", "flagged", "todo")
    }
    return LabelSet(_joined(first, second), **marks)


def _with_ids(start: LabelSet) -> LabelSet:
    """Every picture with an id that it keeps, however many of the others become listed later."""
    a = start.annotations
    own = [im.id for im in a.images if im.id is not None]
    keep = len(set(own)) == len(own)
    taken = set(own) if keep else set()
    number, images = max((i for i in taken if isinstance(i, int)), default=0), []
    for im in a.images:
        if im.id is None or not keep:
            number += 1
            im = replace(im, id=number)
        images.append(im)
    return LabelSet(replace(a, images=images), start.done, start.flagged, start.todo)


def _written(im: Image) -> str | list[Any]:
    return im.path if im.frame is None else [im.path, im.frame]


def _key(entry: Any, file: Path) -> Key:
    from posewright.annotations.pictures import relative_path

    name, frame = entry if isinstance(entry, list) and len(entry) == 2 else (entry, None)
    if not isinstance(name, str) or not (frame is None or type(frame) is int):
        raise PosewrightError("a note on labelling names no picture", file=file, record=str(entry)[:60])
    return relative_path(name, file=file, record="info.posewright.labelling"), frame


def count_states(states: Iterable[State]) -> dict[str, int]:
    """How many pictures are labelled, done and flagged."""
    rows = [(s.labelled, s.done, s.flagged) for s in states]
    return {name: sum(row[i] for row in rows) for i, name in enumerate(("labelled", "done", "flagged"))}
