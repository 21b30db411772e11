"""The size that a picture's header claims, for every format that is read here: what to look at before decoding a stranger's
picture, since a small file may claim to be very large."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from posewright.errors import PosewrightError
from posewright.media.header import stored_size

Size = tuple[int, int]


def claimed_size(data: bytes, name: str = "picture") -> Size | None:
    """The (width, height) in pixels that a picture is stored with, whatever its orientation.

    Returns:
        None where the data are of no format that is decoded here.

    Raises:
        PosewrightError: where the header ends before it tells, or tells of nothing.
    """
    known, size = stored_size(io.BytesIO(data))
    if not known:
        reader = next((read for magic, read in _READERS if data.startswith(magic)), None)
        if reader is None or (reader is _webp and data[8:12] != b"WEBP"):
            return None
        size = reader(data)
    if size is None or min(size) < 1:
        what, fix = "is damaged or cut short: its header tells no size", "Fetch or export the file again"
        raise PosewrightError(what, file=name, fix=fix)
    return size


def _little(data: bytes, at: int, count: int) -> int:
    return int.from_bytes(data[at : at + count], "little")


def _bmp(data: bytes) -> Size | None:
    if len(data) < 26:
        return None
    if _little(data, 14, 4) == 12:  # the header of OS/2
        return _little(data, 18, 2), _little(data, 20, 2)
    width = int.from_bytes(data[18:22], "little", signed=True)
    return abs(width), abs(int.from_bytes(data[22:26], "little", signed=True))  # below 0: stored top down


def _gif(data: bytes) -> Size | None:
    return (_little(data, 6, 2), _little(data, 8, 2)) if len(data) >= 10 else None


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if len(data) < 30:
        return None
    if kind == b"VP8X":
        return _little(data, 24, 3) + 1, _little(data, 27, 3) + 1
    if kind == b"VP8L":
        bits = _little(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return (_little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF) if kind == b"VP8 " else None


def _tiff(data: bytes) -> Size | None:
    """Tags 256 and 257 of the first directory; where its tiles (322, 323) are larger, these. BigTIFF has longer numbers."""
    order = "little" if data[:1] == b"I" else "big"

    def number(at: int, count: int) -> int:
        return int.from_bytes(data[at : at + count], order)  # type: ignore[arg-type]

    big = number(2, 2) == 43
    start = number(8, 8) if big else number(4, 4)
    count, step, value = (number(start, 8), 20, 12) if big else (number(start, 2), 12, 8)
    found: dict[int, int] = {}
    first = start + (8 if big else 2)
    for at in range(first, min(first + step * count, len(data) - step + 1), step):
        tag, kind = number(at, 2), number(at + 2, 2)
        if tag in (256, 257, 322, 323) and kind in _WIDTHS:
            found[tag] = max(number(at + value, _WIDTHS[kind]), found.get(tag, 0))
    if 256 not in found or 257 not in found:
        return None
    return max(found[256], found.get(322, 0)), max(found[257], found.get(323, 0))


_WIDTHS = {1: 1, 3: 2, 4: 4, 16: 8}
"""Bytes of TIFF's whole numbers by type: byte, short, long, and the long one of BigTIFF."""


def _jpeg_2000(data: bytes) -> Size | None:
    """The codestream's own size, which is what decoders obey, and not that of the file's header box."""
    at = 0
    for _ in range(_BOXES):
        if data[at : at + 4] == b"\xff\x4f\xff\x51":
            if len(data) < at + 24:
                return None
            right, bottom, left, top = (int.from_bytes(data[at + k : at + k + 4], "big") for k in (8, 12, 16, 20))
            return right - left, bottom - top
        length, head = int.from_bytes(data[at : at + 4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if data[at + 4 : at + 8] == b"jp2c":
            at += head
        elif length < head or at + length >= len(data):
            return None
        else:
            at += length
    return None


_BOXES = 1000
"""Of a JPEG 2000 file that are looked through."""


def _pnm(data: bytes) -> Size | None:
    found = _PNM.match(data[:_BEGINNING])
    return None if found is None else (int(found[1]), int(found[2]))


_BEGINNING = 4096
"""Bytes of a PNM file that its size has to lie in, comments included."""
_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PNM = re.compile(rb"P[1-6]" + _SPACE + rb"(\d{1,18})" + _SPACE + rb"(\d{1,18})[\s#]")

_READERS: tuple[tuple[bytes | tuple[bytes, ...], Callable[[bytes], Size | None]], ...] = (
    (b"BM", _bmp),
    (b"GIF8", _gif),
    (b"RIFF", _webp),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    ((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), _jpeg_2000),
    (tuple(b"P%d%c" % (n, s) for n in range(1, 7) for s in b" \t\n\r\v\f"), _pnm),
)
"""What the data begin with, and who reads their header. JPEG and PNG are read elsewhere."""
