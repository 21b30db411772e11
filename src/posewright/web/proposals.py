"""A model's proposals for pictures to label, found in the background."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.poses import Poses
from posewright.runtime.predictor import Predictor
from posewright.skeleton import Skeleton

VISIBLE = 0.5
"""A keypoint counts as visible from this visibility on, where the model tells it."""


class Proposals(threading.Thread):
    """Runs a model over all pictures, those that somebody waits for first.

    Args:
        model: what proposes.
        annotations: the pictures.
        skeleton: the keypoints to label; the model's are matched to them by name.
        boxes_of: ``[N, 4]`` boxes to look at on a picture (pixels, as everywhere), None for the whole of it.
        read: the pixels of a picture.
        tell: called with each picture's index when its proposals are there.

    Attributes:
        trouble: how the model failed first, for people; "" where it did not.

    Raises:
        PosewrightError: where the model knows none of the keypoints.
    """

    def __init__(
        self,
        model: Predictor,
        annotations: Annotations,
        skeleton: Skeleton,
        boxes_of: Callable[[int], NDArray[np.float64] | None],
        read: Callable[[int], NDArray[np.uint8]],
        tell: Callable[[int], None],
    ) -> None:
        super().__init__(daemon=True)
        self._model, self._annotations, self._boxes_of, self._read, self._tell = (
            model,
            annotations,
            boxes_of,
            read,
            tell,
        )
        there = {name: i for i, name in enumerate(model.skeleton.keypoints)}
        self._order = [there.get(name) for name in skeleton.keypoints]
        if all(i is None for i in self._order):
            what = f"the model's keypoints ({', '.join(model.skeleton.keypoints[:4])}, ...) are none of those to label"
            raise PosewrightError(what, fix="Take a model made for these keypoints, or leave --model out")
        self._found: dict[int, list[dict[str, Any]]] = {}
        self._uncertainty: dict[int, float] = {}
        self._first: deque[int] = deque()
        self._running, self._end = threading.Lock(), threading.Event()
        self.trouble = ""

    def run(self) -> None:
        waiting = iter(range(len(self._annotations.images)))
        while not self._end.is_set():
            i = self._first.popleft() if self._first else next(waiting, None)
            if i is None:
                self._end.wait(0.2)
            elif i not in self._found:
                try:
                    self._propose(i)
                except Exception as error:  # of whatever engine runs the model; labelling goes on without it
                    self._found[i] = []
                    self.trouble = self.trouble or f"The model failed on {self._annotations.images[i].name}: {error}"
                self._tell(i)

    def stop(self) -> None:
        """End after the picture at hand."""
        self._end.set()
        self.join()

    def _propose(self, i: int) -> None:
        try:
            poses = self._look(i, self._boxes_of(i))
        except PosewrightError:  # the page says what is wrong with the picture when somebody looks at it
            self._found[i] = []
            return
        if len(poses):
            self._uncertainty[i] = round(1 - float(poses.score.mean()), 4)
        self._found[i] = self._rows(poses)

    def _look(self, i: int, boxes: NDArray[np.float64] | Sequence[Sequence[float]] | None) -> Poses:
        picture = self._read(i)
        with self._running:
            return self._model(picture, boxes)

    def _rows(self, poses: Poses) -> list[dict[str, Any]]:
        """Poses as the page takes them: points [x, y, v, score] in the order of the keypoints to label, None where the
        model does not know one."""
        rows = []
        for n in range(len(poses)):
            points: list[list[float] | None] = []
            for k in self._order:
                if k is None or not np.isfinite(poses.xy[n, k]).all():
                    points.append(None)
                    continue
                (x, y), score = poses.xy[n, k], poses.score[n, k]
                hidden = poses.visibility is not None and poses.visibility[n, k] < VISIBLE
                points.append([round(float(x), 3), round(float(y), 3), 1 if hidden else 2, round(float(score), 4)])
            rows.append({"points": points, "presence": round(float(poses.presence[n]), 4)})
        return rows

    def of(self, i: int) -> list[dict[str, Any]] | None:
        """The proposals for picture ``i``; None where they are not there yet, and then it is the next one."""
        if i not in self._found and i not in self._first:
            self._first.append(i)
        return self._found.get(i)

    def uncertainty(self) -> dict[int, float]:
        """1 - the mean score of the pictures looked at so far."""
        return dict(self._uncertainty)

    def ask(self, i: int, box: Sequence[float]) -> list[dict[str, Any]]:
        """What the model finds in one box (x0, y0, x1, y1) of picture ``i``, now.

        Raises:
            PosewrightError: where the picture cannot be read or the box has no area.
        """
        return self._rows(self._look(i, [list(box)]))
