"""300-W faces: one ``.pts`` file beside each picture, in a folder or in subfolders (lfpw, helen, afw, ...); read
and written.

Origin: 1-based, as in MATLAB: the centre of the top-left pixel is (1, 1). One is taken off. Every point is labelled and
counts as visible. Boxes come from the points.

A subfolder ``trainset`` or ``testset``, as the official archives have them, is the split. Faces of one photo, which
Helen and AFW name ``<photo>_<number>``, are one group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.annotations.pictures import emptied_images, fill_sizes, split_of, without_images
from posewright.annotations.pts300w_write import losses, photo_of, write
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.annotations.tree import walk
from posewright.errors import PosewrightError
from posewright.files import read_text
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

Array = NDArray[np.float64]


def detect(source: Path) -> bool:
    """Whether ``source`` is a ``.pts`` file or a folder with some in it or below it."""
    if source.is_file():
        return source.suffix.lower() == ".pts"
    return any(name.lower().endswith(".pts") for _, names in walk(source) for name in names)


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read every ``.pts`` file of a folder, or one.

    With ``--images`` the pictures are looked for in that folder, under the same relative names.

    Raises:
        PosewrightError: naming the ``.pts`` file that cannot be used or that has no picture.
    """
    skeleton = options.skeleton or BUILTIN["face-68"]
    root = options.images or (source if source.is_dir() else source.parent)
    if not root.is_dir():
        raise PosewrightError("is no folder", file=root, fix="Give the folder of the pictures with --images")
    images: list[Image] = []
    keypoints: list[Array] = []
    labels: list[Path] = []
    pictures = _Pictures(root)
    for path, inner in _pts_files(source):
        try:
            points = read_pts(path, skeleton)
            name = pictures.find(inner, path)
        except PosewrightError as error:
            options.bad(error)
            continue
        splits = {split_of(part) for part in inner.parts[:-1]} - {None}
        group = photo_of(PurePosixPath(inner.as_posix()))
        images.append(Image(name, split=splits.pop() if len(splits) == 1 else None, group=group))
        keypoints.append(points)
        labels.append(path)
    images, unreadable = fill_sizes(images, root, options.bad)
    stacked = np.array(keypoints).reshape(-1, len(skeleton), 3)

    def report(i: int, problem: str) -> None:
        options.bad(PosewrightError(problem, file=labels[i]))

    boxes = boxes_from_keypoints(stacked)
    place = np.arange(len(images))
    result = Annotations(skeleton, images, place, stacked, boxes, root, source=str(source), report=report)
    return without_images(result, unreadable + emptied_images(result, place.tolist()))


def _pts_files(source: Path) -> Iterator[tuple[Path, Path]]:
    """Every ``.pts`` file, and its path inside the source."""
    if source.is_file():
        yield source, Path(source.name)
        return
    for folder, names in walk(source):
        for name in names:
            if name.lower().endswith(".pts"):
                yield folder / name, (folder / name).relative_to(source)


def read_pts(path: Path, skeleton: Skeleton) -> Array:
    """The points of one file, ``[K, 3]`` (x, y, 2), pixels with (0, 0) at the first pixel's centre.

    Raises:
        PosewrightError: where the file is no such file or has another number of points than the skeleton.
    """
    text = read_text(path)
    if not text.strip():
        raise PosewrightError("is empty", file=path)
    before, brace, rest = text.partition("{")
    inside, end, _ = rest.partition("}")
    if not brace or not end:
        raise PosewrightError("is cut short: its points do not stand between { and }", file=path)
    lines = [line for line in inside.splitlines() if line.strip()]
    said = re.search(r"n_points\s*:\s*(\S+)", before)
    if said and said.group(1) != str(len(lines)):
        raise PosewrightError(f"says n_points: {said.group(1)}, but has {len(lines)} lines of points", file=path)
    if len(lines) != len(skeleton):
        fix = "Give --skeleton for another set of points"
        raise PosewrightError(
            f"has {len(lines)} points, not the {len(skeleton)} of '{skeleton.name}'", file=path, fix=fix
        )
    points = np.full((len(lines), 3), 2.0)
    for i, line in enumerate(lines):
        try:
            x, y = map(float, line.split())
        except ValueError:
            raise PosewrightError(f"'{line.strip()}' is not 'x y'", file=path, record=f"point {i + 1}") from None
        points[i, :2] = x - 1, y - 1
    return points


class _Pictures:
    """Which picture stands beside which ``.pts`` file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[Path, dict[str, str]] = {}

    def find(self, inner: Path, labels: Path) -> str:
        """The relative path of the picture with the same stem.

        Raises:
            PosewrightError: where there is none.
        """
        from posewright.media.pictures import ENDINGS

        folder = self.root / inner.parent
        if folder not in self._known:
            files = sorted(folder.iterdir()) if folder.is_dir() else []
            self._known[folder] = {file.stem: file.name for file in files if file.suffix.lower() in ENDINGS}
        name = self._known[folder].get(inner.stem)
        if name is None:
            where = "beside it" if folder == labels.parent else f"in {folder}"
            fix = "Put it there, or say with --images where the pictures are"
            raise PosewrightError(f"has no picture '{inner.stem}.jpg', .png, ... {where}", file=labels, fix=fix)
        return inner.with_name(name).as_posix()


register(
    Format(
        "300w",
        "300-W faces: a .pts file with 68 points beside each picture, also in subfolders",
        detect,
        read,
        write,
        losses,
        frames="copied",
    )
)
