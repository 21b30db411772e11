"""What grows with what: cost against pictures, people a frame, input size and stacks; memory; two processes.

    python benchmarks/scale.py pictures --minutes 10
    python benchmarks/scale.py people
    python benchmarks/scale.py size
    python benchmarks/scale.py memory --minutes 5
    python benchmarks/scale.py processes

- pictures: labels of 10^3 to 10^6 generated pictures (a COCO file of one object each, no pixels): seconds to read them, to find
  what is trained on, and to draw an epoch's order; and the most memory that took, each count in a process of its own.
- people: one frame with 1 to 64 boxes, batches of 16.
- size: a training step (batch 4, bf16 where there is) and an answer of onnxruntime for sides 128 to 512 and 1 to 8 stacks.
- memory: resident size while pictures are predicted, and while batches are loaded, for as long as --minutes allows: the growth
  over the last half is what leaks.
- processes: an epoch of `posewright train` in one process with one thread, one with two, and two with one each (gloo).

Each part stops before the next count once its minutes are over, and says so.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from turns import clocked, in_turn, machine, median_ms, table

MB = 1e6


@dataclass(frozen=True)
class Args:
    """Measure what grows."""

    what: tyro.conf.Positional[Literal["pictures", "people", "size", "memory", "processes"]]
    """Which part."""
    counts: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """Pictures."""
    people: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """Boxes a frame."""
    sides: tuple[int, ...] = (128, 192, 256, 384, 512)
    """Input sizes."""
    stacks: tuple[int, ...] = (1, 2, 4, 8)
    """Stacks of an hourglass."""
    width: str = "_mobile_tiny"
    """Which hourglass: _nano, _tiny, _mobile_tiny and so on; empty for the standard one."""
    rounds: int = 5
    """Rounds of what takes turns."""
    minutes: float = 10.0
    """After so many no further count, size or picture is begun."""
    threads: int = 2
    """Threads of onnxruntime and of torch."""
    one: int = 0
    """For the script itself: measure one count in this process."""


class Budget:
    """What is left of the minutes."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    def over(self, before: str = "") -> bool:
        over = time.monotonic() > self.end
        if over and before:
            print(f"\nthe minutes are over before {before}")
        return over


def resident() -> float:
    """Bytes of this process that lie in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- pictures ----------------------------------------------------------------------------------------------------------


def write_labels(path: Path, count: int) -> None:
    """A COCO file of ``count`` pictures with an object of 17 keypoints each, written without holding it all."""
    names = [f"point_{i}" for i in range(17)]
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        category = {"id": 1, "name": "thing", "keypoints": names, "skeleton": []}
        file.write('{"categories": [' + json.dumps(category) + '], "images": [')
        for i in range(count):
            file.write(("," if i else "") + f'{{"id":{i},"file_name":"{i:07d}.jpg","width":640,"height":480}}')
        file.write('], "annotations": [')
        for i in range(count):
            points = np.column_stack([rng.integers(100, 400, (17, 2)), np.full(17, 2)]).ravel().tolist()
            record = {"id": i, "image_id": i, "category_id": 1, "bbox": [90, 90, 320, 320], "area": 102400,
                      "iscrowd": 0, "num_keypoints": 17, "keypoints": points}  # fmt: skip
            file.write(("," if i else "") + json.dumps(record))
        file.write("]}")


def one_count(count: int) -> dict[str, float]:
    """Read and index labels of so many pictures, here and now."""
    from posewright.annotations import read_annotations
    from posewright.geometry import CropRule
    from posewright.runtime.timing import peak_memory
    from posewright.training.augment_config import AugmentConfig
    from posewright.training.dataset import CropDataset, EpochSampler
    from posewright.training.recipes import RecipeDataset

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.json"
        write_labels(path, count)
        start, before = time.perf_counter(), resident()
        labels = read_annotations(path)
        read = time.perf_counter()
        rule, augment = CropRule((256, 256)), AugmentConfig()
        train = labels.with_validation(0.1, 0).of_split("train")
        data = CropDataset(train, rule, augment)
        indexed = time.perf_counter()
        sampler = EpochSampler(len(data), 0, 32)
        for _ in sampler:
            pass
        drawn = time.perf_counter()
        recipes = RecipeDataset(train.subset(np.arange(min(len(train.images), 300))), rule, augment)
        begun = time.perf_counter()
        for item in range(len(recipes)):
            recipes[(0, item)]
        made = time.perf_counter() - begun
        return {
            "read": read - start, "index": indexed - read, "epoch": drawn - indexed, "file": path.stat().st_size,
            "sample": made / len(recipes), "held": resident() - before, "peak": (peak_memory() or 0.0) * 1e6,
        }  # fmt: skip


def pictures(args: Args, budget: Budget) -> None:
    rows = []
    for count in args.counts:
        if budget.over(f"{count:,} pictures"):
            break
        command = [sys.executable, __file__, "pictures", "--one", str(count)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        found = json.loads(out)
        rows.append(
            [f"{count:,}", f"{found['file'] / MB:.0f}", f"{found['read']:.2f}", f"{found['read'] / count * 1e6:.0f}",
             f"{found['index']:.2f}", f"{found['epoch']:.2f}", f"{found['epoch'] / count * 1e6:.1f}",
             f"{found['sample'] * 1e6:.0f}", f"{found['held'] / MB:.0f}", f"{found['peak'] / MB:.0f}"]
        )  # fmt: skip
    head = ["pictures", "file MB", "read s", "us each", "split and index s", "an epoch's order s", "us each",
            "a sample without pixels us", "held MB", "peak MB"]  # fmt: skip
    table(head, rows)


# -- people, size ------------------------------------------------------------------------------------------------------


def model_file(name: str, side: int, folder: Path, keypoints: int = 17) -> Path:
    """The ONNX file of an untrained net."""
    from posewright.export.exporting import export_onnx
    from posewright.geometry import CropRule
    from posewright.models.checkpoint import Checkpoint
    from posewright.models.presets import build_net, preset
    from posewright.skeleton import Skeleton

    skeleton = Skeleton("points", tuple(f"point_{i}" for i in range(keypoints)))
    net = build_net(preset(name, activation="sigmoid"), keypoints).eval()
    export_onnx(Checkpoint(net, skeleton, CropRule((side, side)), name), folder / f"{name}-{side}.onnx")
    return folder / f"{name}-{side}.onnx"


def people(args: Args, budget: Budget, folder: Path) -> None:
    import posewright

    name, rng = f"hourglass_s2{args.width}", np.random.default_rng(0)
    model = posewright.load(model_file(name, 256, folder), threads=args.threads)
    frame = rng.integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    ways = {}
    for count in args.people:
        corner = rng.uniform((0, 0), (1100, 500), (count, 2))
        boxes = np.column_stack([corner, corner + np.array([150, 200])])
        ways[str(count)] = lambda boxes=boxes: clocked(lambda: model(frame, boxes), 1)
    times = in_turn(ways, args.rounds)
    print(f"{name}, a 1280 x 720 frame in memory, onnxruntime\n")
    ms = {n: median_ms(times[str(n)]) for n in args.people}
    alone = ms[args.people[0]] / args.people[0]
    rows = [[n, f"{ms[n]:.1f}", f"{ms[n] / n:.1f}", f"{ms[n] / n / alone:.2f}"] for n in args.people]
    table(["people", "ms a frame", "ms a person", "of one alone"], rows)


def size(args: Args, budget: Budget, folder: Path) -> None:
    import torch

    import posewright
    from posewright.models.describe import describe_net
    from posewright.models.presets import build_net, preset
    from posewright.training.memory import keep_freed_memory
    from posewright.training.trainer import choose_precision

    torch.set_num_threads(args.threads)
    keep_freed_memory()
    half = "bf16" in choose_precision("auto", "cpu")
    rows = []
    points = [(2, side) for side in args.sides] + [(n, 256) for n in args.stacks if n != 2]
    for stacks, side in points:
        if budget.over(f"{stacks} stacks at {side}"):
            break
        name = f"hourglass_s{stacks}{args.width}"
        net = build_net(preset(name, activation="sigmoid"), 17).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        found = describe_net(net, (side, side))
        optimizer = torch.optim.AdamW(net.parameters(), 1e-4, fused=True)
        image = torch.randint(0, 256, (4, side, side, 3), dtype=torch.uint8)

        def step(net=net, optimizer=optimizer, image=image) -> None:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                maps = net.logits(image)
            maps.float().square().mean().backward()
            optimizer.step()

        model = posewright.load(model_file(name, side, folder), threads=args.threads)
        crop = np.zeros((side, side, 3), np.uint8)

        def answering(model=model, crop=crop) -> list[float]:
            return clocked(lambda: model(crop), 3)

        ways = {"train": lambda step=step: clocked(step, 1), "predict": answering}
        times = in_turn(ways, args.rounds)
        train, answer = median_ms(times["train"], 4), median_ms(times["predict"])
        rows.append(
            [stacks, side, f"{found.macs / 1e9:.2f}", f"{found.activation_bytes / MB:.0f}", f"{train:.1f}",
             f"{train / found.macs * 1e9:.1f}", f"{answer:.1f}", f"{answer / found.macs * 1e9:.1f}"]
        )  # fmt: skip
    print(f"hourglass_s*{args.width}, training in {'bf16' if half else 'fp32'} at batch 4, onnxruntime at batch 1\n")
    table(["stacks", "side", "GMAC", "activations MB", "training ms a picture", "a GMAC", "answer ms", "a GMAC"], rows)


# -- memory, processes -------------------------------------------------------------------------------------------------


def memory(args: Args, budget: Budget, folder: Path) -> None:
    import posewright
    from posewright.geometry import CropRule
    from posewright.synthetic import make_hand_set
    from posewright.training.config import TrainConfig
    from posewright.training.data import loaders

    labels = make_hand_set(folder / "data", 64, size=(320, 240), val_share=0.1)
    files = sorted((folder / "data" / "images").iterdir())
    model = posewright.load(model_file("hourglass_s1_nano", 64, folder), threads=1)
    rule = CropRule((128, 128))

    def predicting() -> int:
        model.predict_batch(files)
        return len(files)

    train, _ = loaders(TrainConfig(batch_size=16, device="cpu", workers=0), labels, rule)
    epochs = itertools.count()

    def loading() -> int:
        train.sampler.set_epoch(next(epochs))  # type: ignore[union-attr]
        return sum(len(batch["image"]) for batch in train)

    rows = []
    for name, work in (("predicted", predicting), ("loaded", loading)):
        part, seen, marks = Budget(args.minutes / 2), 0, []
        while len(marks) < 4 or not part.over():
            seen += work()
            marks.append((seen, resident()))
        middle = marks[len(marks) // 2]
        grown = marks[-1][1] - middle[1]
        a_million = grown / max(marks[-1][0] - middle[0], 1) * 1e6 / MB
        rows.append(
            [name, f"{seen:,}", *(f"{m / MB:.1f}" for m in (marks[0][1], middle[1], marks[-1][1])), f"{a_million:.0f}"]
        )
    head = [
        "",
        "pictures",
        "MB after the first round",
        "half way",
        "at the end",
        "growth of the second half, MB a million",
    ]
    table(head, rows)


def processes(args: Args, budget: Budget, folder: Path) -> None:
    from posewright.synthetic import make_hand_set

    make_hand_set(folder / "data", 96, size=(160, 160), val_share=0.1)
    kinds = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}
    speeds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in range(max(1, args.rounds)):
        if turn and budget.over(f"round {turn + 1}"):
            break
        for kind, (devices, threads) in kinds.items():
            run = folder / f"{devices}{threads}{turn}"
            command = [
                sys.executable, "-m", "posewright", "train", "--data", str(folder / "data"), "-o", str(run), "--init", "none",
                "--model", f"hourglass_s1{args.width}", "--input-size", "128", "--epochs", "3", "--batch-size", "8",
                "--device", "cpu", "--devices", str(devices), "--threads", str(threads),
            ]  # fmt: skip
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            with (run / "metrics.csv").open() as file:
                rows = list(csv.DictReader(file))
            seconds = float(rows[-1]["seconds"]) - float(rows[0]["seconds"])
            pictures = (int(rows[-1]["step"]) - int(rows[0]["step"])) * 8
            speeds[kind].append(pictures / max(seconds, 0.1))
    one = float(np.median(speeds["1 process, 1 thread"]))
    found = {kind: float(np.median(values)) for kind, values in speeds.items()}
    print(f"hourglass_s1{args.width} at 128 x 128, batches of 8 in all, epochs 2 and 3 with their validation\n")
    cells = {kind: [f"{v:.1f}", f"{v / one:.2f}", f"{v / one / np.prod(kinds[kind]):.0%}"] for kind, v in found.items()}
    table(["", "pictures a second", "x one thread", "efficiency"], [[kind, *row] for kind, row in cells.items()])


def main(args: Args) -> None:
    if args.one:
        print(json.dumps(one_count(args.one)))
        return
    print(machine() + "\n")
    budget = Budget(args.minutes)
    if args.what == "pictures":
        pictures(args, budget)
        return
    with tempfile.TemporaryDirectory() as folder:
        {"people": people, "size": size, "memory": memory, "processes": processes}[args.what](
            args, budget, Path(folder)
        )


if __name__ == "__main__":
    main(tyro.cli(Args))
