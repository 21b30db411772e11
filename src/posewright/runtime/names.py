"""What a command takes for a model: a model file, a run folder, a checkpoint, a shipped pair's name, or a place on the Hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from posewright.errors import PosewrightError, did_you_mean
from posewright.hub.address import is_address
from posewright.runtime.formats import format_of

RUN_MODEL, RUN_CHECKPOINT = "model.onnx", "model.safetensors"
"""The model file and the checkpoint in a run folder."""

VARIABLE = "POSEWRIGHT_MODELS"
"""Environment variable with more folders of shipped models, separated like those of PATH."""

PACKAGED = Path(__file__).resolve().parents[1] / "weights"
"""Where the package keeps its own."""


@dataclass(frozen=True)
class Shipped:
    """A shipped model: the pair ``NAME.onnx`` and ``NAME.safetensors`` in one folder."""

    name: str
    model: Path

    @property
    def kind(self) -> str:
        """Which kind of model it is.

        Raises:
            PosewrightError: where its file cannot be read.
        """
        from posewright.runtime.modelfile import read_info

        return read_info(self.model).kind

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint beside the model file, where it was shipped too."""
        path = self.model.with_suffix(".safetensors")
        return path if path.is_file() else None


def shipped_folders() -> list[Path]:
    """Where shipped models are looked for, in order: ``POSEWRIGHT_MODELS``, the package, a source checkout's zoo."""
    folders = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    folders.append(PACKAGED)
    package = PACKAGED.parent
    checkout = package.parents[1]
    if package.parent.name == "src" and (checkout / "pyproject.toml").is_file():
        folders.append(checkout / "zoo" / "weights")
    return folders


def shipped_models() -> dict[str, Shipped]:
    """All shipped models by name; of two with one name, the one found first."""
    return _in_folders(shipped_folders())


def free_models() -> dict[str, Shipped]:
    """The shipped models that lie in the package itself, whose weights are therefore as free as its code."""
    return _in_folders([PACKAGED])


def _in_folders(folders: list[Path]) -> dict[str, Shipped]:
    found: dict[str, Shipped] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.onnx")):
            found.setdefault(path.stem, Shipped(path.stem, path))
    return dict(sorted(found.items()))


def find_model(spec: str | Path) -> Path:
    """The model file that is meant.

    Args:
        spec: a model file; a run folder; a checkpoint with its model file beside it; a shipped name; or an address on the
            Hub, ``hf://user/repo[@revision][/file]``.

    Raises:
        PosewrightError: where there is none, saying how to get one.
    """
    if is_address(spec):
        from posewright.hub.fetch import fetch

        return fetch(spec, ".onnx")
    path = Path(spec)
    if path.suffix == ".safetensors" and path.is_file():
        return _sibling(path, ".onnx", "is a checkpoint, and no model file lies beside it", f"posewright export {spec}")
    return _find(spec, RUN_MODEL, lambda shipped: shipped.model, f"If it is a run, make one: posewright export {spec}")


def find_checkpoint(spec: str | Path) -> Path:
    """The checkpoint that is meant.

    Args:
        spec: a checkpoint; a run folder; a model file with its checkpoint beside it; a shipped name; or an address on the
            Hub.

    Raises:
        PosewrightError: where there is none.
    """
    if is_address(spec):
        from posewright.hub.fetch import fetch

        return fetch(spec, ".safetensors")
    path = Path(spec)
    if path.suffix == ".onnx" and path.is_file():
        return _sibling(path, ".safetensors", "is a model file, and no checkpoint lies beside it", None)
    found = _find(spec, RUN_CHECKPOINT, lambda shipped: shipped.checkpoint, None)
    if found is None:
        raise PosewrightError(f"model '{spec}' is shipped without its checkpoint")
    return found


def _sibling(path: Path, ending: str, complaint: str, command: str | None) -> Path:
    beside = path.with_suffix(ending)
    if not beside.is_file():
        raise PosewrightError(complaint, file=path, fix=command and f"Make one: {command}")
    return beside


@overload
def _find(spec: str | Path, in_run: str, of: Callable[[Shipped], Path], fix: str | None) -> Path: ...
@overload
def _find(spec: str | Path, in_run: str, of: Callable[[Shipped], Path | None], fix: str | None) -> Path | None: ...
def _find(spec: str | Path, in_run: str, of: Callable[[Shipped], Path | None], fix: str | None) -> Path | None:
    """A file, a file of that name in a run folder, or a part of a shipped model."""
    path, text = Path(spec), str(spec)
    form = format_of(path)
    if path.is_file() or (form is not None and form.folder and path.is_dir()):
        return path
    if (path / in_run).is_file():
        return path / in_run
    shipped = shipped_models()
    if text in shipped:
        return of(shipped[text])
    if path.is_dir():
        raise PosewrightError(f"holds no {in_run}", file=path, fix=fix)
    if path.suffix or len(path.parts) > 1:
        raise PosewrightError("does not exist", file=path)
    if not shipped:
        none = f"None is installed; name a file, or set {VARIABLE} to a folder of models"
        raise PosewrightError(f"no shipped model '{text}'", fix=none)
    raise PosewrightError(f"no shipped model '{text}'", fix=did_you_mean(text, shipped))
