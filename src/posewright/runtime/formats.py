"""The kinds of model file there are: how each is told by its name, where its description lies, which engines run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from posewright.errors import PosewrightError
from posewright.runtime.entries import AGAIN, attached_entry, folder_entry, onnx_entry, pb_entry


@dataclass(frozen=True)
class Format:
    """One kind of model file.

    Attributes:
        name: as in ``posewright export --to``.
        ending: of the file's or folder's name.
        article: what a sentence calls such a file.
        engines: names of the engines that run it, the preferred one first; see :mod:`posewright.runtime.engines`. None of
            what only other devices run.
        entry: reads posewright's entry, None where there is none.
        folder: the model is a folder of parts.
        magic: what the file holds, at which byte; None where it begins with nothing of its own.
        native: loading it runs code that came with it, so that it has to be trusted.
    """

    name: str
    ending: str
    article: str
    engines: tuple[str, ...]
    entry: Callable[[Path], str | None]
    folder: bool = False
    magic: tuple[int, bytes] | None = None
    native: bool = False


FORMATS = {
    f.name: f
    for f in (
        Format("onnx", ".onnx", "an ONNX file", ("onnxruntime", "openvino"), onnx_entry),
        Format("openvino", ".openvino", "an OpenVINO folder", ("openvino",), folder_entry, folder=True),
        Format("litert", ".tflite", "a LiteRT file", ("litert",), attached_entry, magic=(4, b"TFL3")),
        Format("coreml", ".mlpackage", "a Core ML package", (), folder_entry, folder=True),
        Format("torch", ".pt2", "a torch package", ("aoti",), attached_entry, magic=(0, b"PK"), native=True),
        Format("savedmodel", ".savedmodel", "a SavedModel", ("savedmodel",), folder_entry, folder=True, native=True),
        Format("frozen", ".pb", "a frozen TensorFlow graph", ("frozen",), pb_entry, native=True),
        Format("mnn", ".mnn", "an MNN file", ("mnn",), attached_entry),
        Format("executorch", ".pte", "an ExecuTorch file", ("executorch",), attached_entry, magic=(4, b"ET")),
    )
}
"""All kinds of model file by name."""

ENDINGS = {f.ending: f for f in FORMATS.values()}


def format_of(path: str | Path) -> Format | None:
    """The format that a name's ending stands for; None for any other ending."""
    return ENDINGS.get(Path(path).suffix.lower())


def locate(path: str | Path) -> tuple[Format, Path]:
    """The format of a model file, and the file or folder that is the whole of it.

    A file within the folder of a model in parts stands for the folder. A name with another ending is taken for an ONNX file.

    Raises:
        PosewrightError: where it does not exist, is no file (or no folder), or begins as no file of its ending does.
    """
    path = Path(path)
    within = format_of(path.parent)
    if within is not None and within.folder and path.is_file():
        return within, path.parent
    form = format_of(path) or FORMATS["onnx"]
    if not path.exists():
        raise PosewrightError("does not exist", file=path)
    if path.is_dir() and not form.folder:
        raise PosewrightError("is a folder, not a model file", file=path)
    if form.folder and not path.is_dir():
        raise PosewrightError(f"is a file; {form.article} is a folder", file=path, fix=AGAIN)
    if form.magic is not None:
        at, begins = form.magic
        with path.open("rb") as file:
            head = file.read(at + len(begins))
        if head[at:] != begins:
            raise PosewrightError(f"is not {form.article}, for all its name, or was damaged", file=path, fix=AGAIN)
    return form, path
