"""What happens to frames between being read and being written: found in boxes, or followed from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from posewright.errors import PosewrightError
from posewright.live.times import Times
from posewright.live.trackers import Tracker
from posewright.live.watched import Look, View, Watched, looks_of
from posewright.media.sources import Frame
from posewright.poses import Poses

if TYPE_CHECKING:
    from posewright.live.late import Late

MOST_PIXELS = 32_000_000
"""Pictures are gathered into batches up to this many pixels, so that large photos do not fill the memory."""
LOOKS = 4
"""Looks of one frame that are kept to be shown."""

Boxes = Callable[[Frame], Any]
"""The boxes of a frame, ``[N, 4]``; None for the whole picture. May raise ``PosewrightError``."""
Bad = Callable[[PosewrightError], None]
"""Takes the error of a frame that is left out, or raises it."""


@dataclass
class Item:
    """One frame with what was found on it, what the net looked at to find it (the best first), and how it is shown."""

    frame: Frame
    poses: Poses
    looks: list[Look] = field(default_factory=list)
    view: View = "overlay"

    def placed(self) -> Item:
        """The poses know which frame they are of."""
        self.poses.source, self.poses.frame, self.poses.time = str(self.frame.path), self.frame.frame, self.frame.time
        return self


@contextmanager
def by_part(model: Watched, times: Times) -> Iterator[None]:
    """Add what the block takes to the parts crop, net and, for the rest, filter."""
    before, start = dict(model.spent), perf_counter()
    try:
        yield
    finally:
        rest = perf_counter() - start
        for part in ("crop", "net"):
            spent = model.spent[part] - before[part]
            times.add(part, spent)
            rest -= spent
        times.add("filter", max(rest, 0.0))


def in_boxes(
    frames: Iterable[Frame],
    model: Watched,
    boxes_of: Boxes,
    bad: Bad,
    times: Times,
    *,
    flip: bool = False,
    min_presence: float = 0.0,
    batch_size: int = 8,
) -> Iterator[Item]:
    """Find the object of each box, frame by frame; the crops of several frames share a run of the net."""
    for batch in _batches(_with_boxes(frames, boxes_of, bad, times), batch_size):
        with by_part(model, times):
            found = model.predict_batch(
                [frame.image for frame, _ in batch],
                [boxes for _, boxes in batch],
                flip=flip,
                min_presence=min_presence,
                batch_size=batch_size,
            )
            seen = [[mapped] for mapped in model.take()] or [[] for _ in batch]
        for (frame, _), poses, mapped in zip(batch, found, seen, strict=True):
            yield Item(frame, poses, looks_of(mapped, LOOKS)).placed()


def followed(
    frames: Iterable[Frame],
    model: Watched,
    tracker: Tracker,
    times: Times,
    *,
    min_presence: float = 0.0,
    late: Late | None = None,
) -> Iterator[Item]:
    """Follow objects from frame to frame.

    Args:
        tracker: runs ``model``.
        late: behind the tracker, hands frames on later.
    """
    for frame in frames:
        with by_part(model, times):
            poses = tracker.step(frame.image, frame.time or 0.0)
            if min_presence > 0:
                poses = poses.only(poses.presence >= min_presence)
            item = Item(frame, poses, looks_of(model.take(), min(LOOKS, max(1, len(poses))), poses)).placed()
            ready = [item] if late is None else list(late.push(item))
        yield from ready
    if late is not None:
        yield from late.flush()


def _with_boxes(frames: Iterable[Frame], boxes_of: Boxes, bad: Bad, times: Times) -> Iterator[tuple[Frame, Any]]:
    for frame in frames:
        try:
            with times.measured("filter"):  # a locator takes its time
                boxes = boxes_of(frame)
        except PosewrightError as error:
            bad(error)
            continue
        yield frame, boxes


def _batches(jobs: Iterable[tuple[Frame, Any]], count: int) -> Iterator[list[tuple[Frame, Any]]]:
    """Gather frames for the net to run on together."""
    batch: list[tuple[Frame, Any]] = []
    for job in jobs:
        batch.append(job)
        if len(batch) == count or sum(frame.image.size // 3 for frame, _ in batch) > MOST_PIXELS:
            yield batch
            batch = []
    if batch:
        yield batch
