"""Reading JSON label files: their first bytes, their content, and their rows of numbers as arrays."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.files import UTF_16


def head(path: Path, size: int = 8192) -> bytes:
    """The first bytes of a file without byte-order mark and leading space, UTF-16 as UTF-8; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(size)
    except OSError:
        return b""
    if start.startswith(UTF_16):
        start = start.decode("utf-16", "ignore").encode("utf-8", "ignore")
    return start.removeprefix(b"\xef\xbb\xbf").lstrip()


_PICTURES_BY_ID = re.compile(rb'"images"\s*:\s*\{\s*"\d+"\s*:\s*"')


def maps_ids_to_pictures(path: Path) -> bool:
    """Whether a JSON file's ``images`` map ids to names, as Animal-Pose's do; COCO's are a list of objects."""
    start = head(path)
    return start.startswith(b"{") and _PICTURES_BY_ID.search(start) is not None


@contextmanager
def no_collection() -> Iterator[None]:
    """Pause the garbage collector while millions of small lists come to be, none of them garbage.

    It would look through all of them again and again: COCO's training file takes 1.5 s to parse instead of 7.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def load_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        PosewrightError: where the file is missing, empty, cut short or not JSON, with line and column.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
    if not data.strip():
        raise PosewrightError("is empty", file=path)
    try:
        with no_collection():
            return json.loads(data)
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated"):
            raise PosewrightError("is cut short: the JSON ends too early", file=path, fix="Export it again") from None
        where = f"line {error.lineno}, column {error.colno}"
        raise PosewrightError(f"is not JSON: {error.msg[0].lower()}{error.msg[1:]}", file=path, record=where) from None
    except (ValueError, RecursionError):  # no text, a number of thousands of digits, or nested without end
        raise PosewrightError("is not JSON", file=path) from None


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number (``true`` and ``false`` are none)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def number_rows(rows: Sequence[Any], shape: tuple[int, ...]) -> tuple[NDArray[np.float64], dict[int, str]]:
    """JSON lists as one array, and what is wrong with those that do not fit.

    Args:
        rows: N values, each of which should be a list of numbers (or of lists of numbers).
        shape: the shape that every row should have.

    Returns:
        ``[N, *shape]``, NaN in rows that do not fit, and for those a few words by row index.
    """
    try:
        table = np.array(rows)  # no dtype given, so that a string among the numbers shows in the array's type
    except ValueError:  # rows of different lengths
        table = np.empty(0, object)
    if table.shape == (len(rows), *shape) and table.dtype.kind in "iuf":
        return table.astype(float), {}
    out = np.full((len(rows), *shape), np.nan)
    problems = {}
    for i, row in enumerate(rows):
        problem = _misfit(row, shape)
        if problem:
            problems[i] = problem
        else:
            out[i] = row
    return out, problems


class Misfits(dict[int, str]):
    """Rows of a table that cannot be used, and for each a few words on why: the first reason found."""

    def numbers(self, what: str, rows: Sequence[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
        """``[N, *shape]`` as :func:`number_rows` gives it, with what is wrong noted under the name ``what``."""
        table, wrong = number_rows(rows, shape)
        for i, why in wrong.items():
            self.setdefault(i, f"{what}: {why}")
        return table

    def mark(self, rows: Any, why: Callable[[int], str] | str) -> None:
        """Note one reason for many rows, given by mask ``[N]`` or index."""
        index = np.asarray(rows)
        for i in (np.flatnonzero(index) if index.dtype == bool else index).tolist():
            self.setdefault(i, why if isinstance(why, str) else why(i))

    def leave_out(self, report: Callable[[int, str], None], *tables: dict[str, Any]) -> None:
        """Report every row in order, then take them out of the tables' columns, in place."""
        for i in sorted(self):
            report(i, self[i])
        for table in tables:
            rows = len(next(iter(table.values()), ()))
            table |= kept_rows(table, np.isin(np.arange(rows), list(self), invert=True)) if self else {}


def kept_rows(columns: dict[str, Any], keep: NDArray[np.bool_]) -> dict[str, Any]:
    """The marked rows of every column, arrays and lists alike."""
    return {
        name: column[keep] if isinstance(column, np.ndarray) else [value for value, kept in zip(column, keep) if kept]
        for name, column in columns.items()
    }


def _misfit(row: Any, shape: tuple[int, ...]) -> str | None:
    if not isinstance(row, list):
        return f"is {_spoken(row)}, not a list of {shape[0]}"
    if len(row) != shape[0]:
        return f"has {len(row)} {'entries' if len(shape) > 1 else 'numbers'}, not {shape[0]}"
    for item in row:
        if len(shape) > 1:
            problem = _misfit(item, shape[1:])
            if problem:
                return f"holds an entry that {problem}"
        elif not is_number(item) or (isinstance(item, int) and abs(item) > 1e300):
            return f"holds {_spoken(item)}, which is not a number"
    return None


def _spoken(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 30 else f"{text[:27]}..."
