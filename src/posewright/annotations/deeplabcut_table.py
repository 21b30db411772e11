"""DeepLabCut's table of labels, ``CollectedData_<scorer>`` as CSV or as the HDF5 file that pandas makes of it.

One row a picture, named by its path in one cell (``labeled-data/video/img001.png``, until 2021 and in Lightning Pose) or
in three; over the columns stand the scorer, in multi-animal projects the individual, the body part, and x or y. A CSV that
a spreadsheet has saved may have semicolons or tabs in the place of commas, and then decimal commas.
"""

from __future__ import annotations

import csv
import io
import pickle
import pickletools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations import hdf5
from posewright.annotations.json_file import head
from posewright.errors import PosewrightError
from posewright.files import read_text

LEVELS = ("scorer", "individuals", "bodyparts", "coords")
"""What the lines over the columns begin with."""

_FIRST = tuple(b"scorer" + separator for separator in (b",", b";", b"\t"))

Bad = Callable[[PosewrightError], None]


@dataclass(frozen=True)
class Table:
    """The labels of one file.

    Attributes:
        scorer: who labelled.
        parts: what each pair of columns is: (individual, or "" in a single-animal project; body part).
        rows: path of each picture as the file gives it, with forward slashes.
        points: ``[R, P, 2]`` (x, y) of each row and pair in pixels of the picture, NaN where not labelled.
    """

    scorer: str
    parts: list[tuple[str, str]]
    rows: list[str]
    points: NDArray[np.float64]


def is_table(path: Path) -> bool:
    """Whether a file is such a table: a CSV by its first lines, an HDF5 file by its name."""
    if path.suffix.lower() == ".csv":
        start = head(path)
        lines = start.splitlines()[1:4]
        return start[:7] in _FIRST and any(line.startswith(b"bodyparts" + start[6:7]) for line in lines)
    return path.suffix.lower() == ".h5" and path.name.startswith("CollectedData") and hdf5.is_hdf5(path)


def read_table(path: Path, bad: Bad) -> Table:
    """Read a CSV or HDF5 table.

    Args:
        path: the file.
        bad: called for every row that cannot be used, which is then left out; may raise.

    Raises:
        PosewrightError: where the file cannot be used as a whole.
    """
    columns, rows, values = _csv(path, bad) if path.suffix.lower() == ".csv" else _h5(path)
    scorers = sorted({scorer for scorer, *_ in columns})
    if len(scorers) > 1:
        raise PosewrightError(f"holds labels of several scorers: {', '.join(scorers)}", file=path)
    places: dict[tuple[str, str], dict[str, int]] = {}
    for i, (_, individual, part, coordinate) in enumerate(columns):
        if coordinate == "likelihood":
            what = "holds likelihoods: these are predictions of a net, not labels"
            raise PosewrightError(what, file=path, fix="Give the project folder or a CollectedData file")
        if coordinate not in ("x", "y"):
            raise PosewrightError(f"has a column of '{coordinate}', which is neither x nor y", file=path)
        if not part:
            raise PosewrightError(f"does not say which body part column {i + 1} is", file=path)
        if places.setdefault((individual, part), {}).setdefault(coordinate, i) != i:
            raise PosewrightError(f"has two columns for {coordinate} of '{part}'", file=path)
    if not places:
        raise PosewrightError("has no columns", file=path)
    for (_, part), pair in places.items():
        if len(pair) != 2:
            raise PosewrightError(f"has x or y of '{part}' only", file=path)
    order = np.array([[pair["x"], pair["y"]] for pair in places.values()])
    return Table(scorers[0], list(places), [r.replace("\\", "/") for r in rows], values[:, order])


# -- CSV ---------------------------------------------------------------------------------------------------------------

Columns = list[tuple[str, str, str, str]]


def _csv(path: Path, bad: Bad) -> tuple[Columns, list[str], NDArray[np.float64]]:
    text = read_text(path)
    begins = text.lstrip()[:7]
    separator = begins[6] if begins.encode() in _FIRST else ","
    try:
        lines = [(n, row) for n, row in enumerate(csv.reader(io.StringIO(text), delimiter=separator), 1) if any(row)]
    except csv.Error as error:
        raise PosewrightError(f"is not CSV: {error}", file=path) from None
    over: dict[str, list[str]] = {}
    while lines and lines[0][1][0] in LEVELS and lines[0][1][0] not in over:
        _, row = lines.pop(0)
        over[row[0]] = row
    for name in ("scorer", "bodyparts", "coords"):
        if name not in over:
            raise PosewrightError(f"has no line '{name}' over its columns", file=path)
    coords = over["coords"]
    width = len(coords)
    first = next((i for i, cell in enumerate(coords) if i and cell), width)  # cells before it name the picture
    for name, row in over.items():
        if len(row) != width:
            raise PosewrightError(f"line '{name}' has {len(row)} cells, not {width}", file=path)
    names = [over.get(name, [""] * width)[first:] for name in LEVELS]
    rows, values = [], []
    for number, row in lines:
        try:
            if len(row) != width:
                raise ValueError(f"has {len(row)} cells, not {width}")
            cells = row[first:] if separator == "," else [cell.replace(",", ".") for cell in row[first:]]
            values.append([float(cell or "nan") for cell in cells])
            rows.append("/".join(cell for cell in row[:first] if cell))
        except ValueError as error:
            bad(PosewrightError(str(error), file=path, record=f"line {number}"))
    columns = [(s, i, b, c) for s, i, b, c in zip(*names)]
    return columns, rows, np.array(values, float).reshape(len(rows), len(columns))


# -- HDF5, in the two layouts that pandas' to_hdf has --------------------------------------------------------------------


def _h5(path: Path) -> tuple[Columns, list[str], NDArray[np.float64]]:
    with hdf5.open_hdf5(path) as file:
        frames = [group for group in file.values() if "pandas_type" in group.attrs]
        if len(frames) != 1:
            raise PosewrightError(f"holds {len(frames)} pandas tables, not one", file=path)
        layout = hdf5.text(frames[0].attrs["pandas_type"])
        if layout not in ("frame", "frame_table"):
            raise PosewrightError(f"holds a pandas '{layout}', which is no table of labels", file=path)
        columns, rows, values = (_fixed if layout == "frame" else _appendable)(frames[0], path)
    if values.shape != (len(rows), len(columns)):
        what = f"holds {values.shape} values for {len(rows)} rows and {len(columns)} columns"
        raise PosewrightError(what, file=path)
    return [_column(names, path) for names in columns], ["/".join(r) for r in rows], values


def _column(names: Sequence[str], path: Path) -> tuple[str, str, str, str]:
    if len(names) == 3:
        return names[0], "", names[1], names[2]
    if len(names) == 4:
        return names[0], names[1], names[2], names[3]
    raise PosewrightError(f"has {len(names)} lines over its columns, not 3 or 4", file=path)


def _axis(group: Any, name: str, path: Path) -> list[tuple[str, ...]]:
    """The labels of rows or columns; each a tuple, since there may be several levels."""
    if hdf5.text(group.attrs.get(f"{name}_variety", "")) != "multi":
        return [(hdf5.text(v),) for v in hdf5.array(group, name, path).tolist()]
    levels = []
    for i in range(int(group.attrs[f"{name}_nlevels"])):
        texts = [hdf5.text(v) for v in hdf5.array(group, f"{name}_level{i}", path).tolist()]
        codes = hdf5.array(group, f"{name}_label{i}", path).tolist()
        levels.append([texts[code] if code >= 0 else "" for code in codes])
    return list(zip(*levels, strict=True))


def _fixed(group: Any, path: Path) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]], NDArray[np.float64]]:
    """The default layout: columns of one type are a block."""
    columns, rows = _axis(group, "axis0", path), _axis(group, "axis1", path)
    place = {column: i for i, column in enumerate(columns)}
    values = np.full((len(rows), len(columns)), np.nan)
    for i in range(int(group.attrs["nblocks"])):
        block = hdf5.array(group, f"block{i}_values", path).astype(float)
        stored = block if group[f"block{i}_values"].attrs.get("transposed") else block.T
        values[:, [place[column] for column in _axis(group, f"block{i}_items", path)]] = stored
    return columns, rows, values


_KEYED = {"DICT", "SETITEM", "SETITEMS", "ADDITEMS", "FROZENSET"}
"""Steps of a pickle that hash what it made: nested tuples can take for ever there."""


class _PlainUnpickler(pickle.Unpickler):
    """Unpickles lists, tuples, texts and numbers, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def _plain(value: Any) -> Any:
    """A pickled attribute, which h5py shows as bytes."""
    program = bytes(value)
    if any(step.name in _KEYED for step, _, _ in pickletools.genops(program)):
        raise pickle.UnpicklingError("holds more than lists and texts")
    return _PlainUnpickler(io.BytesIO(program)).load()


def _names(values: Any) -> list[tuple[str, ...]]:
    """Names of columns, each a tuple of texts."""
    if not all(isinstance(part, str) for name in values for part in name):
        raise pickle.UnpicklingError("names a column by something that is no text")
    return [tuple(name) for name in values]


def _appendable(group: Any, path: Path) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]], NDArray[np.float64]]:
    """The layout of ``format="table"``: one record a row, with the columns' names in a pickled attribute."""
    ((_, names),) = _plain(group.attrs["non_index_axes"])
    columns = _names(names)
    table = hdf5.array(group, "table", path)
    rows: list[tuple[str, ...]] = [(hdf5.text(v),) for v in table["index"].tolist()]
    place = {column: i for i, column in enumerate(columns)}
    values = np.full((len(rows), len(columns)), np.nan)
    attributes = group["table"].attrs
    for name in table.dtype.names or ():
        if name.startswith("values_block_"):
            block = _names(_plain(attributes[f"{name}_kind"]))
            values[:, [place[column] for column in block]] = table[name].reshape(len(rows), len(block))
    return columns, rows, values
