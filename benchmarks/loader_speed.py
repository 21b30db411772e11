"""Training samples a second from picture files, in one process, with the default augmentation and without any cache.

    python benchmarks/loader_speed.py --data ../shared/data/lspet --skeleton body-14
    python benchmarks/loader_speed.py --data ../shared/data/lspet --skeleton body-14 --each

Each picture is read from its JPEG file, decoded, warped, varied and turned into tensors, as training does it.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import tyro

from posewright.annotations import ReadOptions, read_annotations
from posewright.geometry import CropRule
from posewright.skeletons import load_skeleton
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.dataset import CropDataset


@dataclass(frozen=True)
class Args:
    """Measure the training loader."""

    data: Path
    """Labels with their pictures."""
    skeleton: str | None = None
    """Where the labels do not say."""
    size: int = 256
    """Side of the crop."""
    count: int = 1000
    """Samples a round."""
    rounds: int = 5
    """Rounds; the median is what counts."""
    threads: tuple[int, ...] = (1, 2)
    """Threads of the one process."""
    each: bool = False
    """Also: no augmentation at all, and what each change that is off by default costs beside the default ones."""


DEFAULT = AugmentConfig()
EACH = {
    "plain": PLAIN,
    "perspective 20": replace(DEFAULT, perspective=20),
    "half_body 0.3": replace(DEFAULT, half_body=0.3),
    "sharpness 0.5": replace(DEFAULT, sharpness=0.5),
    "clahe 0.2": replace(DEFAULT, clahe=0.2),
}


def main(args: Args) -> None:
    cv2.setNumThreads(1)
    options = ReadOptions(skeleton=load_skeleton(args.skeleton) if args.skeleton else None, skip_bad=True)
    labels = read_annotations(args.data, options=options)
    settings = {"default": DEFAULT, **(EACH if args.each else {})}
    data = {k: CropDataset(labels, CropRule((args.size, args.size)), v, seed=0) for k, v in settings.items()}
    count = min(args.count, len(data["default"]))
    for threads in args.threads:
        speeds: dict[str, list[float]] = {name: [] for name in data}
        costs: dict[str, list[float]] = {name: [] for name in data}
        with ThreadPoolExecutor(threads) as pool:
            for epoch in range(args.rounds):
                for name, samples in data.items():
                    start, busy = time.perf_counter(), time.process_time()
                    for _ in pool.map(samples.__getitem__, [(epoch, i) for i in range(count)], chunksize=8):
                        pass
                    costs[name].append((time.process_time() - busy) / count)
                    speeds[name].append(count / (time.perf_counter() - start))
        for name, measured in speeds.items():
            # The processor's own time: what other programs take of a busy machine does not count.
            cost, ratio = min(costs[name]), min(costs[name]) / min(costs["default"])
            print(
                f"{threads} thread(s), {name}: {statistics.median(measured):.0f} samples/s at {args.size}x{args.size} "
                f"({min(measured):.0f} to {max(measured):.0f}); {1000 * cost:.2f} ms of processor time each, x {ratio:.2f}"
            )


if __name__ == "__main__":
    main(tyro.cli(Args))
