"""Where the pictures of a label file lie: safe relative paths, the folder they start from, their sizes and split."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from posewright.annotations.images import on_disk
from posewright.annotations.tables import Annotations, Image
from posewright.errors import PosewrightError
from posewright.media.header import picture_size

USUAL_FOLDERS = ("", "images", "imgs", "img", "JPEGImages", "frames", "pictures")
"""Where pictures lie beside their labels, in the order in which the folders are tried."""

_SPLIT = re.compile(r"(?<![a-z])(train|val|test)(?:id|ing|idation|set)?(?:-?dev)?(?![a-z])")


def split_of(name: str) -> str | None:
    """The split that a file or folder name speaks of: "train", "val", "test", or None for none or several.

    ``person_keypoints_val2017``, ``trainset``, ``valid`` and ``validation`` are understood; ``latest`` says nothing.
    """
    found = set(_SPLIT.findall(name.lower()))
    return found.pop() if len(found) == 1 else None


def relative_path(name: str, *, file: Path, record: str) -> str:
    """A picture's path as the label file gives it, with forward slashes.

    Raises:
        PosewrightError: where it is absolute or climbs out of the pictures' folder.
    """
    path = name.replace("\\", "/")
    parts = PurePosixPath(path).parts
    if not parts or min(map(ord, path)) < 32 or not storable(path):
        raise PosewrightError(f"picture path {name!r} is no path", file=file, record=record)
    if path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in parts:
        fix = "Paths are relative to the pictures' folder and stay inside it; say with --images which folder that is"
        raise PosewrightError(f"picture path '{name}' leaves the data folder", file=file, record=record, fix=fix)
    return "/".join(parts)


def storable(path: str) -> bool:
    """Whether a file system can hold such a path at all: to ask one for another raises errors of many kinds."""
    try:
        sizes = [len(part.encode()) for part in path.split("/")]
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return max(sizes) <= 255 and sum(sizes) + len(sizes) <= 2000


def find_root(
    paths: Sequence[str], candidates: Iterable[Path], there: Callable[[Path], bool] | None = None
) -> Path | None:
    """The folder that most pictures are found in, decided once for a set.

    Args:
        paths: the pictures' relative paths; up to 32 of them, evenly spread, are looked for.
        candidates: folders in order of preference; the earlier wins a tie.
        there: tells whether a path is what is looked for; whether it is a picture's file unless given.

    Returns:
        The folder, or None where none of them holds a single one of the pictures.
    """
    sample = paths[:: max(1, len(paths) // 32)][:32]
    best, most = None, 0
    for folder in dict.fromkeys(candidates):
        usable = storable(str(folder)) and folder.is_dir()
        hits = sum(map(there or _is_there, (folder / path for path in sample))) if usable else 0
        if hits > most:
            best, most = folder, hits
            if hits == len(sample):
                break
    return best


def _is_there(path: Path) -> bool:
    """Whether a picture is a file, or named as one inside a shard of a packed set."""
    return on_disk(path).is_file() or (path.parent.suffix == ".tar" and path.parent.is_file())


def choose_root(paths: Sequence[str], told: Path | None, candidates: Sequence[Path], source: Path) -> tuple[Path, bool]:
    """The pictures' folder and whether any picture is there.

    Reading labels does not need the pictures: where they are in none of the candidates, the first stands in, and
    ``Annotations.require_pictures`` complains when somebody needs them. A folder given with ``--images`` is a promise.

    Raises:
        PosewrightError: where ``told`` is given and holds none of the pictures looked for.
    """
    if told is None:
        root = find_root(paths, candidates)
        return (root, True) if root else (next(c for c in candidates if storable(str(c))), False)
    if not told.is_dir():
        raise PosewrightError("is no folder", file=told, fix="Give the folder of the pictures with --images")
    if paths and find_root(paths, [told]) is None:
        what = f"picture '{paths[0]}', named first in {source}, is not there, nor are the others looked for"
        raise PosewrightError(what, file=told, fix="Give the folder that the picture names are relative to")
    return told, True


def join_roots(parts: Sequence[tuple[Path, Sequence[str]]]) -> tuple[Path, list[list[str]]]:
    """One folder for pictures that lie in several, with their paths from there.

    Args:
        parts: folders, each with the paths of its pictures.

    Raises:
        PosewrightError: where the folders have nothing in common, as on two drives.
    """
    folders = [str(folder.resolve()) for folder, _ in parts]
    if len(set(folders)) == 1:
        return parts[0][0], [list(names) for _, names in parts]
    try:
        common = Path(os.path.commonpath(folders))
    except ValueError:
        raise PosewrightError("and the other pictures lie on different drives", file=parts[0][0]) from None
    prefixes = [Path(folder).relative_to(common) for folder in folders]
    return common, [[(prefix / name).as_posix() for name in names] for prefix, (_, names) in zip(prefixes, parts)]


def fill_sizes(
    images: Sequence[Image], root: Path, bad: Callable[[PosewrightError], None]
) -> tuple[list[Image], list[int]]:
    """Fill in unknown picture sizes from the files' headers, and those of frames from their videos, where these exist.

    Returns:
        The images, and the indices of those whose file is no picture; each was handed to ``bad``, which may raise.
    """
    from posewright.media.labelled import video_size

    filled, unreadable = list(images), []
    videos: dict[str, tuple[int, int]] = {}
    for i, im in enumerate(images):
        if im.width and im.height:
            continue
        path = on_disk(root / im.path)
        try:
            if im.frame is None:
                width, height = picture_size(path)
            else:
                videos[im.path] = width, height = videos.get(im.path) or video_size(path)
            filled[i] = replace(im, width=width, height=height)
        except PosewrightError as error:
            if path.exists():
                bad(error)
                unreadable.append(i)
    return filled, unreadable


def without_images(annotations: Annotations, left_out: Sequence[int]) -> Annotations:
    """The set without some of its images and the objects on them."""
    if not left_out:
        return annotations
    keep = [True] * len(annotations.images)
    for i in left_out:
        keep[i] = False
    return annotations.subset(np.array(keep))


def emptied_images(annotations: Annotations, touched: Iterable[int]) -> list[int]:
    """Images that records were meant for but that no object is left on: to take them for pictures without any object
    would teach a net silence where an object is."""
    left = set(annotations.image.tolist())
    return sorted({i for i in touched if i not in left})


def label_file(target: Path) -> Path:
    """The JSON file that a writer makes for a target: itself, or ``annotations.json`` in a folder."""
    return target if target.suffix.lower() == ".json" else target / "annotations.json"


def picture_hint(root: Path, labels: Path) -> str:
    """The pictures' folder as it is noted in a label file: relative to that file, with forward slashes.

    Absolute only where no relative path exists (another drive).
    """
    here = os.path.realpath(labels.parent)
    try:
        return Path(os.path.relpath(os.path.realpath(root), here)).as_posix()
    except ValueError:
        return Path(os.path.realpath(root)).as_posix()


def from_hint(hint: object, labels: Path) -> list[Path]:
    """The folder that :func:`picture_hint` noted in a label file, if any."""
    if not isinstance(hint, str) or not hint or "\0" in hint:
        return []
    return [Path(os.path.normpath(labels.resolve().parent / hint))]
