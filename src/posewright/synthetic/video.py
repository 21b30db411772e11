"""A moving hand with its truth, frame by frame and as a video file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from posewright.annotations import Annotations, Image, get_format
from posewright.errors import PosewrightError
from posewright.media.sinks import h264_video
from posewright.skeletons import HAND_21
from posewright.synthetic.anatomy import Array, Articulation, pose_hand
from posewright.synthetic.camera import Camera
from posewright.synthetic.gestures import GESTURES
from posewright.synthetic.hand import Sample, check_seed, check_size, hand_box
from posewright.synthetic.scene import Looks, Scene, draw_scene
from posewright.synthetic.scenery import background
from posewright.synthetic.things import FRONT, OTHER_SKIN, Bar
from posewright.synthetic.view import View, rotation_from_angles

_STREAM = 0x636C6970
"""Sets a clip's random numbers apart from those of the pictures of the same seed."""
_OPEN = ("open", "five", "open", "lax")
_CLOSED = ("fist", "point", "victory", "three", "ring pinch", "thumb up", "rock", "cup", "horns")
_CROSSING = (0.45, 0.68)
"""When something passes in front of the hand, as shares of the clip."""


class _Motion:
    """How one hand moves during a clip; every function of time is smooth. ``t`` in seconds."""

    def __init__(self, rng: np.random.Generator, seconds: float, size: tuple[int, int]) -> None:
        self.size = size
        steps = max(2, round(seconds / 1.1) + 1)
        self.pace = seconds / (steps - 1)
        names = [(_OPEN if i % 2 == 0 else _CLOSED) for i in range(steps)]
        chosen = [GESTURES[kinds[int(rng.random() * len(kinds))]] for kinds in names]
        self.poses = [
            Articulation(g.angles + rng.normal(size=(5, 4)) * 3, rng.normal(size=2) * (12, 7)).limited() for g in chosen
        ]
        self.facing = 180.0 if rng.random() < 0.3 else 0.0
        # Two slow waves for each of pitch, yaw, roll, x, y and size: amplitude, angular speed, phase.
        widest = np.array([16, 32, 24, 0.5, 0.5, 0.14])[:, None] * np.array([0.65, 0.35])
        self.reach = widest * rng.uniform(0.6, 1, (6, 2))
        self.speed = rng.uniform(0.5, 1.0, (6, 2)) * np.array([1.0, 2.1])
        self.phase = rng.random((6, 2)) * 2 * np.pi
        self.scale = min(size) * rng.uniform(0.24, 0.29)

    def articulation(self, t: float) -> Articulation:
        """Each gesture flows into the next, coming to rest at each."""
        step = min(int(t / self.pace), len(self.poses) - 2)
        share = min(max(t / self.pace - step, 0.0), 1.0)
        # Arrive early and stay a moment.
        share = min(share / 0.75, 1.0)
        return self.poses[step].mixed(self.poses[step + 1], share * share * (3 - 2 * share)).limited()

    def view(self, t: float, keypoints: Array) -> View:
        """The view of the hand at a time; all of its keypoints inside the picture."""
        pitch, yaw, roll, x, y, grow = (self.reach * np.sin(self.speed * t + self.phase)).sum(1).tolist()
        rotation = rotation_from_angles(pitch, self.facing + yaw, roll)
        middle = rotation @ np.array([0.0, 0.95, 0.1])
        view = View(rotation, middle, 7.0, self.scale * (1 + grow), (0.0, 0.0))
        spots = view.project(keypoints)[:, :2]
        border = 0.04 * min(self.size)
        first, last = border - spots.min(0), np.array(self.size) - 1 - border - spots.max(0)
        centre = np.array(self.size) * (0.5 + 0.45 * np.array([x, y]))
        centre = np.where(first < last, np.clip(centre, first, np.maximum(first, last)), (first + last) / 2)
        return replace(view, centre=(float(centre[0]), float(centre[1])))


class _Passer:
    """Somebody's arm, or a pole, that passes once from one side to the other in front of everything."""

    def __init__(self, rng: np.random.Generator, seconds: float, size: tuple[int, int]) -> None:
        self.start, self.end = (share * seconds for share in _CROSSING)
        self.size, self.lean, self.right = size, rng.normal() * 0.2, bool(rng.random() < 0.5)
        self.radius = min(size) * (0.06 + 0.07 * rng.random())
        self.material = OTHER_SKIN if rng.random() < 0.5 else FRONT

    def at(self, t: float) -> list[Bar]:
        """The bar at a time, or none before and after."""
        share = (t - self.start) / (self.end - self.start)
        if not 0 <= share <= 1:
            return []
        width, height = self.size
        slack = 2 * self.radius + abs(self.lean) * height
        x = -slack + (width + 2 * slack) * (share if self.right else 1 - share)
        skew = self.lean * height
        bar = Bar((x - skew, -2 * self.radius), (x + skew, height + 2 * self.radius), self.radius, self.material)
        return [bar]


def hand_clip(
    *, seconds: float = 6.0, fps: float = 30.0, size: tuple[int, int] = (320, 240), seed: int = 0
) -> Iterator[Sample]:
    """The frames of a hand that moves, turns, opens and closes over a steady background; the same for the same seed.

    Frame i is taken at i / fps seconds. About the middle something passes once in front of the hand; the keypoints that
    it hides are flagged.

    Args:
        seconds: length of the clip.
        fps: frames a second.
        size: (width, height) in pixels.
        seed: 0 or more.

    Raises:
        PosewrightError: where an argument makes no sense.
    """
    size = check_size(size)
    check_seed(seed)
    count = _frame_count(seconds, fps)
    return _frames(count, seconds, fps, size, seed)


def _frame_count(seconds: float, fps: float) -> int:
    if not (fps > 0 and seconds > 0 and round(seconds * fps) >= 1):
        raise PosewrightError(f"{seconds:g} seconds at {fps:g} frames a second make no clip")
    return round(seconds * fps)


def _frames(count: int, seconds: float, fps: float, size: tuple[int, int], seed: int) -> Iterator[Sample]:
    width, height = size
    rng = np.random.default_rng([seed, _STREAM])
    wall = background(rng, width, height, 0.8)
    looks, camera = Looks.random(rng), Camera.random(rng, size, 0.0)
    motion, passer = _Motion(rng, seconds, size), _Passer(rng, seconds, size)
    for i in range(count):
        t = i / fps
        hand = pose_hand(looks.shape, motion.articulation(t))
        view = motion.view(t, hand.keypoints)
        scene = Scene(looks, hand.with_arm_aside(view.rotation[2]), view, bars=passer.at(t))
        picture = wall.copy()
        keypoints = draw_scene(picture, scene)
        box = hand_box(keypoints, width, height)
        yield Sample(camera.take(rng, picture), keypoints[None], box, looks.shape.left)


def make_hand_video(
    path: str | Path,
    *,
    seconds: float = 6.0,
    fps: float = 30.0,
    size: tuple[int, int] = (320, 240),
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Annotations:
    """Write a clip (see :func:`hand_clip`) as an H.264 video, and beside it ``<stem>.json`` with the truth.

    Args:
        path: ends with ``.mp4``; replaced where it exists, as is the truth.
        seconds, fps, seed: as for :func:`hand_clip`.
        size: (width, height) in pixels, both even.
        progress: called after each frame with 1, the number of frames that have been added.

    Returns:
        One image (the video's name and a frame number) and one object for each frame, as in the COCO JSON written.

    Raises:
        PosewrightError: where an argument makes no sense or a file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise PosewrightError(f"'{path.suffix}' is not .mp4", file=path, fix="End the video's name with .mp4")
    width, height = check_size(size)
    if width % 2 or height % 2:
        raise PosewrightError(f"an H.264 video cannot be {width}x{height}", fix="Make both sides even")
    samples = hand_clip(seconds=seconds, fps=fps, size=size, seed=seed)
    images: list[Image] = []
    keypoints, boxes = [], []
    with h264_video(path, fps) as add:
        for i, sample in enumerate(samples):
            add(sample.image, i / fps)
            images.append(Image(path.name, width, height, frame=i, group=path.stem, id=i))
            keypoints.append(sample.keypoints[0])
            boxes.append(sample.box)
            if progress is not None:
                progress(1)
    count = len(images)
    annotations = Annotations(
        HAND_21,
        images,
        np.arange(count),
        np.array(keypoints),
        np.array(boxes),
        path.parent,
        track=np.zeros(count, np.int64),
        source=str(path),
    )
    write = get_format("coco").write
    assert write is not None
    write(annotations, path.with_suffix(".json"))
    return annotations
