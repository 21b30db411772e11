"""``posewright coach``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from posewright.cli.running import Running, ends_like_ctrl_c
from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.media.sources import Source
    from posewright.metrics.coaching import Coach, Moment
    from posewright.runtime import Predictor
    from posewright.tracking.motion import Motion


@dataclass(frozen=True)
class Command:
    """Compare a motion with one to be learned from: which limb differs, how, and when.

    Each pose of SOURCE is moved and scaled onto the pose of REFERENCE that it belongs to, which is found though the pace
    differs and though SOURCE shows only a part; the figure is their OKS, 1 for the same pose. What to change is said once it
    has lasted for nearly half a second.

    A camera, a stream, or a video with --page is compared while it runs, each frame with what is likely the same moment; of
    files that lie there, each is in the light of the whole motion.

    DIR/coach.jsonl holds one record a frame, coach.png the likeness over time, coach.mp4 both motions side by side, and
    poses.jsonl the poses of what was compared while it ran.

    examples:
      posewright coach --reference teacher.mp4 --source me.mp4 --model body
      posewright coach --reference out/teacher.jsonl --source out/me.jsonl --mirror
      posewright coach --reference teacher.mp4 --source 0 --model body --mirror --page
    """

    reference: Path
    """The motion to learn from: a video, or the .jsonl that `posewright predict` made of one."""
    source: Annotated[str, tyro.conf.arg(metavar="SOURCE")]
    """The motion to be judged: likewise, or a camera's number (0), a stream's address, or - for what is piped in."""
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
    page: bool = False
    """Show both motions and what to change on a page on this machine while SOURCE runs, with keys for pause and more."""
    port: int = 0
    """Of the page; a free one unless given."""
    seconds: float | None = None
    """End a camera, a stream or a video on a page after this time."""
    patience: float = 30.0
    """Seconds without a picture after which a camera or a stream counts as ended."""
    running: tyro.conf.OmitArgPrefixes[Running] = field(default_factory=Running)

    def run(self) -> int:
        from posewright.metrics.coaching import Coach

        source = self._check()
        reference, others, model = self._motions(source)
        coach = Coach(reference.xy, reference.times, reference.skeleton, turn=self.turn, mirror=self.mirror)
        if source is not None:
            assert model is not None
            return self._live(source, coach, reference, model)
        (judged,) = others
        for time, pose in zip(judged.times, judged.xy):
            coach.step(float(time), pose)
        moments = coach.review()
        self._write(moments)
        self._plot(moments)
        if not self.no_video:
            self._draw(moments, reference, judged)
        self._show(moments, [reference, judged], Path(self.source))
        return 0

    def _live(self, source: Source, coach: Coach, reference: Motion, model: Predictor) -> int:
        from posewright.cli.coaching import coach_live

        with ends_like_ctrl_c():
            session = coach_live(self, source, model, coach, reference)
        moments = coach.review()
        self._plot(moments)
        self._show(moments, [reference], self.output / "poses.jsonl")
        if source.live:
            print(f"{source.name}: {session.dropped} late frames dropped.")
        return 0

    def _check(self) -> Source | None:
        """What is compared while it runs; None for files that are read first."""
        from posewright.media.intake import Capture
        from posewright.media.pictures import ENDINGS
        from posewright.media.sources import find_sources
        from posewright.tracking import make_filter
        from posewright.tracking.motion import is_video

        if not 0 <= self.min_score <= 1:
            raise PosewrightError(f"--min-score is from 0 to 1, not {self.min_score:g}")
        if self.seconds is not None and not self.seconds > 0:
            raise PosewrightError(f"--seconds must be above 0, not {self.seconds:g}")
        if self.port and not self.page:
            raise PosewrightError("--port is the page's; give --page too")
        make_filter(self.filter)
        if not self.reference.is_file():
            what = "is no file" if self.reference.exists() else "does not exist"
            raise PosewrightError(what, file=self.reference)
        path = Path(self.source)
        picture = path.suffix.lower() in ENDINGS
        if path.is_file() and not picture and not (self.page and is_video(path)):
            for option, given in (("--page", self.page), ("--seconds", self.seconds is not None)):
                if given:
                    fix = "Leave it out" if option == "--page" else "Add --page to a video"
                    raise PosewrightError(f"{option} is for what is compared while it runs", file=path, fix=fix)
            return None
        (source, *_) = find_sources([self.source], capture=Capture(patience=self.patience))
        if not source.moving:
            raise PosewrightError("is no motion", file=path, fix="Give a video, a .jsonl of one, a camera or a stream")
        return source if source.endless else replace(source, paced=self.page)

    def _model_name(self, why: str = "") -> str:
        if self.model is None:
            fix = "Name what finds the poses with --model"
            raise PosewrightError("is a video" if why else "holds no poses yet", file=why or self.source, fix=fix)
        return self.model

    def _motions(self, live: Source | None) -> tuple[Motion, list[Motion], Predictor | None]:
        """The reference; the source where that is a file to be read first; and the model where one is needed."""
        from posewright.console import progress_bar
        from posewright.media.sources import video_info
        from posewright.skeletons import load_skeleton
        from posewright.tracking.motion import is_video, read_motion

        paths = [self.reference] if live is not None else [self.reference, Path(self.source)]
        videos = [path for path in paths if is_video(path)]
        model = None
        if videos or live is not None:
            model = self.running.load(self._model_name(str(videos[0]) if videos else ""))
        skeleton = load_skeleton(self.skeleton) if self.skeleton else None
        counts = [video_info(path).frames for path in videos]
        with progress_bar("following", sum(counts) if all(counts) and counts else None) as advance:
            reference, *others = (
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
        found = others[0].skeleton if others or model is None else model.skeleton
        if not reference.skeleton.same_keypoints(found):
            what = f"has the keypoints of '{found.name}', the reference those of '{reference.skeleton.name}'"
            raise PosewrightError(what, file=self.source, fix="Compare motions of one skeleton")
        return reference, others, model

    def _plot(self, moments: list[Moment]) -> None:
        from posewright.reports.plots import likeness_over_time

        told = [bool(m.feedback) for m in moments]
        likeness_over_time([m.time for m in moments], [m.oks for m in moments], told, self.output / "coach.png")

    def _write(self, moments: list[Moment]) -> None:
        from posewright.files import write_text
        from posewright.reports.coaching import moment_record

        lines = (json.dumps(moment_record(moment), allow_nan=False) + "\n" for moment in moments)
        write_text(self.output / "coach.jsonl", "".join(lines))

    def _draw(self, moments: list[Moment], reference: Motion, source: Motion) -> None:
        from posewright.console import progress_bar
        from posewright.media.sinks import h264_video
        from posewright.reports.coaching import Canvas, Reel, side_by_side

        length = float(source.times[-1] - source.times[0])
        rate = (len(moments) - 1) / length if length > 0 else 25.0
        left, right = (
            Canvas(motion, Reel(_pictures(motion)) if motion.video else None) for motion in (reference, source)
        )
        with (
            progress_bar("drawing", len(moments)) as advance,
            h264_video(self.output / "coach.mp4", rate) as add,
        ):
            for index, moment in enumerate(moments):
                add(side_by_side(moment, left.of(moment), right.at(index)), moment.time - moments[0].time)
                advance(1)

    def _show(self, moments: list[Moment], motions: list[Motion], judged: Path) -> None:
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
        for motion in motions:
            if motion.seen < len(motion.times):
                print(f"{motion.path}: a pose on {motion.seen} of {len(motion.times)} frames.")
        video = "" if self.no_video else ", coach.mp4 (side by side)"
        print(f"{self.output} holds coach.jsonl, coach.png{video}.")
        print(f"Next: posewright similarity {self.reference} {judged} compares single poses of .jsonl files")


def _pictures(motion: Motion) -> Iterator[Any]:
    from posewright.media.sources import video_frames

    return (frame.image for frame in video_frames(motion.path))
