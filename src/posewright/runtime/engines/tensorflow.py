"""Running a SavedModel or a frozen graph with TensorFlow. Both may hold any operation, which runs when they are loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.runtime.engines.base import Engine, first_line
from posewright.runtime.entries import AGAIN
from posewright.runtime.modelfile import INPUT


class _TensorFlowEngine(Engine):
    """What both have in common; the threads are those of TensorFlow in the whole process, set before its first use."""

    _net: Callable[[Any], dict[str, Any]]

    def _open(self, device: str, threads: int | None) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow as tf

        self._stay_on_processor(device)
        if threads is not None:
            try:
                tf.config.threading.set_intra_op_parallelism_threads(threads)
            except RuntimeError:
                what = "TensorFlow's threads cannot be changed once it has run"
                raise PosewrightError(what, file=self.path, fix="Leave the number of threads out") from None
        try:
            shape, uint8, names = self._load(tf)
        except Exception as error:  # its errors share no other base
            what = f"cannot be loaded by TensorFlow: {first_line(error)}"
            raise PosewrightError(what, file=self.path, fix=AGAIN) from None
        self._check(INPUT, shape, uint8, names)
        self.batch = shape[0]

    def _load(self, tf: Any) -> tuple[list[int | None], bool, list[str]]:
        """Set ``_net``; return its input's shape, whether that is ``uint8``, and the names of its outputs."""
        raise NotImplementedError

    def _call(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        import tensorflow as tf

        try:
            found = self._net(tf.constant(crops))
        except Exception as error:  # see _open
            raise self._failed(error) from None
        return [found[name].numpy() for name in outputs]


class SavedModelEngine(_TensorFlowEngine):
    """A SavedModel's ``serving_default``."""

    name = "savedmodel"

    def _load(self, tf: Any) -> tuple[list[int | None], bool, list[str]]:
        self._loaded = tf.saved_model.load(str(self.path))
        net = self._loaded.signatures["serving_default"]
        takes = net.structured_input_signature[1][INPUT]
        self._net = lambda crops: net(**{INPUT: crops})
        return list(takes.shape), takes.dtype == tf.uint8, list(net.structured_outputs)


class FrozenEngine(_TensorFlowEngine):
    """A frozen graph, its outputs in the order of their names."""

    name = "frozen"

    def _load(self, tf: Any) -> tuple[list[int | None], bool, list[str]]:
        definition = tf.compat.v1.GraphDef()
        definition.ParseFromString(self.path.read_bytes())
        wrapped = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(definition, name=""), [])
        names = sorted(self.info.outputs)
        nodes = ["Identity" if i == 0 else f"Identity_{i}" for i in range(len(names))]
        takes = wrapped.graph.get_tensor_by_name(f"{INPUT}:0")
        net = wrapped.prune(takes, [wrapped.graph.get_tensor_by_name(f"{node}:0") for node in nodes])
        self._net = lambda crops: dict(zip(names, net(crops), strict=True))
        return list(takes.shape), takes.dtype == tf.uint8, names
