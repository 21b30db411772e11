"""How many synthetic pictures one core draws in a second.

    python benchmarks/synthetic_speed.py [--count 300] [--repeats 3] [--size 256x256] [--difficulty 1]

OpenCV runs on one thread, and where the system allows it the process is bound to one core. Every repeat draws the same
pictures. A core that other work shares draws fewer: the fastest repeat says what the code can do, the slowest what the
machine had left for it, and the load tells which of the two to believe.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from posewright.synthetic import hand_clip, make_hand_set, render_hand
from posewright.synthetic.camera import Camera
from posewright.synthetic.hand import random_scene
from posewright.synthetic.scene import draw_scene
from posewright.synthetic.scenery import background


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="pictures in a repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", default="256x256", metavar="WIDTHxHEIGHT")
    parser.add_argument("--difficulty", type=float, default=1.0)
    args = parser.parse_args()
    width, height = (int(side) for side in args.size.split("x"))
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"numpy {np.__version__}, OpenCV {cv2.__version__}, one core of {os.cpu_count()}{load}\n")
    for i in range(20):  # fill the caches of noise tiles
        render_hand(1, i, (width, height))

    print(f"| {width}x{height}, {args.count} of them | fastest /s | median /s | slowest /s |")
    print("|---|---|---|---|")
    jobs = _jobs(args.count, (width, height), args.difficulty)
    for name, job in jobs.items():
        rates = []
        for _ in range(args.repeats):
            start = time.perf_counter()
            job()
            rates.append(args.count / (time.perf_counter() - start))
        print(f"| {name} | {max(rates):.0f} | {statistics.median(rates):.0f} | {min(rates):.0f} |")


def _jobs(count: int, size: tuple[int, int], difficulty: float) -> dict[str, Callable[[], None]]:
    width, height = size

    def pictures() -> None:
        for i in range(count):
            render_hand(0, i, size, difficulty=difficulty)

    def files() -> None:
        with tempfile.TemporaryDirectory() as folder:
            make_hand_set(Path(folder) / "set", count, size=size, difficulty=difficulty)

    def frames() -> None:
        for _ in hand_clip(seconds=count / 30, fps=30, size=size):
            pass

    def grounds() -> None:
        for i in range(count):
            background(np.random.default_rng(i), width, height)

    def hands() -> None:
        picture = np.zeros((height, width, 3), np.uint8)
        for i in range(count):
            draw_scene(picture, random_scene(np.random.default_rng(i), size, difficulty))

    def shots() -> None:
        picture = background(np.random.default_rng(0), width, height)
        for i in range(count):
            rng = np.random.default_rng(i)
            Camera.random(rng, size).take(rng, picture)

    return {
        "pictures (`render_hand`)": pictures,
        "of that: backgrounds alone": grounds,
        "of that: hands alone": hands,
        "of that: the camera alone": shots,
        "pictures to JPEG files (`make_hand_set`)": files,
        "frames of a clip (`hand_clip`)": frames,
    }


if __name__ == "__main__":
    main()
