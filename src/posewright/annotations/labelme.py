"""LabelMe: one JSON file a picture, with shapes that a person drew; read and written.

Origin: LabelMe keeps its canvas's coordinates, in which (0, 0) is the top-left corner of the picture and (width,
height) the opposite one, both allowed; half a pixel is taken off points, rectangles and polygons alike.

A shape of type ``point`` is a keypoint and its label the keypoint's name. A ``rectangle`` is an object's box, a
``polygon`` its outline; ``group_id`` says which belong together, and ``loose_points`` tells what happens without one.
Where there is no rectangle the box comes from the keypoints, ``BOX_MARGIN`` times their extent. Other shapes (circles,
lines, masks) and rectangles' labels say nothing about keypoints and are left aside.

Visibility: LabelMe has no field for it. A point is visible, unless a flag of it called ``occluded`` or ``hidden``, or
X-AnyLabeling's ``difficult``, is set; a keypoint that is not drawn is not labelled. The writer sets ``occluded``.

The names' order is that of the one ``*classes.txt`` beside the files, if there is one (the writer makes it), else that
of a shipped skeleton with the same names, else that in which they are met.

A file may hold its picture (``imageData``). That is what counts where there is no such file: it is written into
``ReadOptions.extract``, which ``posewright convert`` chooses.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from posewright.annotations.coco_write import CORNER, DECIMALS
from posewright.annotations.json_file import head, is_number, load_json, number_rows
from posewright.annotations.loose_points import Outline, Point, Rectangle, Thing, as_tables, gather, skeleton_for
from posewright.annotations.losses import TEXT_FILES, lost, lost_of_skeleton
from posewright.annotations.pictures import emptied_images, fill_sizes, storable, without_images
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.annotations.tree import fresh_folder, walk
from posewright.annotations.video_frames import refuse_frames
from posewright.errors import PosewrightError
from posewright.media.header import picture_size
from posewright.skeleton import Skeleton
from posewright.skeletons import load_skeleton

_SHAPES = re.compile(rb'"shapes"\s*:\s*\[')
_HIDDEN = ("occluded", "hidden")
VERSION = "5.5.0"
"""The version of LabelMe whose fields are written."""


def _is_labelme(path: Path) -> bool:
    start = head(path, 1 << 16)
    return start.startswith(b"{") and _SHAPES.search(start) is not None


def _label_files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    return [folder / name for folder, names in walk(source) for name in names if name.lower().endswith(".json")]


def detect(source: Path) -> bool:
    """Whether ``source`` is such a file, or a folder that has one in it or below it."""
    return any(path.suffix.lower() == ".json" and _is_labelme(path) for path in _label_files(source))


# -- reading ----------------------------------------------------------------------------------------------------------


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read one file, or every ``.json`` file of a folder and its subfolders.

    The picture is looked for where the file says, then beside the file; with ``--images`` in that folder, under the
    label file's place below ``source`` or by its bare name.

    Raises:
        PosewrightError: naming the file and the shape that cannot be used.
    """
    if options.images is not None and not options.images.is_dir():
        raise PosewrightError("is no folder", file=options.images, fix="Give the folder of the pictures with --images")
    base = source if source.is_dir() else source.parent
    files: list[Path] = []
    found: list[tuple[Path, int, int]] = []
    objects: list[list[Thing]] = []
    inside: dict[int, Path] = {}
    for path in _label_files(source):
        try:
            content = load_json(path)
            things = _things(content, path)
            place = _picture(content, path, base, options.images)
            if isinstance(content.get("imageData"), str) and options.images is None and not place.is_file():
                inside[len(found)] = path
                if options.extract is not None:
                    place = options.extract / path.parent.relative_to(base) / place.name
            found.append((place, *_size(content)))
        except PosewrightError as error:
            options.bad(error)
            continue
        files.append(path)
        objects.append(things)
    if inside and options.extract is not None:
        _take_out({found[i][0]: path for i, path in inside.items()}, options.extract)
    elif inside:
        words = (
            f"{source}: the pictures of {len(inside)} files, which hold them inside; posewright convert takes them out"
        )
        options.skipped.append(words)
    root = options.images or _root([path for path, _, _ in found], files, base)
    start = root.resolve()
    images = [
        Image(Path(os.path.relpath(path.parent.resolve() / path.name, start)).as_posix(), w, h) for path, w, h in found
    ]
    images, unreadable = fill_sizes(images, root, options.bad)
    flat = [thing for things in objects for thing in things]
    owner = [i for i, things in enumerate(objects) for _ in things]
    try:
        skeleton = _skeleton(flat, base, options.skeleton)
    except PosewrightError as error:
        raise PosewrightError(error.what, file=error.file or source, record=error.record, fix=error.fix) from None
    result = as_tables(flat, owner, images, skeleton, root, source, files.__getitem__, options.bad)
    return without_images(result, sorted({*unreadable, *emptied_images(result, owner)}))


def _take_out(pictures: dict[Path, Path], target: Path) -> None:
    """Write pictures that are inside label files to their places in a new folder.

    Args:
        pictures: the label file by the picture's place below ``target``.
    """
    with fresh_folder(target) as folder:
        for place, path in pictures.items():
            try:
                data = base64.b64decode(load_json(path)["imageData"], validate=True)
            except ValueError:
                raise PosewrightError("its imageData is no picture", file=path) from None
            inner = folder / place.relative_to(target)
            inner.parent.mkdir(parents=True, exist_ok=True)
            inner.write_bytes(data)
            try:
                picture_size(inner)
            except PosewrightError as error:
                raise PosewrightError(f"its imageData {error.what}", file=path) from None


def _skeleton(things: list[Thing], folder: Path, wanted: Skeleton | None) -> Skeleton:
    seen = [name for thing in things for name in thing.points]
    labels = Counter(thing.label for thing in things if thing.label)
    name = labels.most_common(1)[0][0] if labels else None
    if wanted is None and len(list(folder.glob("*classes.txt"))) == 1:
        own = load_skeleton(str(folder))
        if set(seen) <= set(own.keypoints):
            return own
    return skeleton_for(seen, None, wanted, name)


def _things(content: Any, path: Path) -> list[Thing]:
    """The objects that the shapes of one file make."""
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise PosewrightError("is no LabelMe file: it has no list 'shapes'", file=path)
    points: list[Point] = []
    rectangles: list[Rectangle] = []
    outlines: list[Outline] = []
    for i, shape in enumerate(content["shapes"]):
        record = f"shape {i + 1}"
        if not isinstance(shape, dict):
            raise PosewrightError("is no object", file=path, record=record)
        kind, label, mark = shape.get("shape_type"), shape.get("label"), shape.get("group_id")
        if kind not in ("point", "rectangle", "polygon"):
            continue
        if not isinstance(label, str) or not label.strip():
            raise PosewrightError("has no label", file=path, record=record)
        if mark is not None and not isinstance(mark, (int, str)):
            raise PosewrightError(f"group_id {str(mark)[:30]} is no number", file=path, record=record)
        record = f"shape {i + 1} ('{label}')"
        if not isinstance(shape.get("points"), list):
            raise PosewrightError("has no list of points", file=path, record=record)
        xy, problems = number_rows(shape["points"], (2,))
        if problems:
            raise PosewrightError(f"a point {next(iter(problems.values()))}", file=path, record=record)
        if (kind == "point" and len(xy) != 1) or (kind == "rectangle" and len(xy) not in (2, 4)):
            raise PosewrightError(f"a {kind} with {len(xy)} points", file=path, record=record)
        if kind == "polygon":
            # One with fewer corners than three is a slip of the mouse that has no inside.
            if len(xy) > 2 and np.isfinite(xy).all():
                outlines.append(Outline(xy - CORNER, mark))
        elif kind == "rectangle":
            x0, y0, x1, y1 = map(float, [*(xy.min(0) - CORNER), *(xy.max(0) - CORNER)])  # drawn from any corner
            rectangles.append(Rectangle((x0, y0, x1, y1), label.strip(), mark))
        else:
            x, y = map(float, xy[0] - CORNER)
            points.append(Point(label.strip(), x, y, 1 if _hidden(shape) else 2, mark))
    try:
        return gather(points, rectangles, outlines)
    except PosewrightError as error:
        raise PosewrightError(error.what, file=path, fix=error.fix) from None


def _hidden(shape: dict[str, Any]) -> bool:
    flags = shape.get("flags")
    return shape.get("difficult") is True or (
        isinstance(flags, dict) and any(flags.get(name) is True for name in _HIDDEN)
    )


def _size(content: dict[str, Any]) -> tuple[int, int]:
    """Width and height as the file says, 0 where it does not."""
    said: list[Any] = [content.get("imageWidth"), content.get("imageHeight")]
    if all(is_number(value) and 1 <= value < 1e6 for value in said):
        return int(said[0]), int(said[1])
    return 0, 0


def _picture(content: dict[str, Any], path: Path, base: Path, told: Path | None) -> Path:
    """The file of the picture, which need not exist where no other is told."""
    said = content.get("imagePath")
    if not isinstance(said, str) or not said or min(map(ord, said)) < 32:
        raise PosewrightError("has no imagePath", file=path)
    said = said.replace("\\", "/")
    name = PurePosixPath(said).name
    if name in ("", "..", ".") or not storable(said):
        raise PosewrightError(f"imagePath '{said[:60]}' is no picture", file=path)
    if told is not None:
        places = [told / path.parent.relative_to(base) / name, told / name]
        return next((place for place in places if place.is_file()), places[0])
    beside = path.parent / name
    if said.startswith("/") or re.match(r"[A-Za-z]:", said):
        return beside  # where it lay on the machine it was labelled on
    place = Path(os.path.normpath(path.parent / said))
    # LabelMe itself writes '../photos/a.jpg' where labels and pictures lie apart; it must be there to be believed.
    believed = place.is_file() or (not beside.is_file() and base.resolve() in place.resolve().parents)
    return place if believed else beside


def _root(pictures: list[Path], files: list[Path], base: Path) -> Path:
    """The folder that the pictures' paths start from.

    The labels' own where all pictures lie in it, else the one whose tree the labels mirror, else the deepest common one.
    """
    here = base.resolve()
    folders = [path.parent.resolve() for path in pictures]
    if all(here == folder or here in folder.parents for folder in folders):
        return base
    mirrored = set()
    for folder, file in zip(folders, files):
        inner = file.parent.relative_to(base).parts
        same = not inner or folder.parts[-len(inner) :] == inner
        mirrored.add(Path(*folder.parts[: len(folder.parts) - len(inner)]) if same else None)
    if len(mirrored) == 1 and (only := mirrored.pop()) is not None:
        return only
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:
        raise PosewrightError("its pictures lie on different drives", file=base) from None


# -- writing ----------------------------------------------------------------------------------------------------------


def losses(annotations: Annotations) -> list[str]:
    """What the format has no place for."""
    masks = sum(isinstance(p, dict) for p in annotations.polygons)
    lines = lost(annotations, "splits", "groups", "crowds", "areas", "tracks", "weights", "head sizes", "terms")
    lines += [f"{masks} outlines that are run-length masks"] if masks else []
    return lines + lost_of_skeleton(annotations.skeleton, *TEXT_FILES)


def write(annotations: Annotations, target: Path) -> list[Path]:
    """Write one file a picture, under the pictures' own folders and names, and the skeleton's text files.

    The pictures stay where they are: ``imagePath`` leads to them from the written file, as LabelMe's own does.

    Args:
        annotations: the labels.
        target: a folder, new or empty, so that no labels made by hand are overwritten.

    Returns:
        The folder, which is written as a whole.

    Raises:
        PosewrightError: where the folder is not new, a picture is a video's frame, or a file cannot be written.
    """
    a = annotations
    refuse_frames(a, "LabelMe")
    stems = Counter(PurePosixPath(im.path).with_suffix("").as_posix() for im in a.images)
    of_image: list[list[int]] = [[] for _ in a.images]
    for i in np.flatnonzero(~a.iscrowd):
        of_image[a.image[i]].append(int(i))
    with fresh_folder(target) as folder:
        for im, rows in zip(a.images, of_image):
            inner = PurePosixPath(im.path)
            short = inner.with_suffix("").as_posix()
            name = f"{short if stems[short] == 1 else inner}.json"
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            there = os.path.realpath((target / name).parent)
            content: dict[str, Any] = {
                "version": VERSION,
                "flags": {},
                "shapes": [shape for group, i in enumerate(rows) for shape in _shapes(a, i, group)],
                "imagePath": Path(os.path.relpath(os.path.realpath(a.root / im.path), there)).as_posix(),
                "imageData": None,
                "imageHeight": im.height,
                "imageWidth": im.width,
            }
            path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8")
        a.skeleton.to_files(folder, a.skeleton.name)
    return [target]


def _shapes(a: Annotations, i: int, group: int) -> list[dict[str, Any]]:
    """The box, the keypoints and the outlines of one object."""

    def shape(label: str, kind: str, points: Any, hidden: bool = False) -> dict[str, Any]:
        return {
            "label": label,
            "points": (np.asarray(points, float).reshape(-1, 2) + CORNER).round(DECIMALS).tolist(),
            "group_id": group,
            "description": "",
            "shape_type": kind,
            "flags": {_HIDDEN[0]: True} if hidden else {},
            "mask": None,
        }

    keypoints = zip(a.skeleton.keypoints, a.keypoints[i])
    drawn = [shape(name, "point", point[:2], point[2] == 1) for name, point in keypoints if point[2] > 0]
    outlines = [] if isinstance(a.polygons[i], dict) else a.polygons[i]
    around = [shape(a.skeleton.name, "polygon", p) for p in outlines if len(p) > 2]
    return [shape(a.skeleton.name, "rectangle", a.boxes[i]), *drawn, *around]


register(
    Format(
        "labelme",
        "LabelMe: one .json file with points, rectangles and polygons for each picture",
        detect,
        read,
        write,
        losses,
        embedded=True,
    )
)
