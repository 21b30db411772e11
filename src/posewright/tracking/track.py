"""One object followed: a filter of its keypoints, a box that goes with it, and whether what is seen there is it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from posewright.geometry import CropRule, Similarity, keypoints_box
from posewright.poses import Poses
from posewright.skeleton import Skeleton
from posewright.tracking.box import LOOK, MovingBox, found_box, middle, overlap, size_of, widened
from posewright.tracking.filters import Array, Estimate, Measured, make_filter, measured

BOX_MARGIN = 1.2
"""Of the box around the keypoints; what training boxes made from keypoints have."""
LOW = 0.3
"""Presence below which the object is not there."""
HIGH = 0.6
"""Presence from which an object that is elsewhere than foretold is believed to have moved there."""
AGREED = 0.3
"""Agreement of what is seen with what was foretold, below which it is doubted."""
NEAR = 0.15
"""Keypoints off by this share of the object's size agree to 0.61."""
STOLEN = 0.5
"""Overlap with another object's box from which what is seen is that object."""
OFF, AGAIN = 0.12, 1.1
"""An object that is off the middle of its crop by this share of the box's size is looked at again, in a box so much wider."""
WORSE, WIDER = 0.8, 1.3
"""So is one whose mean score is below this share of what it usually is."""
USUAL = 0.1
"""Share of a frame in the usual score."""
PATIENCE = 0.35
"""Seconds of doubt until an object is lost."""
CONFIRMED = 2
"""Frames that have to show a new object before it is reported."""


class Track:
    """One object.

    Args:
        box: (x0, y0, x1, y1) where it was found.
        time: seconds, of that frame.
        filter_name: see :data:`posewright.tracking.FILTERS`.
        number: what its poses carry as ``track_id``.
        upright: indices of two keypoints; its crop is turned so that the line from the first to the second points up.
        mirrored: its crop is mirrored.
    """

    def __init__(
        self,
        box: Array,
        time: float,
        filter_name: str = "kalman",
        number: int = 0,
        upright: tuple[int, int] | None = None,
        mirrored: bool = False,
    ) -> None:
        self.box, self.filter, self.number = MovingBox(np.asarray(box, float), time), make_filter(filter_name), number
        self.measured: Measured | None = None
        """What the filter took in on the last frame; None where it was passed over."""
        self.frames = 0
        """Frames on which it was believed to be seen."""
        self._upright, self._mirrored, self._angle = upright, mirrored, 0.0
        self._doubt, self._time, self._failed = 0.0, time, 0
        self._usual_score = 0.0

    @property
    def confirmed(self) -> bool:
        """Whether enough frames have shown it for it to be reported."""
        return self.frames >= CONFIRMED

    @property
    def doubted(self) -> bool:
        """Whether the last frame did not show it."""
        return self._doubt > 0

    @property
    def lost(self) -> bool:
        """Whether it is gone for good."""
        return self._doubt > PATIENCE or self._failed >= 2 or (self.doubted and not self.confirmed)

    def crop(self, rule: CropRule, time: float) -> tuple[Array, Similarity]:
        """The box to look into at a time, and the map from the picture to its crop."""
        return self._crop(rule, self.box.ahead(time))

    def crop_again(self, rule: CropRule, seen: Poses) -> tuple[Array, Similarity] | None:
        """Where to look once more on the same frame; None where the first look was a good one.

        It was not where the object lies at the edge of its crop, or has lower scores than it usually has.

        Args:
            rule: the model's.
            seen: the one pose of the first crop.
        """
        box = None if seen.presence[0] < LOW else self._box_of(seen.xy[0], seen.score[0] >= LOOK)
        if box is None:
            return None
        first = seen.boxes[0]
        if float(seen.score[0].mean()) < WORSE * self._usual_score:
            # Part of it may lie outside the crop, and what was found is then too small.
            return self._crop(rule, widened(box, WIDER))
        if np.abs(middle(box) - middle(first)).max() > OFF * size_of(first):
            return self._crop(rule, widened(box, AGAIN))
        return None

    def _crop(self, rule: CropRule, box: Array) -> tuple[Array, Similarity]:
        angle = -self._angle if self._mirrored else self._angle
        return box, Similarity.crop(box, rule.size, margin=rule.margin, rotation=angle, flip=self._mirrored)

    def see(self, seen: Poses, time: float, others: Sequence[Array] = (), *, elsewhere: bool = False) -> bool:
        """Take in what the model saw of it; whether it is believed to be this object.

        Args:
            seen: one pose.
            time: seconds.
            others: boxes of other objects.
            elsewhere: the pose is not from its own crop, which missed it, but from a search: its box begins anew there.
        """
        dt, self._time = max(time - self._time, 0.0), time
        presence, around = float(seen.presence[0]), found_box(seen)
        stolen = around is not None and any(overlap(around, other) > STOLEN for other in others)
        unlike = presence < HIGH and self._agreement(seen, time) < AGREED
        if around is None or stolen or presence < LOW or unlike:
            self._doubt += max(dt, 1e-6)
            self.measured = None
            self.box.slow(time)
            return False
        self._doubt = 0.0
        self.measured = measured(seen, 0, time)
        self.estimate = self.filter.update(self.measured)
        known = np.asarray(np.isfinite(self.estimate.xy).all(1))
        where = self.estimate.xy if self.filter.guides else np.where(self.measured.seen[:, None], seen.xy[0], np.nan)
        there = np.asarray(np.isfinite(where).all(1))
        # What the filter does not believe now stands where it was, and would stretch the box.
        firm = there & self.estimate.agreed
        box = self._box_of(where, firm if 2 * firm.sum() >= there.sum() else there)
        if box is not None and elsewhere:
            self.box = MovingBox(box, time)
            self.box.speed = np.nan_to_num(np.nanmedian(self.estimate.velocity[known], axis=0))
        elif box is not None:
            self.box.update(box, time)
        score = float(seen.score[0].mean())
        self._usual_score += (score - self._usual_score) * (USUAL if self.frames else 1.0)
        self.frames += 1
        return True

    def stands(self, stood: bool) -> None:
        """What a second look at it said: that it is the object, or not; two in a row that say no and it is lost."""
        self._failed = 0 if stood else self._failed + 1
        if not stood:
            self._doubt = max(self._doubt, 1e-6)
            self.measured = None

    def report(self, seen: Poses) -> Poses:
        """The pose just seen with the filter's keypoints in the place of the model's."""
        known = np.asarray(np.isfinite(self.estimate.xy).all(1))
        xy = np.where(known[:, None], self.estimate.xy, seen.xy[0])
        poses = replace(seen, xy=xy[None], track_id=np.array([self.number]))
        if seen.covariance is not None:
            own = self.estimate.covariance[:, [0, 0, 1], [0, 1, 1]]
            poses.covariance = np.where(np.isfinite(own), own, seen.covariance[0])[None]
        return poses

    def foretold(self, time: float) -> Estimate:
        """Where its keypoints will be."""
        return self.filter.predict(time)

    def _agreement(self, seen: Poses, time: float) -> float:
        """0..1: how well a pose fits what the filter foretold; 1 where it foretold nothing."""
        foretold = self.foretold(time)
        if not len(foretold.xy):
            return 1.0
        away = np.linalg.norm(seen.xy[0] - foretold.xy, axis=1) / (NEAR * self.box.size)
        weight = np.where(np.isfinite(away), seen.score[0], 0.0)
        if not weight.sum() > 0:
            return 1.0
        return float((weight * np.exp(-(np.nan_to_num(away) ** 2) / 2)).sum() / weight.sum())

    def _box_of(self, xy: Array, known: NDArray[np.bool_]) -> Array | None:
        """The box around keypoints; with turned crops that in the turned frame, about the same centre."""
        if self._upright is None:
            return keypoints_box(np.column_stack([xy, known]), BOX_MARGIN)
        a, b = xy[list(self._upright)]
        if np.isfinite(a).all() and np.isfinite(b).all() and np.linalg.norm(b - a) > 1:
            self._angle = -90.0 - float(np.degrees(np.arctan2(b[1] - a[1], b[0] - a[0])))
        angle = np.deg2rad(self._angle)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        box = keypoints_box(np.column_stack([xy @ turn.T, known]), BOX_MARGIN)
        if box is None:
            return None
        centre, half = turn.T @ middle(box), (box[2:] - box[:2]) / 2
        return np.concatenate([centre - half, centre + half])


def upright_pair(skeleton: Skeleton, names: tuple[str, str] | None) -> tuple[int, int] | None:
    """The indices of the two keypoints whose line is to point up; None where crops are not turned."""
    return None if names is None else (skeleton.index(names[0]), skeleton.index(names[1]))


def better(first: Poses, second: Poses) -> Poses:
    """Of two looks at one object, the one with the higher scores."""
    return second if second.score[0].mean() > first.score[0].mean() else first
