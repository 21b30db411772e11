"""What hands do: named gestures, and random articulations of, around and between them."""

from __future__ import annotations

import numpy as np

from posewright.synthetic.anatomy import Articulation

_Angles = tuple[float, float, float, float]

# Degrees. Fingers: (spread, knuckle, middle joint, end joint). Thumb: (aside, out of the palm, knuckle, end joint).
STRAIGHT: _Angles = (0, 4, 4, 2)
CURLED: _Angles = (0, 85, 106, 66)
HALF: _Angles = (0, 42, 55, 32)
HOOKED: _Angles = (0, 8, 88, 55)
CLAWED: _Angles = (0, 12, 62, 40)
LAX: _Angles = (0, 22, 30, 15)
BENT: _Angles = (0, 60, 12, 6)
OUT: _Angles = (52, 8, 2, -4)
UP: _Angles = (60, 5, -5, -10)
ALONG: _Angles = (18, 14, 8, 4)
ACROSS: _Angles = (10, 40, 50, 55)
OPPOSED: _Angles = (30, 48, 20, 15)
MEETING: _Angles = (12, 44, 11, -12)
THUMBS = np.array([OUT, OUT, UP, ALONG, ACROSS, OPPOSED, LAX], float)


def _gesture(
    thumb: _Angles, index: _Angles, middle: _Angles, ring: _Angles, little: _Angles, spread: float = 0.0
) -> Articulation:
    angles = np.array([thumb, index, middle, ring, little], float)
    angles[1:, 0] += spread * np.array([1.0, 0.15, -0.8, -1.5])
    return Articulation(angles, np.zeros(2))


GESTURES: dict[str, Articulation] = {
    "open": _gesture(OUT, STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, 10),
    "five": _gesture(OUT, STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, 3),
    "flat": _gesture(ALONG, STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, -3),
    "lax": _gesture((30, 28, 10, 8), LAX, LAX, (0, 28, 34, 17), (0, 32, 36, 18), 2),
    "fist": _gesture(ACROSS, CURLED, CURLED, CURLED, CURLED),
    "side fist": _gesture((12, 24, 12, 18), CURLED, CURLED, CURLED, CURLED),
    "thumb up": _gesture(UP, CURLED, CURLED, CURLED, CURLED),
    "point": _gesture(ACROSS, STRAIGHT, CURLED, CURLED, CURLED),
    "gun": _gesture(UP, STRAIGHT, CURLED, CURLED, CURLED),
    "victory": _gesture(ACROSS, STRAIGHT, STRAIGHT, CURLED, CURLED, 10),
    "thumb three": _gesture(OUT, STRAIGHT, STRAIGHT, CURLED, CURLED, 8),
    "three": _gesture(ACROSS, STRAIGHT, STRAIGHT, STRAIGHT, CURLED, 7),
    "four": _gesture(ACROSS, STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, 7),
    "horns": _gesture(ACROSS, STRAIGHT, CURLED, CURLED, STRAIGHT, 4),
    "rock": _gesture(OUT, STRAIGHT, CURLED, CURLED, STRAIGHT, 4),
    "call": _gesture(UP, CURLED, CURLED, CURLED, (-12, 4, 4, 2)),
    "little": _gesture(ACROSS, CURLED, CURLED, CURLED, STRAIGHT),
    "ring pinch": _gesture(MEETING, (0, 43, 64, 32), STRAIGHT, STRAIGHT, STRAIGHT, 6),
    "pinch": _gesture(MEETING, (0, 43, 64, 32), (0, 55, 65, 35), (0, 60, 70, 40), (0, 62, 72, 42)),
    "cup": _gesture((40, 45, 15, 15), HALF, HALF, HALF, HALF, 3),
    "claw": _gesture((50, 30, 10, 30), CLAWED, CLAWED, CLAWED, CLAWED, 8),
    "hook": _gesture((20, 20, 15, 20), HOOKED, HOOKED, HOOKED, HOOKED),
    "beak": _gesture(OPPOSED, BENT, BENT, BENT, BENT, -2),
}
_ALL = tuple(GESTURES.values())
_JITTER = np.array([(5, 7, 7, 8)] + [(3, 7, 8, 6)] * 4, float)


def random_articulation(rng: np.random.Generator, variety: float = 1.0) -> Articulation:
    """A gesture with small deviations, fingers from two gestures, or each finger on its own, within the limits.

    Args:
        rng: decides everything.
        variety: 0 for clean gestures, 1 for everything a hand does.
    """
    kind, first, second = rng.random(3)
    one, other = _ALL[int(first * len(_ALL))], _ALL[int(second * len(_ALL))]
    if kind < 0.22 * variety:
        angles = np.where(rng.random((5, 1)) < 0.5, one.angles, other.angles)
    elif kind < 0.36 * variety:
        angles = one.mixed(other, float(rng.random())).angles
    elif kind < 0.6 * variety:
        angles = _free(rng)
    else:
        angles = one.angles
    angles = angles + rng.normal(size=(5, 4)) * _JITTER * (0.4 + 0.6 * variety)
    loose = 26.0 if rng.random() < 0.15 else 9.0
    wrist = rng.normal(size=2) * (loose, loose * 0.6) * (0.4 + 0.6 * variety)
    return Articulation(angles, wrist).limited()


def _free(rng: np.random.Generator) -> np.ndarray:
    """Angles of a hand whose fingers bend each on their own, neighbours somewhat alike."""
    common = rng.random()
    curl = np.clip(common + (rng.random(4) - 0.5) * 1.5, 0, 1)
    knuckle = np.clip(curl + rng.normal(size=4) * 0.25, 0, 1)
    angles = np.empty((5, 4))
    thumbs = THUMBS[(rng.random(2) * len(THUMBS)).astype(int)]
    angles[0] = thumbs[0] + (thumbs[1] - thumbs[0]) * rng.random()
    angles[1:, 1], angles[1:, 2], angles[1:, 3] = knuckle * 88, curl * 105, curl * 65 * (0.5 + 0.5 * rng.random())
    angles[1:, 0] = (rng.random() * 1.3 - 0.2) * np.array([10, 1, -7, -14])
    return angles
