"""Reading MATLAB files: which variables they hold, and the nested structs that scipy makes arrays of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from posewright.errors import PosewrightError

_COMPRESSED = 15
"""The type of a compressed element in a MATLAB 5 file."""
_MATRIX, _FLAGS, _DIMENSIONS = 14, 6, 5
"""The types of an array, and of its first two parts."""
_KINDS = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14, 16, 17, 18))
"""All types that an array's parts can have."""


def mat_variables(path: Path) -> set[str]:
    """The names of a MATLAB file's variables; empty where it cannot be read."""
    from scipy.io import whosmat

    try:
        return {name for name, _, _ in whosmat(path)}
    except Exception:  # scipy meets a damaged file with any of a dozen exceptions
        return set()


def load_mat(path: Path, variable: str) -> Any:
    """One variable of a MATLAB file as scipy gives it, structs as record arrays; None where the file has no such.

    Raises:
        PosewrightError: where the file cannot be read.
    """
    from scipy.io import loadmat

    try:
        whole = _checksums_hold(path)
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
    if not whole:
        raise PosewrightError("cannot be read: it is damaged or no MATLAB file", file=path)
    try:
        return loadmat(path, variable_names=[variable]).get(variable)
    except Exception as error:  # as above
        newer = isinstance(error, NotImplementedError)
        why = "a MATLAB 7.3 (HDF5) file; save it with -v7" if newer else "damaged or no MATLAB file"
        raise PosewrightError(f"cannot be read: it is {why}", file=path) from None


def _checksums_hold(path: Path) -> bool:
    """Whether the compressed variables of a file are whole.

    scipy reads them as a stream and does not wait for the checksum at the end; damaged structs can crash the process.
    """
    import struct
    import zlib

    with path.open("rb") as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(128)[126:])
        while order and (tag := file.read(8)):
            if len(tag) < 8:
                return False
            kind, left = struct.unpack(f"{order}II", tag)
            if kind == _MATRIX and left <= path.stat().st_size:
                body = file.read(left)
                if len(body) < left or not _well_formed(memoryview(body), order):
                    return False
                continue
            unpacker = zlib.decompressobj()
            while left:
                data = file.read(min(left, 1 << 16))
                left -= len(data)
                if not data:
                    return False
                if kind == _COMPRESSED:
                    try:
                        unpacker.decompress(data)
                    except zlib.error:
                        return False
            if kind == _COMPRESSED and not unpacker.eof:
                return False
    return True


def _well_formed(body: memoryview, order: str, depth: int = 0) -> bool:
    """Whether an uncompressed array is made of elements of known types: scipy crashes on others.

    The layout is that of "MAT-File Format" (MathWorks), chapter 1: tags of type and size, small ones with their data.
    """
    import struct

    at, number = 0, 0
    while at + 8 <= len(body):
        kind, size = struct.unpack_from(f"{order}II", body, at)
        if kind >> 16:  # a small element: size and type share four bytes, the data are the other four
            kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start, after = at + 8, at + 8 + size + -size % 8
        if kind not in _KINDS or start + size > len(body):
            return False
        if number == 0:
            if kind != _FLAGS or size != 8 or not 1 <= struct.unpack_from(f"{order}I", body, start)[0] & 0xFF <= 17:
                return False
        elif (number == 1 and kind != _DIMENSIONS) or (
            kind == _MATRIX and size and (depth > 30 or not _well_formed(body[start : start + size], order, depth + 1))
        ):
            return False
        at, number = after, number + 1
    return number > 2 or not len(body)


def struct_field(struct: Any, name: str) -> Any:
    """A field of a struct (of the first of an array of structs); None where it is missing or empty."""
    if not isinstance(struct, (np.ndarray, np.void)) or name not in (struct.dtype.names or ()):
        return None
    if isinstance(struct, np.ndarray):
        if struct.size == 0:
            return None
        struct = struct.flat[0]
    value = struct[name]
    return value if isinstance(value, np.ndarray) and value.size else None


def struct_list(structs: Any) -> list[Any]:
    """The entries of an array of structs, one by one."""
    return list(structs.flat) if isinstance(structs, np.ndarray) and structs.dtype.names else []


def scalar(value: Any) -> Any:
    """The one value inside MATLAB's nested one-element arrays; None where they are empty."""
    while isinstance(value, np.ndarray):
        if value.size == 0:
            return None
        value = value.flat[0]
    return value


def number(struct: Any, name: str) -> float | None:
    """A field of a struct as a number, also where it was stored as text; None where it is missing or empty.

    Raises:
        PosewrightError: where it is something else.
    """
    value = scalar(struct_field(struct, name))
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise PosewrightError(f"field '{name}' is no number") from None
