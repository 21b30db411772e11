"""Finding the object anywhere in a frame with nothing but the keypoint model: coarse to fine, a few crops at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from posewright.geometry import Similarity, picture_box
from posewright.poses import Poses
from posewright.runtime.predictor import Predictor
from posewright.tracking.box import found_box, middle, overlap, size_of, widened

Array = NDArray[np.float64]

SHARES = (0.75, 0.5, 0.34, 0.23)
"""Sides of the boxes that are looked into, as shares of the picture's shorter side; the whole picture comes first."""
STEP = 0.5
"""From one box to the next, as a share of its side."""
HINT = 0.15
"""Presence from which a box is worth a closer look."""
PRESENT = 0.5
"""Presence from which the object is there."""
MARGIN = 1.25
"""Of the box around the keypoints, for the closer look."""
SAME = 0.5
"""Intersection over union of the boxes that two looks at the same object find, at least."""
AROUND = (1.0, 1.7)
"""Of the box that it was seen in last, for the first looks."""
WIDER, MOVED = 1.12, 0.1
"""The look that confirms is this much wider, and may see the keypoints moved by this share of the object's size."""
BEST = 3
"""Boxes of one call that get a closer look."""


def search_boxes(width: int, height: int, near: Array | None = None) -> Array:
    """Boxes that cover a picture at several scales, ``[N, 4]`` (x0, y0, x1, y1) in its pixels.

    The whole picture comes first, then large boxes before small ones, and of one size those next to ``near`` first.

    Args:
        width, height: of the picture in pixels.
        near: (x, y) where the object was last; the middle unless given.
    """
    centre = np.array([(width - 1) / 2, (height - 1) / 2]) if near is None else np.asarray(near, float)
    rows = [picture_box(width, height)[None]]
    for share in SHARES:
        side = share * min(width, height)
        xs, ys = (_starts(length, side) for length in (width, height))
        corners = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
        order = np.argsort(np.linalg.norm(corners + side / 2 - centre, axis=1), kind="stable")
        rows.append(np.concatenate([corners, corners + side], 1)[order])
    return np.concatenate(rows)


def _starts(length: float, side: float) -> Array:
    """First pixels of boxes of one side that together cover a length, evenly spread."""
    room = max(length - side, 0.0)
    return np.linspace(-0.5, room - 0.5, int(np.ceil(room / (STEP * side))) + 1)


class Search:
    """Looks for one object over as many frames as it takes.

    Args:
        model: of the object.
        budget: crops that one call may look at, closer looks aside.
        mirrored: look at mirrored crops.
        one_sided: the model knows objects of one side only, so that a mirror shows it nothing.
    """

    def __init__(self, model: Predictor, budget: int = 16, mirrored: bool = False, one_sided: bool = False) -> None:
        self.model, self.budget, self.mirrored, self.one_sided = model, budget, mirrored, one_sided
        self._waiting = np.zeros((0, 4))
        self._size = (0, 0)
        order = model.skeleton.flip_order()
        self._swap = np.array(order if list(order) != sorted(order) else [], int)

    def restart(self) -> None:
        """Begin again with the whole picture."""
        self._waiting = np.zeros((0, 4))

    def look(self, image: NDArray[np.uint8], last: Array | None = None, others: Sequence[Array] = ()) -> Poses | None:
        """Look at the next boxes, and closer where there may be something.

        Args:
            image: the frame, ``uint8 [H, W, 3]`` RGB.
            last: (x0, y0, x1, y1) of the object when it was seen last; boxes around there come first, at each call.
            others: boxes of other objects, which are not looked for.

        Returns:
            One pose, seen the same by two looks; None where there is none so far.
        """
        height, width = image.shape[:2]
        if not len(self._waiting) or self._size != (width, height):
            near = None if last is None else middle(last)
            self._waiting, self._size = search_boxes(width, height, near), (width, height)
        around = [] if last is None else [widened(last, margin) for margin in AROUND]
        count = max(self.budget - len(around), 1)
        now = np.concatenate([np.reshape(around, (-1, 4)), self._waiting[:count]])
        self._waiting = self._waiting[count:]
        seen = self._see(image, now)
        for i in np.argsort(-seen.presence, kind="stable")[:BEST]:
            if seen.presence[i] < HINT:
                break
            pose = self._closer(image, found_box(seen, int(i)))
            if pose is not None and not any(_same(pose, other) for other in others):
                self.restart()
                return pose
        return None

    def _closer(self, image: NDArray[np.uint8], around: Array | None) -> Poses | None:
        """Look at the keypoints' box until two looks agree."""
        for _ in range(3):
            if around is None or min(around[2:] - around[:2]) < 2:
                return None
            pose = self._see(image, widened(around, MARGIN)[None])
            again = found_box(pose)
            if again is None:
                return None
            if pose.presence[0] >= PRESENT and overlap(around, again) >= SAME:
                return pose if self.stands(image, pose) else None
            around = again
        return None

    def stands(self, image: NDArray[np.uint8], pose: Poses) -> bool:
        """Whether the model sees the same in a wider and mirrored crop. What it only imagines mostly changes.

        Args:
            image: the frame.
            pose: what it saw first.
        """
        around = found_box(pose)
        if around is None:
            return False
        box = widened(around, MARGIN * WIDER)
        other = self._see(image, box[None], mirrored=self.mirrored != (not self.one_sided))
        if len(self._swap) and not self.one_sided:
            other = replace(other, xy=other.xy[:, self._swap], score=other.score[:, self._swap])
        moved = np.linalg.norm(other.xy[0] - pose.xy[0], axis=1) / size_of(around)
        return bool(other.presence[0] >= PRESENT and np.median(moved) < MOVED)

    def _see(self, image: NDArray[np.uint8], boxes: Array, mirrored: bool | None = None) -> Poses:
        maps = None
        if self.mirrored if mirrored is None else mirrored:
            rule = self.model.info.crop
            maps = [[Similarity.crop(box, rule.size, margin=rule.margin, flip=True) for box in boxes]]
        return self.model.predict_batch([image], [boxes], to_crop=maps)[0]


def _same(pose: Poses, box: Array) -> bool:
    own = found_box(pose)
    return own is not None and overlap(own, box) > 0.3
