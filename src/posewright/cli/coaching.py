"""``posewright coach`` on a source as it comes: a camera, a stream, what is piped in, or a video shown on a page."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from posewright.cli.predicting import tell
from posewright.console import progress_bar
from posewright.errors import PosewrightError
from posewright.live.coached import Coached
from posewright.live.controls import Controls
from posewright.live.output import Output, Recording
from posewright.live.session import NothingRead, Plan, Session
from posewright.live.times import Times
from posewright.live.trackers import TrackConfig
from posewright.live.views import Drawing, check_view
from posewright.live.watched import Watched
from posewright.media import sinks
from posewright.media.intake import Intake
from posewright.reports.coaching import Album, Canvas
from posewright.tracking.motion import Motion

if TYPE_CHECKING:
    from posewright.cli.coach import Command
    from posewright.media.sources import Source
    from posewright.metrics.coaching import Coach
    from posewright.runtime import Predictor


def coach_live(options: Command, source: Source, model: Predictor, coach: Coach, reference: Motion) -> Session:
    """Coach a source until it ends, or somebody ends it.

    Raises:
        PosewrightError: where the source cannot be read, or the output cannot be written.
    """
    video = not options.no_video
    watched, times = Watched(model), Times()
    coached = Coached(coach, _canvas(reference), Drawing(watched), options.min_score)

    def bad(error: PosewrightError) -> None:
        raise error

    def keep(error: BaseException) -> bool:
        return not isinstance(error, NothingRead)

    controls = Controls("overlay", video, lambda view: check_view(view, model, str(options.model)))
    page = nullcontext(None)
    if options.page:
        from posewright.web.live import LivePage

        page = LivePage.opened(controls, f"{source.name} beside {reference.path.name}", options.port)  # type: ignore[assignment]
    recorded = Recording(options.output / "coach.mp4", source.rate, keep) if video or options.page else None
    with page as shown:
        output = Output(
            [
                coached.records(options.output / "coach.jsonl", keep),
                sinks.json_lines(options.output / "poses.jsonl", keep),
            ],
            coached.draw,
            times,
            recording=recorded,
            controls=controls,
            screen=None if shown is None else shown.screen,
            snapshots=options.output / "coach",
        )
        plan = Plan(track=TrackConfig(options.filter), seconds=options.seconds)
        session = Session(
            source,
            watched,
            plan,
            output,
            times,
            bad,
            intake=Intake(tell=tell),
            controls=controls,
            interactive=shown is not None,
        )
        if shown is not None:
            shown.follow(session)
        session.run()
    if not times.frames:
        raise PosewrightError("gave no frame", file=source.path)
    return session


def _canvas(reference: Motion) -> Canvas:
    """The reference's pictures, all at hand: the source decides which comes next."""
    if not reference.video:
        return Canvas(reference, None)
    from posewright.media.sources import video_frames

    with progress_bar("reference", len(reference.times)) as advance:

        def pictures():  # type: ignore[no-untyped-def]
            for frame in video_frames(reference.path):
                advance(1)
                yield frame.image

        return Canvas(reference, Album(pictures()))
