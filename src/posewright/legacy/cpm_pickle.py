"""Reading a pickled dict of arrays without running anything that a pickle might ask for.

A pickle is a program: it may call whatever Python can import. What is read here may name eight things, all of which stand
in pickles of plain arrays, and gets none of the true ones: the names stand for inert objects that only note bytes, shape
and type, and arrays are made of these notes afterwards. Before anything is built, the program is read through once: operations
that no such dict needs, and claims that the file cannot hold, end it there.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError

# fmt: off
OPERATIONS = frozenset((
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP",
    "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET",
    "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS",
    "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS",
    "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX",
))
# fmt: on
"""What a dict of arrays is written with, in all protocols of Python 2 and 3; and, to name what they ask for, the four that
make objects of classes, of which there are none here."""
_TYPE = re.compile(r"[<>=|]?[fiub](1|2|4|8)")
_MOST_OPERATIONS = 1_000_000


class _Refused(Exception):
    """Why a pickle is not read on."""


def read_pickle(path: Path) -> dict[str, NDArray[Any]]:
    """Read a pickled dict of numpy arrays, as Python 2 or 3 wrote it. Nothing in the file is ever called or imported.

    Returns:
        Arrays of numbers by name.

    Raises:
        PosewrightError: where the file is missing, no pickle or cut short, asks for anything but plain arrays (which is
            named), or is something else than such a dict.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise PosewrightError("does not exist" if missing else error.strerror or "cannot be read", file=path) from None
    try:
        _look_through(data)
        found = _Reader(io.BytesIO(data), encoding="latin1").load()
        if not isinstance(found, dict):
            raise _Refused(f"holds a {_kind(found)}, not a dict of arrays")
        encoded: dict[str, bytes] = {}
        return {name: _array(name, notes, encoded) for name, notes in found.items()}
    except _Refused as why:
        raise PosewrightError(str(why), file=path) from None
    except Exception as error:
        # A damaged or crafted program can fail in any way that unpickling can; whichever, the file is of no use.
        what = f"is no pickle of arrays, or was damaged or cut short ({type(error).__name__})"
        raise PosewrightError(what, file=path) from None


def _look_through(data: bytes) -> None:
    """Read the whole program without building anything."""
    for count, (operation, argument, _) in enumerate(pickletools.genops(data)):
        if operation.name in ("GLOBAL", "INST"):
            _check_global(*str(argument).split(" ", 1))
        elif operation.name not in OPERATIONS:
            raise _Refused(f"uses the pickle operation {operation.name}, which no array needs; nothing of it was run")
        # Python makes room for a list of references as long as the largest number used.
        elif "PUT" in operation.name and int(str(argument)) > _MOST_OPERATIONS:
            raise _Refused(f"claims {argument} references, which no file of arrays has; nothing of it was run")
        if count > _MOST_OPERATIONS:
            raise _Refused("is far too long a program for a dict of arrays; nothing of it was run")


def _check_global(module: str, name: str = "") -> None:
    if (module, name) not in _STANDINS:
        raise _Refused(f"asks Python for {module}.{name}, which no array needs; nothing of it was run")


_InPython: Any = pickle._Unpickler  # whose types nobody has written down


class _Reader(_InPython):  # type: ignore[misc]
    """Knows the stand-ins and nothing else.

    Python's own reader in Python, unlike the one in C, can be stopped before it puts something into a dict. It has to be:
    tuples of the same tuples of the same tuples take a few bytes to write, and as a dict's key for ever to hash.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(_InPython.dispatch)

    def load_setitem(self) -> None:
        _check_names(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        _check_names(self.stack[::2])
        super().load_setitems()

    def load_dict(self) -> None:
        _check_names(self.stack[::2])
        super().load_dict()

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict

    def find_class(self, module: str, name: str) -> Any:
        _check_global(module, name)
        return _STANDINS[module, name]

    def persistent_load(self, _pid: Any) -> NoReturn:
        raise _Refused("asks for an object outside of itself, which no array needs; nothing of it was run")


class _Inert:
    """Cannot be given any state."""

    __slots__ = ()

    def __setstate__(self, _state: Any) -> NoReturn:
        raise _Refused("sets the state of what has none; nothing of it was run")


class _Standin(_Inert):
    """What a pickle gets for a name: calling it runs one of the functions below, whatever is passed."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __setattr__(self, _name: str, _value: Any) -> NoReturn:
        raise _Refused("changes what it has no business with; nothing of it was run")

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)


class _Type:
    """Notes of a numpy dtype: a letter and size, and the byte order that comes as its state."""

    __slots__ = ("code",)

    def __init__(self, code: Any) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(self.code, str) or not _TYPE.fullmatch(self.code):
            # The text of anything else might be endless.
            said = repr(self.code[:20]) if isinstance(self.code, str) else _kind(self.code)
            raise _Refused(f"holds an array of type {said}, not of numbers")

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, subarray, names, fields, size, alignment, flags, ...)
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise _Refused("holds an array of records, not of numbers")
        self.code = order + self.code.lstrip("<>=|")


class _Array:
    """Notes of a numpy array: its state as numpy pickles it."""

    __slots__ = ("data", "fortran", "shape", "type")

    def __setstate__(self, state: Any) -> None:
        # (version, shape, type, whether in Fortran's order, bytes); the first writers left the version out.
        self.shape, self.type, self.fortran, self.data = state[-4:]


def _reconstruct(kind: Any, _shape: Any, _code: Any) -> _Array:
    if kind is not _NDARRAY:
        raise _Refused("holds an array of a class of its own")
    return _Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """How numpy writes arrays since pickle protocol 5."""
    array = _Array()
    array.__setstate__((shape, dtype, order == "F", data))
    return array


def _encode(text: Any, encoding: Any) -> str:
    """How Python 3 writes bytes for Python 2: as text. It stays text until an array is made of it, once for each text:
    otherwise a small file could ask for the same megabytes a million times."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        said = repr(encoding[:20]) if isinstance(encoding, str) else _kind(encoding)
        raise _Refused(f"asks for the encoding {said}, which no array needs; nothing of it was run")
    return text


def _call_array(*_arguments: Any) -> NoReturn:
    raise _Refused("holds an array made in a way that numpy does not write")


_NDARRAY = _Standin(_call_array)
_TYPE_STANDIN = _Standin(lambda code, _align=False, _copy=False: _Type(code))
_STANDINS: dict[tuple[str, str], _Standin] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _TYPE_STANDIN,
    ("_codecs", "encode"): _Standin(_encode),
    # Python 3 writes no bytes at all as bytes() for Python 2.
    ("__builtin__", "bytes"): _Standin(lambda: b""),
}
for _core in ("core", "_core"):  # numpy 2 moved it
    _STANDINS[f"numpy.{_core}.multiarray", "_reconstruct"] = _Standin(_reconstruct)
    _STANDINS[f"numpy.{_core}.numeric", "_frombuffer"] = _Standin(_from_buffer)


def _kind(value: Any) -> str:
    return "single array" if isinstance(value, _Array) else type(value).__name__.lstrip("_")


def _check_names(keys: list[Any]) -> None:
    for key in keys:
        if not isinstance(key, str):
            raise _Refused(f"holds a dict with a {_kind(key)} for a name")


def _array(name: str, notes: Any, encoded: dict[str, bytes]) -> NDArray[Any]:
    """The array that was noted down; ``encoded`` keeps the bytes of texts, which arrays may share."""
    if not isinstance(notes, _Array):
        raise _Refused(f"'{name}' is a {_kind(notes)}, not an array")
    data = getattr(notes, "data", None)
    if isinstance(data, str):  # bytes of Python 2
        if data not in encoded:
            encoded[data] = data.encode("latin1")
        data = encoded[data]
    shape, dtype = getattr(notes, "shape", None), getattr(notes, "type", None)
    if not isinstance(data, (bytes, bytearray)) or not isinstance(dtype, _Type) or not isinstance(shape, tuple):
        raise _Refused(f"'{name}' is no array of numbers")
    if len(shape) > 8 or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise _Refused(f"'{name}' is no array of numbers")
    kind = np.dtype(dtype.code)
    claimed = kind.itemsize
    for n in shape:
        claimed *= n
    if claimed != len(data):
        raise _Refused(f"'{name}' claims {claimed} bytes and has {len(data)}")
    return np.frombuffer(data, kind).reshape(shape, order="F" if notes.fortran else "C")
