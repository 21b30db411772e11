"""One video followed through several filters, drawn side by side, to be looked at.

    python benchmarks/side_by_side.py clip.mp4 --model body -o side.mp4
    python benchmarks/side_by_side.py clip.mp4 --model hand --filters none kalman rts --seconds 5

Prints for each filter how far the keypoints' second difference is from 0 (root mean square, px): without the truth that is no
jitter, since it holds the motion's own acceleration, but on one video it tells filters apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

import posewright
from posewright.console import progress_bar
from posewright.live.late import Late
from posewright.live.times import Times
from posewright.live.trackers import TrackConfig, make_tracker
from posewright.live.watched import Watched
from posewright.live.work import followed
from posewright.media.drawing import contact_sheet, draw_poses
from posewright.media.sinks import h264_video
from posewright.media.sources import Frame, video_frames, video_info
from posewright.poses import Poses
from posewright.reports.tables import print_table
from posewright.tracking import FILTERS


@dataclass(frozen=True)
class Args:
    """Draw one video as each filter follows it."""

    video: tyro.conf.Positional[Path]
    """The video."""
    model: str = "hand"
    """What finds the keypoints."""
    filters: tuple[str, ...] = ("none", "kalman", "one-euro", "rts")
    """Which ones."""
    seconds: float = 10.0
    """So much of it."""
    threads: int = 1
    """Of the model."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("side_by_side.mp4")
    """The video to write."""


def poses_of(args: Args, name: str, frames: list[Frame], model: Watched) -> list[Poses]:
    """What a filter makes of each frame."""
    tracker = make_tracker(model, TrackConfig(name))
    late = Late(tracker) if name == "rts" else None
    with progress_bar(name, len(frames)) as advance:
        found = []
        for item in followed(iter(frames), model, tracker, Times(), late=late):
            found.append(item.poses)
            advance(1)
    return found


def bend(poses: list[Poses]) -> float:
    """Root mean square of the second difference of keypoints that are there on three frames in a row, px."""
    xy = np.stack([p.xy[0] if len(p) else np.full((len(p.skeleton), 2), np.nan) for p in poses])
    second = np.linalg.norm(xy[2:] - 2 * xy[1:-1] + xy[:-2], axis=-1)
    return float(np.sqrt(np.nanmean(second**2))) if np.isfinite(second).any() else float("nan")


def main(args: Args) -> None:
    model = Watched(posewright.load(args.model, "cpu", args.threads))
    frames = [frame for frame in video_frames(args.video) if (frame.time or 0.0) < args.seconds]
    found = {name: poses_of(args, name, frames, model) for name in args.filters}
    with h264_video(args.output, video_info(args.video).rate) as add:
        for i, frame in enumerate(frames):
            pictures = [draw_poses(frame.image, poses[i]) for poses in found.values()]
            add(contact_sheet(pictures, list(found), columns=2, tile=640), frame.time)
    rows = [
        {"filter": name, "second difference, px": bend(poses), "frames with a pose": sum(map(bool, map(len, poses)))}
        for name, poses in found.items()
    ]
    print_table(rows, f"{len(frames)} frames of {args.video.name}, {args.model}.")
    print(args.output)


if __name__ == "__main__":
    options = tyro.cli(Args, description=__doc__)
    if unknown := [name for name in options.filters if name not in FILTERS]:
        raise SystemExit(f"unknown filter '{unknown[0]}'; there are {', '.join(FILTERS)}")
    main(options)
