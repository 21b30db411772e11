"""The engines: one module each, imported when it is used, all with the same face."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from posewright.errors import PosewrightError, did_you_mean
from posewright.runtime.engines.base import Engine
from posewright.runtime.formats import Format, locate
from posewright.runtime.modelfile import read_info, require_kind

__all__ = ["ENGINES", "Engine", "installed", "open_engine"]


def installed(package: str) -> bool:
    """Whether a package can be imported; it is not imported to find out."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of a package of which it is a part
        return False


@dataclass(frozen=True)
class EngineKind:
    """One engine.

    Attributes:
        name: as in ``load(engine=...)``.
        module, type: where its class is.
        package: the import that has to be there for it.
        install: what to install to have it.
    """

    name: str
    module: str
    type: str
    package: str
    install: str

    @property
    def installed(self) -> bool:
        """Whether its package is there."""
        return installed(self.package)

    def open(self, path: Path, device: str, threads: int | None, kind: str, exact: bool = False) -> Engine:
        module = importlib.import_module(f"posewright.runtime.engines.{self.module}")
        engine: Engine = getattr(module, self.type)(path, device, threads, kind=kind, exact=exact)
        return engine


ENGINES = {
    e.name: e
    for e in (
        EngineKind("onnxruntime", "onnx", "OnnxEngine", "onnxruntime", "pip install onnxruntime"),
        EngineKind("openvino", "openvino", "OpenVinoEngine", "openvino", "pip install 'posewright[openvino]'"),
        EngineKind("litert", "litert", "LiteRtEngine", "ai_edge_litert", "pip install 'posewright[litert]'"),
        EngineKind("aoti", "aoti", "AotiEngine", "torch", "pip install 'posewright[train]'"),
        EngineKind("savedmodel", "tensorflow", "SavedModelEngine", "tensorflow", "pip install tensorflow-cpu"),
        EngineKind("frozen", "tensorflow", "FrozenEngine", "tensorflow", "pip install tensorflow-cpu"),
        EngineKind("mnn", "mnn", "MnnEngine", "MNN", "pip install 'posewright[mnn]'"),
        EngineKind("executorch", "executorch", "ExecuTorchEngine", "executorch", "pip install executorch"),
    )
}
"""All engines by name."""


def open_engine(
    path: str | Path,
    device: str = "auto",
    threads: int | None = None,
    *,
    engine: str | None = None,
    trust: bool = False,
    kind: str = "keypoints",
    exact: bool = False,
) -> Engine:
    """Load a model file with the engine for it.

    Args:
        path: a model file, or the folder of a model in parts.
        device: what to run on; "auto" for what the engine takes to be best.
        threads: processor threads for one call; the engine's own choice where None.
        engine: one of :data:`ENGINES`; the first that runs such files and is installed where None.
        trust: load files that bring code of their own.
        kind: what the model has to be for.
        exact: compute in single precision, where the engine would take a lower one for speed.

    Raises:
        PosewrightError: where the file cannot be used, is not trusted, or no engine for it is installed.
    """
    form, path = locate(path)
    require_kind(read_info(path), kind, path)  # of a file that is no model, that is what to say, not what to install
    chosen = _choose(form, path, engine)
    if form.native and not trust:
        what = f"is {form.article}: loading it runs code that came with it"
        raise PosewrightError(what, file=path, fix="If you know who made it, load it with --trust (trust=True)")
    return chosen.open(path, device, threads, kind, exact)


def _choose(form: Format, path: Path, name: str | None) -> EngineKind:
    if name is not None:
        if name not in ENGINES:
            raise PosewrightError(f"unknown engine '{name}'", fix=did_you_mean(name, ENGINES))
        if name not in form.engines:
            fix = f"Take {' or '.join(form.engines)}, or leave the engine out"
            raise PosewrightError(f"is {form.article}, which {name} does not run", file=path, fix=fix)
    if not form.engines:
        raise PosewrightError(f"is {form.article}, which nothing here runs", file=path, fix="See docs/devices.md")
    names = form.engines if name is None else (name,)
    for each in names:
        if ENGINES[each].installed:
            return ENGINES[each]
    wanted = ENGINES[names[0]]
    what = f"is {form.article}, and {wanted.name}, which runs it, is not installed"
    raise PosewrightError(what, file=path, fix=wanted.install)
