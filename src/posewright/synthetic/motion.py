"""How a hand moves during a clip: freely, or one drill of those that a tracker has to pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from posewright.errors import PosewrightError, did_you_mean
from posewright.synthetic.anatomy import Array, Articulation
from posewright.synthetic.gestures import GESTURES
from posewright.synthetic.things import FRONT, OTHER_SKIN, Bar
from posewright.synthetic.view import View, rotation_from_angles

_OPEN = ("open", "five", "open", "lax")
_CLOSED = ("fist", "point", "victory", "three", "ring pinch", "thumb up", "rock", "cup", "horns")
_CROSSING = (0.45, 0.68)
"""When something passes in front of the hand, as shares of the clip."""


class Motion(Protocol):
    """What a hand does at each time ``t``, in seconds from the clip's beginning."""

    def articulation(self, t: float) -> Articulation:
        """How it is bent."""
        ...

    def view(self, t: float, keypoints: Array) -> View:
        """Where it is seen; ``keypoints`` are those of the bent hand, ``[21, 3]`` in its own frame."""
        ...

    def bars(self, t: float) -> list[Bar]:
        """What is in front of it."""
        ...


class Free:
    """``free``: moves, turns, opens and closes, smoothly; all of it stays in the picture, and something passes in front once."""

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
        self.passer = _Passer(rng, seconds, size)

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

    def bars(self, t: float) -> list[Bar]:
        return self.passer.at(t)


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


class Drill:
    """A hand of steady size and gesture that does one thing over and over.

    ``still``: rests. ``slow`` and ``fast``: go to and fro on a line, at a steady speed. ``jump``: is at another place every
    second, with nothing between. ``hidden``: drifts, and a broad thing stops in front of it for most of a second, every
    three. ``leaves``: goes out of the picture, is away for a second and comes in at another side, every four.
    """

    def __init__(self, kind: str, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self.kind, self.size = kind, np.array(size, float)
        self.palm = min(size) * 0.1
        bend = GESTURES["lax"] if kind == "still" else GESTURES["open"]
        self.bend = Articulation(bend.angles + rng.normal(size=(5, 4)) * 3, rng.normal(size=2) * (8, 5)).limited()
        self.rotation = rotation_from_angles(*(rng.normal(size=3) * (8, 14, 12)).tolist())
        self.places = 0.5 + (rng.random((64, 2)) - 0.5) * 0.5
        angle = rng.random() * 2 * np.pi
        self.along = np.array([np.cos(angle), np.sin(angle)])

    def articulation(self, t: float) -> Articulation:
        return self.bend

    def view(self, t: float, keypoints: Array) -> View:
        x, y = self.place(t).tolist()
        return View(self.rotation, self.rotation @ np.array([0.0, 0.95, 0.1]), 7.0, self.palm, (x, y))

    def place(self, t: float) -> Array:
        """Where the palm's middle is, (x, y) in pixels of the picture."""
        middle = self.size / 2
        if self.kind == "still":
            return self.size * self.places[0]
        if self.kind == "jump":
            return self.size * self.places[int(t) % 64]
        if self.kind == "leaves":
            return self._leaving(t)
        speed = {"slow": 0.6, "fast": 9.0, "hidden": 0.6}[self.kind] * self.palm
        reach = 0.25 * min(self.size)
        covered = (speed * t + reach) % (4 * reach)
        return middle + self.along * (covered - reach if covered < 2 * reach else 3 * reach - covered)

    def _leaving(self, t: float) -> Array:
        turn, rest = divmod(t, 4.0)
        here, there = (self.size * self.places[(int(turn) + i) % 64] for i in (0, 1))
        out = np.array([self.size[0] + 4 * self.palm, here[1]])
        back = np.array([there[0], -4 * self.palm])
        spots = [here, here, out, out, back, there, there]
        return np.stack([np.interp(rest, [0, 1.5, 2.0, 2.5, 2.501, 3.5, 4], axis) for axis in np.stack(spots, 1)])

    def bars(self, t: float) -> list[Bar]:
        if self.kind != "hidden":
            return []
        # In from the side within a third of a second, there for 0.8 s, and out again.
        share = float(np.interp(t % 3.0, [1.2, 1.5, 2.3, 2.6], [-1, 0, 0, 1], left=np.nan, right=np.nan))
        if np.isnan(share):
            return []
        x = float(self.place(t)[0] + share * self.size[0])
        return [Bar((x, -3 * self.palm), (x, float(self.size[1]) + 3 * self.palm), 1.7 * self.palm, FRONT)]


DRILLS = ("still", "slow", "fast", "jump", "hidden", "leaves")
MOTIONS = ("free", *DRILLS)


def make_motion(kind: str, rng: np.random.Generator, seconds: float, size: tuple[int, int]) -> Motion:
    """A motion by name.

    Raises:
        PosewrightError: where there is none of that name.
    """
    if kind not in MOTIONS:
        raise PosewrightError(f"unknown motion '{kind}'", fix=did_you_mean(kind, MOTIONS))
    return Free(rng, seconds, size) if kind == "free" else Drill(kind, rng, size)
