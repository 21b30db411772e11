"""Folders of label files: looking through their levels, and making a new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from posewright.errors import PosewrightError
from posewright.files import whole_folder

DEPTH = 4
"""How many levels of subfolders are looked through."""


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders with the names of their files, sorted, down to ``DEPTH`` levels; hidden folders are left out.

    Links to folders are followed, to each folder once.
    """
    seen: set[str] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        level = len(Path(folder).relative_to(root).parts)
        fresh = real not in seen
        below[:] = sorted(name for name in below if not name.startswith(".")) if fresh and level < DEPTH else []
        if fresh:
            seen.add(real)
            yield Path(folder), sorted(names)


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``target`` when the block ends well.

    Raises:
        PosewrightError: where ``target`` is a file or a folder with something in it: labels made by hand are not
            replaced.
    """
    check_fresh(target)
    with whole_folder(target) as folder:
        yield folder


def check_fresh(target: Path) -> None:
    """Raise where :func:`fresh_folder` would: before anything long begins."""
    if target.suffix.lower() in (".json", ".yaml", ".yml", ".txt", ".zip") or (target.exists() and not target.is_dir()):
        raise PosewrightError("is a file's name", file=target, fix="This format is a folder of files: name a folder")
    if target.is_dir() and any(target.iterdir()):
        raise PosewrightError("is not empty", file=target, fix="Write to a new folder")
