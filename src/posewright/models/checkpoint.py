"""The checkpoint: unfused weights in a safetensors file, with all that training, export and evaluation need in its header.

Nothing in it is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from posewright.errors import PosewrightError
from posewright.files import whole_file
from posewright.geometry import CropRule
from posewright.models.base import HeatmapNet
from posewright.models.peaks import PeakCovariance
from posewright.models.presets import build_net, net_config
from posewright.score import ScoreCurve
from posewright.skeleton import Skeleton

FORMAT_VERSION = 1


@dataclass
class Checkpoint:
    """A net that can be trained further or exported, and what it was made for.

    Attributes:
        net: the net, in eval mode when read from a file.
        skeleton: what its keypoints are.
        rule: how a box becomes its input.
        preset: the name it was asked for by.
        presence: (a, b) of ``presence = sigmoid(a * mean score + b)``.
        covariance: how far off its points may be; None where that was not fitted.
        training: settings of the run that made it, its data and history, as plain JSON values.
        metrics: measured figures by name, each with its "value" and the conventions it was measured by.
        terms: terms of the training data, in words.
        score_curve: what makes a peak's height a calibrated score; None where the height is the score.
    """

    net: HeatmapNet
    skeleton: Skeleton
    rule: CropRule
    preset: str
    presence: tuple[float, float] = (12.0, -4.0)
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    terms: str = ""
    covariance: PeakCovariance | None = None
    score_curve: ScoreCurve | None = None


ORIGINS = {"start": "start weights", "teacher": "teacher"}
"""What else a net may have learned from, as a checkpoint notes it, and in words."""


def origin_of(name: str, data: Sequence[str], terms: str) -> dict[str, Any]:
    """What a checkpoint keeps about a model that it has learned from: its name, the data behind it and its terms."""
    return {"name": name, "data": list(data), "terms": terms}


def data_behind(training: Mapping[str, Any]) -> list[str]:
    """Every set that a checkpoint's weights have learned from, its start's and its teacher's included, by what it notes of
    its training."""
    parts = [[training.get("data")], *((training.get(kind) or {}).get("data", ()) for kind in ORIGINS)]
    return list(dict.fromkeys(str(each) for part in parts for each in part if each))


def join_terms(own: str, inherited: str, origin: str) -> str:
    """Terms of a set, with those that come with weights learned elsewhere behind them, unless they are in it already.

    Args:
        origin: what the inherited terms come from, in words.
    """
    return own if not inherited or inherited in own else f"{own} {origin}: {inherited}".strip()


def save_checkpoint(checkpoint: Checkpoint, path: str | Path, *, half: bool = False) -> Path:
    """Write a checkpoint whole or not at all.

    Args:
        half: store floating-point weights as fp16, at half the size; what was between two fp16 values is rounded.
    """
    header = {
        "format_version": FORMAT_VERSION,
        "net": checkpoint.net.config.to_dict(),
        "keypoints": checkpoint.net.keypoints,
        "skeleton": checkpoint.skeleton.to_dict(),
        "crop": checkpoint.rule.to_dict(),
        "preset": checkpoint.preset,
        "presence": list(checkpoint.presence),
        "covariance": None if checkpoint.covariance is None else checkpoint.covariance.to_dict(),
        "score_curve": None if checkpoint.score_curve is None else checkpoint.score_curve.to_dict(),
        "training": checkpoint.training,
        "metrics": checkpoint.metrics,
        "terms": checkpoint.terms,
    }
    return write_weights(header, checkpoint.net.state_dict(), path, half=half)


def write_weights(header: dict[str, Any], state: Mapping[str, torch.Tensor], path: str | Path, *, half: bool) -> Path:
    """Write the weights and header of any kind of net whole or not at all; see :func:`save_checkpoint`."""
    from safetensors.torch import save_file

    weights = {}
    for name, value in state.items():
        value = value.detach().cpu().contiguous()
        weights[name] = value.half() if half and value.is_floating_point() else value
    with whole_file(path) as temporary:
        save_file(weights, temporary, metadata={"posewright": json.dumps(header)})
    return Path(path)


def read_weights(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read what :func:`write_weights` wrote: the header, and the weights in single precision.

    Raises:
        PosewrightError: where the file is missing, cut short, not a posewright checkpoint, or of another kind or version.
    """
    path = Path(path)
    header, own, weights = _read(path)
    if header["format_version"] != FORMAT_VERSION:
        raise PosewrightError(
            f"has format version {header['format_version']}, this posewright reads {FORMAT_VERSION}", file=path
        )
    if own != kind:
        what = {"locator": "is a locator's checkpoint", "keypoints": "is the checkpoint of a keypoint model"}.get(own)
        wanted = {"locator": "a locator", "keypoints": "a keypoint model"}[kind]
        raise PosewrightError(what or f"is a checkpoint of the unknown kind '{own}'", file=path, fix=f"Name {wanted}")
    return header, {k: v.float() if v.dtype == torch.float16 else v for k, v in weights.items()}


def checkpoint_kind(path: str | Path) -> str:
    """Which kind of model a checkpoint is of: "keypoints" or "locator".

    Raises:
        PosewrightError: where the file is missing, cut short, or not a posewright checkpoint.
    """
    return _read(Path(path), headed=True)[1]


def _read(path: Path, headed: bool = False) -> tuple[dict[str, Any], str, dict[str, torch.Tensor]]:
    """A checkpoint's header, kind and tensors; no tensors where only the header is asked for."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise PosewrightError("no such checkpoint", file=path)
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("posewright")
            weights = {} if headed else {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError):
        raise PosewrightError("is not a safetensors file, or was cut short", file=path) from None
    if text is None:
        raise PosewrightError("is a safetensors file, but no posewright checkpoint", file=path)
    try:
        header = json.loads(text)
        header["format_version"]
        return header, str(header.get("kind", "keypoints")), weights
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PosewrightError(f"has a header that cannot be used: {type(error).__name__}", file=path) from None


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        PosewrightError: where the file is missing, cut short, not the checkpoint of a keypoint model, or of another version.
    """
    path = Path(path)
    header, weights = read_weights(path, "keypoints")
    try:
        net = build_net(net_config(header["net"]), int(header["keypoints"]))
        skeleton = Skeleton.from_dict(header["skeleton"])
        rule = CropRule.from_dict(header["crop"])
        a, b = header["presence"]
        fitted = header.get("covariance")
        covariance = None if fitted is None else PeakCovariance.from_dict(fitted)
        if covariance is not None and len(covariance.level) != len(skeleton):
            raise ValueError("a covariance of other keypoints")
        fitted = header.get("score_curve")
        score_curve = None if fitted is None else ScoreCurve.from_dict(fitted, len(skeleton))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, PosewrightError):
            raise PosewrightError(error.what, file=path, fix=error.fix) from None
        raise PosewrightError(f"has a header that cannot be used: {type(error).__name__}", file=path) from None
    fill_net(net, weights, path)
    return Checkpoint(
        net.eval(),
        skeleton,
        rule,
        str(header.get("preset", "")),
        (float(a), float(b)),
        header.get("training") or {},
        header.get("metrics") or {},
        str(header.get("terms") or ""),
        covariance,
        score_curve,
    )


def fill_net(net: torch.nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Give a net its weights, or raise a PosewrightError where they are not those of such a net."""
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise PosewrightError(
            f"its weights do not fit its net: {str(error).splitlines()[1].strip()}", file=path
        ) from None


def stored_as_half(path: str | Path) -> bool:
    """Whether a checkpoint's floating-point weights are stored as fp16.

    Raises:
        PosewrightError: where the file is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError):
        raise PosewrightError("is not a safetensors file, or was cut short", file=path) from None
    return "F16" in kinds and "F32" not in kinds
