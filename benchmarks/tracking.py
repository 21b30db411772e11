"""How still, how promptly and how surely each filter follows a hand through videos whose truth is known.

    python benchmarks/tracking.py -o runs/tracking

Draws clips of one hand (640 x 480, H.264) that rests, drifts, sweeps, jumps, is hidden, and leaves and comes back, at 30 and 15
frames a second, and adds a camera's noise to each frame. The tracker is given nothing but the frames: it finds the hand
by itself and follows it with the model named. For each filter:

- jitter: root mean square of the error's second difference, in px;
- lag: shift in frames that fits best, on frames before which the velocity was steady for six frames (slow and fast);
- PCK@0.2 by the palm, over the visible keypoints of all frames on which most of the hand can be seen, also where nothing was
  reported;
- lost: times that the box's intersection over union was below 0.3 for 10 frames while most of the hand could be seen;
- back: mean seconds from when it could be seen again (or was elsewhere) until the box's overlap was 0.5;
- false: share of the frames without a hand on which one was reported.

Last, how often a hand is reported in scenes that have none.

Clips are kept in the output folder and drawn again only where they are missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import posewright
from posewright.console import progress_bar
from posewright.files import write_text
from posewright.geometry import keypoints_box
from posewright.media.sources import video_frames
from posewright.metrics.steadiness import following, jitter, lag, steady
from posewright.synthetic import make_hand_video, render_hand
from posewright.synthetic.motion import DRILLS
from posewright.tracking import FILTERS
from posewright.tracking.box import overlap
from posewright.tracking.follower import FollowConfig, Follower
from posewright.tracking.smoothing import FixedLag

WRIST, MIDDLE = 0, 9
SLIDE = 256
EMPTY_FRAMES = 15


@dataclass(frozen=True)
class Args:
    """Compare the filters of keypoints."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/tracking")
    """Folder of the clips and of results.json."""
    model: str = "hand"
    """The keypoint model."""
    filters: tuple[str, ...] = tuple(FILTERS)
    """Filters to compare."""
    drills: tuple[str, ...] = DRILLS
    """Motions to compare them on."""
    rates: tuple[int, ...] = (30, 15)
    """Frames a second."""
    seeds: tuple[int, ...] = (3, 4)
    """One clip of each motion for each."""
    seconds: float = 8.0
    """Length of each clip."""
    noise: float = 8.0
    """Standard deviation of the camera's noise, in grey levels."""
    empty: int = 100
    """Scenes without a hand, of clutter and things that resemble one, that are watched for half a second each."""
    threads: int | None = None
    """Threads of the model."""


@dataclass
class Clip:
    """A clip and its truth: ``points [F, 21, 3]``, zeros where there is no hand."""

    path: Path
    points: np.ndarray
    noise: float

    def frames(self) -> Iterator[tuple[np.ndarray, float]]:
        """Pictures and times; each frame takes its noise from another place of one large field."""
        rng, field = np.random.default_rng(0), None
        for frame in video_frames(self.path):
            height, width = frame.image.shape[:2]
            if field is None:
                field = np.rint(self.noise * rng.standard_normal((height + SLIDE, width + SLIDE, 3))).astype(np.int16)
            y, x = rng.integers(0, SLIDE, 2)
            noisy = frame.image + field[y : y + height, x : x + width]
            yield np.clip(noisy, 0, 255).astype(np.uint8), float(frame.time or 0.0)


def clips(args: Args) -> dict[tuple[str, int, int], Clip]:
    args.output.mkdir(parents=True, exist_ok=True)
    wanted = [(drill, rate, seed) for drill in args.drills for rate in args.rates for seed in args.seeds]
    found = {}
    with progress_bar("drawing", len(wanted)) as advance:
        for drill, rate, seed in wanted:
            path = args.output / f"{drill}_{rate}_{seed}_{args.seconds:g}s.mp4"
            if not path.with_suffix(".json").is_file():
                make_hand_video(path, seconds=args.seconds, fps=rate, size=(640, 480), seed=seed, motion=drill)
            truth = posewright.read_annotations(path.with_suffix(".json"))
            points = np.zeros((len(truth.images), 21, 3))
            points[[truth.images[int(i)].frame for i in truth.image]] = truth.keypoints
            found[drill, rate, seed] = Clip(path, points, args.noise)
            advance(1)
    return found


class Run:
    """One filter's tracker on its way through a clip."""

    def __init__(self, model: posewright.Predictor, name: str, frames: int) -> None:
        self.follower = Follower(model, FollowConfig(filter=name))
        self.reported = np.full((frames, 21, 2), np.nan)
        self.smooth, self.late = name == "rts", None

    def step(self, i: int, image: np.ndarray, time: float) -> None:
        poses = self.follower.step(image, time)
        if len(poses):
            self.reported[i] = poses.xy[0]
        if not self.smooth:
            return
        track = self.follower.track
        if self.late is not None and (track is None or self.late.kalman is not track.filter):
            self.end()
        if track is not None and track.measured is not None:
            if self.late is None:
                self.late: FixedLag[int] | None = FixedLag(track.filter)  # type: ignore[arg-type]
            self._put(self.late.take(i))

    def end(self) -> None:
        if self.late is not None:
            self._put(self.late.flush())
        self.late = None

    def _put(self, smoothed: Any) -> None:
        for i, estimate in smoothed:
            if np.isfinite(self.reported[i]).any():
                self.reported[i] = estimate.xy


def follow(model: posewright.Predictor, clip: Clip, names: tuple[str, ...]) -> tuple[list[np.ndarray], np.ndarray]:
    """What each filter reported, ``[F, 21, 2]`` with NaN where nothing was, and the frames' times."""
    runs = [Run(model, name, len(clip.points)) for name in names]
    times = np.zeros(len(clip.points))
    for i, (image, time) in enumerate(clip.frames()):
        times[i] = time
        for run in runs:
            run.step(i, image, time)
    for run in runs:
        run.end()
    return [run.reported for run in runs], times


def measure(clip: Clip, reported: np.ndarray, times: np.ndarray, drill: str) -> dict[str, Any]:
    truth, visible = clip.points[..., :2], clip.points[..., 2] == 2
    there = (clip.points[..., 2] > 0).any(1)
    in_view = visible.mean(1) > 0.5
    shown = np.isfinite(reported).all((1, 2))
    labelled = np.where((clip.points[..., 2:] > 0) & in_view[:, None, None], truth, np.nan)
    over = np.zeros(len(truth))
    for i in np.flatnonzero(shown & there):
        true = keypoints_box(clip.points[i])
        mine = keypoints_box(np.column_stack([reported[i], np.ones(21)]))
        assert true is not None and mine is not None
        over[i] = overlap(true, mine)
    moved = np.r_[False, np.linalg.norm(np.diff(truth.mean(1), axis=0), axis=1) > 60] & in_view
    went = following(over, in_view & ~moved, there, shown, times)
    palm = np.linalg.norm(truth[:, MIDDLE] - truth[:, WRIST], axis=1)
    near = np.linalg.norm(reported - truth, axis=-1) < 0.2 * palm[:, None]
    counted = visible & in_view[:, None]
    return {
        "jitter": jitter(reported, labelled),
        "lag": lag(reported, truth, steady(truth) & in_view, most=3.0) if drill in ("slow", "fast") else float("nan"),
        "PCK@0.2": float(near[counted].mean()),
        "lost": went.lost,
        "back": float(np.mean(went.reacquired)) if went.reacquired else float("nan"),
        "missed": went.missed,
        "false": went.false_alarms,
    }


def false_alarms(args: Args, model: posewright.Predictor) -> tuple[float, int]:
    """Share of the frames of scenes without a hand on which one was reported, and in how many scenes any was."""
    rng, reports = np.random.default_rng(1), []
    with progress_bar("watching empty scenes", args.empty) as advance:
        for index in range(args.empty):
            scene = render_hand(90_000, index, (640, 480), empty_share=1.0).image
            follower = Follower(model)
            mine = []
            for i in range(EMPTY_FRAMES):
                noise = np.rint(args.noise * rng.standard_normal(scene.shape, np.float32))
                mine.append(len(follower.step(np.clip(scene + noise, 0, 255).astype(np.uint8), i / 30)) > 0)
            reports.append(mine)
            advance(1)
    return float(np.mean(reports)), int(np.any(reports, axis=1).sum())


def main(args: Args) -> None:
    model = posewright.load(args.model, threads=args.threads)
    all_clips = clips(args)
    rows: list[dict[str, Any]] = []
    with progress_bar("following", len(all_clips)) as advance:
        for (drill, rate, seed), clip in all_clips.items():
            reported, times = follow(model, clip, args.filters)
            for name, xy in zip(args.filters, reported):
                found = measure(clip, xy, times, drill)
                rows.append({"motion": drill, "rate": rate, "seed": seed, "filter": name, **found})
            write_text(args.output / "results.json", json.dumps(rows, indent=1) + "\n")
            advance(1)
    console = Console()
    for rate in args.rates:
        for drill in args.drills:
            columns = ("filter", "jitter px", "lag frames", "PCK@0.2", "lost", "back s", "false")
            table = Table(*columns, title=f"{drill}, {rate} frames a second")
            for name in args.filters:
                mine = [r for r in rows if (r["motion"], r["rate"], r["filter"]) == (drill, rate, name)]
                table.add_row(
                    name, *(shown(mine, key) for key in ("jitter", "lag", "PCK@0.2", "lost", "back", "false"))
                )
            console.print(table)
    if args.empty:
        share, scenes = false_alarms(args, model)
        print(f"{share:.4f} of the frames of {args.empty} scenes without a hand had one reported, in {scenes} scenes.")
    print(args.output / "results.json")


def shown(rows: list[dict[str, Any]], key: str) -> str:
    values = np.array([r[key] for r in rows], float)
    if not np.isfinite(values).any():
        return "–"
    if key == "lost":
        return str(int(values.sum()))
    return f"{np.nanmean(values):.3f}" if key == "PCK@0.2" else f"{np.nanmean(values):.2f}"


if __name__ == "__main__":
    main(tyro.cli(Args))
