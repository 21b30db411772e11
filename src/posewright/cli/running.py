"""The options of running a model, the same for every command."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posewright.runtime.predictor import Predictor
    from posewright.tracking.crowd import Locator


@dataclass(frozen=True)
class Running:
    """How the model is run."""

    device: str = "auto"
    """What to run on: auto is CUDA where it works, else the CPU; cpu, cuda, tensorrt, coreml or directml. All but cpu are
    untested so far. A checkpoint takes auto, cpu, cuda or mps."""
    threads: int | None = None
    """CPU threads; the engine's own choice unless given."""
    engine: str | None = None
    """What runs the file, where several can: onnxruntime or openvino for *.onnx."""
    trust: bool = False
    """Load a file that brings native code with it (*.pt2, *.savedmodel, *.pb), which runs when it is loaded."""
    exact: bool = False
    """Compute in single precision, where the engine would take a lower one for speed: OpenVINO on processors with bfloat16."""

    def load(self, spec: str | Path) -> Predictor:
        """The predictor for a model file, a run's folder or a shipped name; for a checkpoint one that runs it by torch."""
        from posewright.errors import PosewrightError

        if Path(spec).suffix == ".safetensors" and Path(spec).is_file():
            if self.threads is not None or self.engine is not None or self.trust or self.exact:
                what = "is a checkpoint, which torch runs: --threads, --engine, --trust and --exact are for model files"
                raise PosewrightError(what, file=spec)
            from posewright.export import checkpoint_predictor

            return checkpoint_predictor(Path(spec), self.device)
        from posewright.runtime import load

        return load(spec, self.device, self.threads, engine=self.engine, trust=self.trust, exact=self.exact)

    def open_locator(self, spec: str, classes: str | None, score: float | None, tiles: int = 0) -> Locator:
        """The locator to run beside the model, by onnxruntime.

        Args:
            spec: what ``--locator`` names.
            classes, score, tiles: ``--classes``, ``--locator-score`` and ``--tiles``.
        """
        from posewright.tracking.located import open_locator, parse_classes

        device = "auto" if self.device == "mps" or self.engine not in (None, "onnxruntime") else self.device
        wanted = parse_classes(classes)
        return open_locator(spec, wanted, device=device, threads=self.threads, threshold=score, tiles=tiles)

    @property
    def given(self) -> bool:
        """Whether anything was asked for."""
        return self != Running()


@contextmanager
def ends_like_ctrl_c() -> Iterator[None]:
    """Being told to stop, or the terminal being closed, ends a recording as Ctrl-C does."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    ends = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])] if here else []
    before = {number: signal.signal(number, end) for number in ends}
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)
