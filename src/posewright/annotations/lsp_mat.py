"""Leeds Sports Pose and its extended set: ``joints.mat`` beside a folder of numbered pictures; read only.

``joints`` is (14, 3, N) in the extended set and (3, 14, N) in the original: joint, (x, y, flag), picture
``im00001.jpg`` or ``im0001.jpg`` onwards.

Origin: 1-based. Neither set says so, but both come as MATLAB arrays, and the training code of the convolutional pose
machines, which used both, takes 1 off their coordinates ("from matlab 1-index to c++ 0-index"). So does this reader.

Flag: the two sets mean opposite things by it, and the file does not say which it is. In the extended set 1 = labelled,
which says nothing about being seen and is read as visible, and a joint with 0 has no place (x and y are 0 or less). In
the original every joint has a place, and 1 = hidden. Two witnesses are heard: where the joints with flag 0 lie, and the
order of the array. Unless they agree, ``--flags`` has to say it.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.keypoints import boxes_from_keypoints, far_outside
from posewright.annotations.mat_file import load_mat, mat_variables
from posewright.annotations.pictures import emptied_images, fill_sizes, without_images
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

Array = NDArray[np.float64]

JOINTS = 14
ORIGINAL_SIZE = 2000
"""Pictures of the original set, of which the first half is published as its training part."""
_NUMBERED = re.compile(r"im0*(\d+)\.(jpe?g|png)$", re.IGNORECASE)
_ASK = (
    "posewright convert takes --flags labelled (1 = labelled, as in the extended set) "
    "or --flags hidden (1 = hidden, as in the original)"
)


def _mat_file(source: Path) -> Path | None:
    if source.is_file():
        return source if source.suffix.lower() == ".mat" and "RELEASE" not in mat_variables(source) else None
    path = source / "joints.mat"
    return path if path.is_file() else None


def detect(source: Path) -> bool:
    """Whether ``source`` is a ``.mat`` file (other than MPII's) or a folder with ``joints.mat``."""
    return _mat_file(source) is not None


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read ``joints.mat``; every picture has one person.

    The pictures are looked for in ``--images``, else in ``images/`` beside the file, else beside it. Where there are
    none, their names follow the set's usual numbering and the sizes stay 0.

    Raises:
        PosewrightError: where the file cannot be read, has no such array, or does not tell what its flags mean.
    """
    path = _mat_file(source) or (source / "joints.mat" if source.is_dir() else source)
    joints, extended = _joints(path)
    flags = options.flags or _meaning(joints, extended, path)
    skeleton = _skeleton(options.skeleton, path)
    keypoints = _keypoints(joints, flags)
    root, names = _pictures(path, len(joints), extended, options.images)
    half = ORIGINAL_SIZE // 2 if len(joints) == ORIGINAL_SIZE and not extended else 0
    images = [
        Image(name, split=("train" if i < half else "test") if half else None, id=i + 1) for i, name in enumerate(names)
    ]
    images, unreadable = fill_sizes(images, root, options.bad)

    def report(i: int, problem: str) -> None:
        record = f"picture {place[i] + 1} ('{names[place[i]]}')"
        options.bad(PosewrightError(problem, file=path, record=record))

    if flags == "labelled":
        _forget_far(keypoints, images, path, options)
    # A person without a labelled joint has no box either, and the picture does show a person: it is left out.
    labelled = (keypoints[..., 2] != 0).any(1)
    place = np.flatnonzero(labelled)
    options.skipped.extend(
        f"{path}: picture {i + 1} ('{names[i]}'): no joint is labelled" for i in np.flatnonzero(~labelled)
    )
    keypoints = keypoints[place]
    boxes = boxes_from_keypoints(keypoints)
    result = Annotations(skeleton, images, place, keypoints, boxes, root, source=str(path), report=report)
    return without_images(result, unreadable + emptied_images(result, range(len(images))))


def _joints(path: Path) -> tuple[Array, bool]:
    """Joints as ``[N, 14, 3]`` and whether they are stored in the extended set's order."""
    joints = load_mat(path, "joints")
    if joints is None:
        raise PosewrightError("holds no array 'joints'", file=path, fix="LSP's file is called joints.mat")
    if (
        joints.dtype.kind not in "iuf"
        or joints.ndim not in (2, 3)
        or joints.shape[:2] not in ((JOINTS, 3), (3, JOINTS))
    ):
        what = f"'joints' is {joints.dtype} {joints.shape}, not numbers (14, 3, N) or (3, 14, N)"
        raise PosewrightError(what, file=path)
    joints = joints.reshape(*joints.shape[:2], -1).astype(float)  # MATLAB drops the last axis of a single picture
    if joints.shape[2] == 0:
        raise PosewrightError("'joints' holds no picture", file=path)
    extended = joints.shape[0] == JOINTS
    return joints.transpose(2, 0, 1) if extended else joints.transpose(2, 1, 0), extended


def _meaning(joints: Array, extended: bool, path: Path) -> str:
    """ "labelled" or "hidden", by two witnesses that agree."""
    x, y, flag = np.moveaxis(joints, 2, 0)
    placeless, zero = (x <= 0) | (y <= 0), flag == 0
    without = placeless[zero].mean() if zero.any() else np.nan
    others = placeless[~zero].mean() if (~zero).any() else 0.0
    places = f"{without:.0%} of the joints with flag 0 have no place in their picture" if zero.any() else "no flag is 0"
    order = "(14, 3, N) as in the extended set" if extended else "(3, 14, N) as in the original"
    if extended and without == 1 and others < 0.05:
        return "labelled"
    if not extended and without < 0.05:
        return "hidden"
    raise PosewrightError(f"does not tell what its flags mean: {places}, and the array is {order}", file=path, fix=_ASK)


def _keypoints(joints: Array, flags: str) -> Array:
    """``[N, 14, 3]`` with COCO's visibility, 0-based."""
    flag = joints[..., 2]
    two_values = np.isin(flag, (0, 1))
    known = np.where(two_values, flag, -1)
    # Any other flag is left for the table to complain about.
    v = np.where(two_values, 2 * known if flags == "labelled" else 2 - known, -1)
    return np.concatenate([joints[..., :2] - 1, v[..., None]], 2)


def _forget_far(keypoints: Array, images: list[Image], path: Path, options: ReadOptions) -> None:
    """Take joints far outside their picture for not labelled, in place, and list them.

    Strangers labelled the extended set, and it has such slips. As its flag does not say that a joint is seen, one of
    them contradicts nothing and need not stop the reader.
    """
    sizes = np.array([(im.width, im.height) for im in images], float).reshape(-1, 2)
    for i, k in np.argwhere(far_outside(keypoints, sizes)):
        x, y = keypoints[i, k, :2]
        keypoints[i, k] = 0
        what = f"joint {k + 1} at ({x:.0f}, {y:.0f}) is far outside the picture and counts as not labelled"
        options.skipped.append(f"{path}: picture {i + 1} ('{images[i].path}'): {what}")


def _skeleton(wanted: Skeleton | None, path: Path) -> Skeleton:
    if wanted is None:
        return BUILTIN["body-14"]
    if len(wanted) != JOINTS:
        raise PosewrightError(f"has {JOINTS} joints, but skeleton '{wanted.name}' has {len(wanted)}", file=path)
    return wanted


def _pictures(path: Path, count: int, extended: bool, told: Path | None) -> tuple[Path, list[str]]:
    """The folder that names start from, and the name of each of ``count`` pictures."""
    if told is not None and not told.is_dir():
        raise PosewrightError("is no folder", file=told, fix="Give the folder of the pictures with --images")
    usual = "im{:05d}.jpg" if extended else "im{:04d}.jpg"
    for root, prefix in [(told, "")] if told else [(path.parent, "images/"), (path.parent, "")]:
        folder = root / prefix
        found = {int(m.group(1)): m.group(0) for m in map(_NUMBERED.fullmatch, _listing(folder)) if m}
        if any(number in found for number in range(1, count + 1)):
            return root, [prefix + found.get(i, usual.format(i)) for i in range(1, count + 1)]
    if told is not None:
        what = f"holds none of the pictures {usual.format(1)} to {usual.format(count)} of {path}"
        raise PosewrightError(what, file=told, fix="Give their folder with --images")
    return path.parent, [f"images/{usual.format(i)}" for i in range(1, count + 1)]


def _listing(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


register(
    Format(
        "lsp",
        "Leeds Sports Pose, original and extended: joints.mat beside images/im00001.jpg and so on",
        detect,
        read,
        asks_flags=True,
    )
)
