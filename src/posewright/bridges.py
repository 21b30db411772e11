"""What other tools take of ``Poses``: supervision's key points, a COCO document, a pandas table.

The methods of :class:`posewright.poses.Poses` with these names call the functions here, which also take several frames
at once, as a video gives them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.poses import Poses
from posewright.skeleton import Skeleton

if TYPE_CHECKING:
    import pandas
    import supervision

CORNER = 0.5
"""From the centre of the first pixel to its corner, where COCO's boxes have their origin."""
HIDDEN_BELOW = 0.5
"""A keypoint counts as hidden below this visibility, where the model tells it."""
_PER_POSE = ("boxes", "covariance", "visibility", "track_id")


# -- supervision -------------------------------------------------------------------------------------------------------


def to_supervision(poses: Poses, threshold: float | None = None) -> supervision.KeyPoints:
    """One frame as supervision's ``KeyPoints``, for its annotators.

    Coordinates stay as they are: both count from the centre of the first pixel. ``keypoint_confidence`` is the score,
    ``detection_confidence`` the presence, and ``data`` holds "class_name" (the skeleton's), "boxes" and, where there are
    some, "covariance", "visibility" and "track_id". Its edge annotator counts keypoints from 1:
    ``sv.EdgeAnnotator(edges=[(a + 1, b + 1) for a, b in poses.skeleton.links])``.

    Args:
        poses: of one frame.
        threshold: keypoints with a lower score are marked as not visible, so that annotators leave them out.

    Raises:
        PosewrightError: where supervision is not installed.
    """
    try:
        import supervision
    except ModuleNotFoundError as error:
        raise _lacking(error, "supervision", "to_supervision()") from None
    n = len(poses)
    data: dict[str, Any] = {"class_name": np.full(n, poses.skeleton.name)}
    data |= {name: getattr(poses, name) for name in _PER_POSE if getattr(poses, name) is not None}
    return supervision.KeyPoints(
        xy=poses.xy.astype(np.float32),
        class_id=np.zeros(n, int),
        keypoint_confidence=poses.score.astype(np.float32),
        detection_confidence=poses.presence.astype(np.float32),
        visible=None if threshold is None else poses.score >= threshold,
        data=data,
    )


def from_supervision(found: supervision.KeyPoints, skeleton: Skeleton, **where: Any) -> Poses:
    """Poses of supervision's ``KeyPoints``, from here or from another tool's model.

    What it does not tell is filled in: a score is 1, a presence the mean score, a box the one around the keypoints.
    supervision's mark for a keypoint that was not found, coordinates of exactly (0, 0), becomes a score of 0.

    Args:
        found: of one frame.
        skeleton: what its keypoints are.
        where: ``source``, ``width``, ``height``, ``frame`` and ``time`` of :class:`posewright.poses.Poses`.

    Raises:
        PosewrightError: where it has another number of keypoints.
    """
    xy = np.asarray(found.xy, float)
    n = len(xy)
    if n == 0:
        return Poses.empty(skeleton, **where)
    if xy.ndim != 3 or xy.shape[1] != len(skeleton):
        raise PosewrightError(f"supervision's {xy.shape[1]} keypoints are not the {len(skeleton)} of '{skeleton.name}'")
    told = found.keypoint_confidence
    score = np.ones(xy.shape[:2]) if told is None else np.asarray(told, float).copy()
    there = np.isfinite(xy).all(-1) & (xy != 0).any(-1)
    score[~there] = 0
    presence = score.mean(1) if found.detection_confidence is None else found.detection_confidence
    data = dict(found.data)
    boxes = data.get("boxes")
    if boxes is None:
        low = np.where(there[..., None], xy, np.inf).min(1)
        high = np.where(there[..., None], xy, -np.inf).max(1)
        boxes = np.where(there.any(1)[:, None], np.concatenate([low, high], 1), 0.0)
    more: dict[str, Any] = {name: data.get(name) for name in _PER_POSE if name != "boxes"}
    return Poses(skeleton, xy, score, np.asarray(presence, float), np.asarray(boxes, float), **more, **where)


# -- COCO --------------------------------------------------------------------------------------------------------------


def to_coco(frames: Poses | Iterable[Poses], threshold: float = 0.0) -> dict[str, Any]:
    """A COCO keypoints document of what was found: images, annotations and one category, as labelling tools read it.

    Keypoints are pixel indices, as COCO has them; boxes are moved by half a pixel to COCO's corner. A keypoint is v = 2,
    or v = 1 where the model tells visibility and it is below 0.5, or v = 0 with x = y = 0 below the threshold. Each
    annotation has "score" besides, the mean score of its keypoints. :meth:`Poses.to_coco_results` is the other of COCO's
    two forms, the one that its evaluation takes.

    Args:
        frames: one frame, or several with the same skeleton; ids count from 1 in their order.
        threshold: keypoints with a lower score are written as not labelled.
    """
    each = _frames(frames)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, poses in enumerate(each, 1):
        image = {"id": image_id, "file_name": poses.source, "width": int(poses.width), "height": int(poses.height)}
        images.append(image if poses.frame is None else image | {"frame": int(poses.frame)})
        for i in range(len(poses)):
            annotations.append({"id": len(annotations) + 1, "image_id": image_id} | _annotation(poses, i, threshold))
    return {
        "info": {"description": f"{each[0].skeleton.name} keypoints, found by posewright"},
        "images": images,
        "annotations": annotations,
        "categories": [each[0].skeleton.to_coco()],
    }


def _annotation(poses: Poses, i: int, threshold: float) -> dict[str, Any]:
    flat: list[float] = []
    counted = 0
    for k, (x, y) in enumerate(poses.xy[i].round(3).tolist()):
        if not np.isfinite([x, y]).all() or not poses.score[i, k] >= threshold:
            flat += [0, 0, 0]
            continue
        hidden = poses.visibility is not None and poses.visibility[i, k] < HIDDEN_BELOW
        flat += [x, y, 1 if hidden else 2]
        counted += 1
    x0, y0, x1, y1 = poses.boxes[i].tolist()
    width, height = x1 - x0, y1 - y0
    row = {
        "category_id": 1,
        "keypoints": flat,
        "num_keypoints": counted,
        "bbox": [round(v, 3) for v in (x0 + CORNER, y0 + CORNER, width, height)],
        "area": round(width * height, 3),
        "iscrowd": 0,
        "score": round(float(poses.score[i].mean()), 6),
    }
    return row if poses.track_id is None else row | {"track_id": int(poses.track_id[i])}


# -- pandas ------------------------------------------------------------------------------------------------------------


def to_dataframe(frames: Poses | Iterable[Poses]) -> pandas.DataFrame:
    """A pandas table with one row a keypoint.

    Columns: source, frame, time, pose (number in its frame), track_id, presence, keypoint (name), x, y (pixels of the
    picture), score, and where any of the frames has them visibility and covariance_xx, covariance_xy, covariance_yy
    (px^2). What a frame does not tell is missing there. One column a keypoint and coordinate is a step away::

        table.pivot(index=["frame", "pose"], columns="keypoint", values=["x", "y"])

    Args:
        frames: one frame, or several with the same skeleton.

    Raises:
        PosewrightError: where pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise _lacking(error, "pandas", "to_dataframe()") from None
    each = _frames(frames)
    k = len(each[0].skeleton)
    counts = np.array([len(p) for p in each])

    def of_frame(values: list[Any], dtype: str) -> Any:
        return pandas.array([v for v, n in zip(values, counts) for _ in range(n * k)], dtype=dtype)

    def of_pose(arrays: list[NDArray[Any]]) -> NDArray[Any]:
        return np.repeat(np.concatenate(arrays), k)

    tracks = [
        np.ma.masked_all(len(p), np.int64) if p.track_id is None else np.ma.array(p.track_id, mask=False) for p in each
    ]
    track = np.ma.concatenate(tracks).repeat(k)
    xy = np.concatenate([p.xy for p in each]).reshape(-1, 2)
    columns: dict[str, Any] = {
        "source": of_frame([p.source for p in each], "str"),
        "frame": of_frame([pandas.NA if p.frame is None else int(p.frame) for p in each], "Int64"),
        "time": of_frame([np.nan if p.time is None else float(p.time) for p in each], "float64"),
        "pose": of_pose([np.arange(n) for n in counts]),
        "track_id": pandas.arrays.IntegerArray(np.ma.getdata(track).astype(np.int64), np.ma.getmaskarray(track)),
        "presence": of_pose([p.presence for p in each]),
        "keypoint": pandas.Categorical(
            list(each[0].skeleton.keypoints) * int(counts.sum()), each[0].skeleton.keypoints
        ),
        "x": xy[:, 0],
        "y": xy[:, 1],
        "score": np.concatenate([p.score for p in each]).ravel(),
    }
    if any(p.visibility is not None for p in each):
        columns["visibility"] = np.concatenate([_or_missing(p.visibility, (len(p), k)) for p in each]).ravel()
    if any(p.covariance is not None for p in each):
        three = np.concatenate([_or_missing(p.covariance, (len(p), k, 3)) for p in each]).reshape(-1, 3)
        columns |= {f"covariance_{name}": three[:, i] for i, name in enumerate(("xx", "xy", "yy"))}
    return pandas.DataFrame(columns)


def _or_missing(array: NDArray[np.float64] | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.full(shape, np.nan) if array is None else array


def _frames(frames: Poses | Iterable[Poses]) -> list[Poses]:
    each = [frames] if isinstance(frames, Poses) else list(frames)
    if not each:
        raise PosewrightError("there are no frames to make a table of")
    for poses in each:
        if poses.skeleton.keypoints != each[0].skeleton.keypoints:
            what = f"frames of '{poses.skeleton.name}' and of '{each[0].skeleton.name}' do not go into one table"
            raise PosewrightError(what)
    return each


def _lacking(error: ModuleNotFoundError, package: str, what: str) -> BaseException:
    """What to raise where a package is missing: one line, or the error itself where it is about something else."""
    if (error.name or "").split(".")[0] != package:
        return error
    return PosewrightError(f"{what} needs {package}, which is not installed", fix="pip install 'posewright[notebook]'")
