"""Following any number of objects that a locator finds, each with an identity that it keeps.

The locator looks at every n-th frame, and where a track is doubted or there is none. What it finds is matched to the tracks
by boxes (Kuhn, Naval Research Logistics 2, 1955, through SciPy); every track and every find that belongs to none is then
one crop of a single batch. A find becomes a track where the model sees the object in it and it is none of those that are
followed. Tracks that are lost are remembered for a while: what turns up near one, of about its size, takes up its identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.geometry import Similarity, overlaps
from posewright.metrics.oks import oks
from posewright.poses import Poses
from posewright.runtime.predictor import Predictor
from posewright.tracking.box import Array, found_box, middle, size_of
from posewright.tracking.track import BOX_MARGIN, Track, better, upright_pair

USUAL_SIGMA = 0.0625
"""For skeletons without OKS sigmas."""


class Locator(Protocol):
    """Finds objects anywhere in a picture."""

    def find(self, image: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Boxes ``[N, 4]`` (x0, y0, x1, y1) in pixels of the picture, and their scores ``[N]``, best first."""
        ...


@dataclass(frozen=True)
class CrowdConfig:
    """How objects are followed.

    Attributes:
        filter: name of the keypoints' filter, see :data:`posewright.tracking.FILTERS`.
        every: frames from one look of the locator to the next, where no track is in doubt.
        most: objects that are followed at a time; the locator's best come first.
        present: presence from which what a locator found is the object.
        memory: seconds for which an object that is lost is remembered.
        flip: average with the mirrored crop.
        upright: names of two keypoints; crops are turned so that the line from the first to the second points up.
        batch_size: crops in one run of the net.
    """

    filter: str = "kalman"
    every: int = 5
    most: int = 20
    present: float = 0.5
    memory: float = 2.0
    flip: bool = False
    upright: tuple[str, str] | None = None
    batch_size: int = 16

    def __post_init__(self) -> None:
        if min(self.every, self.most, self.batch_size) < 1:
            raise PosewrightError("frames between two looks, objects and crops in a run have to be one at least")


SAME_BOX = 0.3
"""Overlap from which what the locator found is an object that is followed already."""
SAME_POSE = 0.5
"""OKS from which two poses on one frame are the same object."""
REACH = 1.5
"""Sizes of an object within which it may turn up again at once; more the longer it was away."""
GROWN = 1.8
"""Factor by which its size may have changed until then."""


@dataclass
class _Gone:
    """An object that was lost: its number, where it was and how large, and when."""

    number: int
    centre: Array
    size: float
    time: float


class Crowd:
    """Follows objects through frames in order.

    Args:
        model: finds the keypoints of one object in a box.
        locator: finds the boxes.
        config: how.
    """

    def __init__(self, model: Predictor, locator: Locator, config: CrowdConfig | None = None) -> None:
        self.model, self.locator, self.config = model, locator, config or CrowdConfig()
        self.tracks: list[Track] = []
        self._upright = upright_pair(model.skeleton, self.config.upright)
        self._sigmas = model.skeleton.sigmas or (USUAL_SIGMA,) * len(model.skeleton)
        self._gone: list[_Gone] = []
        self._since, self._next = math.inf, 0

    def step(self, image: NDArray[np.uint8], time: float) -> Poses:
        """Look at one frame.

        Args:
            image: ``uint8 [H, W, 3]`` RGB.
            time: seconds; must not go back.

        Returns:
            The poses of all objects that are there, with filtered keypoints and ``track_id``, in the order they came.
        """
        finds = self._finds(image, time)
        rule = self.model.info.crop
        crops = [track.crop(rule, time) for track in self.tracks]
        crops += [(box, rule.similarity(box)) for box in finds]
        nothing = Poses.empty(self.model.skeleton, width=image.shape[1], height=image.shape[0])
        if not crops:
            return nothing
        seen = self._see(image, crops)
        own, new = seen[: len(self.tracks)], seen[len(self.tracks) :]
        self._look_again(image, own)
        kept = self._followed(own, time)
        self._without_doubles(kept)
        for pose in new:
            if pose.presence[0] >= self.config.present:
                self._take_up(pose, time, kept)
        self._let_go(time)
        reported = [track.report(pose) for track, pose in kept if track.confirmed and track in self.tracks]
        return Poses.joined(reported) if reported else nothing

    # -- where to look -------------------------------------------------------------------------------------------------

    def _finds(self, image: NDArray[np.uint8], time: float) -> Array:
        """Boxes that the locator found and that belong to no track; none on frames on which it rests."""
        self._since += 1
        doubt = any(track.doubted or not track.confirmed for track in self.tracks)
        if self.tracks and not doubt and self._since < self.config.every:
            return np.zeros((0, 4))
        self._since = 0
        boxes, _ = self.locator.find(image)
        boxes = boxes[: self.config.most]
        if not len(boxes) or not self.tracks:
            return boxes
        from scipy.optimize import linear_sum_assignment

        places = np.stack([track.box.ahead(time) for track in self.tracks])
        over = overlaps(boxes, places)
        taken = {int(i) for i, j in zip(*linear_sum_assignment(-over)) if over[i, j] >= SAME_BOX}
        return boxes[[i for i in range(len(boxes)) if i not in taken]]

    def _see(self, image: NDArray[np.uint8], crops: Sequence[tuple[Array, Similarity]]) -> list[Poses]:
        boxes, maps = np.stack([box for box, _ in crops]), [to_crop for _, to_crop in crops]
        config = self.config
        seen = self.model.predict_batch(
            [image], [boxes], flip=config.flip, batch_size=config.batch_size, to_crop=[maps]
        )[0]
        return [seen.only([i]) for i in range(len(seen))]

    def _look_again(self, image: NDArray[np.uint8], own: list[Poses]) -> None:
        """Look once more at objects that were at the edge of their crops; all of them in one batch."""
        again = [track.crop_again(self.model.info.crop, seen) for track, seen in zip(self.tracks, own)]
        which = [i for i, crop in enumerate(again) if crop is not None]
        if which:
            for i, seen in zip(which, self._see(image, [crop for crop in again if crop is not None])):
                own[i] = better(own[i], seen)

    # -- what was seen -------------------------------------------------------------------------------------------------

    def _followed(self, seen: Sequence[Poses], time: float) -> list[tuple[Track, Poses]]:
        """Tracks that were seen, with their poses."""
        return [(track, pose) for track, pose in zip(self.tracks, seen) if track.see(pose, time)]

    def _without_doubles(self, kept: list[tuple[Track, Poses]]) -> None:
        """Of two tracks that have come to see the same object, the one that was there longer stays."""
        order = sorted(range(len(kept)), key=lambda i: -kept[i][0].frames)
        doubles: set[int] = set()
        for place, i in enumerate(order):
            for j in order[place + 1 :]:
                if not {i, j} & doubles and self._alike(kept[i][1], kept[j][1]) >= SAME_POSE:
                    doubles.add(j)
        gone = [kept[i][0] for i in doubles]
        kept[:] = [pair for i, pair in enumerate(kept) if i not in doubles]
        self.tracks = [track for track in self.tracks if track not in gone]

    def _take_up(self, pose: Poses, time: float, kept: list[tuple[Track, Poses]]) -> None:
        """Make a track of a pose that is none of those followed, or give it to the one that is missing it."""
        box = found_box(pose, margin=BOX_MARGIN)
        if box is None or any(self._alike(pose, other) >= SAME_POSE for _, other in kept):
            return
        size = size_of(box)
        for track in self.tracks:
            if track.doubted and self._near(middle(box), size, track.box.centre, track.box.size, 0.0):
                if track.see(pose, time, elsewhere=True):
                    kept.append((track, pose))
                return
        if len(self.tracks) >= self.config.most:
            return
        track = Track(box, time, self.config.filter, self._number(middle(box), size, time), self._upright)
        if track.see(pose, time):
            self.tracks.append(track)
            kept.append((track, pose))

    def _number(self, centre: Array, size: float, time: float) -> int:
        """The identity of one that was lost near here, or a new one."""
        self._gone = [gone for gone in self._gone if time - gone.time <= self.config.memory]
        fitting = [g for g in self._gone if self._near(centre, size, g.centre, g.size, time - g.time)]
        if fitting:
            nearest = min(fitting, key=lambda g: float(np.linalg.norm(centre - g.centre)))
            self._gone.remove(nearest)
            return nearest.number
        self._next += 1
        return self._next - 1

    def _let_go(self, time: float) -> None:
        """End tracks that are lost, and remember where."""
        for track in self.tracks:
            if track.lost and track.confirmed:
                self._gone.append(_Gone(track.number, track.box.centre, track.box.size, time))
        self.tracks = [track for track in self.tracks if not track.lost]

    def _alike(self, a: Poses, b: Poses) -> float:
        """OKS of two poses, with the area of the smaller box."""
        area = min(float((p.boxes[0, 2:] - p.boxes[0, :2]).prod()) for p in (a, b))
        truth = np.column_stack([a.xy[0], np.ones(len(self._sigmas))])[None]
        return float(oks(b.xy, truth, [area], self._sigmas)[0, 0])

    @staticmethod
    def _near(centre: Array, size: float, other: Array, other_size: float, seconds: float) -> bool:
        close = np.linalg.norm(centre - other) <= REACH * other_size * (1 + seconds)
        return bool(close) and 1 / GROWN < size / max(other_size, 1.0) < GROWN
