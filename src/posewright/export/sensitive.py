"""Which layers are left in float32 by an int8 file, found by measurement; for every format the same.

Everything is quantised first. Only where that loses too much, layers are put back, those first that alone harm the maps most;
:class:`posewright.export.quantize.Quantiser` measures that on the ONNX graph, whatever the format. What the file loses is
measured on the file itself, by its own engine, which computes in float32 what is not in int8.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from posewright.export.job import Job
from posewright.export.parity import loss_on
from posewright.runtime.engines import ENGINES, open_engine
from posewright.runtime.formats import Format

File = TypeVar("File")


@dataclass(frozen=True)
class Found(Generic[File]):
    """What :func:`search` found.

    Attributes:
        file: what was made.
        loss: what it loses, as a share of the keypoints.
        layers: how many layers with weights could be quantised.
        kept: names in the net of those that stayed in float32 for what they cost.
    """

    file: File
    loss: float
    layers: int
    kept: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Which layers were left in float32."""
        if not self.kept:
            return f"int8: all {self.layers} layers but those that draw the maps."
        short = [name.removeprefix("net.").removesuffix(".conv") for name in self.kept]
        names = ", ".join(short[:6]) + (f" and {len(short) - 6} more" if len(short) > 6 else "")
        return f"int8: {self.layers - len(short)} of {self.layers} layers; left in float32 for what they cost: {names}."


def search(
    make: Callable[[Collection[str]], File],
    loses: Callable[[File], float],
    aim: float,
    layers: int,
    by_harm: Callable[[], Sequence[Sequence[str]]],
) -> Found[File]:
    """Quantise all; while that loses more than ``aim``, leave the worst 1, 2, 4, ... in float32, up to half of them.

    Args:
        make: writes int8 with some layers left in float32, by their names in the net.
        loses: tells the share of right keypoints that it loses.
        aim: the share that may be lost.
        layers: how many there are.
        by_harm: tells the layers, or groups of neighbours in a large net, the worst first; asked only where it is needed.

    Returns:
        The one that loses least of those that were made.
    """
    file = make(())
    best = Found(file, loses(file), layers)
    if best.loss <= aim:
        return best
    order = by_harm()
    count = 1
    while count <= max(1, len(order) // 2):
        kept = tuple(name for group in order[:count] for name in group)
        file = make(kept)
        loss = loses(file)
        if loss < best.loss:
            best = Found(file, loss, layers, kept)
        if loss <= aim:
            break
        count *= 2
    return best


def search_on_file(
    job: Job, form: Format, make: Callable[[Collection[str]], File], write: Callable[[File, Path], None]
) -> File:
    """:func:`search` for a format whose loss is measured on a file of it; what was found is added to the job's notes.

    Args:
        job: with crops to see.
        form: the format. Where nothing here runs it, all layers are quantised unmeasured.
        make: see :func:`search`.
        write: writes what was made to a path, or fills the folder there.
    """
    from posewright.export.quantize import Quantiser

    assert job.seen is not None
    if not any(ENGINES[name].installed for name in form.engines):
        return make(())
    loss = loss_on(job.net, job.seen)
    quantiser = Quantiser(job.graph, job.seen.crops)

    def loses(file: File) -> float:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model{form.ending}"
            if form.folder:
                path.mkdir()
            write(file, path)
            engine = open_engine(path, "cpu", trust=True, exact=True)
            found = loss(engine.run)
            del engine  # it may hold the file open
        return found

    found = search(make, loses, job.aim, len(quantiser.layers), quantiser.by_harm)
    job.notes.append(found.sentence())
    return found.file
