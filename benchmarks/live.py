"""How much of the bare net's frame rate is left from video to file, and whether a long stream keeps memory and order.

    python benchmarks/live.py rate [--video clip.mp4] [--rounds 5]
    python benchmarks/live.py stream --frames 100000

rate: the engine alone on one prepared crop, and `predict` on a whole video, in turn, so that both see the same machine; the
share is the median over the rounds. For the shipped hand model and for an untrained hourglass_s2 at 256 x 256 (needs the extra
`train`, to be written), with records only and with an H.264 video drawn beside them.

stream: synthetic frames that bear their number, of three spots whose place follows from it, found by a net of a few lines;
once in whole pictures, once followed with the smoother that hands frames on late. Every record and every frame of the video
is held against the number that its picture bears.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

import posewright
from posewright.geometry import CropRule
from posewright.live.output import Output, Recording
from posewright.live.session import Plan, Session
from posewright.live.times import Times
from posewright.live.trackers import TrackConfig
from posewright.live.views import Drawing
from posewright.live.watched import Watched
from posewright.live.work import Item
from posewright.media import sinks
from posewright.media.sources import Frame, Source, find_sources, video_frames
from posewright.runtime.modelfile import ModelInfo
from posewright.runtime.predictor import Predictor
from posewright.skeleton import Skeleton

BITS, BLOCK = 20, 8
"""Of a frame's number, a row of grey blocks at the picture's bottom."""
WIDTH, HEIGHT, RATE = 160, 128, 30.0
LEVEL = 160


@dataclass(frozen=True)
class Args:
    """Measure the live part."""

    what: tyro.conf.Positional[Literal["rate", "stream"]]
    """Frame rates, or a long stream."""
    frames: int = 100_000
    """Of the stream."""
    video: Path | None = None
    """A video of a hand for the rates; a synthetic one unless given."""
    rounds: int = 5
    """Of each rate."""
    seconds: float = 4.0
    """Of the video that is looked at in each round, with the larger net."""
    threads: int | None = None
    """Threads of the nets."""
    nets: tuple[str, ...] = ("hand", "hourglass_s2")
    """A model, or a preset for an untrained one."""
    modes: Annotated[tuple[Literal["whole", "track"], ...], tyro.conf.arg()] = ("whole", "track")
    """Of the stream: whole pictures, or followed and smoothed."""
    no_video: bool = False
    """Write the stream's records only."""


# -- rates -------------------------------------------------------------------------------------------------------------


def make_net(name: str, folder: Path) -> Path | str:
    """A shipped model's name, or the model file of an untrained net."""
    if not name.startswith(("hourglass", "cpm")):
        return name
    from posewright.export.exporting import export_onnx
    from posewright.models.checkpoint import Checkpoint
    from posewright.models.presets import build_net, preset
    from posewright.skeletons import load_skeleton

    skeleton = load_skeleton("body-14")
    net = build_net(preset(name), len(skeleton)).eval()
    export_onnx(Checkpoint(net, skeleton, CropRule((256, 256)), name), folder / f"{name}.onnx")
    return folder / f"{name}.onnx"


def session_of(source: Source, model: Predictor, plan: Plan, folder: Path, video: bool, **more: Any) -> Session:
    """As `posewright predict` sets it up."""
    times, watched = Times(), model if isinstance(model, Watched) else Watched(model)
    place = folder / source.name

    def keep(_: BaseException) -> bool:
        return True

    recording = Recording(Path(f"{place}_overlay.mp4"), source.rate, keep) if video else None
    made = [sinks.json_lines(Path(f"{place}.jsonl"), keep)]
    output = Output(made, Drawing(watched), times, recording=recording)
    return Session(source, watched, plan, output, times, fail, **more)


def fail(error: Exception) -> None:
    raise error


def bare_rate(model: Predictor, batch: int, seconds: float) -> float:
    """Frames a second of the engine on prepared crops."""
    width, height = model.info.crop.size
    crops = np.random.default_rng(0).integers(0, 255, (batch, height, width, 3), dtype=np.uint8)
    names = [n for n in ("keypoints", "presence", "covariance", "visibility") if n in model.info.outputs]
    count, start = 0, perf_counter()
    while perf_counter() - start < seconds:
        model._engine.run(crops, names)
        count += batch
    return count / (perf_counter() - start)


def measure_rates(args: Args) -> None:
    from posewright.synthetic import make_hand_video

    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{os.cpu_count()} cores{load}\n")
    print("| net | from video to | bare, frames/s | end to end | share | range of the share |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = args.video or folder / "clip.mp4"
        if args.video is None:
            make_hand_video(clip, seconds=10, size=(640, 480), seed=3, motion="slow")
        for net in args.nets:
            model = posewright.load(make_net(net, folder), threads=args.threads)
            width = model.info.crop.size[0]
            limit = args.seconds if width > 128 else None
            for label, batch, track, video in (
                ("records, batches of 8", 8, False, False),
                ("records, one at a time", 1, False, False),
                ("records and drawn video", 8, False, True),
                *([("records, followed", 1, True, False)] if net == "hand" else []),
            ):
                plan = Plan(batch_size=batch, seconds=limit, track=TrackConfig() if track else None)
                pairs = []
                for _ in range(args.rounds):
                    (source,) = find_sources([clip])
                    session = session_of(source, model, plan, folder / "out", video)
                    before = bare_rate(model, batch, 1.5)
                    session.run()
                    bare = (before + bare_rate(model, batch, 1.5)) / 2
                    pairs.append((bare, session.times.rate))
                shares = sorted(end / bare for bare, end in pairs)
                bare, end = (median(p[i] for p in pairs) for i in (0, 1))
                spread = f"{shares[0]:.0%}..{shares[-1]:.0%}"
                row = f"| {net} {width} | {label} | {bare:.1f} | {end:.1f} | {median(shares):.0%} | {spread} |"
                print(row, flush=True)


# -- a long stream -----------------------------------------------------------------------------------------------------

SPOTS = Skeleton("spots", ("red", "green", "blue"), links=((0, 1), (1, 2)))


class SpotNet:
    """Finds the middle of what is bright in red, green and blue; stands in for a net where the net is not the question."""

    def __init__(self) -> None:
        self.info = ModelInfo(SPOTS, CropRule((96, 96), 1.25), 4, "spots", ("keypoints", "presence"))
        self.path, self.device = Path("spots"), "cpu"

    def run(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        bright = np.maximum(crops, LEVEL) - np.float32(LEVEL)
        mass = bright.sum((1, 2)) + 1e-6
        x = np.einsum("bhwc,w->bc", bright, np.arange(crops.shape[2], dtype=np.float32)) / mass
        y = np.einsum("bhwc,h->bc", bright, np.arange(crops.shape[1], dtype=np.float32)) / mass
        score = bright.max((1, 2)) / (255 - LEVEL)
        found = {"keypoints": np.stack([x, y, score], -1).astype(np.float32), "presence": score.min(1)}
        return [found[name] for name in outputs]


def places(number: int) -> NDArray[np.float64]:
    """Where the spots are on a frame, ``[3, 2]``: round and round, a little further each time."""
    turn = 2 * np.pi * number / 211.37
    middle = np.array([80 + 30 * np.cos(turn), 58 + 18 * np.sin(1.618 * turn)])
    return middle + np.array([[-24, -10], [0, 14], [24, -10]])


def frame_of(number: int) -> NDArray[np.uint8]:
    """The frame that bears a number."""
    picture = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    xs, ys = np.arange(WIDTH), np.arange(HEIGHT)
    for c, (x, y) in enumerate(places(number)):
        spot = np.outer(np.exp(-((ys - y) ** 2) / 32), np.exp(-((xs - x) ** 2) / 32))
        picture[..., c] = np.maximum(picture[..., c], (225 * spot + 30).astype(np.uint8))
    bits = (number >> np.arange(BITS)) & 1
    picture[-BLOCK:] = np.repeat(np.where(bits, 140, 20).astype(np.uint8), BLOCK)[None, :WIDTH, None]
    return picture


def number_on(picture: NDArray[np.uint8]) -> int:
    """The number that a frame bears, also after having been compressed."""
    cells = picture[-BLOCK + 2 : -2, : BITS * BLOCK].astype(float).mean((0, 2)).reshape(BITS, BLOCK)[:, 2:-2].mean(1)
    return int(((cells > 80) << np.arange(BITS)).sum())


@dataclass(frozen=True)
class Synthetic(Source):
    """A source of so many frames."""

    many: int = 0

    def frames(self, bad: Any = None, intake: Any = None) -> Iterator[Frame]:
        for i in range(self.many):
            yield Frame(frame_of(i), self.path, i, i / RATE)

    @property
    def rate(self) -> float:
        return RATE


def resident() -> float:
    """Memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure_stream(args: Args) -> None:
    marks = sorted({m for m in (1000, 10_000, 30_000, 100_000, args.frames) if m <= args.frames})
    for mode in args.modes:
        seen: list[int] = []
        memory: dict[int, float] = {}

        def check(item: Item, seen: list[int] = seen, memory: dict[int, float] = memory, mode: str = mode) -> None:
            number = number_on(item.frame.image)
            assert number == item.frame.frame == item.poses.frame, "a frame has another's number"
            assert len(item.poses) == 1 or (mode == "track" and number == 0), f"nothing found on frame {number}"
            if len(item.poses):
                off = float(np.abs(item.poses.xy[0] - places(number)).max())
                assert off < 2, f"frame {number} has another's pose: {off:.1f} px off"
            assert not seen or number == seen[-1] + 1, "a frame is missing"
            seen[:] = [number]
            if number + 1 in marks:
                memory[number + 1] = resident()

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            source = Synthetic("stream", "video", Path("stream"), many=args.frames)
            plan = Plan(track=TrackConfig("rts") if mode == "track" else None)
            session = session_of(source, Predictor(SpotNet()), plan, folder, not args.no_video, done=check)
            session.run()
            records = check_files(folder, args.frames, not args.no_video)
        figures = ", ".join(f"{mb:.0f} MB at {at}" for at, mb in memory.items())
        parts = ", ".join(f"{part} {ms:.2f}" for part, ms in session.times.by_part().items())
        print(
            f"{mode}: {records} frames, none missing, none mixed up; at most {session.most} waited between two threads"
        )
        print(f"  memory: {figures}")
        print(f"  {session.times.rate:.0f} frames a second; ms by part: {parts}", flush=True)


def check_files(folder: Path, count: int, video: bool) -> int:
    """Hold records and video against what they should be."""
    with (folder / "stream.jsonl").open() as file:
        lines = 0
        for i, line in enumerate(file):
            record = json.loads(line)
            assert record["frame"] == i
            for pose in record["poses"]:
                assert np.abs(np.array(pose["keypoints"])[:, :2] - places(i)).max() < 2
            lines += 1
    assert lines == count
    if not video:
        return lines
    drawn = 0
    for i, frame in enumerate(video_frames(folder / "stream_overlay.mp4")):
        assert number_on(frame.image) == i, f"frame {i} of the video is another's"
        drawn += 1
    assert drawn == count
    return lines


def main(args: Args) -> None:
    run: Callable[[Args], None] = measure_rates if args.what == "rate" else measure_stream
    run(args)


if __name__ == "__main__":
    main(tyro.cli(Args))
