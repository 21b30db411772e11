"""HDF5 files as pandas' ``to_hdf`` lays out a table of labels, written with h5py."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np


def write_fixed(path: Path, columns: list[tuple[str, ...]], rows: list[tuple[str, ...]], values: np.ndarray) -> Path:
    """The default layout, with the columns' block in another order than the columns themselves."""
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_("frame")
        group.attrs["nblocks"] = 1
        _axis(group, "axis0", columns)
        _axis(group, "axis1", rows)
        order = list(range(len(columns)))[::-1]
        _axis(group, "block0_items", [columns[i] for i in order])
        group["block0_values"] = values[:, order]
        group["block0_values"].attrs["transposed"] = np.uint8(1)
    return path


def _axis(group: h5py.Group, name: str, labels: list[tuple[str, ...]]) -> None:
    group.attrs[f"{name}_variety"] = np.bytes_("multi" if len(labels[0]) > 1 else "regular")
    if len(labels[0]) == 1:
        group[name] = np.array([label[0].encode() for label in labels])
        return
    group.attrs[f"{name}_nlevels"] = len(labels[0])
    for i, level in enumerate(zip(*labels, strict=True)):
        texts = sorted(set(level))
        group[f"{name}_level{i}"] = np.array([text.encode() for text in texts])
        group[f"{name}_label{i}"] = np.array([texts.index(text) for text in level], np.int8)


def write_appendable(path: Path, columns: list[tuple[str, ...]], rows: list[str], values: np.ndarray) -> Path:
    """The layout of ``format="table"``."""
    width = max(map(len, rows))
    record = np.zeros(len(rows), [("index", f"S{width}"), ("values_block_0", "f8", (len(columns),))])
    record["index"] = [row.encode() for row in rows]
    record["values_block_0"] = values
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_("frame_table")
        group.attrs["non_index_axes"] = np.bytes_(pickle.dumps([(1, columns)], 0))
        group["table"] = record
        group["table"].attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(columns, 0))
    return path
