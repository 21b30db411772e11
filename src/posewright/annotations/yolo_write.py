"""Writing YOLO-pose sets that Ultralytics trains on as they are; ``yolo.py`` tells origin, visibility and layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.losses import lost
from posewright.annotations.tables import Annotations
from posewright.annotations.tree import fresh_folder
from posewright.annotations.video_frames import refuse_frames
from posewright.media.header import picture_size

DECIMALS = 8
"""Of the written shares: a ten-thousandth of a pixel in a picture of 10,000."""
CUT = 0.01
"""Pixels; what a box is cut by less than that is rounding."""

Array = NDArray[np.float64]


def losses(annotations: Annotations) -> list[str]:
    """What the format has no place for."""
    a = annotations
    lines = []
    if any(im.split is None for im in a.images):
        lines.append(
            f"that {sum(im.split is None for im in a.images)} pictures are in no split: they are put into train"
        )
    sizes = np.array([(im.width, im.height) for im in a.images], float).reshape(-1, 2)[a.image]
    known = sizes.min(1, initial=np.inf) > 0
    shares, boxes = _shares(a, np.where(known[:, None], sizes, np.inf))
    outside = int(((a.labelled & (shares[..., 2] == 0)).sum(1) * known).sum())
    if outside:
        lines.append(f"{outside} keypoints outside their pictures: they count as not labelled")
    within = (boxes[:, 2:] > 0).all(1)
    away = int((known & ~a.iscrowd & ~within).sum())
    if away:
        lines.append(f"{away} objects whose box lies outside the picture")
    corners = (a.boxes.reshape(-1, 2, 2) + 0.5) * known[:, None, None]
    beyond = ((corners < -CUT) | (corners > sizes[:, None] + CUT)).any((1, 2))
    cut = int((beyond & ~a.iscrowd & within).sum())
    if cut:
        lines.append(f"what {cut} boxes reach beyond their pictures: they are cut at the border")
    return lines + lost(a, "groups", "crowds", "outlines", "areas", "tracks", "weights", "head sizes", "terms")


def write(annotations: Annotations, target: Path) -> list[Path]:
    """Write ``data.yaml``, ``labels/<split>/`` and a copy of the pictures in ``images/<split>/``.

    The pictures are copied because the format finds labels by their pictures' places. Boxes are cut at the picture's
    border and keypoints outside it are written as not labelled: Ultralytics leaves a picture out that has either.

    Args:
        annotations: the labels.
        target: a folder, new or empty.

    Returns:
        The folder, which is written as a whole.

    Raises:
        PosewrightError: where the folder is not new, a picture is missing or a video's frame, or a file cannot be
            written.
    """
    a = annotations.require_pictures()
    refuse_frames(a, "YOLO-pose")
    places = _places(a)
    stored = [(im.width, im.height) for im in a.images]
    sizes = np.array([s if min(s) > 0 else picture_size(a.image_path(i)) for i, s in enumerate(stored)], float)
    keypoints, boxes = _shares(a, sizes.reshape(-1, 2)[a.image])
    lines: list[list[str]] = [[] for _ in a.images]
    for i in np.flatnonzero(~a.iscrowd & (boxes[:, 2:] > 0).all(1)).tolist():
        numbers = [f"{value:.{DECIMALS}f}" for value in boxes[i]]
        for x, y, v in keypoints[i]:
            numbers += [f"{x:.{DECIMALS}f}", f"{y:.{DECIMALS}f}", f"{v:.0f}"]
        lines[a.image[i]].append(" ".join(["0", *numbers]))
    with fresh_folder(target) as folder:
        for i, place in enumerate(places):
            picture = folder / "images" / place
            picture.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(a.image_path(i), picture)
            labels = PurePosixPath("labels") / PurePosixPath(place).with_suffix(".txt")
            (folder / labels).parent.mkdir(parents=True, exist_ok=True)
            (folder / labels).write_text("".join(f"{line}\n" for line in lines[i]), encoding="utf-8")
        (folder / "data.yaml").write_text(_yaml(a), encoding="utf-8")
    return [target]


def _shares(a: Annotations, sizes: Array) -> tuple[Array, Array]:
    """Keypoints ``[N, K, 3]`` and boxes ``[N, 4]`` (centre and sides, 0 where none is left) as shares of ``[N, 2]``."""
    xy = (a.keypoints[..., :2] + 0.5) / sizes[:, None]
    v = np.where(((xy >= 0) & (xy <= 1)).all(2), a.keypoints[..., 2], 0)
    keypoints = np.concatenate([xy, v[..., None]], 2)
    keypoints[v == 0] = 0
    corners = np.clip((a.boxes.reshape(-1, 2, 2) + 0.5) / sizes[:, None], 0, 1)
    return keypoints, np.concatenate([corners.mean(1), corners[:, 1] - corners[:, 0]], 1)


def _places(a: Annotations) -> list[str]:
    """Where each picture goes below ``images/``: its split, then its own path.

    Folders called ``images``, which steer the search for labels, and a leading split are left out of that path, unless
    two pictures would then meet.
    """
    splits = [im.split or "train" for im in a.images]
    short = []
    for im, split in zip(a.images, splits):
        *folders, name = [part for part in PurePosixPath(im.path).parts if part not in ("/", "..")]
        kept = [part for part in folders if part != "images"]
        short.append("/".join([split, *(kept[1:] if kept[:1] == [split] else kept), name]))
    if _apart(short):
        return short
    long = [f"{s}/{im.path.lstrip('/').replace('images/', 'images_/')}" for im, s in zip(a.images, splits)]
    if _apart(long):
        return long
    # What is left are pictures that differ by their ending alone: their label files would be one.
    return [f"{s}/{i:06d}{PurePosixPath(im.path).suffix}" for i, (im, s) in enumerate(zip(a.images, splits))]


def _apart(places: list[str]) -> bool:
    return len({PurePosixPath(place).with_suffix("").as_posix().lower() for place in places}) == len(places)


def _yaml(a: Annotations) -> str:
    """The file about the set. JSON's strings, lists and objects are YAML too, so that no library is needed."""
    s = a.skeleton
    splits = {im.split or "train" for im in a.images}
    names = [split for split in ("train", "val", "test") if split in splits]
    lines = ["# Written by posewright. 'path' is left out: the folders are relative to this file.", ""]
    lines += [f"{split}: images/{split}" for split in names]
    # Ultralytics refuses a file without both; a reader that takes the first mention of a picture is not misled.
    lines += [f"{missing}: images/{names[0]}" for missing in ("train", "val") if names and missing not in names]
    lines += [
        "",
        f"kpt_shape: [{len(s)}, 3]",
        f"flip_idx: {json.dumps(s.flip_order())}",
        "names:",
        f"  0: {json.dumps(s.name, ensure_ascii=False)}",
        "kpt_names:",
        f"  0: {json.dumps(list(s.keypoints), ensure_ascii=False)}",
        f"posewright: {json.dumps(s.to_dict(), ensure_ascii=False)}",
        "",
    ]
    return "\n".join(lines)
