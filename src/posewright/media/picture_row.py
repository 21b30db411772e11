"""JPEG and PNG pictures one after the other in one stream of bytes: where each ends, also where one is damaged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_BEGIN = re.compile(re.escape(JPEG) + b"|" + re.escape(PNG))
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""Within a JPEG's scan: neither a stuffed byte nor a restart."""
_LONGEST = 1 << 28
"""Bytes of a PNG's chunk beyond which its length is damaged."""


def split_pictures(read: Callable[[], bytes]) -> Iterator[bytes]:
    """The pictures of a stream, each as soon as it is there.

    A picture that breaks off where the next begins comes as far as it goes; bytes between pictures are skipped.

    Args:
        read: gives what has come, at least one byte; none at the end.
    """
    waiting, ended = bytearray(), False
    while True:
        found = _BEGIN.search(waiting)
        if found is not None:
            del waiting[: found.start()]
            end = _end(waiting)
            if end or ended:
                yield bytes(waiting[: end or len(waiting)])
                del waiting[: end or len(waiting)]
                continue
        elif len(waiting) > len(PNG):
            del waiting[: -len(PNG)]
        if ended:
            return
        data = read()
        ended = not data
        waiting += data


def _end(data: bytearray) -> int:
    """Where the picture that begins here ends, or where the next one cuts it off; 0 where that has not come yet."""
    end = _end_of_png(data) if data.startswith(PNG) else _end_of_jpeg(data)
    if end == 0 or data.startswith(PNG):
        # Nothing inside a PNG looks like its beginning; inside a JPEG a thumbnail may.
        other = data.find(PNG, len(PNG)) if data.startswith(PNG) else -1
        return other if 0 < other < (end or len(data)) else max(end, 0)
    if end < 0:
        after = _BEGIN.search(data, len(JPEG))
        return after.start() if after else 0
    return end


def _end_of_png(data: bytearray) -> int:
    at = len(PNG)
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if length > _LONGEST or not kind.isalpha():
            return 0  # damaged: it goes on until the next begins
        at += 12 + length
        if kind == b"IEND":
            return at if at <= len(data) else 0
    return 0


def _end_of_jpeg(data: bytearray) -> int:
    """-1 where a segment is damaged."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return -1
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0xD9:
            return at + 2
        elif marker == 0xD8:
            return at
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == 0xDA:
                found = _MARKER.search(data, at)
                if found is None:
                    return 0
                at = found.start()
                if found.group()[1] == 0xD9:
                    return at + 2
    return 0
