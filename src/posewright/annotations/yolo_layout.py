"""Where the pictures and label files of a YOLO-pose set lie; ``yolo.py`` tells the layouts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.foreign_paths import local_paths
from posewright.annotations.json_file import head
from posewright.annotations.pictures import relative_path, split_of, storable
from posewright.annotations.registry import ReadOptions
from posewright.annotations.tree import walk
from posewright.errors import PosewrightError
from posewright.files import read_text

Array = NDArray[np.float64]

_WORDS = ("path", "names", "nc", "kpt_shape", "kpt_names", "flip_idx", "download", "posewright")
"""Keys of the YAML file that name no subset."""


@dataclass(frozen=True)
class Entry:
    """A picture's path from the root, its label file (None where it has none) and its split."""

    picture: str
    labels: Path | None
    split: str | None


def is_label_file(path: Path) -> bool:
    """Whether the first line could be an object with keypoints that have a visibility."""
    line = next(iter(head(path).splitlines()), b"")
    try:
        numbers = np.array([float(word) for word in line.split()])
    except ValueError:
        return False
    return has_visibility(numbers) and numbers[0] == int(numbers[0]) and bool((abs(numbers[1:5]) <= 1.5).all())


def has_visibility(numbers: Array) -> bool:
    count = len(numbers) - 5
    return (
        count >= 3 and count % 3 == 0 and bool(np.isfinite(numbers).all() and np.isin(numbers[7::3], (0, 1, 2)).all())
    )


def entries_of_yaml(about: dict[str, Any], yaml: Path, options: ReadOptions) -> tuple[Path, list[Entry]]:
    """The root, and every picture that the YAML file's subsets name."""
    roots = [yaml.parent]
    said = about.get("path")
    if isinstance(said, str) and said and "\0" not in said and storable(said):
        folder = Path(os.path.normpath(yaml.parent / said))
        roots = [folder, yaml.parent] if folder.is_dir() else roots
    entries: dict[str, Entry] = {}
    subsets = 0
    named = {key: _texts(value) for key, value in about.items() if key not in _WORDS}
    texts = [text for values in named.values() for text in values]
    told = [options.images] if options.images else []
    local = dict(zip(texts, local_paths(texts, [*told, *roots], Path.exists)))
    for key, values in named.items():
        split = split_of(key)
        if not values or (split is None and not all(v.endswith(".txt") for v in values)):
            continue
        subsets += 1
        for text in values:
            try:
                _add(entries, _subset(local[text], key, yaml, roots, options), split)
            except PosewrightError as error:
                options.bad(error)
    if not subsets:
        raise PosewrightError("names no pictures: it has none of train, val and test", file=yaml)
    root = options.images or roots[0]
    find = _Finder(root, options.images is not None)
    placed = [
        Entry(find.picture(e.picture) or e.picture, _label_file(e.picture, [*roots, yaml.parent]), e.split)
        for e in entries.values()
    ]
    return root, placed


def _add(entries: dict[str, Entry], pictures: list[str], split: str | None) -> None:
    for picture in pictures:
        entries.setdefault(picture, Entry(picture, None, split))  # many sets name val again as test


def _texts(value: Any) -> list[str]:
    return [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str) and v]


def _subset(text: str, key: str, yaml: Path, roots: list[Path], options: ReadOptions) -> list[str]:
    """The pictures of one entry, relative to the root: a folder's, or a list's."""
    # Roboflow writes '../train/images' for a folder that lies beside the YAML file.
    inner = relative_path(re.sub(r"^(\.\./|\./)+", "", text.replace("\\", "/")), file=yaml, record=key)
    if inner.lower().endswith(".txt"):
        path = next((root / inner for root in roots if (root / inner).is_file()), None)
        if path is None:
            raise PosewrightError(f"its list '{text}' does not exist", file=yaml, record=key)
        lines = {number: line.strip() for number, line in enumerate(read_text(path).splitlines(), 1) if line.strip()}
        # CVAT puts an imaginary folder 'data' before them.
        names = [re.sub(r"^data/(?=(images|obj_)[^/]*/)", "", line) for line in lines.values()]
        named = local_paths(names, [*([options.images] if options.images else []), *roots])
        return [relative_path(name, file=path, record=f"line {number}") for number, name in zip(lines, named)]
    from posewright.media.pictures import ENDINGS

    # With --images, the folder of pictures may be elsewhere and the labels alone lie here.
    places = [*([options.images] if options.images else []), *roots]
    root = next((root for root in places if (root / inner).is_dir()), None)
    if root is None:
        fix = "Say with --images where the pictures are"
        raise PosewrightError(f"its folder '{text}' does not exist", file=yaml, record=key, fix=fix)
    found = [(folder / name).relative_to(root) for folder, names in walk(root / inner) for name in names]
    return [path.as_posix() for path in found if path.suffix.lower() in ENDINGS]


def _label_file(picture: str, roots: list[Path]) -> Path | None:
    """Ultralytics' rule: the last ``images`` of the picture's path becomes ``labels``, its ending ``.txt``."""
    beside = PurePosixPath(picture).with_suffix(".txt")
    for inner in (_swapped(beside, "images", "labels"), beside):
        for root in dict.fromkeys(roots):
            if inner is not None and (root / inner).is_file():
                return root / inner
    return None


def _swapped(path: PurePosixPath, old: str, new: str) -> PurePosixPath | None:
    """The path with its last folder ``old`` called ``new``; None where there is no such folder."""
    parts = list(path.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == old:
            return PurePosixPath(*parts[:i], new, *parts[i + 1 :])
    return None


def entries_of_folder(source: Path, options: ReadOptions) -> tuple[Path, list[Entry]]:
    """Every text file that has a picture. Others that do not look like labels are notes."""
    base = source if source.is_dir() else source.parent
    texts: Iterator[Path] = iter([source])
    if source.is_dir():
        texts = (folder / name for folder, names in walk(source) for name in names if name.lower().endswith(".txt"))
    root = options.images or base
    find = _Finder(root, options.images is not None)
    entries = []
    for path in texts:
        inner = PurePosixPath(path.relative_to(base).as_posix())
        picture = find.by_stem(inner)
        if picture is not None:
            splits = {split_of(part) for part in PurePosixPath(picture).parts[:-1]} - {None}
            entries.append(Entry(picture, path, splits.pop() if len(splits) == 1 else None))
        elif source.is_file() or is_label_file(path):
            fix = "Put it beside it or in images/, or say with --images where it is"
            options.bad(PosewrightError(f"has no picture '{path.stem}.jpg', .png, ...", file=path, fix=fix))
    return root, entries


class _Finder:
    """Finds pictures below a root by the names that labels give them."""

    def __init__(self, root: Path, flat: bool) -> None:
        """``flat``: whether a picture's bare name will do, for a folder that a person named."""
        self.root, self.flat = root, flat
        self._known: dict[Path, dict[str, str]] = {}

    def picture(self, path: str) -> str | None:
        """The path from the root of a picture with its ending."""
        return self._first(path, lambda inner: inner.as_posix() if (self.root / inner).is_file() else None)

    def by_stem(self, labels: PurePosixPath) -> str | None:
        """The path from the root of the picture that has a label file's place and stem."""
        inner = _swapped(labels, "labels", "images") or labels
        found = self._first(inner.as_posix(), self._listed)
        if found is None and len(labels.parts) == 1:
            found = self._listed(PurePosixPath("images") / labels)
        return found or self._listed(labels)

    def _first(self, path: str, look: Callable[[PurePosixPath], str | None]) -> str | None:
        inner = PurePosixPath(path)
        names = [inner]
        if self.flat:
            below = inner.parts[1:] if inner.parts[0] == "images" else inner.parts
            names += [PurePosixPath(*below), PurePosixPath(inner.name)]
        return next((found for found in map(look, names) if found), None)

    def _listed(self, inner: PurePosixPath) -> str | None:
        from posewright.media.pictures import ENDINGS

        folder = self.root / inner.parent
        if folder not in self._known:
            files = sorted(folder.iterdir()) if folder.is_dir() else []
            self._known[folder] = {f.stem: f.name for f in files if f.suffix.lower() in ENDINGS}
        name = self._known[folder].get(inner.stem)
        return inner.with_name(name).as_posix() if name else None
