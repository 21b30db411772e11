"""What is drawn on skin rather than modelled: creases, wrinkles over the joints, nails, redder places."""

from __future__ import annotations

import cv2
import numpy as np

from posewright.synthetic.anatomy import Array, PosedHand
from posewright.synthetic.shading import Picture, blend, paint
from posewright.synthetic.surface import DepthBuffer, Window
from posewright.synthetic.view import View

# (x, y) in the hand's frame, palms: the creases of heart, head and life.
_PALM_LINES = np.array(
    [
        [(-0.42, 0.66), (-0.30, 0.69), (-0.17, 0.72), (-0.04, 0.76), (0.07, 0.83), (0.12, 0.90)],
        [(0.33, 0.74), (0.20, 0.70), (0.07, 0.64), (-0.06, 0.57), (-0.20, 0.49), (-0.30, 0.40)],
        [(0.34, 0.72), (0.22, 0.66), (0.13, 0.56), (0.07, 0.43), (0.04, 0.29), (0.05, 0.14)],
    ]
)
_ARC = np.deg2rad(np.linspace(-65, 65, 6))
# A nail's outline: along the finger (rounded at the root, blunt at the free edge) and around it.
_TURN = np.linspace(0, 2 * np.pi, 12, endpoint=False)
_NAIL_REACH = np.sign(np.cos(_TURN)) * np.abs(np.cos(_TURN)) ** 0.7
_NAIL_RISE, _NAIL_SWING = np.cos(0.8 * np.sin(_TURN)), np.sin(0.8 * np.sin(_TURN))


def _lines(hand: PosedHand) -> tuple[Array, Array]:
    """Creases as polylines ``[37, 6, 3]`` in the hand's frame, and how deep each is, 0..1; the palm's come last."""
    shape, fingers = hand.shape, hand.keypoints[1:].reshape(5, 4, 3)
    # Across the inside of two joints of each finger and of the roots of four.
    pad = (hand.pad[:, :2] + hand.pad[:, 1:]).reshape(10, 3)
    pad /= np.sqrt((pad * pad).sum(1, keepdims=True))
    centre = np.concatenate([fingers[:, 1:3].reshape(10, 3), fingers[1:, 0] * 0.66 + fingers[1:, 1] * 0.34])
    radius = np.concatenate([shape.radii[:, 1:3].ravel(), shape.radii[1:, 1] * 1.08])[:, None, None]
    inner = np.concatenate([pad, hand.pad[1:, 0]])
    across = np.concatenate([np.repeat(hand.side, 2, axis=0), hand.side[1:]])
    up, out = inner[:, None] * (radius * np.cos(_ARC)[:, None]), across[:, None] * (radius * np.sin(_ARC)[:, None])
    lines = np.empty((37, 6, 3))
    lines[:14] = centre[:, None] + up + out
    # Over a straight finger joint the skin of the back lies in folds, which a bent joint stretches away.
    back, along = centre[:10, None] - up[:10] + out[:10] * 0.7, hand.along[:, :2].reshape(10, 1, 3)
    lines[14:24], lines[24:34] = back + along * 0.03, back - along * 0.035
    lines[34:, :, :2], lines[34:, :, 2] = _PALM_LINES, 0.13
    if shape.left:
        lines[34:, :, 0] *= -1
    bent = (hand.along[:, :2] * hand.along[:, 1:]).sum(2).ravel()
    folds = np.minimum(np.maximum((bent - 0.6) * 1.6, 0), 0.55)
    return lines, np.concatenate([np.full(10, 0.8), np.full(4, 0.9), folds, folds, np.ones(3)])


def crease_map(hand: PosedHand, view: View, buffer: DepthBuffer, window: Window, strength: float) -> Picture:
    """How much shade the creases take away, ``uint8 [h, w]`` of the window; ``strength`` 0..1."""
    left, top, right, bottom = window
    canvas = np.zeros((bottom - top, right - left), np.uint8)
    lines, depths = _lines(hand)
    seen = view.project(lines)
    shown = _on_surface(seen, buffer, 0.06 * view.scale)
    if view.rotation[2, 2] < 0.15:  # the palm looks away
        shown[-3:] = False
    runs = shown[:, :-1] & shown[:, 1:]
    points = ((seen[..., :2] - (left, top)) * 16).round().astype(np.int32)
    width = 1 if view.scale < 110 else 2
    first, last = runs.argmax(1).tolist(), (runs.shape[1] - runs[:, ::-1].argmax(1)).tolist()
    for row in np.flatnonzero(runs.any(1) & (depths > 0.05)).tolist():
        value = float(depths[row] * strength * 58)
        cv2.polylines(canvas, [points[row, first[row] : last[row] + 1]], False, value, width, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(canvas, (3, 3), 0.6)


def _on_surface(seen: Array, buffer: DepthBuffer, slack: float) -> np.ndarray:
    """Which projected points lie on what the buffer shows, rather than behind it or outside the picture."""
    columns, rows = seen[..., 0].round().astype(int), seen[..., 1].round().astype(int)
    inside = (columns >= 0) & (columns < buffer.width) & (rows >= 0) & (rows < buffer.height)
    depth = buffer.depth[np.clip(rows, 0, buffer.height - 1), np.clip(columns, 0, buffer.width - 1)]
    return inside & (np.abs(depth - seen[..., 2]) < slack)


def blush_map(hand: PosedHand, view: View, window: Window, strength: float) -> Picture:
    """Where the skin is redder, ``uint8 [h, w]`` of the window: fingertips, knuckles and the balls of the hand."""
    left, top, right, bottom = window
    width, height = max(2, (right - left) // 4), max(2, (bottom - top) // 4)
    canvas: Picture = np.zeros((height, width), np.uint8)
    spots = view.project(hand.keypoints)[:, :2]
    reach = view.scale / 4
    for k, (x, y) in enumerate(((spots - (left, top)) / 4).round().astype(int).tolist()):
        if k == 0:
            continue
        joint = (k - 1) % 4
        value, radius = ((0.25, 0.14), (0.45, 0.09), (0.3, 0.08), (1.0, 0.11))[joint]
        cv2.circle(canvas, (x, y), max(1, round(radius * reach)), value * strength * 34, -1)
    size = 2 * max(1, round(0.05 * reach)) + 1
    canvas = cv2.blur(canvas, (size, size))
    return cv2.resize(canvas, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)


def draw_nails(picture: Picture, hand: PosedHand, view: View, buffer: DepthBuffer, window: Window, shades: Picture,
               ramp: Picture, length: float) -> None:  # fmt: skip
    """Draw the nails that look at the viewer onto a picture, in place.

    Args:
        picture: ``uint8 [H, W, 3]`` with the hand on it.
        shades: ``uint8 [h, w]`` of the window, so that nails share the light of their fingers.
        ramp: the nails' colours.
        length: 1 for short nails, more where they reach beyond the fingertip.
    """
    shape, fingers = hand.shape, hand.keypoints[1:].reshape(5, 4, 3)
    facing = -(hand.pad[:, 2] @ view.rotation[2]) > 0.12
    if not facing.any():
        return
    last = shape.bones[:, 2] - 0.1 * shape.radii[:, 3]
    middle, half = 0.72 * last * (1 + 0.12 * (length - 1)), 0.27 * last * length
    radius = shape.radii[:, 3] * 0.99
    centre = fingers[:, 2, None] + hand.along[:, 2, None] * (middle[:, None] + half[:, None] * _NAIL_REACH)[..., None]
    around = _NAIL_RISE[:, None] * -hand.pad[:, 2, None] + _NAIL_SWING[:, None] * hand.side[:, None]
    seen = view.project(centre + around * radius[:, None, None])
    shown = facing & (_on_surface(seen, buffer, 0.07 * view.scale).mean(1) > 0.6)
    left, top, right, bottom = window
    for f in np.flatnonzero(shown):
        x0, y0 = np.maximum(seen[f, :, :2].min(0).astype(int) - 1, (left, top)).tolist()
        x1, y1 = np.minimum(seen[f, :, :2].max(0).astype(int) + 3, (right, bottom)).tolist()
        if x0 >= x1 or y0 >= y1:
            continue
        cover = np.zeros((y1 - y0, x1 - x0), np.uint8)
        points = ((seen[f, :, :2] - (x0, y0)) * 16).round().astype(np.int32)
        cv2.fillConvexPoly(cover, points, 215, cv2.LINE_AA, 4)
        light = cv2.convertScaleAbs(shades[y0 - top : y1 - top, x0 - left : x1 - left], beta=12)
        blend(picture[y0:y1, x0:x1], paint(light, None, ramp), cover)
