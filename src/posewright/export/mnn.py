"""The MNN file, made of the ONNX graph by MNN's own converter.

The converter is called through the module that MNN's command line tools call: those send records of each use to MNN's makers,
and install a package for that by themselves.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from posewright.errors import PosewrightError
from posewright.export.job import Job
from posewright.runtime.entries import attach_entry
from posewright.silence import native_silence

PRECISIONS: dict[str, list[str]] = {"fp32": [], "fp16": ["--fp16"], "int8": ["--weightQuantBits", "8"]}
"""What the converter is told for each: int8 is of the weights, one scale a channel; what is computed stays in float."""


def write(job: Job, path: Path) -> None:
    """Write the model file of a job.

    Raises:
        PosewrightError: where MNN's converter gives no file.
    """
    with tempfile.TemporaryDirectory() as folder, native_silence():
        import _tools  # MNN's

        graph, made = Path(folder) / "model.onnx", Path(folder) / "model.mnn"
        graph.write_bytes(job.graph.SerializeToString())
        # Its first argument is the name of the program.
        words = [
            "mnnconvert",
            "-f",
            "ONNX",
            "--modelFile",
            str(graph),
            "--MNNModel",
            str(made),
            "--bizCode",
            "posewright",
        ]
        _tools.mnnconvert([*words, *PRECISIONS[job.precision]])
        if not made.is_file() or not made.stat().st_size:
            raise PosewrightError("MNN's converter made no file of this net")
        path.write_bytes(made.read_bytes())
    attach_entry(path, job.info.to_json())
