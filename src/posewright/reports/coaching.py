"""What ``posewright coach`` shows: both motions side by side, the likeness over time, and which limb differed for how long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.media.drawing import DARK, PAPER, draw_keypoints, put_text
from posewright.media.pictures import decode_picture, encode_picture
from posewright.metrics.coaching import Moment
from posewright.tracking.motion import Motion

Picture = NDArray[np.uint8]

HEIGHT = 480
"""Of both pictures, in pixels."""
STRIP = 30
"""Height of a line of text below them."""
LINES = 4
MARGIN = 1.3
"""Of a motion without pictures, around all of its keypoints."""


def moment_record(moment: Moment) -> dict[str, Any]:
    """One JSON-ready record."""
    there = moment.reference >= 0
    return {
        "time": round(moment.time, 6),
        "reference_time": round(moment.reference_time, 6) if there else None,
        "oks": round(moment.oks, 6) if there else None,
        "feedback": list(moment.feedback),
    }


def advice_rows(moments: Sequence[Moment]) -> list[dict[str, Any]]:
    """What was to be changed, how long and when it was worst."""
    seconds: dict[str, float] = {}
    worst: dict[str, tuple[float, float]] = {}
    for before, moment in zip([*moments[:1], *moments], moments):
        for words in moment.feedback:
            seconds[words] = seconds.get(words, 0.0) + moment.time - before.time
            worst[words] = min(worst.get(words, (2.0, 0.0)), (moment.oks, moment.time))
    order = sorted(seconds, key=lambda words: -seconds[words])
    return [
        {"what to change": words, "seconds": f"{seconds[words]:.1f}", "worst at": f"{worst[words][1]:.1f} s"}
        for words in order
    ]


class Reel:
    """The pictures of a motion in order, read as they are asked for: it never goes back, but stays where it was."""

    def __init__(self, frames: Iterator[Picture]) -> None:
        self._frames, self._at = frames, -1
        self._picture: Picture | None = None

    def at(self, index: int) -> tuple[int, Picture]:
        """The picture of that number, or the latest one read where that is further on; and its number."""
        while self._at < index:
            self._picture, self._at = next(self._frames), self._at + 1
        assert self._picture is not None
        return self._at, self._picture


class Album:
    """The pictures of a motion, any of them at any time: kept as small JPEGs, some 30 kB each."""

    def __init__(self, frames: Iterable[Picture]) -> None:
        self._kept = [encode_picture(_scaled(picture)) or b"" for picture in frames]

    def at(self, index: int) -> tuple[int, Picture]:
        """The picture of that number, ``HEIGHT`` pixels high; and the number."""
        index = min(index, len(self._kept) - 1)
        return index, decode_picture(self._kept[index])


class Canvas:
    """The frames of a motion, scaled to one height: its video's, or its poses alone on a plain ground.

    Args:
        motion: to show.
        pictures: its pictures, for one that has them.
    """

    def __init__(self, motion: Motion, pictures: Reel | Album | None) -> None:
        self.motion, self._pictures = motion, pictures
        known = motion.xy[np.isfinite(motion.xy).all(2)]
        low, high = known.min(0), known.max(0)
        self._low = (low + high) / 2 - (high - low) * MARGIN / 2
        self._factor = HEIGHT / max(float((high - low)[1]) * MARGIN, 1.0)
        self._width = max(int(float((high - low)[0]) * MARGIN * self._factor), HEIGHT // 3)

    def at(self, index: int) -> Picture:
        """The motion's frame of that number with its pose."""
        if self._pictures is None:
            picture = np.full((HEIGHT, self._width, 3), DARK, np.uint8)
            pose = (self.motion.xy[index] - self._low) * self._factor
        else:
            index, picture = self._pictures.at(index)
            picture = _scaled(picture)
            pose = self.motion.xy[index] * (HEIGHT / self.motion.size[1])
        return draw_keypoints(picture, np.nan_to_num(pose), np.isfinite(pose).all(1), self.motion.skeleton)

    def of(self, moment: Moment) -> Picture:
        """The frame of the reference that a moment is compared with."""
        there = moment.reference >= 0
        return self.at(int(np.abs(self.motion.times - moment.reference_time).argmin()) if there else 0)


def side_by_side(moment: Moment, reference: Picture, source: Picture) -> Picture:
    """One frame: the reference's moment, the source's frame, and below what to change."""
    pictures = np.hstack([reference, _scaled(source)])
    below = np.full((STRIP * LINES, pictures.shape[1], 3), DARK, np.uint8)
    likeness = f"OKS {moment.oks:.2f}" if moment.reference >= 0 else "no pose"
    for row, words in enumerate([likeness, *moment.feedback[: LINES - 1]]):
        put_text(below, words, (10, STRIP * row + 21), 0.6, PAPER)
    return np.vstack([pictures, below])


def _scaled(picture: Picture) -> Picture:
    """A copy of that height."""
    import cv2

    size = (max(1, round(picture.shape[1] * HEIGHT / picture.shape[0])), HEIGHT)
    return np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
