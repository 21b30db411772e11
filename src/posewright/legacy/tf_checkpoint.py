"""Reading a TensorFlow checkpoint, by TensorFlow's own reader."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.legacy.keras_h5 import MOST_TOGETHER

ENDINGS = (".index", ".meta", ".data-00000-of-00001")
"""The files of one checkpoint; what stands before is its name."""


class Reader(Protocol):
    """The part of TensorFlow's checkpoint reader that is used."""

    def get_variable_to_shape_map(self) -> Mapping[str, Iterable[int]]: ...
    def get_tensor(self, name: str) -> Any: ...


def checkpoint_prefix(path: Path) -> Path | None:
    """The checkpoint that a path means: its name, one of its files, or the folder that holds just one; else None."""
    for ending in ENDINGS:
        if path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending))
    if path.is_dir():
        found = sorted(path.glob("*.index"))
        return found[0].with_suffix("") if len(found) == 1 else None
    return path if path.with_name(f"{path.name}.index").is_file() else None


def read_checkpoint(prefix: Path) -> dict[str, NDArray[Any]]:
    """All variables of the net in a checkpoint, without an optimiser's.

    Args:
        prefix: the path that the checkpoint's files have in common.

    Raises:
        PosewrightError: where TensorFlow is not installed, or cannot read the checkpoint.
    """
    if not prefix.with_name(f"{prefix.name}.index").is_file():
        raise PosewrightError("there is no TensorFlow checkpoint of this name", file=prefix)
    try:
        from tensorflow.train import load_checkpoint  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        what = "is a TensorFlow checkpoint; reading it needs TensorFlow, which is not installed"
        raise PosewrightError(what, file=prefix, fix="pip install tensorflow-cpu") from None
    try:
        return variables(load_checkpoint(str(prefix)))
    except PosewrightError as error:
        raise PosewrightError(error.what, file=prefix) from None
    except Exception as error:
        # TensorFlow's errors are classes of its own, of many kinds.
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise PosewrightError(f"TensorFlow cannot read it: {reason}", file=prefix) from None


def variables(reader: Reader) -> dict[str, NDArray[Any]]:
    """The pose machine's variables that a reader knows; what training adds to a checkpoint is left out."""
    endings = ("/kernel", "/bias", "/weights", "/biases")
    names = [n for n in reader.get_variable_to_shape_map() if n.startswith(("sub_stages/", "stage_"))]
    names = [name for name in names if name.endswith(endings)]
    shapes = reader.get_variable_to_shape_map()
    if sum(math.prod(shapes[name]) for name in names) > MOST_TOGETHER:
        raise PosewrightError("claims more numbers than any such net has")
    return {name: np.asarray(reader.get_tensor(name)) for name in names}
