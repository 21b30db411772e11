"""``posewright coach``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from posewright.cli.running import Running
from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.metrics.coaching import Moment
    from posewright.tracking.motion import Motion


@dataclass(frozen=True)
class Command:
    """Compare a motion with one to be learned from: which limb differs, how, and when.

    Each pose of SOURCE is moved and scaled onto the pose of REFERENCE that it belongs to, which is found though the pace
    differs and though SOURCE shows only a part; the figure is their OKS, 1 for the same pose. What to change is said once it
    has lasted for nearly half a second.

    DIR/coach.jsonl holds one record a frame, coach.png the likeness over time, coach.mp4 both motions side by side.

    examples:
      posewright coach --reference teacher.mp4 --source me.mp4 --model body
      posewright coach --reference out/teacher.jsonl --source out/me.jsonl --mirror
    """

    reference: Path
    """The motion to learn from: a video, or the .jsonl that `posewright predict` made of one."""
    source: Path
    """The motion to be judged: likewise."""
    model: str | None = None
    """Finds the poses in videos: a model file, a run's folder or a shipped name."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("coach")
    """Folder to write to."""
    turn: bool = False
    """Turn poses onto the reference as well: leaning over as a whole is then no mistake."""
    mirror: bool = False
    """SOURCE follows the reference as in a mirror."""
    min_score: float = 0.1
    """Keypoints with a lower score are taken for missing."""
    skeleton: str | None = None
    """Shipped skeleton's name or skeleton files, where a .jsonl file does not say."""
    filter: str = "kalman"
    """Of the keypoints in videos; see `posewright predict --help`."""
    no_video: bool = False
    """Draw no video."""
    running: tyro.conf.OmitArgPrefixes[Running] = field(default_factory=Running)

    def run(self) -> int:
        from posewright.metrics.coaching import Coach
        from posewright.reports.plots import likeness_over_time

        reference, source = self._motions()
        coach = Coach(reference.xy, reference.times, reference.skeleton, turn=self.turn, mirror=self.mirror)
        for time, pose in zip(source.times, source.xy):
            coach.step(float(time), pose)
        moments = coach.review()
        self._write(moments)
        told = [bool(m.feedback) for m in moments]
        likeness_over_time([m.time for m in moments], [m.oks for m in moments], told, self.output / "coach.png")
        if not self.no_video:
            self._draw(moments, reference, source)
        self._show(moments, reference, source)
        return 0

    def _motions(self) -> tuple[Motion, Motion]:
        from posewright.console import progress_bar
        from posewright.media.sources import video_info
        from posewright.skeletons import load_skeleton
        from posewright.tracking import make_filter
        from posewright.tracking.motion import is_video, read_motion

        if not 0 <= self.min_score <= 1:
            raise PosewrightError(f"--min-score is from 0 to 1, not {self.min_score:g}")
        make_filter(self.filter)
        paths = (self.reference, self.source)
        for path in paths:
            if not path.is_file():
                raise PosewrightError("is no file" if path.exists() else "does not exist", file=path)
        videos = [path for path in paths if is_video(path)]
        model = None
        if videos:
            if self.model is None:
                raise PosewrightError("is a video", file=videos[0], fix="Name what finds the poses with --model")

            model = self.running.load(self.model)
        skeleton = load_skeleton(self.skeleton) if self.skeleton else None
        counts = [video_info(path).frames for path in videos]
        with progress_bar("following", sum(counts) if all(counts) and counts else None) as advance:
            reference, source = (
                read_motion(
                    path,
                    model,
                    skeleton=skeleton,
                    least_score=self.min_score,
                    filter_name=self.filter,
                    progress=advance,
                )
                for path in paths
            )
        if not reference.skeleton.same_keypoints(source.skeleton):
            what = f"has the keypoints of '{source.skeleton.name}', the reference those of '{reference.skeleton.name}'"
            raise PosewrightError(what, file=self.source, fix="Compare motions of one skeleton")
        return reference, source

    def _write(self, moments: list[Moment]) -> None:
        from posewright.files import write_text
        from posewright.reports.coaching import moment_record

        lines = (json.dumps(moment_record(moment), allow_nan=False) + "\n" for moment in moments)
        write_text(self.output / "coach.jsonl", "".join(lines))

    def _draw(self, moments: list[Moment], reference: Motion, source: Motion) -> None:
        from posewright.console import progress_bar
        from posewright.media.sinks import h264_video
        from posewright.reports.coaching import Canvas, side_by_side

        length = float(source.times[-1] - source.times[0])
        rate = (len(moments) - 1) / length if length > 0 else 25.0
        left, right = (Canvas(motion, _pictures(motion)) for motion in (reference, source))
        with (
            progress_bar("drawing", len(moments)) as advance,
            h264_video(self.output / "coach.mp4", rate) as add,
        ):
            for index, moment in enumerate(moments):
                add(side_by_side(moment, left, right, index), moment.time - moments[0].time)
                advance(1)

    def _show(self, moments: list[Moment], reference: Motion, source: Motion) -> None:
        import numpy as np

        from posewright.reports.coaching import advice_rows
        from posewright.reports.tables import print_table

        oks = np.array([m.oks for m in moments])
        known = np.isfinite(oks)
        if not known.any():
            raise PosewrightError("shows no pose that fits any of the reference's", file=self.source)
        places = np.array([m.reference_time for m in moments])[known]
        rows = advice_rows(moments)
        if rows:
            print_table(rows, "What to change, the longest first; sides are the person's own.")
        else:
            print("No limb has to change.")
        worst = moments[int(np.nanargmin(oks))]
        print(
            f"OKS {np.nanmean(oks):.3f} on average over {known.sum()} of {len(moments)} frames, lowest {worst.oks:.3f} at"
            f" {worst.time:.1f} s; compared with {places.min():.1f} to {places.max():.1f} s of the reference."
        )
        for motion in (reference, source):
            if motion.seen < len(motion.times):
                print(f"{motion.path}: a pose on {motion.seen} of {len(motion.times)} frames.")
        video = "" if self.no_video else ", coach.mp4 (side by side)"
        print(f"{self.output} holds coach.jsonl, coach.png{video}.")
        print(f"Next: posewright similarity {self.reference} {self.source} compares single poses of .jsonl files")


def _pictures(motion: Motion) -> Iterator[Any] | None:
    from posewright.media.sources import video_frames

    return (frame.image for frame in video_frames(motion.path)) if motion.video else None
