"""The model file's contract: what its one metadata entry says, and how to read it without starting any engine.

A model file takes ``image``, ``uint8 [B, H, W, 3]`` RGB crops made by its crop rule, and returns some of
:data:`OUTPUTS`. Everything else a runtime must know stands as JSON in its metadata entry, see :mod:`posewright.runtime.entries`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError, did_you_mean
from posewright.geometry import CropRule
from posewright.runtime.decode import RULES
from posewright.runtime.entries import onnx_entry
from posewright.runtime.formats import locate
from posewright.score import ScoreCurve
from posewright.skeleton import Skeleton

FORMAT_VERSION = 1
KINDS = {
    "keypoints": ("keypoints", "presence", "heatmaps", "covariance", "visibility"),
    "locator": ("boxes",),
}
"""What a model may be for, and the outputs that such a model file may have."""
INPUT = "image"
LARGEST_SIDE = 8192
"""Pixels that neither side of an input exceeds."""
MOST_KEYPOINTS = 10_000
"""No skeleton has more."""

OUTPUTS = {
    "keypoints": "float32 [B, K, 3]: x, y in crop pixels, (0, 0) at the first pixel's centre, and score",
    "presence": "float32 [B] in 0..1: is the object there at all",
    "heatmaps": "float32 [B, S, K or K + 1, h, w]: the maps of all stages, a background map last",
    "covariance": "float32 [B, K, 3]: xx, xy, yy in square crop pixels",
    "visibility": "float32 [B, K] in 0..1",
    "boxes": "float32 [B, N, 5]: x0, y0, x1, y1 in crop pixels and score, best first",
}
"""Every output a model file may have, by name."""


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says about itself.

    Attributes:
        skeleton: the K keypoints.
        crop: how a box of a picture becomes the input; its size is the input size.
        stride: crop pixels per heat map cell.
        preset: name of the net's preset.
        outputs: names of the outputs, a subset of :data:`OUTPUTS`.
        kind: one of :data:`KINDS`.
        calibrated: whether a score is the share of such keypoints that are right; the decoded peak's height otherwise.
        calibration: what "right" means there, e.g. "PCK@0.2 (torso)"; empty where not calibrated.
        training_data: one line for each set it was trained on.
        metrics: measured figures by name, each a mapping with "value" and the conventions it was measured by
            ("normaliser", "data", "images", ...).
        terms: what the training data's terms mean for the use of these weights.
        tool_version: the posewright version that wrote the file.
        covariance_tail: the law of its errors, see :mod:`posewright.metrics.calibration`; None without a covariance.
        label_shift: (x, y) in cells: how far right and down of the truth its heat maps have their peaks; none in the
            keypoints.
        decoding: the rule that turned its maps into keypoints, see :func:`posewright.runtime.decode.decode`.
        score_curve: what made the peaks' heights calibrated scores; for who decodes the maps himself.
        threshold: of a locator, the score from which a box is taken for an object unless somebody says otherwise.
        precision: what its weights are stored in: fp32, fp16 or int8.
        flip: its graph averages the crop with its mirror image by itself.
    """

    skeleton: Skeleton
    crop: CropRule
    stride: int
    preset: str
    outputs: tuple[str, ...]
    kind: str = "keypoints"
    calibrated: bool = False
    calibration: str = ""
    training_data: tuple[str, ...] = ()
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    terms: str = ""
    tool_version: str = ""
    label_shift: tuple[float, float] = (0.0, 0.0)
    decoding: str = "gaussian"
    covariance_tail: float | None = None
    score_curve: ScoreCurve | None = None
    threshold: float = 0.5
    precision: str = "fp32"
    flip: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PosewrightError(f"model kind '{self.kind}' is not known here; this version runs {', '.join(KINDS)}")
        known = KINDS[self.kind]
        unknown = [name for name in self.outputs if name not in known]
        if unknown:
            raise PosewrightError(f"unknown output '{unknown[0]}'", fix=did_you_mean(unknown[0], known))
        if self.kind == "locator" and "boxes" not in self.outputs:
            raise PosewrightError("a locator's model file needs boxes among its outputs")
        if self.kind == "keypoints" and not {"keypoints", "heatmaps"} & set(self.outputs):
            raise PosewrightError("a model file needs keypoints or heatmaps among its outputs")
        if not 0 <= self.threshold <= 1:
            raise PosewrightError(f"threshold must lie in 0..1, not {self.threshold}")
        if max(self.crop.size) > LARGEST_SIDE:
            what = f"an input of {self.size_text} is beyond the {LARGEST_SIDE} pixels a side that are run"
            raise PosewrightError(what)
        if not 1e-3 <= self.crop.margin <= 1e3:
            raise PosewrightError(f"a margin of {self.crop.margin:g} boxes makes no crop")
        if self.stride < 1 or any(side % self.stride for side in self.crop.size):
            raise PosewrightError(f"stride {self.stride} does not divide the input size {self.size_text}")
        if self.covariance_tail is not None and not self.covariance_tail > 0:
            raise PosewrightError(f"covariance_tail must be above 0, not {self.covariance_tail}")
        if self.decoding not in RULES:
            raise PosewrightError(f"unknown decoding '{self.decoding}'", fix=did_you_mean(self.decoding, RULES))
        if self.score_curve is not None and len(self.score_curve.offset) != len(self.skeleton):
            raise PosewrightError("its score_curve is of other keypoints")
        for name, figures in self.metrics.items():
            if not isinstance(figures, Mapping) or "value" not in figures:
                raise PosewrightError(f"metric '{name}' has no value")

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the crop in pixels."""
        return self.crop.size

    @property
    def size_text(self) -> str:
        return f"{self.crop.size[0]}x{self.crop.size[1]}"

    def to_json(self) -> str:
        """The metadata entry."""
        from posewright import __version__

        width, height = self.crop.size
        return json.dumps(
            {
                "format_version": FORMAT_VERSION,
                "tool_version": self.tool_version or __version__,
                "kind": self.kind,
                "preset": self.preset,
                "input_size": {"width": width, "height": height},
                "stride": self.stride,
                "covariance_tail": self.covariance_tail,
                "decoding": self.decoding,
                "label_shift": list(self.label_shift),
                "crop": self.crop.to_dict(),
                "outputs": list(self.outputs),
                "skeleton": self.skeleton.to_dict(),
                "calibrated": self.calibrated,
                "calibration": self.calibration,
                "score_curve": None if self.score_curve is None else self.score_curve.to_dict(),
                **({"threshold": self.threshold} if self.kind == "locator" else {}),
                "training_data": list(self.training_data),
                "metrics": {name: dict(figures) for name, figures in self.metrics.items()},
                "terms": self.terms,
                "precision": self.precision,
                "flip": self.flip,
            },
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str, file: str | Path | None = None) -> ModelInfo:
        """Read what :meth:`to_json` wrote.

        Raises:
            PosewrightError: where it is no such entry, or written by rules that this version does not know.
        """
        try:
            d = json.loads(text, parse_constant=_refuse)
            _check_numbers(d)
        except (ValueError, RecursionError):
            raise PosewrightError("its posewright entry is not JSON", file=file, fix=_EXPORT) from None
        if not isinstance(d, dict):
            raise PosewrightError("its posewright entry is not a JSON object", file=file, fix=_EXPORT)
        version = d.get("format_version")
        if version != FORMAT_VERSION:
            newer = isinstance(version, int) and version > FORMAT_VERSION
            raise PosewrightError(
                f"is a model file of format version {version}; this posewright reads version {FORMAT_VERSION}",
                file=file,
                fix="Update posewright" if newer else _EXPORT,
            )
        missing = [name for name in _REQUIRED if name not in d]
        if missing:
            raise PosewrightError(f"its posewright entry lacks '{missing[0]}'", file=file, fix=_EXPORT)
        try:
            _check_lists(d)
            skeleton = Skeleton.from_dict(d["skeleton"])
            curve = d.get("score_curve")
            info = cls(
                skeleton,
                CropRule.from_dict(d["crop"]),
                int(d["stride"]),
                str(d["preset"]),
                tuple(str(name) for name in d["outputs"]),
                str(d["kind"]),
                bool(d["calibrated"]),
                str(d.get("calibration", "")),
                tuple(str(line) for line in d["training_data"]),
                dict(d["metrics"]),
                str(d["terms"]),
                str(d["tool_version"]),
                _pair(d.get("label_shift", (0, 0))),
                str(d.get("decoding", "gaussian")),
                None if d.get("covariance_tail") is None else float(d["covariance_tail"]),
                None if curve is None else ScoreCurve.from_dict(curve, len(skeleton)),
                float(d.get("threshold", 0.5)),
                str(d.get("precision", "fp32")),
                bool(d.get("flip", False)),
            )
            stated = (d["input_size"]["width"], d["input_size"]["height"])
        except PosewrightError as error:
            raise PosewrightError(error.what, file=file, fix=error.fix or _EXPORT) from None
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            what = f"its posewright entry makes no sense: {type(error).__name__}: {error}"
            raise PosewrightError(what, file=file, fix=_EXPORT) from None
        if stated != info.crop.size:
            raise PosewrightError(f"its input size {stated} is not its crop's {info.crop.size}", file=file, fix=_EXPORT)
        return info


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _check_numbers(value: Any) -> None:
    """ValueError where a number is beyond floating point, such as 1e999, which JSON allows."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, float) and not math.isfinite(each):
            raise ValueError("a number without an end")


def _check_lists(d: Mapping[str, Any]) -> None:
    """TypeError where something else stands in the place of a list; a text would pass for one of letters."""
    for name, value in (("outputs", d["outputs"]), ("training_data", d["training_data"])):
        if not isinstance(value, list):
            raise TypeError(f"{name} is no list")
    names = d["skeleton"].get("keypoints", []) if isinstance(d["skeleton"], dict) else []
    if not isinstance(names, list):
        raise TypeError("keypoints is no list")
    if len(names) > MOST_KEYPOINTS:
        raise ValueError(f"{len(names)} keypoints")


def _pair(values: Any) -> tuple[float, float]:
    x, y = values
    return float(x), float(y)


_EXPORT = "Write the model file again with posewright export"
_REQUIRED = (
    "kind",
    "skeleton",
    "crop",
    "input_size",
    "stride",
    "preset",
    "outputs",
    "calibrated",
    "training_data",
    "metrics",
    "terms",
    "tool_version",
)


def read_info(path: str | Path) -> ModelInfo:
    """Read a model file's metadata entry without loading the model.

    Args:
        path: a file, or the folder of a model in parts, of any of :data:`posewright.runtime.formats.FORMATS`.

    Raises:
        PosewrightError: where it is missing, cut short, of no such format, or not written by posewright.
    """
    form, path = locate(path)
    try:
        text = form.entry(path)
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
    if text is None:
        fix = "Make one with posewright export"
        raise PosewrightError(f"is {form.article}, but not a posewright model file", file=path, fix=fix)
    return ModelInfo.from_json(text, path)


WRONG_KIND = {
    "locator": ("is a locator, which finds boxes and no keypoints", "Give it to --locator, beside a keypoint model"),
    "keypoints": ("finds keypoints, and is no locator", "Train one with posewright train-locator"),
}
"""By the kind that a model file is and should not be: what is wrong, and what to do."""


def require_kind(info: ModelInfo, kind: str, file: str | Path) -> None:
    """Raise a PosewrightError where a model file is of another kind than what it was given for."""
    if info.kind != kind:
        what, fix = WRONG_KIND[info.kind]
        raise PosewrightError(what, file=file, fix=fix)


def is_described(path: str | Path) -> bool:
    """Whether an ONNX file has posewright's entry at all, whatever that says.

    Raises:
        PosewrightError: where the file is empty, cut short or no ONNX file.
    """
    return onnx_entry(Path(path)) is not None
