"""What ``posewright predict`` does with each source, and what it says about it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from posewright.errors import PosewrightError
from posewright.files import NotWritten, partial_path
from posewright.live.controls import Controls
from posewright.live.output import Output, Picture, Recording
from posewright.live.session import NothingRead, Plan, Session
from posewright.live.times import PARTS, Times
from posewright.live.views import Drawing
from posewright.live.watched import Watched
from posewright.live.work import Item
from posewright.media import sinks
from posewright.media.intake import Intake
from posewright.media.sources import Frame, Source
from posewright.runtime.boxes import LabelledBoxes

if TYPE_CHECKING:
    from posewright.cli.predict import Command
    from posewright.web.live import LivePage

PRESENT = 0.5
"""An object counts as found from this presence on."""
_FOLDERS = {"overlay": "overlays", "stages": "stages", "heatmaps": "heatmaps", "crop": "crops"}


class Report:
    """What has been done so far, and what was left out.

    Attributes:
        frames: pictures and frames done.
        poses: poses found on them.
        with_object: frames with a pose whose presence is at least ``PRESENT``.
        left_out: one line for each thing left out.
    """

    def __init__(self, skip_bad: bool, left_out: list[str], advance: Callable[[int], None]) -> None:
        self._skip_bad, self.left_out, self._advance = skip_bad, left_out, advance
        self.frames = self.poses = self.with_object = 0

    def add(self, item: Item) -> None:
        self.frames += 1
        self.poses += len(item.poses)
        self.with_object += bool((item.poses.presence >= PRESENT).any())
        self._advance(1)

    def bad(self, error: PosewrightError) -> None:
        """Raise, or with ``--skip-bad`` note it and go on."""
        if not self._skip_bad:
            raise error
        self.left_out.append(str(error))
        self._advance(1)


class Predicting:
    """Runs the sources of one call, one after the other.

    Args:
        options: of the call.
        model: to run.
        plan: what is done with each frame.
        report: takes in what was done.
        labelled: the boxes of ``--boxes``.
        page: where the picture is shown, if anywhere.
    """

    def __init__(
        self,
        options: Command,
        model: Watched,
        plan: Plan,
        report: Report,
        labelled: LabelledBoxes | None,
        page: LivePage | None,
    ) -> None:
        self.options, self.model, self.plan, self.report = options, model, plan, report
        self._labelled, self._page = labelled, page
        self._controls = Controls(options.view, recording=True) if page is None else page.controls
        self._stems: list[str] = []
        self._said: list[str] = []

    def predict(self, source: Source) -> None:
        """One source, from its first frame to its last.

        Raises:
            PosewrightError: where it cannot be read, or what is found cannot be written.
        """
        times, intake, stem = Times(), Intake(tell=tell), self._stem(source)
        drawing = Drawing(
            self.model,
            self.options.threshold,
            (bool(self.options.box or self.options.locator) and self.plan.track is None) or self._labelled is not None,
            self.options.names,
            self.options.ellipses,
        )
        recording, drawn = self._drawn(source, stem)
        page = self._page
        output = Output(
            self._sinks(source, stem),
            drawing,
            times,
            drawn=drawn,
            recording=recording,
            controls=self._controls,
            screen=None if page is None else page.screen,
            snapshots=self.options.output / stem,
        )
        session = Session(
            source,
            self.model,
            self.plan,
            output,
            times,
            self.report.bad,
            self.report.add,
            intake,
            self._controls,
            interactive=page is not None,
        )
        output.facts = lambda: self._facts(session)
        if page is not None:
            page.follow(session)
        try:
            session.run()
        except KeyboardInterrupt:
            kept = self._kept(stem, recording)
            if kept:
                tell(f"interrupted; what was found until then is in {', '.join(kept)}")
            raise
        except NotWritten as error:
            kept = self._kept(stem, recording)
            if not kept:
                raise
            fix = f"What was found until then is in {', '.join(kept)}"
            raise NotWritten(error.what, file=error.file, record=error.record, fix=fix) from None
        if not times.frames:
            return
        self._stems.append(stem)
        if source.moving:
            self._said += self._summary(source, session)

    # -- what is written ----------------------------------------------------------------------------------------------

    def _stem(self, source: Source) -> str:
        """The source's name; of what cannot be read twice, one that nothing in the folder has yet."""
        folder, name, count = self.options.output, source.name, 1
        while source.endless and any(folder.glob(f"{name}[._]*")):
            count += 1
            name = f"{source.name}-{count}"
        return name

    def _keep(self, source: Source) -> sinks.Keep | None:
        """What ends a source without making what was written until then useless; None where it is whole or nothing."""
        if not source.moving:
            return None
        if source.open_ended:
            return lambda error: not isinstance(error, NothingRead)
        return lambda error: isinstance(error, (KeyboardInterrupt, OSError, NotWritten))

    def _kept(self, stem: str, recording: Recording | None) -> list[str]:
        """The files of a source that stayed behind incomplete."""
        records = [self.options.output / f"{stem}{end}" for end in (".jsonl", ".csv", ".coco.json")]
        found = [partial_path(path) for path in (*records, *(recording.files if recording else ()))]
        return [str(path) for path in found if path.is_file()]

    def _sinks(self, source: Source, stem: str) -> Iterator[AbstractContextManager[sinks.Write]]:
        def image_id(frame: Frame) -> int | str:
            if self._labelled is not None:
                return self._labelled.image_id(frame.path, frame.frame)
            if frame.frame is not None:
                return frame.frame
            return frame.path.relative_to(source.path).as_posix() if source.kind == "folder" else frame.path.name

        place, keep = str(self.options.output / stem), self._keep(source)
        yield sinks.json_lines(Path(f"{place}.jsonl"), keep)
        if self.options.csv:
            yield sinks.csv_rows(Path(f"{place}.csv"), self.model.skeleton, keep)
        if self.options.coco:
            yield sinks.coco_results(Path(f"{place}.coco.json"), image_id, keep)

    def _drawn(
        self, source: Source, stem: str
    ) -> tuple[Recording | None, list[AbstractContextManager[Callable[[Item, Picture], None]]]]:
        """What takes the drawn pictures: a recording, or files."""
        if self.options.no_overlay and self._page is None:
            return None, []
        place, view = str(self.options.output / stem), self.options.view
        keep = self._keep(source)
        if keep is not None:
            return Recording(Path(f"{place}_{view}.mp4"), source.rate, keep), []
        if source.kind == "folder":
            return None, [_handed(lambda d: sinks.drawn_folder(Path(f"{place}_{_FOLDERS[view]}"), source.path, d))]
        return None, [_handed(lambda d: sinks.drawn_picture(Path(f"{place}_{view}{source.path.suffix}"), d))]

    # -- what is said -------------------------------------------------------------------------------------------------

    def _facts(self, session: Session) -> str:
        dropped = session.dropped_so_far()
        return "\n".join(
            line
            for line, said in (
                (f"{dropped} late frames dropped", session.source.live),
                (f"{session.intake.damaged} damaged frames", session.intake.damaged),
            )
            if said
        )

    def _summary(self, source: Source, session: Session) -> list[str]:
        """Lines about how one source went."""
        times = session.times
        parts = ", ".join(f"{part} {ms:.1f}" for part, ms in times.by_part().items() if part in PARTS)
        lines = [f"{source.name}: {times.rate:.1f} frames a second; ms a frame, side by side: {parts}."]
        came = times.frames + session.dropped
        if source.live:
            share = f" ({session.dropped / came:.0%} of {came})" if session.dropped else ""
            lines.append(f"{source.name}: {session.dropped} late frames dropped{share}.")
        if session.intake.damaged:
            lines.append(f"{source.name}: {session.intake.damaged} damaged frames left out.")
        if session.intake.interruptions:
            lines.append(f"{source.name}: fell silent {session.intake.interruptions} times.")
        return lines

    def conclude(self, sources: list[Source]) -> None:
        """Say what was done, and what to do next."""
        report, options = self.report, self.options
        for line in report.left_out:
            print(f"left out: {line}", file=sys.stderr)
        unit = "frame" if any(s.moving for s in sources) else "picture"
        many = "" if report.frames == 1 else "s"
        left = f" {len(report.left_out)} left out, listed above." if report.left_out else ""
        share = f" ({report.with_object / report.frames:.0%})" if unit == "frame" else ""
        seen = f"an object (presence {PRESENT} or more) on {report.with_object}{share}"
        print(f"{report.frames} {unit}{many}, {report.poses} pose{'' if report.poses == 1 else 's'}: {seen}.{left}")
        for line in self._said:
            print(line)
        named = ", ".join(f"{stem}.jsonl" for stem in self._stems[:3]) + (", ..." if len(self._stems) > 3 else "")
        print(f"{options.output} holds {named}{'' if options.no_overlay else ' and the poses drawn'}.")
        print(f"Next, to measure it on labelled pictures: posewright evaluate {options.model} LABELS")


@contextmanager
def _handed(
    sink: Callable[[sinks.Draw], AbstractContextManager[sinks.Write]],
) -> Iterator[Callable[[Item, Picture], None]]:
    """A sink that draws, handed the picture that is drawn already."""
    drawn: list[Picture] = []
    with sink(lambda _frame, _poses: drawn[0]) as write:

        def give(item: Item, picture: Picture) -> None:
            drawn[:] = [picture]
            write(item.frame, item.poses)

        yield give


def progress(sources: list[Source]) -> AbstractContextManager[Callable[[int], None]]:
    """A progress bar, where there is a terminal to show it on and more than one picture to do."""
    if not sys.stderr.isatty() or (len(sources) < 2 and all(s.kind == "picture" for s in sources)):
        return nullcontext(lambda _count: None)
    from posewright.console import progress_bar

    counts = [s.count for s in sources]
    return progress_bar("predict", sum(counts) if all(counts) else None)


def tell(line: str) -> None:
    print(f"posewright: {line}", file=sys.stderr, flush=True)
