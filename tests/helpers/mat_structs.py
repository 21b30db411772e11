"""MATLAB structs for scipy's ``savemat``, as MATLAB itself lays them out: arrays of records, numbers as 1 x 1."""

from __future__ import annotations

from typing import Any

import numpy as np


def structs(rows: list[dict[str, Any]]) -> np.ndarray:
    """A 1 x N struct array; every entry has the fields of the first, [] where it has none."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    array = np.empty((1, len(rows)), [(name, object) for name in names])
    for i, row in enumerate(rows):
        for name in names:
            array[0, i][name] = _value(row.get(name, []))
    return array


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return structs([value])
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return structs(value)
    if isinstance(value, (str, np.ndarray)):
        return value
    return np.array(value, float).reshape(1, -1) if np.size(value) else np.zeros((0, 0))
