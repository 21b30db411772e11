"""``rts`` behind a tracker: each frame is handed on some time later, its keypoints smoothed by what came after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from posewright.live.trackers import Tracker, tracks_of
from posewright.live.work import Item
from posewright.poses import Poses
from posewright.tracking.filters import Estimate
from posewright.tracking.kalman import Kalman
from posewright.tracking.smoothing import LAG, FixedLag

MOST_BYTES = 256_000_000
"""Of pictures that wait; where they are so large that this is less than the lag, the lag is shorter."""


@dataclass
class _Waiting:
    """A frame, and the numbers of the objects on it whose keypoints are still to come."""

    item: Item
    missing: set[int] = field(default_factory=set)


class Late:
    """Smooths what a tracker reports.

    Args:
        tracker: follows with the filter ``rts``.
        lag: seconds of the future that a frame waits for.
    """

    def __init__(self, tracker: Tracker, lag: float = LAG) -> None:
        self.tracker, self.lag = tracker, lag
        self._smoothers: dict[int, FixedLag[_Waiting]] = {}
        self._waiting: deque[_Waiting] = deque()

    def push(self, item: Item) -> Iterator[Item]:
        """Take in a frame that the tracker has just seen, and hand out those that have waited long enough."""
        entry = _Waiting(item)
        self._waiting.append(entry)
        tracks = {track.number: track for track in tracks_of(self.tracker)}
        for number, smoother in list(self._smoothers.items()):
            # What follows under the same number may be a track that began anew.
            if number not in tracks or tracks[number].filter is not smoother.kalman:
                _fill(number, self._smoothers.pop(number).flush())
        bytes_of_one = item.frame.image.nbytes
        for number, track in tracks.items():
            if track.measured is None or not isinstance(track.filter, Kalman):
                continue
            smoother = self._smoothers.setdefault(number, FixedLag(track.filter, self.lag))
            if len(self._waiting) * bytes_of_one > MOST_BYTES:
                first, last = self._waiting[0].item.frame.time or 0.0, item.frame.time or 0.0
                smoother.lag = min(smoother.lag, max(last - first, 0.0))
            entry.missing.add(number)
            _fill(number, smoother.take(entry))
        return self._ready()

    def flush(self) -> Iterator[Item]:
        """The frames that still wait: there are no more."""
        for number, smoother in self._smoothers.items():
            _fill(number, smoother.flush())
        self._smoothers.clear()
        return self._ready()

    def _ready(self) -> Iterator[Item]:
        while self._waiting and not self._waiting[0].missing:
            yield self._waiting.popleft().item


def _fill(number: int, smoothed: Iterable[tuple[_Waiting, Estimate]]) -> None:
    for entry, estimate in smoothed:
        entry.missing.discard(number)
        entry.item.poses = _with(entry.item.poses, number, estimate)


def _with(poses: Poses, number: int, estimate: Estimate) -> Poses:
    """The same poses, one object's keypoints replaced; objects that were not reported yet stay so."""
    if poses.track_id is None:
        return poses
    xy, covariance = poses.xy.copy(), None if poses.covariance is None else poses.covariance.copy()
    known = np.asarray(np.isfinite(estimate.xy).all(1))
    for i in np.flatnonzero(poses.track_id == number):
        xy[i, known] = estimate.xy[known]
        if covariance is not None:
            covariance[i, known] = estimate.covariance[known][:, [0, 0, 1], [0, 1, 1]]
    return replace(poses, xy=xy, covariance=covariance)
