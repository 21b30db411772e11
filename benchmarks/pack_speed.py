"""Training samples a second from picture files and from the same set packed, in turn, in one thread.

    python benchmarks/pack_speed.py --data ../shared/data/lspet --skeleton body-14
    python benchmarks/pack_speed.py --photos 60

Both make the same crops with the default augmentation. ``--photos`` draws a set of 4000 x 3000 JPEG photos with one
generated hand each, as a phone takes them, in a temporary folder.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import tyro

from posewright.annotations import Annotations, Image, ReadOptions, read_annotations
from posewright.geometry import CropRule
from posewright.media.pictures import write_picture
from posewright.skeletons import HAND_21, load_skeleton
from posewright.synthetic.hand import render_hand
from posewright.training.augment_config import AugmentConfig
from posewright.training.dataset import CropDataset
from posewright.training.packing import PackConfig, pack

WIDTH, HEIGHT = 4000, 3000
SCENE = 750
"""Side of the generated picture that is enlarged into a photo."""


@dataclass(frozen=True)
class Args:
    """Measure what packing gains."""

    data: Path | None = None
    """Labels with their pictures."""
    skeleton: str | None = None
    """Where the labels do not say."""
    photos: int = 0
    """Draw so many large photos instead."""
    size: int = 256
    """Side of the crop."""
    count: int = 1000
    """Samples a round, at most."""
    rounds: int = 5
    """Rounds; the medians are what counts."""
    detail: float = 1.0
    """Of posewright pack."""
    lossless: str | None = None
    """Of posewright pack: png or webp."""


def draw_photos(folder: Path, count: int) -> Annotations:
    """Large photos: a coarse ground with the grain of a camera, and a hand with its surroundings on a part of it."""
    images, keypoints, boxes = [], [], []
    for i in range(count):
        rng = np.random.default_rng((1, i))
        coarse = rng.integers(40, 215, (12, 16, 3), dtype=np.uint8)
        photo = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        scene = render_hand(1, i, (SCENE, SCENE), empty_share=0.0)
        side = int(rng.integers(1000, 2600))
        x, y = (int(v) for v in rng.integers(0, (WIDTH - side, HEIGHT - side)))
        photo[y : y + side, x : x + side] = cv2.resize(scene.image, (side, side), interpolation=cv2.INTER_CUBIC)
        grain = rng.normal(0, 6, (HEIGHT // 2, WIDTH // 2, 1)).astype(np.float32)
        grain = cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)[..., None]
        write_picture(folder / f"{i:04d}.jpg", np.clip(photo + grain, 0, 255).astype(np.uint8), 90)
        # Pixel centres: (u + 0.5) * scale - 0.5, and then the place in the photo.
        scale, offset = side / SCENE, np.array([x, y])
        points = scene.keypoints[0].copy()
        points[:, :2] = np.where(points[:, 2:] > 0, (points[:, :2] + 0.5) * scale - 0.5 + offset, 0)
        assert scene.box is not None
        boxes.append(((np.array(scene.box).reshape(2, 2) + 0.5) * scale - 0.5 + offset).ravel())
        keypoints.append(points)
        images.append(Image(f"{i:04d}.jpg", WIDTH, HEIGHT))
    return Annotations(HAND_21, images, np.arange(count), np.array(keypoints), np.array(boxes), folder, source="photos")


def main(args: Args) -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if args.photos:
            (folder / "photos").mkdir()
            labels = draw_photos(folder / "photos", args.photos)
        elif args.data is not None:
            skeleton = load_skeleton(args.skeleton) if args.skeleton else None
            labels = read_annotations(args.data, options=ReadOptions(skeleton=skeleton, skip_bad=True))
            if len(labels.images) > args.count:
                labels = labels.subset(np.linspace(0, len(labels.images) - 1, args.count).astype(int))
        else:
            raise SystemExit("name labels with --data, or draw some with --photos 60")
        rule, augment = CropRule((args.size, args.size)), AugmentConfig()
        start = time.perf_counter()
        config = replace(PackConfig(rule, augment), detail=args.detail, lossless=args.lossless)  # type: ignore[arg-type]
        done = pack(labels, folder / "shards", config)
        print(
            f"packed {done.objects} objects in {time.perf_counter() - start:.1f} s: {done.bytes / 1e6:.1f} MB in "
            f"{done.shards} shards, x {done.bytes / done.original:.2f} of the files; {done.reduced} reduced, "
            f"{done.copied} kept as they were"
        )
        start = time.perf_counter()
        packed = read_annotations(folder / "shards")
        print(f"the packed set's labels are read in {1000 * (time.perf_counter() - start):.0f} ms")
        sets = {"files": CropDataset(labels, rule, augment), "packed": CropDataset(packed, rule, augment)}
        speeds: dict[str, list[float]] = {name: [] for name in sets}
        costs: dict[str, list[float]] = {name: [] for name in sets}
        count = min(args.count, len(sets["files"]))
        for epoch in range(args.rounds):
            for name, samples in sets.items():
                start, busy = time.perf_counter(), time.process_time()
                for i in range(count):
                    samples[epoch, i]
                costs[name].append((time.process_time() - busy) / count)
                speeds[name].append(count / (time.perf_counter() - start))
        for name, measured in speeds.items():
            print(
                f"{name}: {statistics.median(measured):.0f} samples/s ({min(measured):.0f} to {max(measured):.0f}), "
                f"{1000 * statistics.median(costs[name]):.2f} ms of processor time each"
            )
        ratio = statistics.median(speeds["packed"]) / statistics.median(speeds["files"])
        cost = statistics.median(costs["files"]) / statistics.median(costs["packed"])
        print(f"packed is {ratio:.2f} times as fast; by processor time {cost:.2f} times")


if __name__ == "__main__":
    main(tyro.cli(Args))
