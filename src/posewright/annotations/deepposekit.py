"""DeepPoseKit annotation sets: one HDF5 file with ``images`` [N, H, W, C], ``annotations`` [N, K, 2] (x, y), ``annotated``
[N, K] and ``skeleton`` [K, 2] (parent, swap; -1 for none); read only.

The pictures lie inside the file, and posewright's rooms read pictures from files: they are taken out once, as PNG files
``00000.png``, ``00001.png``, ... into ``ReadOptions.extract``, which ``posewright convert`` chooses. ``--images`` names the
folder where that was done before.

Names: from the CSV that the set was made from (columns name, parent, swap), ``<file>_skeleton.csv`` or ``skeleton.csv`` beside
the file; without one they are ``keypoint_0``, ``keypoint_1``, ...

Origin: the annotation tool draws with OpenCV, where (0, 0) is the first pixel's centre, as in posewright.

Visibility: a keypoint that is marked as annotated counts as visible, any other one is not labelled; so is one without a
finite place. Where a file marks none at all, as published sets may, every finite place counts. A picture without an
annotated keypoint has not been labelled yet, and is left out. Boxes come from the keypoints.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations import hdf5
from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.annotations.pictures import choose_root, emptied_images, without_images
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.errors import PosewrightError
from posewright.files import read_text, whole_folder
from posewright.sides import swaps_from_names
from posewright.skeleton import Skeleton


def detect(source: Path) -> bool:
    """Whether ``source`` is an HDF5 file that holds images and annotations, or a folder with just one such file."""
    return _file(source) is not None


def _file(source: Path) -> Path | None:
    try:
        files = sorted(source.glob("*.h5")) if source.is_dir() else [source]
    except OSError:
        return None
    found = [path for path in files if _is_set(path)]
    return found[0] if len(found) == 1 else None


def _is_set(path: Path) -> bool:
    if path.name.startswith("CollectedData") or not hdf5.is_hdf5(path):
        return False
    try:
        with hdf5.open_hdf5(path) as file:
            return "images" in file and "annotations" in file
    except PosewrightError:
        # Without h5py, or in a damaged file, the names still stand as plain bytes in the first group.
        try:
            with path.open("rb") as raw:
                start = raw.read(1 << 16)
        except OSError:
            return False
        return b"annotations\0" in start and b"annotated\0" in start


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read a set, and write its pictures into ``options.extract``.

    Raises:
        PosewrightError: where the file cannot be used, or nobody said where its pictures go or are.
    """
    path = _file(source) or source
    if path.is_dir():
        raise PosewrightError("holds no DeepPoseKit file, or several", file=source, fix="Give the one to read")
    with hdf5.open_hdf5(path) as file:
        places = hdf5.array(file, "annotations", path)
        if places.ndim != 3 or places.shape[2] != 2 or places.dtype.kind not in "iuf":
            raise PosewrightError(f"its annotations have shape {places.shape}, not (pictures, keypoints, 2)", file=path)
        count, k = places.shape[:2]
        known = np.isfinite(places.astype(float)).all(2)
        if "annotated" in file:
            annotated = hdf5.array(file, "annotated", path)
            if annotated.shape != (count, k) or annotated.dtype.kind not in "biu":
                raise PosewrightError(f"'annotated' has shape {annotated.shape}, not {(count, k)}", file=path)
            known &= annotated.astype(bool) | ~annotated.astype(bool).any()
        pictures = hdf5.dataset(file, "images", path)
        shape: tuple[int, ...] = pictures.shape
        if len(shape) != 4 or shape[0] != count or shape[3] not in (1, 3) or pictures.dtype != np.uint8:
            what = f"its images have shape {shape}, not {count} pictures of bytes with 1 or 3 channels"
            raise PosewrightError(what, file=path)
        skeleton = options.skeleton or _skeleton(path, file, k)
        if len(skeleton) != k:
            raise PosewrightError(f"has {k} keypoints, not the {len(skeleton)} of '{skeleton.name}'", file=path)
        kept = np.flatnonzero(known.any(1))
        if len(kept) < count:
            options.skipped.append(f"{path}: {count - len(kept)} pictures without an annotated keypoint")
        names = [f"{i:05d}.png" for i in kept]
        root = _root(path, pictures, kept, names, options)
    keypoints = np.concatenate([np.where(known[..., None], places, 0), 2.0 * known[..., None]], 2)[kept]
    images = [Image(name, shape[2], shape[1], id=int(i)) for i, name in zip(kept, names)]

    def report(i: int, problem: str) -> None:
        options.bad(PosewrightError(problem, file=path, record=f"picture {kept[i]}"))

    owner = np.arange(len(kept))
    boxes = boxes_from_keypoints(keypoints)
    result = Annotations(skeleton, images, owner, keypoints, boxes, root, source=str(source), report=report)
    return without_images(result, emptied_images(result, owner.tolist()))


def _root(path: Path, pictures: Any, kept: NDArray[np.int64], names: list[str], options: ReadOptions) -> Path:
    """The folder of the pictures, after they have been written there where need be."""
    if options.images is not None or options.extract is None:
        if options.images is None:
            fix = f"Take them out with: posewright convert {path} -o labels.json"
            raise PosewrightError(
                "holds its pictures inside, and they are to lie in files of their own", file=path, fix=fix
            )
        return choose_root(names, options.images, [options.images], path)[0]
    from posewright.console import progress_bar
    from posewright.media.pictures import write_picture

    target = options.extract
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        fix = "Remove it, or use the pictures in it with --images"
        raise PosewrightError("is there already: the pictures are not taken out again", file=target, fix=fix)
    with whole_folder(target) as folder, progress_bar("taking pictures out", len(kept)) as advance:
        for i, name in zip(kept, names):
            picture = np.asarray(pictures[i])
            write_picture(folder / name, picture[..., 0] if picture.shape[2] == 1 else picture)
            advance(1)
    return target


# -- skeleton ----------------------------------------------------------------------------------------------------------


def _skeleton(path: Path, file: Any, count: int) -> Skeleton:
    """Names from the CSV beside the file; links and swaps from the file, or from the CSV where the file has none."""
    beside = [path.with_name(f"{path.stem}_skeleton.csv"), path.with_name("skeleton.csv")]
    table = next((candidate for candidate in beside if candidate.is_file()), None)
    names = tuple(f"keypoint_{i}" for i in range(count))
    parents = mirrors = [-1] * count
    if table is not None:
        names, parents, mirrors = read_skeleton(table)
        if len(names) != count:
            raise PosewrightError(f"names {len(names)} keypoints, but {path.name} has {count}", file=table)
    if "skeleton" in file:
        stored = hdf5.array(file, "skeleton", path)
        if stored.shape != (count, 2) or stored.dtype.kind not in "iu" or (stored >= count).any():
            raise PosewrightError(f"its skeleton, of shape {stored.shape}, does not fit {count} keypoints", file=path)
        parents, mirrors = stored[:, 0].tolist(), stored[:, 1].tolist()
    links = tuple((parent, i) for i, parent in enumerate(parents) if parent >= 0 and parent != i)
    # A swap counts where both sides say so: sets in use have slips here, as two keypoints that name the same partner.
    mutual = (i for i, j in enumerate(mirrors) if j > i and mirrors[j] == i)
    pairs = tuple((i, mirrors[i]) for i in mutual)
    taken = {i for pair in pairs for i in pair}
    more = [p for p in swaps_from_names(names) if not taken & set(p) and mirrors[p[0]] >= 0 and mirrors[p[1]] >= 0]
    try:
        return Skeleton(path.stem, names, tuple(sorted([*pairs, *more])), (), links)
    except PosewrightError as error:
        raise PosewrightError(error.what, file=table or path) from None


def read_skeleton(path: Path) -> tuple[tuple[str, ...], list[int], list[int]]:
    """DeepPoseKit's skeleton CSV: names, and for each its parent's and its mirror image's index or -1.

    Raises:
        PosewrightError: where the file cannot be used.
    """
    text = read_text(path)
    try:
        rows = list(csv.DictReader(io.StringIO(text)))
    except csv.Error:
        raise PosewrightError("is not a CSV file", file=path) from None
    names = [(row.get("name") or "").strip() for row in rows]
    if not names or not all(names):
        raise PosewrightError("has no column 'name', or a row without one", file=path)
    place = {name: i for i, name in enumerate(names)}
    found: dict[str, list[int]] = {}
    for column in ("parent", "swap"):
        wanted = [(row.get(column) or "").strip() for row in rows]
        strange = [name for name in wanted if name and name not in place]
        if strange:
            raise PosewrightError(f"'{strange[0]}' is no keypoint", file=path, record=f"column '{column}'")
        found[column] = [place[name] if name else -1 for name in wanted]
    return tuple(names), found["parent"], found["swap"]


register(
    Format(
        "deepposekit",
        "DeepPoseKit: pictures and keypoints inside one HDF5 file",
        detect,
        read,
        embedded=True,
    )
)
