"""The ONNX model file: exported, checked against the net, and only then put in its place."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from posewright.console import hushed
from posewright.errors import PosewrightError
from posewright.export.deploy import DeployedNet, outputs_of
from posewright.files import whole_file
from posewright.models.checkpoint import Checkpoint
from posewright.runtime.modelfile import ENTRY, INPUT, ModelInfo

if TYPE_CHECKING:
    import onnx

OPSET = 18
NOISY = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")
TOLERANCE = 0.01
"""How far a keypoint with a score above 0.1 may lie from the net's, in cells of the heat map."""
TOLERANCE_TOLD = 0.01
"""How far its covariance, as a share of its size, its visibility and its calibrated score may be from the net's."""
TOLERANCE_MAP = 0.01
"""How far its heat maps may be from the net's, as a share of their largest value. A net that has learned to stay silent may
show no keypoint on the crops that are compared, but it always has maps."""
LEAST_MAP = 1e-3
"""Maps with no larger value than this are compared as if they had it."""
SETTLED = 0.001
"""How far single precision alone may move a keypoint that is compared, in cells."""


@dataclass(frozen=True)
class Parity:
    """How a model file compares with its net on the same crops.

    Attributes:
        worst_px: largest distance between keypoints whose score is above 0.1, in crop pixels.
        worst_map: largest difference between heat maps, as a share of the net's largest value on the crop.
        worst_told: largest difference between what else is told of those keypoints: of covariances as a share of their
            size, of visibilities and calibrated scores as it is; 0 where none of them is.
        crops: how many crops were compared.
    """

    worst_px: float
    worst_map: float
    crops: int
    worst_told: float = 0.0


def trained_on(training: Mapping[str, Any]) -> tuple[str, ...]:
    """One line for each set behind a checkpoint, its start weights' included, from what it notes of its training."""
    data = [f"{training['data']}: {training.get('objects', '?')} objects"] if training.get("data") else []
    start = training.get("start") or {}
    data += [f"{before} (start weights '{start['name']}')" for before in start.get("data", ())]
    return tuple(data)


def model_info(checkpoint: Checkpoint, outputs: tuple[str, ...] | None = None) -> ModelInfo:
    """What the model file of a checkpoint says about itself; ``outputs`` are all that it can have where None."""
    return ModelInfo(
        skeleton=checkpoint.skeleton,
        crop=checkpoint.rule,
        stride=checkpoint.net.config.stride,
        preset=checkpoint.preset,
        outputs=outputs_of(checkpoint) if outputs is None else outputs,
        training_data=trained_on(checkpoint.training),
        metrics=checkpoint.metrics,
        terms=checkpoint.terms,
        covariance_tail=None if checkpoint.covariance is None else checkpoint.covariance.tail,
        label_shift=checkpoint.net.config.label_shift,
        decoding=checkpoint.net.config.decoding,
        calibrated=checkpoint.score_curve is not None,
        calibration=checkpoint.score_curve.meaning if checkpoint.score_curve else "",
        score_curve=checkpoint.score_curve,
    )


def export_onnx(checkpoint: Checkpoint, path: str | Path, crops: np.ndarray | None = None) -> Parity:
    """Write a checkpoint's model file.

    Args:
        checkpoint: the trained net and what belongs to it; left as it was.
        path: where to write; an existing file is replaced once the new one has passed.
        crops: ``uint8 [N, H, W, 3]`` on which file and net are compared; smooth random pictures unless given.

    Raises:
        PosewrightError: where the file's keypoints are further from the net's than ``TOLERANCE``, its maps than
            ``TOLERANCE_MAP``, or what else it tells than ``TOLERANCE_TOLD``.
    """
    net = DeployedNet(checkpoint).eval()
    width, height = checkpoint.rule.size
    model = graph_of(net, (width, height), net.outputs, model_info(checkpoint))
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        report = compare(net, temporary, smooth_crops(height, width) if crops is None else crops)
        # Asked this way round, figures that are no numbers do not pass.
        if not report.worst_px <= TOLERANCE * checkpoint.net.config.stride:
            raise PosewrightError(f"the exported file is off by {report.worst_px:.3f} px", file=path)
        if not report.worst_map <= TOLERANCE_MAP:
            what = f"the exported file's heat maps are off by {report.worst_map:.3f} of their largest value"
            raise PosewrightError(what, file=path)
        if not report.worst_told <= TOLERANCE_TOLD:
            what = f"the exported file's calibrated score, covariance or visibility is off by {report.worst_told:.3f}"
            raise PosewrightError(what, file=path)
    return report


def graph_of(net: torch.nn.Module, size: tuple[int, int], outputs: Sequence[str], info: ModelInfo) -> onnx.ModelProto:
    """The graph of a net that takes ``image``, ``uint8 [B, H, W, 3]`` of ``size`` = (width, height), with what the model
    file says of itself, and without what only the exporting machine would understand."""
    import onnx

    width, height = size
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    # The exporter also reports its own progress on stdout.
    with hushed(*NOISY), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        program = torch.onnx.export(
            net,
            (example,),
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1, max=4096)}},
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    del model.metadata_props[:]
    model.metadata_props.append(onnx.StringStringEntryProto(key=ENTRY, value=info.to_json()))
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    for node in model.graph.node:
        # Stack traces of the exporting machine: paths that mean nothing elsewhere.
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model)
    return model


def smooth_crops(height: int, width: int, count: int = 4) -> np.ndarray:
    """Smooth random pictures ``uint8 [count, height, width, 3]``, the same every time."""
    import cv2

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return np.stack([cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC) for c in coarse])


def compare(net: DeployedNet, path: Path, crops: np.ndarray) -> Parity:
    """Run net and model file on the same crops ``uint8 [N, H, W, 3]`` and report how far they are apart.

    Keypoints count whose peak is higher than 0.1 and whose place the net's own maps settle: not those on a peak so flat that
    rounding alone moves it by ``SETTLED``.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    stride, worst_px, worst_map, worst_told = net.net.config.stride, 0.0, 0.0, 0.0
    for crop in crops:
        with torch.no_grad():
            true = {name: t.numpy() for name, t in zip(net.outputs, net(torch.from_numpy(crop[None])), strict=True)}
        got = dict(zip(net.outputs, session.run(list(net.outputs), {INPUT: crop[None]}), strict=True))
        points, maps = true["keypoints"], true["heatmaps"]
        last = torch.from_numpy(maps[:, -1, : net.net.keypoints]).double()
        exact = net.net.points(last).numpy()
        rounded = np.linalg.norm(exact[..., :2] - points[..., :2], axis=-1)
        sure = (exact[..., 2] > 0.1) & (rounded < SETTLED * stride)
        off = np.linalg.norm(got["keypoints"][..., :2] - points[..., :2], axis=-1)[sure]
        worst_px = float(np.maximum(worst_px, off.max(initial=0)))
        apart = np.abs(got["heatmaps"] - maps).max() / max(np.abs(maps).max(), LEAST_MAP)
        worst_map = float(np.maximum(worst_map, apart))
        if net.curve is not None:
            apart = np.abs(got["keypoints"] - points)[..., 2][sure].max(initial=0)
            worst_told = float(np.maximum(worst_told, apart))
        for name in net.outputs[3:]:
            size = true[name].max(-1, keepdims=True) if name == "covariance" else 1.0
            apart = (np.abs(got[name] - true[name]) / size)[sure].max(initial=0)
            worst_told = float(np.maximum(worst_told, apart))
    return Parity(worst_px, worst_map, len(crops), worst_told)
