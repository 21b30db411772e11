"""What follows objects through the frames of a source, chosen by a few settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.poses import Poses
from posewright.runtime.predictor import Predictor
from posewright.tracking.crowd import Crowd, CrowdConfig, Locator
from posewright.tracking.follower import Both, FollowConfig, Follower
from posewright.tracking.track import Track


class Tracker(Protocol):
    """Anything that is shown frames in order."""

    def step(self, image: NDArray[np.uint8], time: float) -> Poses:
        """Look at one frame, ``uint8 [H, W, 3]`` RGB, taken at ``time`` seconds, which must not go back."""
        ...


@dataclass(frozen=True)
class TrackConfig:
    """How objects are followed through a source.

    Attributes:
        filter: name of the keypoints' filter, see :data:`posewright.tracking.FILTERS`.
        box: (x0, y0, x1, y1) of the object on the first frame; it is searched unless given.
        both_hands: follow a second object with mirrored crops.
        upright: names of two keypoints; crops are turned so that the line from the first to the second points up.
        flip: average with the mirrored crop.
        locator: finds any number of objects, which are followed each with a number of its own; where None, one object is
            followed that the model itself finds.
    """

    filter: str = "kalman"
    box: tuple[float, float, float, float] | None = None
    both_hands: bool = False
    upright: tuple[str, str] | None = None
    flip: bool = False
    locator: Locator | None = None


def make_tracker(model: Predictor, config: TrackConfig) -> Tracker:
    """A tracker that has seen nothing yet: one a source.

    Raises:
        PosewrightError: where the settings do not fit together or to the model.
    """
    names = model.skeleton.keypoints
    for name in config.upright or ():
        if name not in names:
            from posewright.errors import did_you_mean

            raise PosewrightError(f"the model has no keypoint '{name}'", fix=did_you_mean(name, names))
    if config.locator is not None:
        if config.both_hands or config.box is not None:
            raise PosewrightError("a locator finds the boxes: leave the box and both hands out")
        crowd = CrowdConfig(filter=config.filter, flip=config.flip, upright=config.upright)
        return Crowd(model, config.locator, crowd)
    follow = FollowConfig(filter=config.filter, upright=config.upright, flip=config.flip)
    if not config.both_hands:
        return Follower(model, follow, config.box)
    if config.box is not None:
        raise PosewrightError("a box says where one hand is, but both are followed", fix="Leave one of the two out")
    return Both(model, follow)


def tracks_of(tracker: Tracker) -> list[Track]:
    """The objects that a tracker follows at the moment."""
    if isinstance(tracker, Follower):
        return [tracker.track] if tracker.track is not None else []
    if isinstance(tracker, Both):
        return [track for follower in tracker.followers for track in tracks_of(follower)]
    return list(getattr(tracker, "tracks", ()))
