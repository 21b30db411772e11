"""A moving hand with its truth, frame by frame and as a video file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from posewright.annotations import Annotations, Image, get_format
from posewright.errors import PosewrightError
from posewright.media.sinks import h264_video
from posewright.skeletons import HAND_21
from posewright.synthetic.anatomy import pose_hand
from posewright.synthetic.camera import Camera
from posewright.synthetic.hand import Sample, check_seed, check_size, hand_box
from posewright.synthetic.motion import Motion, make_motion
from posewright.synthetic.scene import Looks, Scene, draw_scene
from posewright.synthetic.scenery import background
from posewright.synthetic.shading import Picture

_LEAST = 4
"""Keypoints that have to be inside the picture for a hand to be there."""
_STREAM = 0x636C6970
"""Sets a clip's random numbers apart from those of the pictures of the same seed."""


def hand_clip(
    *, seconds: float = 6.0, fps: float = 30.0, size: tuple[int, int] = (320, 240), seed: int = 0, motion: str = "free"
) -> Iterator[Sample]:
    """The frames of a moving hand over a steady background; the same for the same seed.

    Frame i is taken at i / fps seconds. Keypoints that something hides are flagged; those outside the picture have v = 0,
    and where hardly any is inside, there is no hand on the frame.

    Args:
        seconds: length of the clip.
        fps: frames a second.
        size: (width, height) in pixels.
        seed: 0 or more.
        motion: one of :data:`posewright.synthetic.motion.MOTIONS`.

    Raises:
        PosewrightError: where an argument makes no sense.
    """
    size = check_size(size)
    check_seed(seed)
    count = _frame_count(seconds, fps)
    rng = np.random.default_rng([seed, _STREAM])
    wall = background(rng, *size, 0.8)
    looks, camera = Looks.random(rng), Camera.random(rng, size, 0.0)
    path = make_motion(motion, rng, seconds, size)
    return _frames(count, fps, rng, wall, looks, camera, path)


def _frame_count(seconds: float, fps: float) -> int:
    if not (fps > 0 and seconds > 0 and round(seconds * fps) >= 1):
        raise PosewrightError(f"{seconds:g} seconds at {fps:g} frames a second make no clip")
    return round(seconds * fps)


def _frames(
    count: int, fps: float, rng: np.random.Generator, wall: Picture, looks: Looks, camera: Camera, motion: Motion
) -> Iterator[Sample]:
    height, width = wall.shape[:2]
    for i in range(count):
        t = i / fps
        hand = pose_hand(looks.shape, motion.articulation(t))
        view = motion.view(t, hand.keypoints)
        scene = Scene(looks, hand.with_arm_aside(view.rotation[2]), view, bars=motion.bars(t))
        picture = wall.copy()
        keypoints = draw_scene(picture, scene)
        inside = (keypoints[:, :2] > -0.5).all(1) & (keypoints[:, :2] < (width - 0.5, height - 0.5)).all(1)
        if inside.sum() < _LEAST:
            yield Sample(camera.take(rng, picture), np.zeros((0, 21, 3)), None, None)
            continue
        keypoints[~inside] = 0.0
        box = hand_box(keypoints, width, height)
        yield Sample(camera.take(rng, picture), keypoints[None], box, looks.shape.left)


def make_hand_video(
    path: str | Path,
    *,
    seconds: float = 6.0,
    fps: float = 30.0,
    size: tuple[int, int] = (320, 240),
    seed: int = 0,
    motion: str = "free",
    progress: Callable[[int], None] | None = None,
) -> Annotations:
    """Write a clip (see :func:`hand_clip`) as an H.264 video, and beside it ``<stem>.json`` with the truth.

    Args:
        path: ends with ``.mp4``; replaced where it exists, as is the truth.
        seconds, fps, seed, motion: as for :func:`hand_clip`.
        size: (width, height) in pixels, both even.
        progress: called after each frame with 1, the number of frames that have been added.

    Returns:
        One image (the video's name and a frame number) for each frame and one object for each with a hand, as in the COCO
        JSON written.

    Raises:
        PosewrightError: where an argument makes no sense or a file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise PosewrightError(f"'{path.suffix}' is not .mp4", file=path, fix="End the video's name with .mp4")
    width, height = check_size(size)
    if width % 2 or height % 2:
        raise PosewrightError(f"an H.264 video cannot be {width}x{height}", fix="Make both sides even")
    samples = hand_clip(seconds=seconds, fps=fps, size=size, seed=seed, motion=motion)
    images: list[Image] = []
    shown, keypoints, boxes = [], [], []
    with h264_video(path, fps) as add:
        for i, sample in enumerate(samples):
            add(sample.image, i / fps)
            images.append(Image(path.name, width, height, frame=i, group=path.stem, id=i))
            if sample.box is not None:
                shown.append(i)
                keypoints.append(sample.keypoints[0])
                boxes.append(sample.box)
            if progress is not None:
                progress(1)
    annotations = Annotations(
        HAND_21,
        images,
        np.array(shown, np.int64),
        np.array(keypoints).reshape(-1, len(HAND_21), 3),
        np.array(boxes).reshape(-1, 4),
        path.parent,
        track=np.zeros(len(shown), np.int64),
        source=str(path),
    )
    write = get_format("coco").write
    assert write is not None
    write(annotations, path.with_suffix(".json"))
    return annotations
