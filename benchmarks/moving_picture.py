"""The moving picture of the README: a generated hand, followed by the shipped model on frames that it never saw.

``python benchmarks/moving_picture.py`` writes docs/hand.gif. Left the model's keypoints as the tracker reports them, nothing
touched up by hand: where it loses the hand, the picture shows that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

import posewright
from posewright.files import whole_file
from posewright.media.drawing import draw_poses
from posewright.synthetic import hand_clip
from posewright.tracking.follower import FollowConfig, Follower


@dataclass(frozen=True)
class Args:
    """Draw a generated hand being followed."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path(__file__).resolve().parents[1] / "docs" / "hand.gif"
    """Where to write it."""
    seconds: float = 4.0
    fps: int = 12
    seed: int = 7
    motion: str = "free"


def main(args: Args) -> None:
    from PIL import Image

    follower = Follower(posewright.load("hand", threads=1), FollowConfig(filter="kalman"))
    pictures, found = [], 0
    clip = hand_clip(seconds=args.seconds, fps=args.fps, size=(320, 240), seed=args.seed, motion=args.motion)
    for i, sample in enumerate(clip):
        poses = follower.step(sample.image, i / args.fps)
        found += bool(len(poses))
        pictures.append(Image.fromarray(draw_poses(sample.image, poses)))
    width, height = pictures[0].size
    several = Image.new("RGB", (width, 4 * height))  # one palette for all, so that what stands still does not shimmer
    for i in range(4):
        several.paste(pictures[(2 * i + 1) * len(pictures) // 8], (0, i * height))
    palette = several.quantize(128)
    frames = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    with whole_file(args.output) as temporary:
        frames[0].save(
            temporary, save_all=True, append_images=frames[1:], duration=round(1000 / args.fps), loop=0, optimize=True
        )
    size = args.output.stat().st_size / 1e6
    print(f"{args.output}: {len(frames)} frames, a hand reported on {found} of them, {size:.2f} MB")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
