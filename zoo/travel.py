"""What travels to a machine that is lent and back: packed sets in parts up to a size, and one archive in pieces."""

from __future__ import annotations

import lzma
import math
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posewright.annotations import Annotations, read_annotations
from posewright.errors import PosewrightError
from posewright.files import whole_file
from posewright.media.labelled import picture_of

PIECE, MOST = 15 * 2**20, 4
"""Bytes of a piece of what comes back, and how many pieces there may be: 64 MiB together, no file above 16."""

# -- there ---------------------------------------------------------------------------------------------------------------


def reduced(labels: Annotations, folder: Path, pixels: int, quality: int) -> Annotations:
    """The set with pictures no larger than crops of so many pixels need, written into a folder; labels moved along.

    A picture's own file is taken where it is the smaller one and its size stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images, factor = [], np.ones(len(labels.images))
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    for i, im in enumerate(labels.images):
        boxes = labels.boxes[labels.image == i]
        side = (boxes[:, 2:] - boxes[:, :2]).max(1).min() if len(boxes) else math.inf
        factor[i] = min(1.0, pixels / (1.25 * side)) if math.isfinite(side) else 1.0
        picture = picture_of(labels, i)
        height, width = (max(1, round(side * factor[i])) for side in picture.shape[:2])
        if factor[i] < 1:
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        data = cv2.imencode(".jpg", picture[..., ::-1], options)[1].tobytes()
        own = labels.image_path(i)
        if factor[i] == 1 and im.frame is None and own.suffix == ".jpg" and own.stat().st_size < len(data):
            data = own.read_bytes()
        name = f"{i:06d}.jpg"
        (folder / name).write_bytes(data)
        images.append(replace(im, path=name, frame=None, width=width, height=height, group=im.group or name))
    by = factor[labels.image][:, None]

    def moved(values: Any) -> Any:
        # To a hundredth of a pixel: more digits are a third of what travels.
        return np.round((values + 0.5) * by - 0.5, 2)

    keypoints = labels.keypoints.copy()
    for axis in (0, 1):
        keypoints[..., axis] = np.where(labels.labelled, moved(keypoints[..., axis]), keypoints[..., axis])
    return replace(
        labels,
        root=folder,
        images=images,
        keypoints=keypoints,
        boxes=moved(labels.boxes),
        area=np.round(labels.area * by[:, 0] ** 2, 1),
        head_size=np.round(labels.head_size * by[:, 0], 2),
        polygons=[[] for _ in labels.polygons],
    )


def into_parts(sets: Path, target: Path, limit: float) -> list[str]:
    """Compress all files of the packed sets, whole ones, into folders ``part1`` and so on, each up to the limit in bytes.

    Pictures are compressed already; their labels and the archive's padding, about a fifth of a set of small pictures, are not.
    """
    for old in target.glob("part*"):
        shutil.rmtree(old)
    number, held = 1, 0
    for file in sorted(p for p in sets.rglob("*") if p.is_file()):
        data = lzma.compress(file.read_bytes(), preset=1)
        if held and held + len(data) > limit:
            number, held = number + 1, 0
        held += len(data)
        place = target / f"part{number}" / ("__".join(file.relative_to(sets).parts) + ".xz")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return [f"part{n}" for n in range(1, number + 1)]


def from_parts(source: Path, target: Path) -> None:
    """Unpack all parts that are there, files that are not there yet."""
    for file in sorted(source.glob("part*/*.xz")):
        place = target.joinpath(*file.name.removesuffix(".xz").split("__"))
        if not place.is_file():
            with whole_file(place) as temporary:
                Path(temporary).write_bytes(lzma.decompress(file.read_bytes()))


def packed_set(folder: Path) -> Annotations:
    """A set that was carried.

    Raises:
        PosewrightError: where a part of it has not arrived.
    """
    try:
        return read_annotations(folder)
    except PosewrightError as error:
        fix = "Carry its .pack/part folders, in this call or earlier ones of the same machine"
        raise PosewrightError(f"is not all there: {error}", file=folder, fix=fix) from None


# -- and back ------------------------------------------------------------------------------------------------------------


def write_pieces(
    files: Sequence[tuple[Path, str]], groups: Sequence[Sequence[tuple[Path, str]]], out: Path, most: int = PIECE * MOST
) -> list[str]:
    """One archive of files in pieces that may travel.

    Args:
        files: what comes back first, each with its name.
        groups: what comes back as far as there is room, each group whole or not at all.
        out: the folder of the pieces.
        most: bytes.

    Returns:
        Names that found no room.
    """
    left_out, archive, held = [], out / "archive.tmp", 20480
    with tarfile.open(archive, "w") as tar:
        for group in (*([one] for one in files), *groups):
            size = sum(file.stat().st_size + 1024 for file, _ in group)
            if held + size > most:
                left_out += [name for _, name in group]
                continue
            held += size
            for file, name in group:
                tar.add(file, name)
    with archive.open("rb") as stream:
        pieces = 0
        while data := stream.read(PIECE):
            with whole_file(out / f"session.tar.{pieces}") as temporary:
                Path(temporary).write_bytes(data)
            pieces += 1
    archive.unlink()
    for old in out.glob("session.tar.*"):
        if int(old.suffix[1:]) >= pieces:
            old.unlink()
    return left_out


def join(folder: Path, target: Path) -> None:
    """Join the pieces and unpack the archive; a name that leads outside is refused.

    Raises:
        PosewrightError: where pieces are missing, or the archive holds anything but plain files of its own.
    """
    pieces = sorted(folder.glob("session.tar.*"), key=lambda p: int(p.suffix[1:]))
    if not pieces or [int(p.suffix[1:]) for p in pieces] != list(range(len(pieces))):
        raise PosewrightError(
            "does not hold all pieces of a session", file=folder, fix="Give the folder with session.tar.0"
        )
    target.mkdir(parents=True, exist_ok=True)
    with whole_file(target / "session.tar") as temporary:
        Path(temporary).write_bytes(b"".join(p.read_bytes() for p in pieces))
    with tarfile.open(target / "session.tar") as tar:
        for member in tar:
            inside = (target / member.name).resolve().is_relative_to(target.resolve())
            if not member.isfile() or not inside:
                raise PosewrightError(f"holds '{member.name}', which is no file of a session", file=folder)
            with whole_file(target / member.name) as temporary:
                source = tar.extractfile(member)
                assert source is not None
                Path(temporary).write_bytes(source.read())
    (target / "session.tar").unlink()
