"""A live source held against a motion to be learned from: each frame beside its moment of the reference, with what to change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.live.views import Drawing
from posewright.live.work import Item
from posewright.media.sinks import Keep, Write, lines
from posewright.media.sources import Frame
from posewright.metrics.coaching import Coach, Moment
from posewright.poses import Poses
from posewright.reports.coaching import Canvas, moment_record, side_by_side
from posewright.tracking.motion import one_pose


class Coached:
    """Compares each frame as it comes. Used by the one thread that writes.

    Args:
        coach: knows the reference.
        reference: shows it.
        drawing: draws the source's frames.
        least_score: keypoints with a lower score are taken for unknown.
    """

    def __init__(self, coach: Coach, reference: Canvas, drawing: Drawing, least_score: float) -> None:
        self._coach, self._reference, self._drawing, self._least = coach, reference, drawing, least_score
        self._latest: tuple[Frame, Moment] | None = None

    def draw(self, item: Item) -> NDArray[np.uint8]:
        """Both motions side by side and what to change below; in other views what :class:`Drawing` draws."""
        picture = self._drawing(item)
        if item.view != "overlay":
            return picture
        moment = self._moment(item.frame, item.poses)
        return side_by_side(moment, self._reference.of(moment), picture)

    @contextmanager
    def records(self, path: Path, keep: Keep | None) -> Iterator[Write]:
        """A sink of one record a frame: :func:`posewright.reports.coaching.moment_record`."""
        with lines(path, keep) as add:
            yield lambda frame, poses: add(json.dumps(moment_record(self._moment(frame, poses)), allow_nan=False))

    def _moment(self, frame: Frame, poses: Poses) -> Moment:
        """A frame is compared once, however often it is shown."""
        if self._latest is None or self._latest[0] is not frame:
            moment = self._coach.step(frame.time or 0.0, one_pose(poses, self._least))
            self._latest = (frame, moment)
        return self._latest[1]
