"""MP4 files in fragments, which can be read at any time: what is done about one that was cut short within a fragment."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO


def cut_to_whole_fragments(path: Path) -> None:
    """Cut a file off behind its last whole fragment (a ``moof`` box and its ``mdat``), where the last one is not.

    Readers take a fragment whose data ends early for damage. A file without whole fragments, or that is no MP4 file, is left as
    it is. Boxes: ISO/IEC 14496-12, 4.2.
    """
    with path.open("r+b") as file:
        size, at, whole, before = file.seek(0, 2), 0, 0, b""
        while at < size:
            box = _box(file, at)
            if box is None or at + box[1] > size:
                if whole:
                    file.truncate(whole)
                return
            kind, length = box
            at += length
            if kind == b"mdat" and before == b"moof":
                whole = at
            before = kind


def _box(file: BinaryIO, at: int) -> tuple[bytes, int] | None:
    """Kind and length of the box at a place; None where there is no whole header."""
    file.seek(at)
    head = file.read(16)
    if len(head) < 8:
        return None
    length, kind = struct.unpack(">I4s", head[:8])
    if length == 1:
        if len(head) < 16:
            return None
        (length,) = struct.unpack(">Q", head[8:])
    return (kind, length) if length >= 8 else None
