"""What a model can be exported to: one module each, imported when it is used.

A target's module has ``write(job: Job, path: Path) -> None``, which writes a file (or fills an empty folder) of its format with
posewright's entry in it, see :mod:`posewright.runtime.entries`. Everything else is the same for all of them and lies in
:mod:`posewright.export.exporting`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError, did_you_mean
from posewright.runtime.engines import ENGINES, installed
from posewright.runtime.formats import FORMATS, Format


@dataclass(frozen=True)
class Target:
    """One format to export to.

    Attributes:
        name: as in ``--to``.
        module: of :mod:`posewright.export`.
        precisions: those it can be written in.
        about: what it is for, in a few words.
        packages: imports that writing it needs.
        install: what to install to have them.
        fixed_batch: its files take one batch size only.
        seeing: precisions that have to see training pictures to be written.
    """

    name: str
    module: str
    precisions: tuple[str, ...]
    about: str
    packages: tuple[str, ...] = ()
    install: str = ""
    fixed_batch: bool = False
    seeing: tuple[str, ...] = ("int8",)

    @property
    def format(self) -> Format:
        return FORMATS[self.name]

    @property
    def installed(self) -> bool:
        """Whether what writes it is there."""
        return all(installed(package) for package in self.packages)

    @property
    def runs_here(self) -> bool:
        """Whether an engine that runs its files is there."""
        return any(ENGINES[name].installed for name in self.format.engines)

    def writer(self) -> Callable[[Any, Path], None]:
        """Its module's ``write``.

        Raises:
            PosewrightError: where a package that it needs is missing.
        """
        missing = [package for package in self.packages if not installed(package)]
        if missing:
            raise PosewrightError(f"--to {self.name} needs {missing[0]}, which is not installed", fix=self.install)
        write: Callable[[Any, Path], None] = importlib.import_module(f"posewright.export.{self.module}").write
        return write


TRAIN = "pip install 'posewright[train]'"
OPENVINO = "pip install 'posewright[openvino]'"
LITERT = "pip install 'posewright[train,litert]', then pip install --no-deps -r requirements-litert.txt (docs/model-files.md)"
MNN = "pip install 'posewright[mnn]'"
COREML = "pip install coremltools"
TF_PACKAGES = ("tensorflow", "onnx2tf")
TENSORFLOW = "pip install tensorflow-cpu onnx2tf, in an environment of its own: see docs/model-files.md"
EXECUTORCH = "pip install executorch"

TARGETS = {
    t.name: t
    for t in (
        Target("onnx", "onnx", ("fp32", "fp16", "int8"), "onnxruntime everywhere, and the web"),
        Target(
            "openvino", "openvino", ("fp32", "fp16", "int8"), "Intel's processors and GPUs", ("openvino",), OPENVINO
        ),
        Target(
            "litert",
            "litert",
            ("fp32", "fp16", "int8", "int8-dynamic"),
            "phones and boards, as TensorFlow Lite",
            ("litert_torch",),
            LITERT,
            fixed_batch=True,
        ),
        Target("mnn", "mnn", ("fp32", "fp16", "int8"), "phones and boards, small", ("MNN",), MNN, seeing=()),
        Target(
            "torch", "torch_package", ("fp32",), "programs that have torch, on this kind of machine", ("torch",), TRAIN
        ),
        Target("coreml", "coreml", ("fp32", "fp16"), "Apple's devices", ("coremltools",), COREML, fixed_batch=True),
        Target(
            "executorch", "executorch", ("fp32",), "phones and boards", ("executorch",), EXECUTORCH, fixed_batch=True
        ),
        Target("savedmodel", "savedmodel", ("fp32",), "TensorFlow", TF_PACKAGES, TENSORFLOW, fixed_batch=True),
        Target("frozen", "frozen", ("fp32",), "older TensorFlow programs", TF_PACKAGES, TENSORFLOW, fixed_batch=True),
    )
}
"""All targets by name."""


def get_target(name: str, precision: str) -> Target:
    """The target of a name.

    Raises:
        PosewrightError: where there is none, or it has no such precision.
    """
    if name not in TARGETS:
        raise PosewrightError(f"unknown target '{name}'", fix=did_you_mean(name, TARGETS))
    target = TARGETS[name]
    if precision not in target.precisions:
        what = f"--to {name} is not written in {precision}"
        raise PosewrightError(what, fix=f"It is in {', '.join(target.precisions)}")
    return target
