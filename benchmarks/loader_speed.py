"""Training samples a second from picture files, in one process, with all augmentation and without any cache.

    python benchmarks/loader_speed.py --data ../shared/data/lspet --skeleton body-14

Each picture is read from its JPEG file, decoded, warped, varied and turned into tensors, as training does it.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import tyro

from posewright.annotations import ReadOptions, read_annotations
from posewright.geometry import CropRule
from posewright.skeleton import load_skeleton
from posewright.training.augment_config import AugmentConfig
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


def main(args: Args) -> None:
    cv2.setNumThreads(1)
    options = ReadOptions(skeleton=load_skeleton(args.skeleton) if args.skeleton else None, skip_bad=True)
    labels = read_annotations(args.data, options=options)
    data = CropDataset(labels, CropRule((args.size, args.size)), AugmentConfig(), seed=0)
    count = min(args.count, len(data))
    for threads in args.threads:
        speeds = []
        with ThreadPoolExecutor(threads) as pool:
            for epoch in range(args.rounds):
                start = time.perf_counter()
                for _ in pool.map(data.__getitem__, [(epoch, i) for i in range(count)], chunksize=8):
                    pass
                speeds.append(count / (time.perf_counter() - start))
        spread = f"{min(speeds):.0f} to {max(speeds):.0f}"
        print(f"{threads} thread(s): {statistics.median(speeds):.0f} samples/s at {args.size}x{args.size} ({spread})")


if __name__ == "__main__":
    main(tyro.cli(Args))
