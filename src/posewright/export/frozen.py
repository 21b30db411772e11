"""A frozen TensorFlow graph, as older programs take it: one file, weights inside, no variables."""

from __future__ import annotations

import tempfile
from pathlib import Path

from posewright.export.job import Job
from posewright.export.tensorflow import converted
from posewright.runtime.entries import add_pb_entry


def write(job: Job, path: Path) -> None:
    """Write the frozen graph of a job; its outputs are the nodes Identity, Identity_1, ... in the order of their names."""
    with tempfile.TemporaryDirectory() as folder:
        net = converted(job, Path(folder) / "net")
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        frozen = convert_variables_to_constants_v2(net.__call__.get_concrete_function())
        path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
    add_pb_entry(path, job.info.to_json())
