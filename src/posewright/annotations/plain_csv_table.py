"""The cells of a plain CSV as columns, wide or long; ``plain_csv.py`` tells the rule."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.json_file import head
from posewright.errors import PosewrightError
from posewright.files import read_text

Array = NDArray[np.float64]
Bad = Callable[[PosewrightError], None]

PATHS = ("path", "image", "file", "filename", "file_name")
BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
SCALARS = ("frame", "width", "height", "track", "weight", "area", "iscrowd", "head_size")
WORDS = ("path", "set", "group", "pictures", "object", "keypoint")
_ALIASES = dict.fromkeys(PATHS, "path") | {"split": "set", "track_id": "track"}
_KEYPOINT = re.compile(r"(.+)[ _.]([xyvXYV])")
_NOTHING = ("", "nan", "na", "n/a", "none", "null", "-")
_TRUTH = {"true": 1.0, "false": 0.0}


def folded(name: str) -> str:
    """A column's name as the rule spells it: small letters, underscores, no other word for the same."""
    plain = re.sub(r"\s+", "_", name.strip()).lower()
    return _ALIASES.get(plain, plain)


@dataclass(frozen=True)
class Header:
    """Where each column stands.

    Attributes:
        columns: of the columns that are no keypoint's, by name.
        keypoints: places of x, y and v of each keypoint (v is -1 for none) by name, in order; empty in a long table.
        separator: between columns.
    """

    columns: dict[str, int]
    keypoints: dict[str, tuple[int, int, int]]
    separator: str


def is_table(path: Path) -> bool:
    """Whether a file is such a table, by its first line; ``x`` and ``y`` may be any pair of keypoint columns."""
    if path.suffix.lower() not in (".csv", ".tsv"):
        return False
    line = next(iter(head(path).decode("utf-8", "replace").splitlines()), "")
    try:
        header = _header(next(csv.reader([line], delimiter=_separator(line)), []), _separator(line), path)
    except (PosewrightError, csv.Error):
        return False
    return "path" in header.columns and (bool(header.keypoints) or {"keypoint", "x", "y"} <= set(header.columns))


def _separator(line: str) -> str:
    return max(",;\t", key=line.count)


def _header(cells: list[str], separator: str, path: Path) -> Header:
    columns: dict[str, int] = {}
    found: dict[str, dict[str, int]] = {}
    for i, cell in enumerate(cells):
        name = cell.strip()
        pair = _KEYPOINT.fullmatch(name)
        if not name:
            continue
        if pair and folded(name) not in (*BOX, *SCALARS):
            places = found.setdefault(pair.group(1).strip(), {})
            if places.setdefault(pair.group(2).lower(), i) != i:
                raise PosewrightError(f"has two columns '{name}'", file=path)
        elif columns.setdefault(folded(name), i) != i and folded(name) in (*WORDS, *BOX, *SCALARS, "x", "y", "v"):
            raise PosewrightError(f"has two columns '{name}'", file=path)
    # An x without its y is a slip, and to pass over it would lose a keypoint without a word.
    for name, places in found.items():
        if name.lower() in ("box", "bbox"):
            fix = f"Call a box's columns {', '.join(BOX)}: two corners"
            raise PosewrightError(f"has a column '{name}_{next(iter(places))}'", file=path, fix=fix)
        if not {"x", "y"} <= set(places):
            there, missing = next(iter(places)), next(c for c in "xy" if c not in places)
            raise PosewrightError(f"has a column for {there} of '{name}' and none for {missing}", file=path)
    keypoints = {name: (places["x"], places["y"], places.get("v", -1)) for name, places in found.items()}
    return Header(columns, keypoints, separator)


@dataclass
class Table:
    """The objects of a file, and the pictures without one.

    Attributes:
        names: the K keypoints in order.
        paths: the picture of each of the R rows as the file gives it.
        keypoints: ``[R, K, 3]`` (x, y, v) as they stand, NaN for empty cells.
        boxes: ``[R, 4]``, NaN for empty cells.
        scalars: ``[R]`` each, NaN for empty cells.
        words: ``set`` and ``group`` of each row, "" for empty cells.
        lines: the number of each row's line, from 1.
        pictures: the pictures' folder as the file gives it, "" where it does not.
    """

    names: list[str]
    paths: list[str]
    keypoints: Array
    boxes: Array
    scalars: dict[str, Array]
    words: dict[str, list[str]]
    lines: list[int]
    pictures: str


def read_table(path: Path, bad: Bad) -> Table:
    """Read a file of either form.

    Args:
        path: the file.
        bad: called for every line that cannot be used, which is then left out; may raise.

    Raises:
        PosewrightError: where the file cannot be used as a whole.
    """
    text = read_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = _separator(first)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise PosewrightError(f"is not CSV: {error}", file=path) from None
    rows = [(n, cells) for n, cells in enumerate(lines, 1) if any(cell.strip() for cell in cells)]
    if not rows:
        raise PosewrightError("is empty", file=path)
    header = _header(rows[0][1], separator, path)
    if "path" not in header.columns:
        raise PosewrightError("has no column 'path'", file=path, fix="The first line names the columns")
    if not header.keypoints and not {"keypoint", "x", "y"} <= set(header.columns):
        fix = "Call them NAME_x and NAME_y, or give one line a keypoint in columns keypoint, x and y"
        raise PosewrightError("has no columns of keypoints", file=path, fix=fix)
    wide = _Cells(header, rows[0][1], path, bad)
    wide.take(rows[1:])
    return wide.table() if header.keypoints else _from_long(wide, path, bad)


class _Cells:
    """The cells of a file: numbers as one array, words as lists."""

    def __init__(self, header: Header, names: list[str], path: Path, bad: Bad) -> None:
        self.header, self.names, self.path, self.bad = header, names, path, bad
        long = [header.columns.get(name, -1) for name in ("x", "y", "v")] if not header.keypoints else []
        self.points = [i for places in header.keypoints.values() for i in places] + long
        self.boxes = [header.columns.get(name, -1) for name in BOX]
        self.scalars = [header.columns.get(name, -1) for name in SCALARS]
        self.words = {name: header.columns[name] for name in WORDS if name in header.columns}
        self.lines: list[int] = []
        self.text: dict[str, list[str]] = {name: [] for name in WORDS}
        self.numbers = np.empty((0, 0))

    def take(self, rows: list[tuple[int, list[str]]]) -> None:
        wanted = [*self.points, *self.boxes, *self.scalars]
        width, values = len(self.names), []
        for line, cells in rows:
            try:
                if len(cells) > width and any(cell.strip() for cell in cells[width:]):
                    what = f"has {len(cells)} cells, and the first line {width}"
                    raise PosewrightError(what, file=self.path, record=f"line {line}")
                # One empty cell more: a column that is not there is the last, by index -1.
                cells = [*cells[:width], *[""] * (width + 1 - min(len(cells), width))]
                try:
                    numbers = [float(cells[i]) if cells[i] else math.nan for i in wanted]
                except ValueError:
                    numbers = [self._number(cells, i, line) for i in wanted]
                if not cells[self.words["path"]].strip():
                    raise PosewrightError("names no picture", file=self.path, record=f"line {line}")
            except PosewrightError as error:
                self.bad(error)
                continue
            values.append(numbers)
            self.lines.append(line)
            for name, column in self.text.items():
                column.append(cells[self.words[name]].strip() if name in self.words else "")
        self.numbers = np.array(values, float).reshape(-1, len(wanted))

    def _number(self, cells: list[str], i: int, line: int) -> float:
        """A cell that Python does not take for a number: a word for nothing, a decimal comma, or a mistake."""
        text = cells[i].strip().lower()
        if text in _NOTHING:
            return math.nan
        if text in _TRUTH:
            return _TRUTH[text]
        if self.header.separator != "," and text.count(",") == 1:
            text = text.replace(",", ".")
        try:
            return float(text)
        except ValueError:
            what = f"{self.names[i].strip()} is {cells[i][:40]!r}, not a number"
            raise PosewrightError(what, file=self.path, record=f"line {line}") from None

    def parts(self) -> tuple[Array, Array, dict[str, Array]]:
        """Keypoints ``[R, P, 3]``, boxes ``[R, 4]`` and scalars ``[R]``."""
        cut = len(self.points)
        points, boxes, scalars = np.split(self.numbers, [cut, cut + 4], axis=1)
        return points.reshape(-1, cut // 3, 3), boxes, dict(zip(SCALARS, scalars.T))

    def table(self) -> Table:
        points, boxes, scalars = self.parts()
        words = {name: self.text[name] for name in ("set", "group")}
        pictures = next((text for text in self.text["pictures"] if text), "")
        return Table(
            list(self.header.keypoints), self.text["path"], points, boxes, scalars, words, self.lines, pictures
        )


def _from_long(cells: _Cells, path: Path, bad: Bad) -> Table:
    """One row for each object of a table with one line for each keypoint; the first line that says something counts."""
    points, boxes, scalars = cells.parts()
    keys = list(zip(cells.text["path"], scalars["frame"].tolist(), cells.text["object"]))
    keys = [(name, -1.0 if math.isnan(frame) else frame, thing) for name, frame, thing in keys]
    place = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    names = {name: k for k, name in enumerate(dict.fromkeys(name for name in cells.text["keypoint"] if name))}
    out = np.full((len(place), len(names), 3), np.nan)
    first: dict[int, int] = {}
    filled = {"boxes": np.full((len(place), 4), np.nan)} | {n: np.full(len(place), np.nan) for n in scalars}
    words = {name: [""] * len(place) for name in ("set", "group")}
    seen: set[tuple[int, int]] = set()
    for row, key in enumerate(keys):
        i, name = place[key], cells.text["keypoint"][row]
        first.setdefault(i, cells.lines[row])
        if name and (i, names[name]) in seen:
            fix = "Say with a column 'object' which keypoints belong together"
            what = f"keypoint '{name}' stands there twice for '{key[0]}'"
            bad(PosewrightError(what, file=path, record=f"line {cells.lines[row]}", fix=fix))
            continue
        if name:
            seen.add((i, names[name]))
            out[i, names[name]] = points[row, 0]
        elif np.isfinite(points[row, 0]).any():
            bad(PosewrightError("does not say which keypoint it is", file=path, record=f"line {cells.lines[row]}"))
        for target, values in (("boxes", boxes), *scalars.items()):
            if np.isnan(filled[target][i]).all():
                filled[target][i] = values[row]
        for word, texts in words.items():
            texts[i] = texts[i] or cells.text[word][row]
    pictures = next((text for text in cells.text["pictures"] if text), "")
    lines = [first[i] for i in range(len(place))]
    return Table(list(names), [key[0] for key in place], out, filled.pop("boxes"), filled, words, lines, pictures)
