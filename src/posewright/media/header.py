"""The size of a picture from the first bytes of its file, without decoding it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, Literal

from posewright.errors import PosewrightError

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers whose segment holds the size (SOF0 to SOF15 without the tables among them)."""

LARGEST = 1 << 20
"""Pixels along a side; the largest that OpenCV decodes."""


def picture_size(path: str | Path) -> tuple[int, int]:
    """The (width, height) in pixels of a picture as it is shown: EXIF orientations 5 to 8 turn the stored one.

    JPEG and PNG headers are read (some 20 microseconds a file); any other format is decoded.

    Raises:
        PosewrightError: where the file is missing, empty, cut short before its size, or no picture.
    """
    try:
        with Path(path).open("rb") as file:
            known, found = _stored(file)
    except (FileNotFoundError, NotADirectoryError):
        from posewright.media.pictures import picture_bytes

        known, found = _stored(io.BytesIO(picture_bytes(path)))
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
    if not known:
        return _decoded(path)
    if found is None:
        what, fix = "is cut short: the picture's size is missing", "Fetch or export the file again"
        raise PosewrightError(what, file=path, fix=fix)
    (width, height), orientation = found
    if not (0 < width <= LARGEST and 0 < height <= LARGEST):
        raise PosewrightError(f"is damaged: it claims to have {width} x {height} pixels", file=path)
    return (height, width) if orientation >= 5 else (width, height)


def is_upright(data: bytes) -> bool:
    """Whether any program shows the bytes of a JPEG or PNG file as they are stored; False of other formats."""
    known, found = _stored(io.BytesIO(data))
    return known and found is not None and found[1] == 1


def stored_size(file: BinaryIO) -> tuple[bool, tuple[int, int] | None]:
    """Whether a file is JPEG or PNG, and then the (width, height) it is stored with; None where it ends before them."""
    known, found = _stored(file)
    return known, None if found is None else found[0]


def _stored(file: BinaryIO) -> tuple[bool, tuple[tuple[int, int], int] | None]:
    """Whether a file is JPEG or PNG, and then its stored size and its orientation; None where it ends before them."""
    magic = file.read(8)
    if magic.startswith(b"\xff\xd8\xff"):
        return True, _jpeg(file)
    if magic == b"\x89PNG\r\n\x1a\n":
        return True, _png(file)
    return False, None


def exif_orientation(exif: bytes) -> int:
    """Tag 0x0112 (1..8) of the first directory of an EXIF block, which is a TIFF file; 1 where there is no such."""
    if exif[:4] not in (b"II*\0", b"MM\0*"):
        return 1
    order: Literal["little", "big"] = "little" if exif[:1] == b"I" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], order)

    directory = number(4, 4)
    for entry in range(directory + 2, directory + 2 + 12 * number(directory, 2), 12):
        if number(entry, 2) == 0x0112:
            value = number(entry + 8, 2)
            return value if 1 <= value <= 8 else 1
    return 1


def _jpeg(file: BinaryIO) -> tuple[tuple[int, int], int] | None:
    """Walk the segments up to the frame header; None where the file ends before it."""
    file.seek(2)
    orientation = 1
    while True:
        marker = file.read(2)
        while len(marker) == 2 and marker[1] == 0xFF:  # fill bytes
            marker = marker[1:] + file.read(1)
        if len(marker) < 2 or marker[0] != 0xFF:
            return None
        code = marker[1]
        if code == 0x01 or 0xD0 <= code <= 0xD7:  # markers without a segment
            continue
        length = int.from_bytes(file.read(2), "big") - 2
        if length < 0 or code in (0xD9, 0xDA):
            return None
        if code in _FRAMES:
            body = file.read(5)
            size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
            return (size, orientation) if len(body) == 5 and min(size) > 0 else None
        if code == 0xE1:
            body = file.read(length)
            if body.startswith(b"Exif\0\0"):
                orientation = exif_orientation(body[6:])
        else:
            file.seek(length, 1)


def _png(file: BinaryIO) -> tuple[tuple[int, int], int] | None:
    """Read the first chunk, then look for an EXIF chunk; None where the file ends before the size."""
    head = file.read(16)
    if len(head) < 16 or head[4:8] != b"IHDR":
        return None
    size = int.from_bytes(head[8:12], "big"), int.from_bytes(head[12:16], "big")
    file.seek(8)
    while len(chunk := file.read(8)) == 8:
        length = int.from_bytes(chunk[:4], "big")
        if chunk[4:] == b"eXIf":
            return size, exif_orientation(file.read(length))
        file.seek(length + 4, 1)
    return (size, 1) if min(size) > 0 else None


def _decoded(path: str | Path) -> tuple[int, int]:
    from posewright.media.pictures import read_picture

    height, width = read_picture(path).shape[:2]
    return width, height
