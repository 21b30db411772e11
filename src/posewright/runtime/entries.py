"""Where each kind of model file keeps posewright's entry, and how to read it with neither an engine nor the format's tools.

ONNX has a place for it in the file. A model in parts is a folder and holds it as :data:`NAME`. What allows bytes after its
end (FlatBuffers: LiteRT, MNN, ExecuTorch) carries it in a small zip archive there, as LiteRT's own metadata do. What is a zip
archive itself holds it as one more member. A frozen TensorFlow graph is one protocol buffer, whose readers step over fields
they don't know.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from posewright.errors import PosewrightError
from posewright.protobuf import fields, length_delimited

ENTRY = "posewright"
"""Key of the metadata entry."""
NAME = "posewright.json"
"""Name of the entry where it is a file."""
LARGEST = 2**20
"""Bytes that no entry reaches."""
AGAIN = "Copy or export the model file again"


def onnx_entry(path: Path) -> str | None:
    """The entry of an ONNX file; None where it has none.

    Raises:
        PosewrightError: where the file is empty, cut short or no ONNX file.
    """
    with path.open("rb") as file:
        return _metadata(file, path).get(ENTRY)


def folder_entry(path: Path) -> str | None:
    """The entry of a model that is a folder."""
    file = path / NAME
    if not file.is_file():
        return None
    if file.stat().st_size > LARGEST:
        raise PosewrightError("is too large for a model's description", file=file)
    return file.read_text("utf-8", "replace")


def attached_entry(path: Path) -> str | None:
    """The entry in the zip archive that a file is, or that follows it.

    Raises:
        PosewrightError: where the archive was damaged or the entry is impossibly large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename == NAME or member.filename.endswith(f"/{NAME}"):
                    if member.file_size > LARGEST:
                        raise PosewrightError("has too large a description", file=path)
                    return archive.read(member).decode("utf-8", "replace")
    except zipfile.BadZipFile:
        return None
    except (NotImplementedError, RuntimeError, ValueError, EOFError, zlib.error):
        raise PosewrightError("was damaged", file=path, fix=AGAIN) from None
    return None


def attach_entry(path: Path, text: str, folder: str = "") -> None:
    """Put an entry into a file that is a zip archive (into this folder of it), or behind the end of any other."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        # A fixed date: the same model makes the same file.
        archive.writestr(zipfile.ZipInfo(f"{folder}{NAME}", (1980, 1, 1, 0, 0, 0)), text)


PB_FIELD = 20001
"""Number of the field that holds the entry in a frozen graph; TensorFlow's own numbers are small."""


def pb_entry(path: Path) -> str | None:
    """The entry of a frozen TensorFlow graph.

    Raises:
        PosewrightError: where the file is no whole protocol buffer.
    """
    try:
        for number, value in fields(memoryview(path.read_bytes())):
            if number == PB_FIELD and isinstance(value, memoryview) and len(value) <= LARGEST:
                return bytes(value).decode("utf-8", "replace")
    except (ValueError, IndexError):
        raise PosewrightError("is no frozen TensorFlow graph, or was cut short", file=path, fix=AGAIN) from None
    return None


def add_pb_entry(path: Path, text: str) -> None:
    """Put an entry into a frozen graph."""
    with path.open("ab") as file:
        file.write(length_delimited(PB_FIELD, text.encode()))


# -- just enough of protocol buffers to find metadata_props of an ONNX ModelProto --------------------------------------

_GRAPH, _METADATA = 7, 14
_TOP_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}


def _metadata(file: BinaryIO, path: Path) -> dict[str, str]:
    """The metadata entries of an ONNX file; everything else is stepped over."""
    size = file.seek(0, 2)
    if size == 0:
        raise PosewrightError("is empty", file=path, fix=AGAIN)
    file.seek(0)
    entries: dict[str, str] = {}
    seen: set[int] = set()
    while file.tell() < size:
        tag = _varint(file)
        number, wire = (tag >> 3, tag & 7) if tag is not None else (0, 0)
        if number not in _TOP_FIELDS or wire not in (0, 2):
            raise PosewrightError("is not an ONNX model file", file=path)
        length = _varint(file)
        end = file.tell() + (length or 0) if wire == 2 else file.tell()
        if length is None or end > size:
            if seen & {1, 2, _GRAPH} or number == _GRAPH:
                raise PosewrightError("was cut short", file=path, fix=AGAIN)
            raise PosewrightError("is not an ONNX model file", file=path)
        seen.add(number)
        if wire == 2:
            if number == _METADATA:
                if length > LARGEST:
                    raise PosewrightError("has a metadata entry of an impossible size", file=path)
                pair = dict(_strings(file.read(length)))
                if pair.get(1, "") == ENTRY and ENTRY in entries:  # engines differ in which of them they read
                    raise PosewrightError("has two descriptions", file=path, fix=AGAIN)
                entries[pair.get(1, "")] = pair.get(2, "")
            file.seek(end)
    if _GRAPH not in seen:
        what = "was cut short" if seen & {1, 2} else "is not an ONNX model file"
        raise PosewrightError(what, file=path, fix=AGAIN)
    return entries


def _varint(file: BinaryIO) -> int | None:
    """The next variable-length integer; None where the file ends inside it or it is longer than 64 bits."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None


def _strings(message: bytes) -> Iterator[tuple[int, str]]:
    """(field number, text) of a message that holds only strings."""
    stream = io.BytesIO(message)
    while stream.tell() < len(message):
        tag, length = _varint(stream), _varint(stream)
        if tag is None or length is None:
            return
        yield tag >> 3, stream.read(length).decode("utf-8", "replace")
