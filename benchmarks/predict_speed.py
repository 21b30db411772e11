"""How long a model takes to answer: a cold `posewright predict`, and the predictor beside the bare engine call.

    python benchmarks/predict_speed.py MODEL PICTURE [--repeats 7] [--calls 200] [--threads N]

Cold: a new process each time, from its start until its files are written and it has ended. Warm: the predictor with one
box and with the whole picture, and onnxruntime's session alone on a crop that is already there, in turn. The fastest of
the repeats says what the code can do, the median what a machine with other work has left for it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

import posewright
from posewright.media.pictures import read_picture
from posewright.runtime.modelfile import INPUT
from posewright.warp import warp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model file, a run folder or a shipped name")
    parser.add_argument("picture")
    parser.add_argument("--repeats", type=int, default=7, help="cold processes of each kind")
    parser.add_argument("--calls", type=int, default=200, help="warm calls of each kind")
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{os.cpu_count()} cores{load}\n")

    print("| cold process | fastest s | median s | slowest s |")
    print("|---|---|---|---|")
    for name, extra in (("predict, with overlay", []), ("predict --no-overlay", ["--no-overlay"])):
        seconds = [_cold(args.model, args.picture, extra) for _ in range(args.repeats + 1)][1:]
        print(f"| {name} | {min(seconds):.2f} | {statistics.median(seconds):.2f} | {max(seconds):.2f} |")

    print(f"\n| warm call, batch 1 ({args.calls}) | fastest ms | median ms | more than bare (median) |")
    print("|---|---|---|---|")
    times = _warm(args.model, args.picture, args.threads, args.calls)
    bare = statistics.median(times["bare engine"])
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"| {name} | {min(values) * 1e3:.3f} | {middle * 1e3:.3f} | {(middle / bare - 1) * 100:+.1f} % |")


def _cold(model: str, picture: str, extra: list[str]) -> float:
    """Seconds from the start of a process to its end, its files written."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "posewright", "predict", model, picture, "-o", folder, *extra]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def _warm(name: str, path: str, threads: int | None, calls: int) -> dict[str, list[float]]:
    """Seconds of each call, the kinds taking turns."""
    model = posewright.load(name, threads=threads)
    session = model._engine._session
    picture = read_picture(path)
    height, width = picture.shape[:2]
    box = [[0.2 * width, 0.2 * height, 0.8 * width, 0.8 * height]]
    crop = np.ascontiguousarray(warp(picture, model.info.crop.letterbox(width, height), model.info.crop)[None])
    outputs = [n for n in ("keypoints", "presence", "covariance", "visibility") if n in model.info.outputs]
    kinds: dict[str, Callable[[], object]] = {
        "bare engine": lambda: session.run(outputs, {INPUT: crop}),
        "predictor, one box": lambda: model(picture, box),
        f"predictor, whole {width}x{height} picture": lambda: model(picture),
        "predictor, picture file": lambda: model(path),
    }
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in range(calls + 10):
        for kind, call in kinds.items():
            start = time.perf_counter()
            call()
            if turn >= 10:
                times[kind].append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
