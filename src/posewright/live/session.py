"""One source from its first frame to its last: reading, working and writing at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from posewright.live.controls import Controls
from posewright.live.late import Late
from posewright.live.output import Again, Output
from posewright.live.overlap import DEPTH, ReadAhead, WriteBehind
from posewright.live.times import Times, read_timed
from posewright.live.trackers import TrackConfig, make_tracker
from posewright.live.watched import NEEDS, Watched
from posewright.live.work import Bad, Boxes, Item, followed, in_boxes
from posewright.media.intake import Intake
from posewright.media.sources import Frame, Source


class NothingRead(Exception):
    """The source gave no frame: what was opened for it leaves nothing behind."""


_TURN = 0.2
"""Seconds between two looks at the switches while paused."""


@dataclass(frozen=True)
class Plan:
    """What is done with each frame.

    Attributes:
        boxes_of: where to look on a frame; the whole picture unless given.
        track: follow objects through the frames instead.
        flip: average with the mirrored picture.
        min_presence: leave out poses whose presence is lower.
        batch_size: crops in one run of the net, where nothing is followed.
        seconds: end where a frame's time is this or more.
    """

    boxes_of: Boxes = lambda frame: None
    track: TrackConfig | None = None
    flip: bool = False
    min_presence: float = 0.0
    batch_size: int = 8
    seconds: float | None = None


@dataclass
class Session:
    """Runs a source through a model into an output; once.

    Attributes:
        source: what to read.
        model: what finds keypoints; what it has to remember is set here.
        plan: what to do with each frame.
        output: where it goes; entered and left here.
        times: of the output.
        bad: takes what cannot be read, or raises it.
        done: called with each item when it is written.
        intake: counts what goes wrong with the source.
        controls: of the page.
        interactive: whether views may be asked for later on.
        dropped: frames that came too late.
        most: frames that waited between two threads at a time, at most.
        interrupted: ended by Ctrl-C.
        latest: the last item that was written.
    """

    source: Source
    model: Watched
    plan: Plan
    output: Output
    times: Times
    bad: Bad
    done: Callable[[Item], object] = lambda item: None
    intake: Intake = field(default_factory=Intake)
    controls: Controls = field(default_factory=Controls)
    interactive: bool = False
    dropped: int = 0
    most: int = 0
    interrupted: bool = False
    latest: Item | None = None
    _last: Item | None = field(default=None, init=False)
    _ahead: ReadAhead[Frame] | None = field(default=None, init=False)

    def run(self) -> None:
        """Until the source ends, or somebody ends it.

        Raises:
            KeyboardInterrupt: where Ctrl-C ended it, once what was read is written; not of a source without an end.
            PosewrightError: where the source cannot be read, or the output cannot be written.
        """
        with suppress(NothingRead), self.output:
            self._run()
            if not self.times.frames:
                raise NothingRead

    def _run(self) -> None:
        batch = 1 if self.source.live or self.interactive else self.plan.batch_size
        late: list[Late] = []
        self.times.start()
        with WriteBehind(self._write) as behind:
            frames = read_timed(self.source.frames(self.bad, self.intake), self.times)
            # What waits is late when its turn comes: of a live source only the newest frame does.
            depth, live = (1 if self.source.live else DEPTH), self.source.live
            with ReadAhead(frames, depth, live, self.intake.stopped.set) as ahead:
                self._ahead = ahead
                try:
                    for item in self._items(self._admitted(ahead, behind), batch, late):
                        self._last = item
                        behind.put(item)
                except KeyboardInterrupt:
                    self.interrupted = True
                    for smoother in late:
                        for item in smoother.flush():
                            behind.put(item)
                finally:
                    self.dropped = ahead.dropped
        self.most = max(ahead.most, behind.most)
        # Of a source without an end, this is it.
        if self.interrupted and not (self.source.open_ended and self.times.frames):
            raise KeyboardInterrupt

    def dropped_so_far(self) -> int:
        """Frames of a live source that came too late, until now."""
        return 0 if self._ahead is None else self._ahead.dropped

    def _write(self, given: Item | Again) -> None:
        self.output.write(given)
        if isinstance(given, Item):
            self.latest = given
            self.done(given)

    def _items(self, frames: Iterable[Frame], batch: int, late: list[Late]) -> Iterator[Item]:
        plan = self.plan
        if plan.track is None:
            items = in_boxes(
                frames,
                self.model,
                plan.boxes_of,
                self.bad,
                self.times,
                flip=plan.flip,
                min_presence=plan.min_presence,
                batch_size=batch,
            )
        else:
            tracker = make_tracker(self.model, plan.track)
            late += [Late(tracker)] if plan.track.filter == "rts" else []
            smoother = late[0] if late else None
            items = followed(frames, self.model, tracker, self.times, min_presence=plan.min_presence, late=smoother)
        for item in items:
            yield self._in_view(item)

    def _in_view(self, item: Item) -> Item:
        """The item as it is to be shown now; it may have been looked at when another view was on."""
        view = self.controls.view
        if NEEDS[view] == "maps":
            item.looks = self.model.again(item.frame.image, item.looks)
        return Item(item.frame, item.poses, item.looks, view)

    def _admitted(self, frames: Iterable[Frame], behind: WriteBehind[Item | Again]) -> Iterator[Frame]:
        """The frames, one at a time as the switches allow; the model is told what to remember of each."""
        for frame in frames:
            if self.plan.seconds is not None and (frame.time or 0.0) >= self.plan.seconds:
                return
            while not self.controls.may_go_on(_TURN):
                # Paused: the last item once more, in the view that is asked for now.
                if self._last is not None:
                    behind.put(Again(self._in_view(self._last)))
            if self.controls.ended:
                return
            need = NEEDS[self.controls.view]
            self.model.watch = "crops" if need == "nothing" and self.interactive else need
            yield frame
