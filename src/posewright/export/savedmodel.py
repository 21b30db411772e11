"""A TensorFlow SavedModel; it may hold any operation, so that loading one asks for trust."""

from __future__ import annotations

import tempfile
from pathlib import Path

from posewright.export.job import Job
from posewright.export.tensorflow import converted
from posewright.runtime.entries import NAME


def write(job: Job, path: Path) -> None:
    """Write the SavedModel of a job into an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        net = converted(job, Path(folder) / "net")
        import tensorflow as tf

        tf.saved_model.save(net, str(path), signatures=net.__call__)
    (path / NAME).write_text(job.info.to_json(), encoding="utf-8")
