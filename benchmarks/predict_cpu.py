"""One picture at a time from its JPEG file to its keypoints: every preset and engine beside the older system's way, in turn.

    python benchmarks/predict_cpu.py --keras-python ENVIRONMENT/bin/python
    python benchmarks/predict_cpu.py --presets hourglass_s2_mobile_tiny --rounds 2 --calls 5

- posewright: ``posewright.load(file)(picture)``: read, decode, cut out, net, keypoints with their sub-cell fit, presence.
- the older way, in an interpreter that has TensorFlow: read, resize without regard to the aspect, ``Model.predict`` of the same
  net in tf.keras, the highest cell of each map in numpy (keras_hourglass.py).

Nets are untrained, which changes no time. Model files are written as ``posewright export`` writes them, for each engine that is
installed with what writes its files; one that was written elsewhere (``posewright export --to litert``) is taken from --models.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

import posewright
from posewright.errors import PosewrightError
from posewright.export.exporting import export, with_ending
from posewright.export.targets import TARGETS
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint
from posewright.models.presets import build_net, preset
from posewright.runtime.predictor import Predictor
from posewright.skeleton import Skeleton
from posewright.synthetic import make_hand_set
from turns import Helper, clocked, in_turn, machine, median_ms, table

FORMATS = {"onnx": "onnxruntime", "openvino": "OpenVINO", "litert": "LiteRT", "mnn": "MNN", "executorch": "ExecuTorch"}
"""Targets of the export, and what runs their files."""


@dataclass(frozen=True)
class Args:
    """Time prediction on the processor."""

    presets: tuple[str, ...] = ("hourglass_s2", "hourglass_s2_mobile", "hourglass_s2_tiny", "hourglass_s2_mobile_tiny")
    """Hourglass presets."""
    formats: tuple[str, ...] = tuple(FORMATS)
    """Formats of the model file, as for posewright export --to."""
    models: Path | None = None
    """Folder of ready files PRESET.onnx, PRESET.tflite, PRESET.openvino, PRESET.mnn, taken in place of written ones."""
    size: int = 256
    """Side of the crop."""
    keypoints: int = 17
    """Keypoints that the net finds."""
    picture: Path | None = None
    """A picture file; a generated one of 640 x 480 unless given."""
    calls: int = 20
    """Pictures of each way a round."""
    rounds: int = 5
    """Rounds that count."""
    threads: int = 2
    """Threads of each engine."""
    exact: bool = False
    """Compute in fp32 where an engine would take less for speed."""
    keras_python: str | None = None
    """Interpreter of an environment that has TensorFlow; without it the older way is left out."""


def opened(name: str, args: Args, folder: Path) -> dict[str, Predictor]:
    """The preset's predictors by what runs them; says which formats are left out, and why."""
    torch.manual_seed(0)
    net = build_net(preset(name, activation="sigmoid"), args.keypoints).eval()
    skeleton = Skeleton("points", tuple(f"point_{i}" for i in range(args.keypoints)))
    checkpoint = Checkpoint(net, skeleton, CropRule((args.size, args.size)), name)
    found = {}
    for form in args.formats:
        path = with_ending((args.models or folder) / name, TARGETS[form])
        try:
            if not path.exists():
                path = with_ending(folder / name, TARGETS[form])
                export(checkpoint, path, form)
            found[FORMATS[form]] = posewright.load(path, threads=args.threads, exact=args.exact)
        except PosewrightError as error:
            print(f"{name}, {FORMATS[form]}: left out: {error.what}")
    return found


def compare(name: str, args: Args, picture: Path, folder: Path) -> None:
    """Measure one preset and print its table."""
    models = opened(name, args, folder)
    ways: dict[str, Any] = {
        f"posewright, {engine}": (lambda model=model: clocked(lambda: model(picture), args.calls))
        for engine, model in models.items()
    }
    config: Any = preset(name)
    settings = {
        "do": "predict", "size": args.size, "keypoints": args.keypoints, "stacks": config.stacks, "mobile": config.mobile,
        "channels": config.channels, "picture": str(picture), "threads": args.threads,
    }  # fmt: skip
    helper = Helper(args.keras_python, "keras_hourglass.py", settings) if args.keras_python else None
    if helper is not None:
        ways["older way, tf.keras"] = lambda: helper.ask({"count": args.calls})
    before = {engine: model.spent["net"] for engine, model in models.items()}
    try:
        times = in_turn(ways, args.rounds)
    finally:
        if helper is not None:
            helper.__exit__(None, None, None)
    medians = {way: median_ms(seconds) for way, seconds in times.items()}
    old = medians.get("older way, tf.keras")
    print(f"\n{name}\n")
    rows = []
    for way, ms in medians.items():
        model = models.get(way.partition(", ")[2])
        net = "-"
        if model is not None:  # one more round ran than counts
            spent = model.spent["net"] - before[way.partition(", ")[2]]
            net = f"{spent * 1e3 / (args.calls * (args.rounds + 1)):.1f}"
        ratio = f"{old / ms:.2f}" if old is not None else "-"
        tenth = float(np.quantile(times[way], 0.1)) * 1e3
        rows.append([way, model.computes if model else "fp32", f"{ms:.1f}", f"{tenth:.1f}", net, ratio])
    table(["", "in", "ms a picture", "lowest tenth", "of it the net (mean)", "x the older way"], rows)


def main(args: Args) -> None:
    print(f"{machine()}; {args.threads} threads a way; batch 1 at {args.size}x{args.size}")
    with tempfile.TemporaryDirectory() as folder:
        picture = args.picture
        if picture is None:
            make_hand_set(Path(folder) / "data", 1, size=(640, 480), val_share=0.0, empty_share=0.0)
            picture = next((Path(folder) / "data" / "images").iterdir())
        for name in args.presets:
            compare(name, args, picture, Path(folder))


if __name__ == "__main__":
    main(tyro.cli(Args))
