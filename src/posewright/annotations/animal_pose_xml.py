"""Animal-Pose as first published: an XML file an animal, in two parts (``PASCAL2011_animal_annotation/``,
``animalpose_anno2/``); read only.

The parts spell keypoints differently (``L_EarBase`` and ``L_ear``); both are read as ``animal-20``. Pictures of the first
part are named without ending and lie in PASCAL VOC's ``JPEGImages/``; those of the second lie in
``animalpose_image_part2/`` by category. In the second part the attribute that should be called ymin is called xmax, and
is read as ymin where that is missing.

Origin: not stated anywhere; taken as it stands, as pixel indices from 0, which is what the published converters do.

Visibility: ``visible`` 1 is visible; 0 is not labelled. Box: ``visible_bounds``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.json_file import head
from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.annotations.pictures import (
    emptied_images,
    fill_sizes,
    find_root,
    join_roots,
    relative_path,
    without_images,
)
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.annotations.xml_file import load_xml
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

Array = NDArray[np.float64]

DEPTH = 3
"""How many levels of subfolders are looked through."""
FOLDERS = ("", "images", "VOC2012/JPEGImages", "JPEGImages", "animalpose_image_part2")
"""Where the pictures lie in the set's folder."""
_MIDDLE = {"nose": "nose", "throat": "throat", "tailbase": "tailbase", "tail": "tailbase", "withers": "withers"}
_SIDED = {"eye": "eye", "earbase": "ear", "ear": "ear"} | {
    f"{end}_{joint}": f"{word}_{joint}"
    for end, word in (("f", "front"), ("b", "back"))
    for joint in ("elbow", "knee", "paw")
}
NAMES = _MIDDLE | {
    f"{s}_{name}": f"{side}_{kp}" for s, side in (("l", "left"), ("r", "right")) for name, kp in _SIDED.items()
}
"""The files' names, in lower case, and those of ``animal-20``."""


@dataclass(frozen=True)
class _Animal:
    file: Path
    picture: str
    by_category: bool
    """Whether the picture lies in a folder of its category, as in the second part."""
    keypoints: Array
    box: Array


def _is_animal(path: Path) -> bool:
    start = head(path, 4096)
    return b"<annotation" in start and b"visible_bounds" in start and b"<keypoint" in start


def _xml_files(source: Path) -> Iterator[Path]:
    if source.is_file():
        if source.suffix.lower() == ".xml" and _is_animal(source):
            yield source
        return
    for folder, below, names in os.walk(source):
        level = len(Path(folder).relative_to(source).parts)
        below[:] = sorted(name for name in below if not name.startswith(".")) if level < DEPTH else []
        for name in sorted(names):
            if name.lower().endswith(".xml") and _is_animal(Path(folder, name)):
                yield Path(folder, name)


def detect(source: Path) -> bool:
    """Whether ``source`` is such a file or a folder with some in it or below it."""
    return next(_xml_files(source), None) is not None


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read a file, or all of a folder and below; both parts may be in it.

    Raises:
        PosewrightError: naming the file that cannot be used.
    """
    skeleton = options.skeleton or BUILTIN["animal-20"]
    animals: list[_Animal] = []
    for path in _xml_files(source):
        try:
            animals.append(_animal(path, skeleton))
        except PosewrightError as error:
            options.bad(error)
    root, names = _pictures(source, animals, options.images)
    place: dict[str, int] = {}
    for name in names:
        place.setdefault(name, len(place))
    images, unreadable = fill_sizes([Image(name) for name in place], root, options.bad)

    def report(i: int, problem: str) -> None:
        options.bad(PosewrightError(problem, file=animals[i].file))

    keypoints = np.array([a.keypoints for a in animals]).reshape(-1, len(skeleton), 3)
    boxes = np.array([a.box for a in animals]).reshape(-1, 4)
    image = np.array([place[name] for name in names], np.int64)
    result = Annotations(skeleton, images, image, keypoints, boxes, root, source=str(source), report=report)
    return without_images(result, unreadable + emptied_images(result, range(len(images))))


def _animal(path: Path, skeleton: Skeleton) -> _Animal:
    tree = load_xml(path)
    image, category = (tree.findtext("image") or "").strip(), (tree.findtext("category") or "").strip()
    if not image:
        raise PosewrightError("names no image", file=path)
    by_category = "." in image
    name = f"{category}/{image}" if by_category and category else image if by_category else f"{image}.jpg"
    keypoints = np.zeros((len(skeleton), 3))
    for node in tree.iter("keypoint"):
        spelled = node.get("name", "")
        known = NAMES.get(spelled.lower(), spelled)
        if known not in skeleton.keypoints:
            raise PosewrightError(f"has an unknown keypoint '{spelled}'", file=path)
        if node.get("visible") not in ("0", "1"):
            what = f"keypoint '{spelled}' has visible {node.get('visible')!r}, neither 0 nor 1"
            raise PosewrightError(what, file=path)
        if node.get("visible") == "1":
            keypoints[skeleton.index(known)] = *(_number(node, side, path) for side in "xy"), 2
    bounds = tree.find("visible_bounds")
    if bounds is None:
        box = boxes_from_keypoints(keypoints[None])[0]
    else:
        top = "ymin" if bounds.get("ymin") is not None else "xmax"
        x, y, width, height = (_number(bounds, side, path) for side in ("xmin", top, "width", "height"))
        box = np.array([x, y, x + width, y + height])
    return _Animal(path, relative_path(name, file=path, record="image"), by_category, keypoints, box)


def _number(node: ElementTree.Element, name: str, path: Path) -> float:
    try:
        return float(node.get(name, ""))
    except ValueError:
        raise PosewrightError(f"{node.tag}: {name} is {node.get(name)!r}, not a number", file=path) from None


def _pictures(source: Path, animals: list[_Animal], told: Path | None) -> tuple[Path, list[str]]:
    """The folder that pictures are named from, and the name of each animal's."""
    folder = source if source.is_dir() else source.parent
    if told is not None and not told.is_dir():
        raise PosewrightError("is no folder", file=told, fix="Give the folder of the pictures with --images")
    bases = [told] if told else [folder, *list(folder.resolve().parents)[:2]]
    candidates = [base / name for base in bases for name in FOLDERS]
    parts = [[i for i, a in enumerate(animals) if a.by_category is kind] for kind in (False, True)]
    roots = []
    for part in parts:
        names = [animals[i].picture for i in part]
        root = find_root(names, candidates)
        if told and part and root is None:
            raise PosewrightError(f"picture '{names[0]}' is not there, nor are the others looked for", file=told)
        roots.append((root or bases[0], names))
    used = [(root, part) for root, part in zip(roots, parts) if part]
    if not used:
        return bases[0], []
    root, named = join_roots([root for root, _ in used])
    out = [""] * len(animals)
    for (_, part), names in zip(used, named):
        for i, name in zip(part, names):
            out[i] = name
    return root, out


register(
    Format("animal-pose-xml", "Animal-Pose's XML files, one an animal, as first published in two parts", detect, read)
)
