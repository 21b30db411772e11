"""Reading the small YAML files that lie beside labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError

LARGEST = 1 << 20
"""Bytes; a settings file is never that long, and YAML's references can make a long one endless."""


def load_yaml(path: Path) -> dict[str, Any]:
    """The content of a YAML file that holds keys and values; keys as text.

    Raises:
        PosewrightError: where the file cannot be read or is no such file, or PyYAML is not installed.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        fix = "pip install 'posewright[train]'"
        raise PosewrightError("is a YAML file, and PyYAML is not installed", file=path, fix=fix) from None
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
    if len(data) > LARGEST:
        raise PosewrightError("is too long for a settings file", file=path)
    try:
        content = yaml.safe_load(data)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else None
        raise PosewrightError(f"is not YAML: {error.problem or error.context}", file=path, record=where) from None
    except Exception:  # its constructors meet a damaged number or date with any of several exceptions
        raise PosewrightError("is not YAML", file=path) from None
    if not isinstance(content, dict):
        raise PosewrightError("holds no keys and values", file=path)
    return {str(key): value for key, value in content.items()}
