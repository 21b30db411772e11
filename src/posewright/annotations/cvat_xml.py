"""CVAT's own XML, "CVAT for images 1.1" and "CVAT for video 1.1", of a task, a job or a project; read only.

Origin: CVAT's canvas has (0, 0) at the top-left corner of the picture and (width, height) at the opposite one; half a
pixel is taken off points, boxes and polygons alike.

Visibility: ``outside`` is not labelled, ``occluded`` hidden, any other point visible.

Objects: a skeleton is one. Its box is the one of the same group; without a group, that of the boxes without one that fits
it best and holds most of its points; else it comes from the keypoints, ``BOX_MARGIN`` times their extent. Polygons of its
group are its outline. Where a file has no skeletons, single points are keypoints called by their labels, and group
or box say whose they are, as ``loose_points`` tells; and shapes of several points are one object each, with keypoints
"1", "2", ..., or those of the skeleton that is given. A box without a point is an object only where boxes of its label
have points elsewhere. Of several kinds of skeletons (or of shapes of several points) one is read: see
``ReadOptions.category``; kinds with the same keypoints are read as one. Attributes and other shapes are left aside.

Pictures: those listed (all of a task, so one without shapes counts as a picture without an object), or the frames of a
video on which something is drawn, those that CVAT interpolated included. Frame numbers are the video's own: CVAT has
already applied the task's start frame and step. Frames are taken from ``frame_000000.png`` and so on where the export
holds them, else from the task's video. A subset called train, validation or test is a split; a video is a group; a
track's number is the track id of a skeleton.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element

from posewright.annotations.cvat_objects import objects_of
from posewright.annotations.cvat_places import Place, places
from posewright.annotations.cvat_shapes import SHAPES, Frame, Meta, read_meta, whole
from posewright.annotations.json_file import head
from posewright.annotations.loose_points import Thing, as_tables
from posewright.annotations.pictures import emptied_images, fill_sizes, join_roots, split_of, without_images
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.annotations.tree import walk
from posewright.annotations.xml_file import load_xml
from posewright.errors import PosewrightError

_ROOT = re.compile(rb"<annotations\b[^>]*>\s*(<!--.*?-->\s*)*<(version|meta|image|track)\b", re.DOTALL)


def _is_cvat(path: Path) -> bool:
    return _ROOT.search(head(path, 4096)) is not None


def _label_files(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() == ".xml" else []
    return [folder / name for folder, names in walk(source) for name in names if name.lower().endswith(".xml")]


def detect(source: Path) -> bool:
    """Whether ``source`` is such a file, or a folder that has one in it or below it."""
    return any(map(_is_cvat, _label_files(source)))


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass
class _Part:
    """One file: its frames in order, what it says of labels and tasks, and where its pictures are."""

    file: Path
    frames: list[Frame]
    meta: Meta
    root: Path
    places: list[Place]


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read a file, or all of a folder and below, as CVAT's archives unpack (``annotations.xml`` and ``images/``).

    The pictures are looked for beside each file and in the usual folders, or with ``--images`` in that folder.

    Raises:
        PosewrightError: naming the file, the picture and the shape that cannot be used.
    """
    files = [path for path in _label_files(source) if source.is_file() or _is_cvat(path)]
    if not files:
        raise PosewrightError("holds no XML file of CVAT's", file=source)
    parts = [_part(path, options) for path in files]
    skeleton, things = objects_of([(part.file, part.frames, part.meta) for part in parts], options, source)
    root, named = join_roots([(part.root, [place.path for place in part.places]) for part in parts])
    images: list[Image] = []
    objects: list[Thing] = []
    owner: list[int] = []
    labels: list[Path] = []
    seen: set[tuple[str, int | None]] = set()
    tracks = 0
    for part, names, drawn in zip(parts, named, things):
        highest = max((thing.track for row in drawn for thing in row), default=-1)
        for frame, place, path, row in zip(part.frames, part.places, names, drawn):
            if frame.broken:
                continue
            if (path, place.frame) in seen:
                fix = "Two tasks with pictures of one name cannot be told apart: give them one after the other"
                options.bad(PosewrightError("is labelled twice", file=part.file, record=frame.record, fix=fix))
                continue
            seen.add((path, place.frame))
            split = split_of(frame.subset) if frame.subset else None
            images.append(Image(path, *frame.size, place.frame, split, place.group))
            labels.append(part.file)
            objects += [replace(t, track=t.track + tracks) if t.track >= 0 else t for t in row]
            owner += [len(images) - 1] * len(row)
        tracks += highest + 1
    sized, unreadable = fill_sizes(images, root, options.bad)
    result = as_tables(objects, owner, sized, skeleton, root, source, labels.__getitem__, options.bad)
    return without_images(result, sorted({*unreadable, *emptied_images(result, owner)}))


def _part(path: Path, options: ReadOptions) -> _Part:
    root = load_xml(path)
    if root.tag != "annotations":
        raise PosewrightError(f"is no file of CVAT's: its root is '{root.tag[:40]}'", file=path)
    meta = read_meta(root)
    frames: _Frames = {}
    for node in root:
        try:
            if node.tag == "image":
                _image(node, frames, path, options)
            elif node.tag == "track":
                _track(node, frames, meta, path, options)
        except PosewrightError as error:
            options.bad(error)
    kept = list(frames.values())
    folder, found = places(kept, meta, path, options)
    kept = [f if any(f.size) or f.name else replace(f, size=meta.task(f.task).size) for f in kept]
    return _Part(path, kept, meta, folder, found)


_Frames = dict[tuple[str, str | int], Frame]
"""By task, and name or number."""
_VIDEO_FRAME = re.compile(r"frame_([0-9]{6,9})")
"""What CVAT calls a video's frame, without the ending that it gives the picture's file."""


def _image(node: Element, frames: _Frames, path: Path, options: ReadOptions) -> None:
    """A picture, or a video's frame in "CVAT for images", with its shapes."""
    said = node.get("name")
    if not said:
        raise PosewrightError("has no name", file=path, record=f"image {node.get('id', '')}".rstrip())
    numbered = _VIDEO_FRAME.fullmatch(said)
    sides = [node.get(side, "") for side in ("width", "height")]
    known = all(re.fullmatch("[0-9]{1,6}", side) for side in sides)
    frame = Frame(
        node.get("task_id", ""),
        None if numbered else said,
        int(numbered.group(1)) if numbered else -1,
        node.get("subset", ""),
        (int(sides[0]), int(sides[1])) if known else (0, 0),
    )
    key = (frame.task, said if frame.name else frame.number)
    if key in frames:
        frames[key].broken = True  # nobody can say which of the two is right
        raise PosewrightError("is listed twice", file=path, record=frame.record)
    frames[key] = frame
    for shape in node:
        if shape.tag in SHAPES:
            _add(frame, shape, shape.get("label"), shape.get("group_id"), -1, path, options)


def _track(node: Element, frames: _Frames, meta: Meta, path: Path, options: ReadOptions) -> None:
    """One object through the frames of a video; frames where it is outside are not begun for it."""
    record = f"track {node.get('id', '')}".rstrip()
    track = whole(node, "id", path, record)
    task = node.get("task_id", "")
    subset = node.get("subset") or meta.task(task).subset
    for shape in node:
        inside = [inner for inner in shape.iter("points") if inner.get("outside") != "1"]
        if shape.tag not in SHAPES or shape.get("outside") == "1" or (shape.tag == "skeleton" and not inside):
            continue
        try:
            number = whole(shape, "frame", path, f"{record}, {shape.tag}")
        except PosewrightError as error:
            options.bad(error)
            continue
        frame = frames.setdefault((task, number), Frame(task, None, number, subset, (0, 0)))
        _add(frame, shape, node.get("label"), node.get("group_id"), track, path, options)


def _add(
    frame: Frame, shape: Element, label: str | None, group: str | None, track: int, path: Path, options: ReadOptions
) -> None:
    try:
        if not label or not label.strip():
            raise PosewrightError(f"a {shape.tag} has no label", file=path, record=frame.record)
        frame.add(shape, label.strip(), group if group not in (None, "", "0") else None, track, path)
    except PosewrightError as error:
        options.bad(error)
        frame.broken = True


register(
    Format(
        "cvat",
        "CVAT for images or for video 1.1: annotations.xml with points or skeletons, and the pictures or the video",
        detect,
        read,
        asks_category=True,
    )
)
