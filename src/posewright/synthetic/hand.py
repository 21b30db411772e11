"""One picture of a hand, from a seed and an index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posewright.annotations import boxes_from_keypoints
from posewright.errors import PosewrightError
from posewright.synthetic.anatomy import Array, pose_hand
from posewright.synthetic.camera import Camera
from posewright.synthetic.gestures import random_articulation
from posewright.synthetic.scene import Looks, Scene, draw_capsules, draw_scene
from posewright.synthetic.scenery import background
from posewright.synthetic.shading import Picture
from posewright.synthetic.things import Bar, Sheet, decoy, held_thing
from posewright.synthetic.view import fit_view, random_rotation, rotation_from_angles

EMPTY_SHARE = 0.08
"""The usual share of pictures without any hand."""
_SMALLEST_SIDE = 32


@dataclass
class Sample:
    """One picture with its truth.

    Attributes:
        image: ``uint8 [H, W, 3]`` RGB.
        keypoints: ``[N, 21, 3]`` (x, y, v) of the skeleton hand-21, N = 0 or 1, in pixels of the picture with (0, 0)
            at the first pixel's centre; v = 1 hidden behind a thing or the hand itself, 2 visible. All lie inside the
            picture.
        box: (x0, y0, x1, y1) around the hand in the same frame (the keypoints' box with the package's usual margin, cut
            at the picture's edge), or None where there is no hand.
        left: whether it is a left hand; None where there is no hand.
    """

    image: Picture
    keypoints: Array
    box: Array | None
    left: bool | None


def render_hand(
    seed: int,
    index: int,
    size: tuple[int, int] = (256, 256),
    *,
    empty_share: float = EMPTY_SHARE,
    difficulty: float = 1.0,
) -> Sample:
    """Draw picture ``index`` of the set ``seed``; the same arguments always give the same picture, in any order.

    Args:
        seed: which set, 0 or more.
        index: which picture of it, 0 or more.
        size: (width, height) in pixels.
        empty_share: 0..1, the chance of a picture without any hand (clutter, and things that resemble one).
        difficulty: 0 for upright hands with clear gestures before quiet backgrounds, nothing in front; 1 for all.

    Raises:
        PosewrightError: where an argument makes no sense.
    """
    width, height = check_size(size)
    check_seed(seed)
    if index < 0:
        raise PosewrightError(f"index {index} is below 0")
    check_share("empty_share", empty_share)
    check_share("difficulty", difficulty)
    rng = np.random.default_rng([seed, index])
    empty = bool(rng.random() < empty_share)
    picture = background(rng, width, height, 0.35 + 0.65 * difficulty)
    camera = Camera.random(rng, size, difficulty)
    if empty:
        draw_no_hand(picture, rng)
        return Sample(camera.take(rng, picture), np.zeros((0, 21, 3)), None, None)
    scene = random_scene(rng, (width, height), difficulty)
    keypoints = draw_scene(picture, scene)
    box = hand_box(keypoints, width, height)
    return Sample(camera.take(rng, picture), keypoints[None], box, scene.looks.shape.left)


def random_scene(
    rng: np.random.Generator, size: tuple[int, int], difficulty: float, spans: tuple[float, float] = (0.34, 0.90)
) -> Scene:
    """A hand with its light, its grip and what hides it, for a picture of ``size`` = (width, height).

    ``spans`` are the smallest and the largest share of the picture's shorter side that its keypoints may span.
    """
    looks = Looks.random(rng)
    holds, hides, span, far, px, py = rng.random(6).tolist()
    if holds < 0.15 * difficulty:
        articulation, held = held_thing(rng, looks.shape.left)
    else:
        articulation, held = random_articulation(rng, difficulty), None
    hand = pose_hand(looks.shape, articulation)
    extent = min(size) * (spans[0] + (spans[1] - spans[0]) * span**0.7)
    roam = 0.4 + 0.6 * difficulty
    place = (0.5 + (px - 0.5) * roam, 0.5 + (py - 0.5) * roam)
    turn = random_turn(rng, difficulty)
    hand = hand.with_arm_aside(turn[2])
    view = fit_view(turn, hand.keypoints, 3.5 + 7 * far, extent, size, place)
    scene = Scene(looks, hand, view, held)
    if hides < 0.4 * difficulty:
        spots = view.project(hand.keypoints)[:, :2]
        reach = float((spots.max(0) - spots.min(0)).max())
        for _ in range(1 if rng.random() < 0.7 else 2):
            target = spots[int(rng.random() * 21)] + rng.normal(size=2) * 0.05 * reach
            if rng.random() < 0.5:
                scene.bars.append(Bar.random(rng, target, reach))
            else:
                scene.sheets.append(Sheet.random(rng, target, reach))
    return scene


def random_turn(rng: np.random.Generator, variety: float = 1.0) -> Array:
    """How a hand is turned: mostly upright, palm or back to the viewer; with ``variety`` 1 any way at all."""
    back, free, whirl, angle = rng.random(4).tolist()
    if free < 0.14 * variety:
        turn = random_rotation(rng)
        # Nobody sees a hand along its own arm, fingers first excepted.
        return turn if turn[2, 1] > -0.5 else np.diag([1.0, -1.0, -1.0]) @ turn
    pitch, yaw, roll = (rng.normal(size=3) * (24, 30, 28) * (0.4 + 0.6 * variety)).tolist()
    if whirl < 0.25 * variety:
        roll = angle * 360
    return rotation_from_angles(pitch, yaw + (180 if back < 0.4 else 0), roll)


def draw_no_hand(picture: Picture, rng: np.random.Generator) -> None:
    """Something that a careless eye takes for a hand, or nothing but the background."""
    height, width = picture.shape[:2]
    if rng.random() < 0.7:
        draw_capsules(picture, Looks.random(rng), *decoy(rng, (width, height)))
    if rng.random() < 0.25:
        Sheet.random(rng, rng.random(2) * (width, height), 0.6 * min(width, height)).draw(picture)


def hand_box(keypoints: Array, width: int, height: int) -> Array:
    """The box (x0, y0, x1, y1) around one hand's keypoints ``[21, 3]``, cut at the picture's edge."""
    box = boxes_from_keypoints(keypoints[None])[0]
    return np.concatenate([np.maximum(box[:2], -0.5), np.minimum(box[2:], (width - 0.5, height - 0.5))])


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) as whole numbers.

    Raises:
        PosewrightError: where a picture of that size is too small to show a hand.
    """
    width, height = int(size[0]), int(size[1])
    if min(width, height) < _SMALLEST_SIDE:
        fix = f"Make both sides {_SMALLEST_SIDE} or more"
        raise PosewrightError(f"a picture of {width}x{height} pixels is too small for a hand", fix=fix)
    return width, height


def check_seed(seed: int) -> None:
    """Raise PosewrightError where a seed is below 0."""
    if seed < 0:
        raise PosewrightError(f"seed {seed} is below 0")


def check_share(name: str, value: float) -> None:
    """Raise PosewrightError where a share is not within 0..1."""
    if not 0 <= value <= 1:
        raise PosewrightError(f"{name} {value:g} is not between 0 and 1")
