"""``posewright synthesize``."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from posewright.errors import PosewrightError

PICTURES, SECONDS, FPS = 2000, 6.0, 30.0


@dataclass(frozen=True)
class Command:
    """Write a set of synthetic hands with exact keypoints, or with --video a clip of a moving one.

    OUT becomes a folder with images/ and annotations.json (COCO keypoints, split into train and val). With --video it
    is a video, and the truth lies beside it as JSON. The same seed gives the same pictures, whatever the count.

    examples:
      posewright synthesize hands --count 5000
      posewright synthesize easy --difficulty 0.3 --size 192x192
      posewright synthesize scenes --hands 1 5 --size 320x240
      posewright synthesize clip.mp4 --video --seconds 10
    """

    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """Folder, or with --video the video (OUT.mp4), to write."""
    count: int | None = None
    """Number of pictures; 2000 unless given."""
    seed: int = 0
    """Which set, or which clip."""
    size: Annotated[str | None, tyro.conf.arg(metavar="WIDTHxHEIGHT")] = None
    """Of each picture in pixels; 256x256 unless given, of a video 320x240."""
    val_share: float | None = None
    """Share of the pictures held out for validation, 0..1; 0.2 unless given."""
    empty_share: float | None = None
    """Share of the pictures that show no hand, 0..1; 0.08 unless given."""
    difficulty: float | None = None
    """0..1: how much turned, hidden, blurred and cluttered the hands are; 1 unless given."""
    hands: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="FEWEST MOST")] = None
    """So many hands on each picture, smaller than the single one that is drawn unless given; for a locator to find."""
    workers: int | None = None
    """Processes that draw; one a processor core unless given. The pictures do not depend on it."""
    overwrite: bool = False
    """Replace a set or a video that lies there already."""
    video: bool = False
    """Write a video instead of pictures."""
    seconds: float | None = None
    """Length of the video; 6 unless given."""
    fps: float | None = None
    """Frames a second of the video; 30 unless given."""

    def run(self) -> int:
        size = None if self.size is None else _parse_size(self.size)
        return self._video(size or (320, 240)) if self.video else self._pictures(size or (256, 256))

    def _pictures(self, size: tuple[int, int]) -> int:
        self._refuse("--video", seconds=self.seconds, fps=self.fps)
        from posewright.console import progress_bar
        from posewright.machine import cores
        from posewright.synthetic import make_hand_set

        count = PICTURES if self.count is None else self.count
        shares = {"val_share": self.val_share, "empty_share": self.empty_share, "difficulty": self.difficulty}
        given = {name: value for name, value in shares.items() if value is not None}
        with progress_bar("drawing", count) as advance:
            done = make_hand_set(
                self.out,
                count,
                seed=self.seed,
                size=size,
                hands=self.hands,
                overwrite=self.overwrite,
                workers=cores() if self.workers is None else self.workers,
                progress=advance,
                **given,
            )
        held = sum(im.split == "val" for im in done.images)
        hidden = float((done.keypoints[..., 2] == 1).mean()) if len(done) else 0.0
        without = len(done.images) - len(set(done.image.tolist()))
        print(
            f"Wrote {len(done.images)} pictures of {size[0]}x{size[1]} to {self.out}: {len(done)} hands with"
            f" {100 * hidden:.0f} % of their keypoints hidden, {without} pictures without a hand,"
            f" {held} pictures for validation."
        )
        command, run = ("train", "hands") if self.hands is None else ("train-locator", "locator")
        print(f"Next: posewright {command} --data {shlex.quote(str(self.out))} -o runs/{run}")
        return 0

    def _video(self, size: tuple[int, int]) -> int:
        self._refuse(
            "pictures, not with --video",
            count=self.count,
            val_share=self.val_share,
            empty_share=self.empty_share,
            difficulty=self.difficulty,
            hands=self.hands,
            workers=self.workers,
        )
        from posewright.console import progress_bar
        from posewright.synthetic import make_hand_video

        path = self.out if self.out.suffix.lower() == ".mp4" else self.out.with_name(self.out.name + ".mp4")
        truth = path.with_suffix(".json")
        for file in (path, truth):
            if file.exists() and not self.overwrite:
                raise PosewrightError("exists already", file=file, fix="Name another, or add --overwrite")
        seconds = SECONDS if self.seconds is None else self.seconds
        fps = FPS if self.fps is None else self.fps
        with progress_bar("drawing", max(1, round(seconds * fps))) as advance:
            done = make_hand_video(path, seconds=seconds, fps=fps, size=size, seed=self.seed, progress=advance)
        print(f"Wrote {path}, {len(done)} frames of {size[0]}x{size[1]}, and their truth to {truth}.")
        print(f"Next: posewright predict hand {shlex.quote(str(path))} -o out")
        return 0

    def _refuse(self, only_for: str, **options: float | tuple[int, int] | None) -> None:
        for name, value in options.items():
            if value is not None:
                raise PosewrightError(f"--{name.replace('_', '-')} goes with {only_for}")


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    if not match:
        raise PosewrightError(f"size '{text}' is not WIDTHxHEIGHT", fix="For example --size 256x256")
    return int(match.group(1)), int(match.group(2))
