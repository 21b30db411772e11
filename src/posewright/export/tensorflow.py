"""TensorFlow: the net's ONNX graph through onnx2tf, with the inputs and outputs of every other model file.

onnx2tf moves channels last as it sees fit; here its outputs get the model file's names and order of axes back. With three
keypoints it takes them for their three numbers (x, y, score): presence is then wrong, and such a file is refused by the check
that every export ends with.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from posewright.console import hushed
from posewright.errors import PosewrightError
from posewright.export.job import Job
from posewright.runtime.modelfile import INPUT

NOISY = ("tensorflow", "absl", "onnx2tf")
LAST_TO_FIRST = {5: (0, 4, 3, 1, 2)}
"""By number of axes: where those of ``[B, h, w, C, S]`` go in ``[B, S, C, h, w]``."""


def converted(job: Job, folder: Path) -> Any:
    """A ``tf.Module`` whose call takes ``image`` and returns the outputs by name; its files lie in ``folder``."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    _convert(job, folder)
    loaded = tf.saved_model.load(str(folder))
    inner = loaded.signatures["serving_default"]
    expected = {o.name: [d.dim_value for d in o.type.tensor_type.shape.dim] for o in job.graph.graph.output}
    width, height = job.size

    class Net(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.loaded = loaded

        @tf.function(input_signature=[tf.TensorSpec([job.batch, height, width, 3], tf.uint8, name=INPUT)])  # type: ignore[misc]
        def __call__(self, image: Any) -> dict[str, Any]:
            found = inner(**{INPUT: image})
            return {
                name: tf.identity(_in_order(tf, found[f"output_{i}"], expected[name], name), name=name)
                for i, name in enumerate(job.outputs)
            }

    return Net()


def _in_order(tf: Any, tensor: Any, shape: list[int], name: str) -> Any:
    """A tensor with its axes as the model file has them."""
    if list(tensor.shape) == shape:
        return tensor
    order = LAST_TO_FIRST.get(len(shape))
    if order is None or [tensor.shape[i] for i in order] != shape:
        raise PosewrightError(f"onnx2tf made {list(tensor.shape)} of the output '{name}', {shape}")
    return tf.transpose(tensor, order)


def _convert(job: Job, folder: Path) -> None:
    import onnx2tf.onnx2tf as program

    def patterns() -> Any:
        """In the place of pictures that it would fetch from elsewhere, to see whether its layers agree with onnxruntime's."""
        return np.random.default_rng(0).random((20, 128, 128, 3), np.float32)

    fetch, program.download_test_image_data = program.download_test_image_data, patterns
    here = Path.cwd()
    try:
        with (
            tempfile.TemporaryDirectory() as scratch,
            hushed(*NOISY),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            os.chdir(scratch)  # it leaves files where it is
            program.convert(
                onnx_graph=job.graph,
                output_folder_path=str(folder),
                keep_shape_absolutely_input_names=[INPUT],
                output_signaturedefs=True,
                not_use_onnxsim=True,
                non_verbose=True,
            )
    except SystemExit:
        raise PosewrightError("onnx2tf could not convert the net", fix="Try another format") from None
    finally:
        os.chdir(here)
        program.download_test_image_data = fetch
