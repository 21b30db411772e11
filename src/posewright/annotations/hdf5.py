"""Reading HDF5 label files with h5py, which is not part of the bare install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError

MAGIC = b"\x89HDF\r\n\x1a\n"
LARGEST = 1 << 32
"""A table of labels that claims more bytes than this is a damaged one."""

EMPTY = 1 << 24
"""Bytes that a dataset may claim whatever of it is stored."""
DENSEST = 2000
"""Bytes that one stored byte stands for at most; deflate comes to about 1000."""


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """The open ``h5py.File``; whatever h5py raises inside the block becomes one error.

    Raises:
        PosewrightError: where h5py is missing, or the file is missing, no HDF5, cut short or damaged.
    """
    try:
        import h5py
    except ModuleNotFoundError:
        what = "is an HDF5 file; reading it needs h5py, which is not installed"
        raise PosewrightError(what, file=path, fix="pip install 'posewright[labels]'") from None
    if not path.is_file():
        raise PosewrightError("does not exist", file=path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except PosewrightError:
        raise
    except Exception as error:  # h5py meets a damaged file with any of a dozen exceptions
        if isinstance(error, PermissionError):
            raise PosewrightError("cannot be read: permission denied", file=path) from None
        what = "is damaged or cut short: its HDF5 data cannot be read"
        raise PosewrightError(what, file=path, fix="Fetch or export the file again") from None


def array(group: Any, name: str, path: Path) -> NDArray[Any]:
    """A whole dataset.

    Raises:
        PosewrightError: where the group holds no dataset of that name, or one of a senseless size.
    """
    data = dataset(group, name, path)
    if data.size * data.dtype.itemsize > LARGEST:
        raise PosewrightError(f"dataset '{name}' claims the shape {data.shape}", file=path)
    return np.asarray(data[()])


def dataset(group: Any, name: str, path: Path) -> Any:
    """A dataset whose content is in the file itself, not yet read.

    Raises:
        PosewrightError: where the group holds no such dataset, it is kept in another file, or it claims far more than is
            stored: reading one that is all gaps can take hours.
    """
    import h5py

    data = group.get(name)
    if not isinstance(data, h5py.Dataset) or data.size is None:
        raise PosewrightError(f"holds no dataset '{name}'", file=path)
    if isinstance(group.get(name, getlink=True), h5py.ExternalLink) or data.external or data.is_virtual:
        raise PosewrightError(f"dataset '{name}' is kept in another file", file=path)
    if data.size * data.dtype.itemsize > max(EMPTY, DENSEST * data.id.get_storage_size()):
        raise PosewrightError(f"dataset '{name}' claims the shape {data.shape}, and is empty", file=path)
    return data


def text(value: Any) -> str:
    """An HDF5 text, stored as bytes or as text, or "" for an empty attribute."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return str(value) if isinstance(value, str) else ""
