"""One object's motion as an array, from a video that is followed or from what was predicted before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posewright.errors import PosewrightError
from posewright.media.pose_lines import read_pose_lines
from posewright.media.sources import VIDEO_ENDINGS, video_frames
from posewright.poses import Poses
from posewright.runtime.predictor import Predictor
from posewright.skeleton import Skeleton
from posewright.tracking.filters import Array
from posewright.tracking.follower import FollowConfig, Follower


@dataclass(frozen=True)
class Motion:
    """The keypoints of one object over time.

    Attributes:
        path: what it was read from.
        skeleton: the K keypoints.
        times: ``[F]`` in seconds, ascending.
        xy: ``[F, K, 2]`` in pixels of the frames; NaN where a keypoint is not known.
        size: (width, height) of the frames in pixels, (0, 0) where unknown.
        video: whether ``path`` has pictures, frame by frame as here.
    """

    path: Path
    skeleton: Skeleton
    times: Array
    xy: Array
    size: tuple[int, int]
    video: bool

    @property
    def seen(self) -> int:
        """Frames with a pose."""
        return int(np.asarray(np.isfinite(self.xy).all(2)).any(1).sum())


def is_video(path: str | Path) -> bool:
    """By its ending."""
    return Path(path).suffix.lower() in VIDEO_ENDINGS


def read_motion(
    path: str | Path,
    model: Predictor | None = None,
    *,
    skeleton: Skeleton | None = None,
    track: int | None = None,
    least_score: float = 0.1,
    filter_name: str = "kalman",
    progress: Callable[[int], None] | None = None,
) -> Motion:
    """The motion in a video, or in the .jsonl that ``posewright predict`` made of one.

    Args:
        path: the file.
        model: finds the object in a video; not needed otherwise.
        skeleton: of a .jsonl file's poses, where its records name none that is known.
        track: which object of a .jsonl file; its first on each frame unless given.
        least_score: keypoints with a lower score are taken for unknown.
        filter_name: see :data:`posewright.tracking.FILTERS`.
        progress: called after each frame of a video with 1.

    Raises:
        PosewrightError: where the file cannot be read, holds no pose, or its records have no times.
    """
    path = Path(path)
    if is_video(path):
        if model is None:
            raise PosewrightError("is a video: a model has to find the poses", file=path)
        frames = _followed(path, model, filter_name, progress)
        skeleton = model.skeleton
    else:
        frames = read_pose_lines(path, skeleton)
        skeleton = frames[0].skeleton
    times = [poses.time for poses in frames]
    if any(time is None for time in times):
        raise PosewrightError("has no times", file=path, fix="Give what posewright predict wrote of a video")
    ascending = np.array(times, float)
    if (np.diff(ascending) < 0).any():
        raise PosewrightError("has times that go back", file=path, fix="Give the records of one video")
    xy = np.stack([one_pose(poses, least_score, track) for poses in frames])
    motion = Motion(path, skeleton, ascending, xy, (frames[0].width, frames[0].height), is_video(path))
    if not motion.seen:
        of = "" if track is None else f" of object {track}"
        raise PosewrightError(f"shows no pose{of} on any of its {len(frames)} frames", file=path)
    return motion


def _followed(path: Path, model: Predictor, filter_name: str, progress: Callable[[int], None] | None) -> list[Poses]:
    follower, found = Follower(model, FollowConfig(filter=filter_name)), []
    for frame in video_frames(path):
        poses = follower.step(frame.image, float(frame.time or 0.0))
        poses.frame, poses.time = frame.frame, frame.time
        found.append(poses)
        if progress is not None:
            progress(1)
    return found


def one_pose(poses: Poses, least_score: float, track: int | None = None) -> Array:
    """``[K, 2]`` of a frame's first object, or of the one that is called so; NaN for keypoints below that score."""
    here = range(len(poses))
    if track is not None:
        here = [i for i in here if poses.track_id is not None and poses.track_id[i] == track]  # type: ignore[assignment]
    if not len(here):
        return np.full((len(poses.skeleton), 2), np.nan)
    i = here[0]
    return np.where((poses.score[i] >= least_score)[:, None], poses.xy[i], np.nan)
