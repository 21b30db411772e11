"""YOLO-pose: one text file a picture, one line an object, and a YAML file about the set; read and written.

A line is ``class x y width height`` and then ``x y`` or ``x y v`` for each keypoint: the box's centre, its sides and
the keypoints as shares of the picture's width and height. The YAML file's ``kpt_shape`` says which of the two it is,
``flip_idx`` which keypoints change places in a mirror, ``kpt_names`` what they are called. Without a YAML file the lines
must have three numbers a keypoint, or the skeleton must be given. Sets of all classes are read as one kind of object.

Origin: the top-left corner of the picture is (0, 0) and the opposite one (1, 1): Ultralytics' own mirror maps x to
``width - x`` for boxes and keypoints alike, and CVAT and LabelMe converters divide their corner-based coordinates by
the size. Half a pixel is taken off. (Ultralytics' converter divides COCO's keypoints, which are pixel indices, as they
are; what it wrote is half a pixel off, and no file tells that it was the writer.)

Visibility: with three numbers it is COCO's (0, 1, 2), which CVAT's export follows too (absent, hidden, visible). With
two, a keypoint at (0, 0) or with a negative number is not labelled and any other is visible, as Ultralytics takes it.

Layouts: pictures in ``images/...`` with labels in ``labels/...``, or both in one folder. ``train``, ``val`` and
``test`` of the YAML file, in any case (``Train:``), name folders of pictures or lists of them (``Train.txt``); the
names of further subsets, which CVAT allows, count where they lead to such a list, as no split. A picture that the YAML
file names and that has no label file, or an empty one, has no object; without a YAML file only those with one count.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.json_file import head, is_number
from posewright.annotations.pictures import emptied_images, fill_sizes, without_images
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.annotations.tree import walk
from posewright.annotations.yaml_file import load_yaml
from posewright.annotations.yolo_layout import (
    entries_of_folder,
    entries_of_yaml,
    has_visibility,
    is_label_file,
)
from posewright.annotations.yolo_write import losses, write
from posewright.errors import PosewrightError
from posewright.files import read_text
from posewright.sides import swaps_from_names
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

Array = NDArray[np.float64]

_SHAPE = re.compile(rb"^kpt_shape\s*:", re.MULTILINE)
LOOKED_AT = 32
"""Text files of a folder that are looked into to tell whether it is such a set."""


# -- which files ------------------------------------------------------------------------------------------------------


def _yaml_file(source: Path) -> Path | None:
    """The YAML file of the set, where it says that it is one with keypoints."""
    if source.is_file():
        found = [source] if source.suffix.lower() in (".yaml", ".yml") else []
    else:
        found = sorted(path for path in source.iterdir() if path.suffix.lower() in (".yaml", ".yml") and path.is_file())
    return next((path for path in found if _SHAPE.search(head(path))), None)


def detect(source: Path) -> bool:
    """Whether ``source`` is a YAML file with ``kpt_shape``, a label file, or a folder with either in it or below it."""
    if _yaml_file(source) is not None:
        return True
    if source.is_file():
        return source.suffix.lower() == ".txt" and is_label_file(source)
    texts = (folder / name for folder, names in walk(source) for name in names if name.lower().endswith(".txt"))
    return any(is_label_file(path) for path, _ in zip(texts, range(LOOKED_AT)))


# -- reading ----------------------------------------------------------------------------------------------------------


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read a set by its YAML file, a folder without one, or one label file.

    The pictures must be there, since the numbers are shares of their sizes; ``--images`` says where, where it is neither
    the YAML file's ``path`` nor beside the labels.

    Raises:
        PosewrightError: naming the file and the line that cannot be used.
    """
    if options.images is not None and not options.images.is_dir():
        raise PosewrightError("is no folder", file=options.images, fix="Give the folder of the pictures with --images")
    yaml = _yaml_file(source)
    about = load_yaml(yaml) if yaml else {}
    shape = _shape(about, yaml) if yaml else None
    if yaml:
        root, entries = entries_of_yaml(about, yaml, options)
    else:
        root, entries = entries_of_folder(source, options)
    images = [Image(entry.picture, split=entry.split) for entry in entries]
    images, unreadable = fill_sizes(images, root, options.bad)
    lost = set(unreadable)
    rows: list[tuple[int, int, Array]] = []
    for i, (entry, im) in enumerate(zip(entries, images)):
        if i in lost:
            continue
        if not im.width:
            fix = "The labels are shares of its size. Say with --images where the pictures are"
            options.bad(
                PosewrightError(f"picture '{entry.picture}' is not there", file=entry.labels or source, fix=fix)
            )
            lost.add(i)
        elif entry.labels is not None:
            try:
                rows += [(i, number, values) for number, values in _lines(entry.labels)]
            except PosewrightError as error:
                options.bad(error)
                lost.add(i)
    shape = shape or _shape_of_lines([values for _, _, values in rows], options.skeleton, source)
    skeleton = _skeleton(about, shape[0], options.skeleton, yaml or source)
    width = 5 + shape[0] * shape[1]
    good = []
    for i, number, values in rows:
        if len(values) == width:
            good.append((i, number, values))
            continue
        what = f"has {len(values)} numbers, not 5 + {shape[0]} x {shape[1]} = {width}"
        options.bad(PosewrightError(what, file=entries[i].labels, record=f"line {number}"))
    place = np.array([i for i, _, _ in good], np.int64)
    sizes = np.array([(im.width, im.height) for im in images], float).reshape(-1, 2)[place]
    keypoints, boxes = _pixels(np.array([v for _, _, v in good], float).reshape(-1, width), sizes, *shape)

    def report(k: int, problem: str) -> None:
        options.bad(PosewrightError(problem, file=entries[good[k][0]].labels, record=f"line {good[k][1]}"))

    result = Annotations(skeleton, images, place, keypoints, boxes, root, source=str(source), report=report)
    touched = {i for i, _, _ in rows}
    return without_images(result, sorted(lost | set(emptied_images(result, touched))))


def _lines(path: Path) -> list[tuple[int, Array]]:
    """The numbers of each line that is not blank, with the line's number."""
    found = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = np.array([float(word) for word in line.split()])
        except ValueError:
            what = f"'{line.strip()[:40]}' is not numbers"
            raise PosewrightError(what, file=path, record=f"line {number}") from None
        if not np.isfinite(values).all() or abs(values).max() > 1e6:
            raise PosewrightError("holds a number that is not finite, or huge", file=path, record=f"line {number}")
        if values[0] < 0 or values[0] != int(values[0]):
            raise PosewrightError(f"class {values[0]:g} is no class number", file=path, record=f"line {number}")
        found.append((number, values))
    return found


def _pixels(values: Array, sizes: Array, count: int, dims: int) -> tuple[Array, Array]:
    """Keypoints ``[N, K, 3]`` and boxes ``[N, 4]`` in pixels of the pictures."""
    stored = values[:, 5:].reshape(len(values), count, dims)
    xy = stored[..., :2] * sizes[:, None] - 0.5
    if dims == 3:
        v = stored[..., 2]
    else:
        unset = (stored < 0).any(2) | (stored == 0).all(2)
        v = np.where(unset, 0.0, 2.0)
    centre, half = values[:, 1:3] * sizes - 0.5, values[:, 3:5] * sizes / 2
    return np.concatenate([xy, v[..., None]], 2), np.concatenate([centre - half, centre + half], 1)


# -- what the keypoints are -------------------------------------------------------------------------------------------


def _shape(about: dict[str, Any], path: Path) -> tuple[int, int]:
    """Number of keypoints, and of numbers each."""
    shape = about.get("kpt_shape")
    fits = isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape)
    if not fits or not 1 <= shape[0] <= 10_000 or shape[1] not in (2, 3):  # type: ignore[index]  # fits says so
        raise PosewrightError(f"kpt_shape {str(shape)[:40]} is not [keypoints, 2 or 3]", file=path)
    return shape[0], shape[1]  # type: ignore[index]


def _shape_of_lines(rows: list[Array], wanted: Skeleton | None, source: Path) -> tuple[int, int]:
    if wanted is not None:
        flat = any(len(values) == 5 + 2 * len(wanted) and not has_visibility(values) for values in rows)
        return len(wanted), 2 if flat else 3
    known = {(len(values) - 5) // 3 for values in rows if has_visibility(values)}
    if len(known) != 1:
        what = (
            f"has lines with {' or '.join(map(str, sorted(known))) or 'no'} keypoints, and no YAML file with kpt_shape"
        )
        raise PosewrightError(what, file=source, fix="Write one beside it, or give --skeleton NAME or FILES")
    return known.pop(), 3


def _skeleton(about: dict[str, Any], count: int, wanted: Skeleton | None, path: Path) -> Skeleton:
    """As told; as ``posewright``'s own entry, ``kpt_names`` or COCO's mirror order say; else numbered names."""
    if wanted is not None:
        if len(wanted) != count:
            raise PosewrightError(f"has {count} keypoints, skeleton '{wanted.name}' {len(wanted)}", file=path)
        return wanted
    try:
        own = about.get("posewright")
        if isinstance(own, dict) and len(skeleton := Skeleton.from_dict(own)) == count:
            return skeleton
        names, flip = _names(about.get("kpt_names"), count), _flip(about.get("flip_idx"), count)
        for shipped in BUILTIN.values():
            same = names == shipped.keypoints if names else shipped.name == "coco-17" and flip == shipped.flip_order()
            if same:
                return shipped
        swaps = tuple((i, j) for i, j in enumerate(flip or ()) if i < j)
        names = names or tuple(f"keypoint_{i + 1}" for i in range(count))
        return Skeleton(_class(about.get("names")), names, swaps if flip else swaps_from_names(names))
    except PosewrightError as error:
        raise PosewrightError(error.what, file=path, fix=error.fix) from None
    except (ValueError, OverflowError) as error:
        raise PosewrightError(f"its skeleton cannot be used: {error}", file=path) from None


def _names(said: object, count: int) -> tuple[str, ...] | None:
    """``kpt_names``: a list, or a list for each class, which then have to agree."""
    lists = list(said.values()) if isinstance(said, dict) else [said]
    found = {tuple(map(str, names)) for names in lists if isinstance(names, list) and len(names) == count}
    if len(found) > 1:
        fix = "Give --skeleton NAME or FILES for the ones to read"
        raise PosewrightError("kpt_names differ between the classes", fix=fix)
    return found.pop() if found else None


def _flip(said: object, count: int) -> list[int] | None:
    if not isinstance(said, list) or not said:
        return None
    order = [int(i) if is_number(i) and abs(i) < count else -1 for i in said]
    if len(order) != count or any(i < 0 or order[i] != k for k, i in enumerate(order)):
        raise PosewrightError(f"flip_idx does not pair up {count} keypoints")
    return order


def _class(said: object) -> str:
    """The object's name: the class's where there is one."""
    names = list(said.values()) if isinstance(said, dict) else said
    return str(names[0]) if isinstance(names, list) and len(names) == 1 else "object"


register(
    Format(
        "yolo-pose",
        "YOLO-pose: a .txt file for each picture, in labels/ or beside it, and mostly a data.yaml",
        detect,
        read,
        write,
        losses,
        frames="copied",
    )
)
