"""Teachers: any checkpoint, any model file of posewright's, and foreign ONNX files that return heat maps or keypoints.

A teacher is never part of the net that is trained: it has no place in its checkpoints, its running mean or its optimiser.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint, data_behind, load_checkpoint
from posewright.models.devices import choose_device
from posewright.models.features import Features
from posewright.models.heatmaps import decode
from posewright.runtime.engines.base import first_line
from posewright.runtime.engines.onnx import DEVICES, OnnxEngine
from posewright.runtime.modelfile import is_described
from posewright.runtime.names import find_checkpoint
from posewright.skeleton import Skeleton
from posewright.training.distill_config import DistillConfig
from posewright.training.views import Grid

PIXELS = {
    "0..1": (0.0, 255.0),
    "-1..1": (127.5, 127.5),
    "0..255": (0.0, 1.0),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
"""(mean, divisor) of RGB 0..255 for each kind of pixels that a foreign teacher may want."""


@dataclass
class Seen:
    """What a teacher makes of a batch of crops.

    Attributes:
        maps: ``[B, S, C, h, w]`` float32 after its activation, every stage; None from one that returns only keypoints.
        points: ``[B, K, 3]`` (x, y, score), in pixels of the teacher's crop.
        presence: ``[B]`` in 0..1; None where it does not say.
        features: ``[B, F, h, w]`` float32, where they were asked for.
    """

    maps: Tensor | None
    points: Tensor
    presence: Tensor | None = None
    features: Tensor | None = None


class Teacher(ABC):
    """A trained model that a student learns from.

    Attributes:
        name: what the person called it.
        digest: of its file, so that cached outputs and resumed runs know it again.
        skeleton: its keypoints.
        rule: its crop rule.
        stages: how many stages of heat maps it returns; 0 where it returns only keypoints.
        background: whether its maps have a background channel behind the keypoints'.
        grid: where its cells lie; None where it returns only keypoints.
        channels: of its last features; None where it has none to show.
        terms: terms of the data it was trained on, which a student inherits.
        data: the sets that it was trained on, as far as it tells.
    """

    name: str
    digest: str
    skeleton: Skeleton
    rule: CropRule
    stages: int
    background: bool
    grid: Grid | None
    channels: int | None = None
    terms: str = ""
    data: Sequence[str] = ()

    @abstractmethod
    def __call__(self, image: Tensor) -> Seen:
        """Look at crops ``uint8 [B, H, W, 3]`` RGB of the teacher's size; the answer is on their device."""

    def __deepcopy__(self, memo: Any) -> Teacher:
        # The running mean of weights copies the whole task.
        return self


class CheckpointTeacher(Teacher):
    """A checkpoint's own net, run by torch in evaluation mode.

    Args:
        features: show its last features, too.
    """

    def __init__(self, path: Path, name: str, config: DistillConfig, sigma: float, *, features: bool = False) -> None:
        checkpoint: Checkpoint = load_checkpoint(path)
        self.name, self.digest = name, file_digest(path)
        self.skeleton, self.rule = checkpoint.skeleton, checkpoint.rule
        checkpoint.net.fuse()  # the same maps for less
        self._net = checkpoint.net.requires_grad_(False)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._presence, self.terms = checkpoint.presence, checkpoint.terms
        self.data = data_behind(checkpoint.training)
        self._features = Features(self._net) if features else None
        self.channels = self._features.channels if self._features else None
        net = self._net.config
        self.background = net.background
        height, width = (side // net.stride for side in self.rule.size[::-1])
        with torch.no_grad():
            self.stages = self._net(torch.zeros(1, *self.rule.size[::-1], 3, dtype=torch.uint8)).shape[1]
        trained = (checkpoint.training.get("config") or {}).get("sigma")
        self.grid: Grid = Grid((height, width), net.stride, net.label_shift, config.sigma or trained or sigma)

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Seen:
        if next(self._net.parameters()).device != image.device:
            self._net = self._net.to(image.device)
        maps = self._net(image).float()
        points = decode(maps[:, -1, : len(self.skeleton)], self.grid.stride, self.grid.shift)
        a, b = self._presence
        presence = torch.sigmoid(a * points[..., 2].mean(1) + b)
        return Seen(maps, points, presence, self._features.take().float() if self._features else None)


class OnnxTeacher(Teacher):
    """A model file, run by onnxruntime."""

    def __init__(self, path: Path, name: str, config: DistillConfig, sigma: float, device: str) -> None:
        self._engine = OnnxEngine(path, "cuda" if device == "cuda" else "cpu")
        info = self._engine.info
        self.name, self.digest = name, file_digest(path)
        self.skeleton, self.rule, self.terms = info.skeleton, info.crop, info.terms
        self.data = info.training_data
        self._outputs = [n for n in ("heatmaps", "keypoints", "presence") if n in info.outputs]
        self.stages, self.background, self.grid = 0, False, None
        if "heatmaps" in self._outputs:
            blank = np.zeros((1, *self.rule.size[::-1], 3), np.uint8)
            (maps,) = self._engine.run(blank, ["heatmaps"])
            self.stages, self.background = maps.shape[1], maps.shape[2] > len(self.skeleton)
            self.grid = Grid((maps.shape[3], maps.shape[4]), info.stride, info.label_shift, config.sigma or sigma)

    def __call__(self, image: Tensor) -> Seen:
        found = self._engine.run(np.ascontiguousarray(image.cpu().numpy()), self._outputs)
        by_name = {n: torch.from_numpy(a).to(image.device) for n, a in zip(self._outputs, found, strict=True)}
        maps, points = by_name.get("heatmaps"), by_name.get("keypoints")
        if points is None:
            assert maps is not None
            assert self.grid is not None
            points = decode(maps[:, -1, : len(self.skeleton)], self.grid.stride, self.grid.shift)
        return Seen(maps, points, by_name.get("presence"))


class ForeignTeacher(Teacher):
    """An ONNX file that says nothing about itself: one picture in, heat maps or keypoints out, known by their shapes.

    Its input is ``uint8`` (RGB 0..255) or floating-point (see ``distill.pixels``), channels first or last, of a fixed size
    unless free sides are to take the student's. Its keypoints ``[B, K, 2 or 3]`` are pixels of that input; its maps are
    ``[B, C, h, w]`` or ``[B, S, C, h, w]`` with C = K or K + 1.

    Args:
        student: the student's skeleton, whose order its K keypoints have; with a map between skeletons their names are
            "0", "1", ... instead, in the file's own order.
        rule: the student's crop rule, whose margin it shares.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        config: DistillConfig,
        sigma: float,
        device: str,
        student: Skeleton,
        rule: CropRule,
    ) -> None:
        self.name, self.digest, self._path = name, file_digest(path), path
        self._session = _session(path, device)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise self._unusable("does not take one batch of pictures")
        self._input, (batch, *sides) = inputs[0].name, inputs[0].shape
        self._batch = batch if isinstance(batch, int) else None
        self._type = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16}.get(
            inputs[0].type
        )
        if self._type is None or 3 not in (sides[0], sides[2]):
            raise self._unusable(f"takes {inputs[0].type} {inputs[0].shape}, no RGB pictures")
        self._first = sides[0] == 3 and sides[2] != 3
        height, width = sides[1:] if self._first else sides[:2]
        size = tuple(v if isinstance(v, int) else own for v, own in zip((width, height), rule.size, strict=True))
        self.rule = CropRule((size[0], size[1]), rule.margin, rule.border)
        self._mean, self._divisor = (np.asarray(v, np.float32) for v in PIXELS[config.pixels])
        self._bgr = config.bgr
        self._choose_output(config, sigma, student)

    def _unusable(self, what: str) -> PosewrightError:
        return PosewrightError(what, file=self._path, fix="A teacher takes crops and returns heat maps or keypoints")

    def _choose_output(self, config: DistillConfig, sigma: float, student: Skeleton) -> None:
        """Find the heat maps, else the keypoints, among the outputs by their shapes on an empty crop."""
        names = [o.name for o in self._session.get_outputs()]
        shapes = [a.shape for a in self._run(np.zeros((1, *self.rule.size[::-1], 3), np.uint8), names)]
        known = len(student)
        maps = [i for i, s in enumerate(shapes) if len(s) in (4, 5) and self._is_grid(s[-2:])]
        points = [i for i, s in enumerate(shapes) if len(s) == 3 and s[-1] in (2, 3)]
        if not maps and not points:
            said = ", ".join(f"{n} {list(s)}" for n, s in zip(names, shapes, strict=True))
            raise self._unusable(f"returns neither heat maps nor keypoints: {said}")
        self.stages, self.background, self.grid = 0, False, None
        if maps:
            place = maps[-1]
            shape = shapes[place]
            self.stages = shape[1] if len(shape) == 5 else 1
            self.background = not config.map and shape[-3] == known + 1
            count = shape[-3] - int(self.background)
            stride = self.rule.size[1] // shape[-2]
            self.grid = Grid((shape[-2], shape[-1]), stride, (0.0, 0.0), config.sigma or sigma)
        else:
            place = points[0]
            count = shapes[place][1]
        self._output = names[place]
        if not config.map and count != known:
            raise PosewrightError(
                f"returns {count} keypoints, the student has {known}",
                file=self._path,
                fix="Say with --distill.map NAME,NUMBER ... which is which, counted from 0",
            )
        own = tuple(str(i) for i in range(count)) if config.map else student.keypoints
        self.skeleton = Skeleton(self._path.stem, own)

    def _is_grid(self, size: Sequence[int]) -> bool:
        """Whether (height, width) is the input's divided by one whole number."""
        width, height = self.rule.size
        h, w = size
        return min(h, w) > 4 and h <= height and height % h == 0 and w * (height // h) == width

    def _run(self, crops: np.ndarray, outputs: list[str]) -> list[np.ndarray]:
        pixels = crops
        if self._type is not np.uint8:
            pixels = (crops - self._mean) / self._divisor
        if self._bgr:
            pixels = pixels[..., ::-1]
        if self._first:
            pixels = pixels.transpose(0, 3, 1, 2)
        pixels = np.ascontiguousarray(pixels, self._type)
        step = self._batch or len(pixels)
        parts = []
        for start in range(0, len(pixels), step):
            part = pixels[start : start + step]
            rest = step - len(part)
            filled = np.concatenate([part, np.zeros((rest, *part.shape[1:]), self._type)]) if rest else part
            try:
                found = self._session.run(outputs, {self._input: filled})
            except Exception as error:  # onnxruntime's errors share no other base
                raise PosewrightError(f"onnxruntime failed: {first_line(error)}", file=self._path) from None
            parts.append([a[: len(part)] for a in found])
        return [np.concatenate(arrays).astype(np.float32) for arrays in zip(*parts, strict=True)]

    def __call__(self, image: Tensor) -> Seen:
        (found,) = self._run(image.cpu().numpy(), [self._output])
        output = torch.from_numpy(found).to(image.device)
        if self.grid is not None:
            maps = output if output.ndim == 5 else output[:, None]
            return Seen(maps, decode(maps[:, -1, : len(self.skeleton)], self.grid.stride, self.grid.shift))
        if output.shape[-1] == 2:
            output = torch.cat([output, torch.ones_like(output[..., :1])], -1)
        return Seen(None, output)


def load_teacher(
    spec: str, config: DistillConfig, *, student: Skeleton, rule: CropRule, sigma: float = 1.5, device: str = "auto"
) -> Teacher:
    """The teacher that a person named.

    Args:
        spec: a checkpoint, a run's folder, a shipped name, or any ONNX file.
        config: how the student learns from it.
        student: the student's skeleton.
        rule: the student's crop rule.
        sigma: of the student's targets, which a teacher that does not say its own is taken to share.
        device: where it will run.

    Raises:
        PosewrightError: where there is no such file, it is no model, or it cannot teach what is asked.
    """
    features = config.target == "features"
    path = Path(spec)
    if path.suffix.lower() != ".onnx":
        return CheckpointTeacher(find_checkpoint(spec), spec, config, sigma, features=features)
    if not path.is_file():
        raise PosewrightError("does not exist", file=path)
    if features:
        raise PosewrightError(
            "is an ONNX file, whose features cannot be seen", file=path, fix="Give its checkpoint as --teacher"
        )
    device = choose_device(device)
    if is_described(path):
        return OnnxTeacher(path, spec, config, sigma, device)
    return ForeignTeacher(path, spec, config, sigma, device, student, rule)


def file_digest(path: Path) -> str:
    """A short digest of a file's content, and of the weights that a large ONNX file keeps in a second one beside it."""
    found = hashlib.sha256()
    for each in (path, path.with_name(f"{path.name}.data")):
        if each == path or each.is_file():
            with each.open("rb") as file:
                while part := file.read(1 << 20):
                    found.update(part)
    return found.hexdigest()[:16]


def _session(path: Path, device: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    wanted = [DEVICES["cuda"].provider] if device == "cuda" else []
    providers = [p for p in (*wanted, DEVICES["cpu"].provider) if p in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no other base
        raise PosewrightError(f"cannot be loaded by onnxruntime: {first_line(error)}", file=path) from None
