"""The noun ``Poses``: what a model found in one frame, with its bridges to files and to other tools."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from posewright.skeleton import Skeleton

if TYPE_CHECKING:
    import pandas
    import supervision

Array = NDArray[np.float64]


@dataclass
class Poses:
    """The predictions of one frame; all coordinates in pixels of the source picture, (0, 0) at the first pixel's centre.

    Attributes:
        skeleton: names and links of the K keypoints.
        xy: ``[N, K, 2]``.
        score: ``[N, K]``; the decoded peak's height unless the model file says it is calibrated.
        presence: ``[N]`` in 0..1: is the object there at all.
        boxes: ``[N, 4]`` (x0, y0, x1, y1): the boxes that the model was shown, before its margin.
        source: path or name of the picture or video.
        width, height: the picture's size in pixels, 0 where unknown.
        frame: frame number in a video, counted from 0.
        time: seconds from the start of a video.
        covariance: ``[N, K, 3]`` (xx, xy, yy) in px^2.
        visibility: ``[N, K]`` in 0..1.
        track_id: ``[N]``.
    """

    skeleton: Skeleton
    xy: Array
    score: Array
    presence: Array
    boxes: Array
    source: str = ""
    width: int = 0
    height: int = 0
    frame: int | None = None
    time: float | None = None
    covariance: Array | None = None
    visibility: Array | None = None
    track_id: NDArray[np.int64] | None = field(default=None)

    def __post_init__(self) -> None:
        k = len(self.skeleton)
        self.xy = np.asarray(self.xy, float).reshape(-1, k, 2)
        n = len(self.xy)
        self.score = np.asarray(self.score, float).reshape(n, k)
        self.presence = np.asarray(self.presence, float).reshape(n)
        self.boxes = np.asarray(self.boxes, float).reshape(n, 4)
        if self.covariance is not None:
            self.covariance = np.asarray(self.covariance, float).reshape(n, k, 3)
        if self.visibility is not None:
            self.visibility = np.asarray(self.visibility, float).reshape(n, k)
        if self.track_id is not None:
            self.track_id = np.asarray(self.track_id, np.int64).reshape(n)

    def __len__(self) -> int:
        return len(self.xy)

    @classmethod
    def empty(cls, skeleton: Skeleton, **where: Any) -> Poses:
        """A frame in which nothing was found."""
        k = len(skeleton)
        return cls(skeleton, np.zeros((0, k, 2)), np.zeros((0, k)), np.zeros(0), np.zeros((0, 4)), **where)

    def only(self, chosen: Sequence[int] | NDArray[Any]) -> Poses:
        """Some of the poses: their numbers, or one truth value each."""
        which = np.asarray(chosen)
        names = ("xy", "score", "presence", "boxes", "covariance", "visibility", "track_id")
        return replace(self, **{n: getattr(self, n)[which] for n in names if getattr(self, n) is not None})

    @classmethod
    def joined(cls, parts: Sequence[Poses]) -> Poses:
        """The poses of several findings on one frame, one after the other; what not all of them tell is left out."""
        first = parts[0]

        def column(name: str) -> Any:
            filled = [getattr(p, name) for p in parts if len(p)]
            return np.concatenate(filled) if filled and all(a is not None for a in filled) else None

        names = ("xy", "score", "presence", "boxes", "covariance", "visibility", "track_id")
        columns = {name: column(name) for name in names}
        where = {name: getattr(first, name) for name in ("source", "width", "height", "frame", "time")}
        return cls(first.skeleton, **columns, **where) if any(map(len, parts)) else cls.empty(first.skeleton, **where)

    def keypoint(self, name: str, index: int = 0) -> tuple[float, float, float]:
        """(x, y, score) of one keypoint of one pose, by name."""
        k = self.skeleton.index(name)
        return float(self.xy[index, k, 0]), float(self.xy[index, k, 1]), float(self.score[index, k])

    def __repr__(self) -> str:
        parts = [f"{len(self)} x {len(self.skeleton)} keypoints of '{self.skeleton.name}'"]
        if self.score.size:
            parts.append(f"mean score {self.score.mean():.2f}")
        if self.source:
            parts.append(self.source)
        if self.width and self.height:
            parts.append(f"{self.width} x {self.height} px")
        if self.frame is not None:
            parts.append(f"frame {self.frame}" if self.time is None else f"frame {self.frame} at {self.time:.3f} s")
        return f"Poses({', '.join(parts)})"

    def _repr_html_(self) -> str:
        from posewright.notebook import as_html

        return as_html(self)

    def draw(self, picture: NDArray[np.uint8] | None = None, **how: Any) -> NDArray[np.uint8]:
        """``uint8 [H, W, 3]`` RGB with the poses on it; see :func:`posewright.notebook.draw`."""
        from posewright.notebook import draw

        return draw(self, picture, **how)  # type: ignore[no-any-return]

    # -- bridges ---------------------------------------------------------------------------------------------------

    def to_record(self) -> dict[str, Any]:
        """One JSON-ready record: the frame, and for each pose its keypoints as [x, y, score] in skeleton order."""
        record: dict[str, Any] = {"source": self.source, "width": self.width, "height": self.height}
        if self.frame is not None:
            record |= {"frame": self.frame, "time": None if self.time is None else round(self.time, 6)}
        record["skeleton"] = self.skeleton.name
        record["poses"] = [self._pose(i) for i in range(len(self))]
        return record

    def _pose(self, i: int) -> dict[str, Any]:
        keypoints = np.column_stack([self.xy[i].round(3), self.score[i].round(5)])
        pose: dict[str, Any] = {
            "box": self.boxes[i].round(3).tolist(),
            "presence": round(float(self.presence[i]), 5),
            "keypoints": keypoints.tolist(),
        }
        if self.track_id is not None:
            pose["track_id"] = int(self.track_id[i])
        if self.covariance is not None:
            pose["covariance"] = self.covariance[i].round(4).tolist()
        if self.visibility is not None:
            pose["visibility"] = self.visibility[i].round(5).tolist()
        return pose

    def to_json(self) -> str:
        """The record as one line of JSON, without a newline."""
        return json.dumps(self.to_record(), allow_nan=False)

    @classmethod
    def from_record(cls, record: Mapping[str, Any], skeleton: Skeleton) -> Poses:
        """Read what :meth:`to_record` wrote."""
        poses, k = record["poses"], len(skeleton)
        points = np.array([p["keypoints"] for p in poses], float).reshape(-1, k, 3)

        def column(name: str) -> list[Any] | None:
            return [p[name] for p in poses] if poses and name in poses[0] else None

        tracks = column("track_id")
        return cls(
            skeleton,
            points[..., :2],
            points[..., 2],
            np.array([p["presence"] for p in poses]),
            np.array([p["box"] for p in poses]),
            str(record.get("source", "")),
            int(record.get("width", 0)),
            int(record.get("height", 0)),
            record.get("frame"),
            record.get("time"),
            column("covariance"),  # type: ignore[arg-type]
            column("visibility"),  # type: ignore[arg-type]
            None if tracks is None else np.array(tracks),
        )

    def to_coco_results(self, image_id: int | str, category_id: int = 1) -> list[dict[str, Any]]:
        """COCO results: x and y as pixel indices like COCO's keypoints; a pose's score is its mean keypoint score."""
        rows = []
        for i in range(len(self)):
            flat = np.column_stack([self.xy[i].round(3), self.score[i].round(5)]).ravel().tolist()
            score = round(float(self.score[i].mean()), 6)
            row: dict[str, Any] = {"image_id": image_id, "category_id": category_id, "keypoints": flat, "score": score}
            x0, y0, x1, y1 = self.boxes[i]
            row["bbox"] = [round(v, 3) for v in (x0 + 0.5, y0 + 0.5, x1 - x0, y1 - y0)]
            rows.append(row)
        return rows

    def to_coco(self, threshold: float = 0.0) -> dict[str, Any]:
        """A COCO keypoints document of this frame; see :func:`posewright.bridges.to_coco`."""
        from posewright.bridges import to_coco

        return to_coco(self, threshold)

    def to_supervision(self, threshold: float | None = None) -> supervision.KeyPoints:
        """supervision's ``KeyPoints``; see :func:`posewright.bridges.to_supervision`."""
        from posewright.bridges import to_supervision

        return to_supervision(self, threshold)

    @classmethod
    def from_supervision(cls, found: supervision.KeyPoints, skeleton: Skeleton, **where: Any) -> Poses:
        """Poses of supervision's ``KeyPoints``; see :func:`posewright.bridges.from_supervision`."""
        from posewright.bridges import from_supervision

        return from_supervision(found, skeleton, **where)

    def to_dataframe(self) -> pandas.DataFrame:
        """A pandas table with one row a keypoint; see :func:`posewright.bridges.to_dataframe`."""
        from posewright.bridges import to_dataframe

        return to_dataframe(self)

    def csv_header(self) -> list[str]:
        names = [f"{n}_{c}" for n in self.skeleton.keypoints for c in ("x", "y", "score")]
        return ["source", "frame", "time", "pose", "track_id", "presence", *names]

    def to_csv_rows(self) -> list[list[Any]]:
        """One row a pose, in the order of :meth:`csv_header`."""
        rows = []
        for i in range(len(self)):
            track = "" if self.track_id is None else int(self.track_id[i])
            frame, time = "" if self.frame is None else self.frame, "" if self.time is None else round(self.time, 6)
            points = np.column_stack([self.xy[i].round(3), self.score[i].round(5)]).ravel().tolist()
            rows.append([self.source, frame, time, i, track, round(float(self.presence[i]), 5), *points])
        return rows
