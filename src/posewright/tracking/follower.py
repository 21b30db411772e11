"""Following one object without a detector: each frame is looked at where the filtered keypoints say it will be.

The object counts as lost where the model's presence is low, or where what it sees has nothing to do with what the filter
foretold, for longer than a moment. From the first such frame on the whole frame is searched, a few crops at a time, so that
an object that is somewhere else is found while its old place is still watched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.poses import Poses
from posewright.runtime.predictor import Predictor
from posewright.tracking.box import Array, found_box, overlap, widened
from posewright.tracking.search import Search
from posewright.tracking.track import BOX_MARGIN, Track, better, upright_pair

CHECK_EVERY = 0.5
"""Seconds from one confirming look at an object to the next."""
SAME_PLACE = 0.2
"""Overlap with its box from which what the search finds is the object that was just missed."""


@dataclass(frozen=True)
class FollowConfig:
    """How an object is followed.

    Attributes:
        filter: name of the keypoints' filter, see :data:`posewright.tracking.FILTERS`.
        search: look over the whole frame for an object that is not followed; without it only its first box is looked at.
        budget: crops that searching may look at in one frame, closer looks aside.
        upright: names of two keypoints; crops are turned so that the line from the first to the second points up.
        mirrored: look at mirrored crops: for the other hand with a model of one.
        one_sided: the model knows objects of one side only, such as right hands.
        flip: average with the mirrored crop.
    """

    filter: str = "kalman"
    search: bool = True
    budget: int = 16
    upright: tuple[str, str] | None = None
    mirrored: bool = False
    one_sided: bool = False
    flip: bool = False

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise PosewrightError(f"the search has to look at one crop a frame at least, not {self.budget}")


class Follower:
    """Follows one object through frames in order.

    Args:
        model: finds its keypoints in a box.
        config: how.
        box: (x0, y0, x1, y1) where it is on the first frame; the frame is searched unless given.
        number: what its poses carry as ``track_id``.
    """

    def __init__(
        self,
        model: Predictor,
        config: FollowConfig | None = None,
        box: Sequence[float] | None = None,
        number: int = 0,
    ) -> None:
        self.model, self.config, self.number = model, config or FollowConfig(), number
        self.track: Track | None = None
        """The object; None where it is not followed."""
        self._upright = upright_pair(model.skeleton, self.config.upright)
        self._first = None if box is None else np.asarray(box, float)
        self._search = Search(model, self.config.budget, self.config.mirrored, self.config.one_sided)
        self._checked = -np.inf
        self._last: Array | None = None

    def step(self, image: NDArray[np.uint8], time: float, others: Sequence[Array] = ()) -> Poses:
        """Look at one frame.

        Args:
            image: ``uint8 [H, W, 3]`` RGB.
            time: seconds; must not go back.
            others: boxes of other objects, which this one does not take for its own.

        Returns:
            The object's pose with filtered keypoints, or no pose where it is not there.
        """
        if self.track is None and self._first is not None:
            self.track, self._first = self._new(self._first, time), None
        if self.track is not None:
            seen = self._see(image, self.track, time)
            if self.track.see(seen, time, others) and self._stands(image, seen, time):
                self._last = self.track.box.ahead(time)
                return self._reported(self.track, seen)
            if self.track.lost:
                self.track = None
        found = self._search.look(image, self._last, others) if self.config.search else None
        box = None if found is None else found_box(found, margin=BOX_MARGIN)
        if found is None or box is None:
            return self._nothing(image)
        # Where it had only moved out of its box, it is the same object still.
        if self.track is None or overlap(box, self.track.box.ahead(time)) < SAME_PLACE:
            self.track, self._checked = self._new(box, time), time
        if not self.track.see(found, time, elsewhere=True):
            return self._nothing(image)
        return self._reported(self.track, found)

    def _stands(self, image: NDArray[np.uint8], seen: Poses, time: float) -> bool:
        """Once in a while, whether another look at the object sees the same; the track is doubted where it does not."""
        assert self.track is not None
        if not self.config.search or time - self._checked < CHECK_EVERY:
            return True
        self._checked, stood = time, self._search.stands(image, seen)
        self.track.stands(stood)
        return stood

    def _new(self, box: Array, time: float) -> Track:
        return Track(box, time, self.config.filter, self.number, self._upright, self.config.mirrored)

    def _reported(self, track: Track, seen: Poses) -> Poses:
        if not track.confirmed:
            return Poses.empty(seen.skeleton, width=seen.width, height=seen.height)
        return track.report(seen)

    def _nothing(self, image: NDArray[np.uint8]) -> Poses:
        return Poses.empty(self.model.skeleton, width=image.shape[1], height=image.shape[0])

    def _see(self, image: NDArray[np.uint8], track: Track, time: float) -> Poses:
        """What the model sees where the object should be; again where it turns out to be at the edge of that."""
        rule, flip = self.model.info.crop, self.config.flip
        box, to_crop = track.crop(rule, time)
        seen = self.model.predict_batch([image], [box[None]], flip=flip, to_crop=[[to_crop]])[0]
        again = track.crop_again(rule, seen)
        if again is None:
            return seen
        box, to_crop = again
        second = self.model.predict_batch([image], [box[None]], flip=flip, to_crop=[[to_crop]])[0]
        return better(seen, second)


class Both:
    """Both hands with a model of one: two followers, the second with mirrored crops, never on the same hand.

    Args:
        model: finds the keypoints of the one side.
        config: how; ``mirrored`` and ``one_sided`` are ignored.
    """

    def __init__(self, model: Predictor, config: FollowConfig | None = None) -> None:
        one = replace(config or FollowConfig(), one_sided=True)
        self.followers = [Follower(model, replace(one, mirrored=m), number=i) for i, m in enumerate((False, True))]

    def step(self, image: NDArray[np.uint8], time: float) -> Poses:
        """Look at one frame; up to two poses, ``track_id`` 0 for the model's own side and 1 for the mirrored one."""
        found = []
        for follower, other in zip(self.followers, reversed(self.followers)):
            taken = [] if other.track is None else [widened(other.track.box.ahead(time), 1 / BOX_MARGIN)]
            found.append(follower.step(image, time, taken))
        return Poses.joined(found)
