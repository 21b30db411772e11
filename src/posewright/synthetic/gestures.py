"""What hands do: named gestures, and random articulations around and between them."""

from __future__ import annotations

import numpy as np

from posewright.synthetic.anatomy import Articulation

# Finger angles in degrees: (spread, knuckle, middle joint, end joint); thumb: (aside, out of the palm, knuckle, end joint).
STRAIGHT = (0, 4, 4, 2)
CURLED = (0, 82, 100, 58)
HALF = (0, 42, 55, 32)
HOOKED = (0, 8, 88, 55)
LAX = (0, 22, 30, 15)
BENT = (0, 60, 12, 6)
OUT = (52, 8, 2, -4)
ALONG = (18, 14, 8, 4)
ACROSS = (10, 40, 50, 55)
OPPOSED = (30, 48, 20, 15)


def _gesture(thumb, index, middle, ring, little, spread=0.0):  # type: ignore[no-untyped-def]
    angles = np.array([thumb, index, middle, ring, little], float)
    angles[1:, 0] += spread * np.array([1.0, 0.15, -0.8, -1.5])
    return Articulation(angles, np.zeros(2))


GESTURES = {
    "open": _gesture(OUT, STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, 10),
    "flat": _gesture(ALONG, STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, -3),
    "five": _gesture(OUT, STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, 3),
    "lax": _gesture((30, 28, 10, 8), LAX, LAX, (0, 28, 34, 17), (0, 32, 36, 18), 2),
    "fist": _gesture(ACROSS, CURLED, CURLED, CURLED, CURLED),
    "side fist": _gesture((12, 24, 12, 18), CURLED, CURLED, CURLED, CURLED),
    "thumb up": _gesture((60, 5, -5, -12), CURLED, CURLED, CURLED, CURLED),
    "point": _gesture(ACROSS, STRAIGHT, CURLED, CURLED, CURLED),
    "gun": _gesture((58, 5, 0, -5), STRAIGHT, CURLED, CURLED, CURLED),
    "victory": _gesture(ACROSS, STRAIGHT, STRAIGHT, CURLED, CURLED, 10),
    "three": _gesture(ACROSS, STRAIGHT, STRAIGHT, STRAIGHT, CURLED, 7),
    "thumb three": _gesture(OUT, STRAIGHT, STRAIGHT, CURLED, CURLED, 8),
    "four": _gesture(ACROSS, STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, 7),
    "horns": _gesture(ACROSS, STRAIGHT, CURLED, CURLED, STRAIGHT, 4),
    "rock": _gesture(OUT, STRAIGHT, CURLED, CURLED, STRAIGHT, 4),
    "call": _gesture((60, 5, -5, -8), CURLED, CURLED, CURLED, (-12, 4, 4, 2)),
    "little": _gesture(ACROSS, CURLED, CURLED, CURLED, STRAIGHT),
    "ring pinch": _gesture((28, 52, 18, 30), (0, 48, 62, 30), STRAIGHT, STRAIGHT, STRAIGHT, 6),
    "pinch": _gesture((28, 52, 18, 30), (0, 48, 62, 30), (0, 55, 65, 35), (0, 60, 70, 40), (0, 62, 72, 42)),
    "cup": _gesture((40, 45, 15, 15), HALF, HALF, HALF, HALF, 3),
    "claw": _gesture((50, 30, 10, 30), (0, 12, 62, 40), (0, 12, 62, 40), (0, 12, 62, 40), (0, 12, 62, 40), 8),
    "hook": _gesture((20, 20, 15, 20), HOOKED, HOOKED, HOOKED, HOOKED),
    "beak": _gesture(OPPOSED, BENT, BENT, BENT, BENT, -2),
}
