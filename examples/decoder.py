"""The reference decoder in plain Python: a heat map to a keypoint, a picture to a crop, and back. Copy it, or port it.

For model files exported with ``--outputs heatmaps``, where a chip runs the net and the rest is yours. It uses nothing but
``math``, works on lists of lists, and gives what ``posewright.runtime.decode`` gives; a test holds them together. All the
numbers it asks for stand in the model file's description, the JSON entry ``posewright``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def decode(
    cells: Sequence[Sequence[float]],
    stride: int,
    label_shift: tuple[float, float] = (0.0, 0.0),
    decoding: str = "gaussian",
) -> tuple[float, float, float]:
    """The keypoint (x, y, score) of one map, in pixels of the crop, (0, 0) at the first pixel's centre.

    Args:
        cells: the h rows of w cells of one keypoint, of the last stage: ``heatmaps[b, -1, k]``.
        stride, label_shift, decoding: the description's entries of these names.
    """
    height, width = len(cells), len(cells[0])
    if decoding == "argmax_resized":
        return _highest_resized(cells, stride)
    peak, row, column = max((cells[y][x], -y, -x) for y in range(height) for x in range(width))
    row, column = -row, -column  # of equal cells the first
    if decoding == "argmax":
        return (column * stride, row * stride, min(peak, 1.0)) if peak >= 1e-6 else (0, 0, 0.0)

    # The gaussian that fits the 5 x 5 cells around the highest; near the edge they are shifted inwards.
    top, left = min(max(row - 2, 0), height - 5), min(max(column - 2, 0), width - 5)
    floor = max(peak, 1e-6) * 1e-4
    patch = [[max(value, floor) for value in line[left : left + 5]] for line in cells[top : top + 5]]
    dx, rise_x = _top_of_parabola([sum(line[i] for line in patch) for i in range(5)], column - left)
    dy, rise_y = _top_of_parabola([sum(line) for line in patch], row - top)
    middle = (stride - 1) / 2
    x = (column + dx - label_shift[0]) * stride + middle
    y = (row + dy - label_shift[1]) * stride + middle
    return x, y, min(max(peak * math.exp(rise_x + rise_y), 0.0), 1.0)


def _top_of_parabola(profile: Sequence[float], place: int) -> tuple[float, float]:
    """Fit a parabola to the logarithm of five values, weighted with their squares, whose highest stands at ``place``.

    Returns where its top lies from there, within one cell, and how far it rises above it, in logarithms, at most 0.5.
    """
    highest = math.log(max(profile))
    s, t = [0.0] * 5, [0.0] * 3
    for i, value in enumerate(profile):
        v = math.log(value) - highest
        weight, u = math.exp(2 * v), i - place
        for n in range(5):
            s[n] += weight * u**n
        for n in range(3):
            t[n] += weight * v * u**n
    # Cramer's rule for [s0 s1 s2; s1 s2 s3; s2 s3 s4] (a, b, c) = (t0, t1, t2).
    m1, m2 = s[1] * s[4] - s[2] * s[3], s[1] * s[3] - s[2] * s[2]
    det = s[0] * (s[2] * s[4] - s[3] * s[3]) - s[1] * m1 + s[2] * m2
    b = s[0] * (t[1] * s[4] - t[2] * s[3]) - t[0] * m1 + s[2] * (s[1] * t[2] - s[2] * t[1])
    c = s[0] * (s[2] * t[2] - s[3] * t[1]) - s[1] * (s[1] * t[2] - s[2] * t[1]) + t[0] * m2
    if not (det > 0 and c < -1e-6 * det):
        return 0.0, 0.0
    shift = min(max(-b / (2 * c), -1.0), 1.0)
    return shift, min(max(-c / det * shift * shift, 0.0), 0.5)


def _highest_resized(cells: Sequence[Sequence[float]], stride: int) -> tuple[float, float, float]:
    """The highest pixel of the map enlarged to the crop, bilinearly."""
    height, width = len(cells), len(cells[0])
    best = (-math.inf, 0, 0)
    for v in range(height * stride):
        y = min(max((v + 0.5) / stride - 0.5, 0.0), height - 1.0)
        top = int(y)
        bottom, down = min(top + 1, height - 1), y - top
        for u in range(width * stride):
            x = min(max((u + 0.5) / stride - 0.5, 0.0), width - 1.0)
            left = int(x)
            right, across = min(left + 1, width - 1), x - left
            upper = cells[top][left] * (1 - across) + cells[top][right] * across
            lower = cells[bottom][left] * (1 - across) + cells[bottom][right] * across
            value = upper * (1 - down) + lower * down
            if value > best[0]:
                best = (value, u, v)
    return best[1], best[2], min(max(best[0], 0.0), 1.0)


def crop_map(
    box: tuple[float, float, float, float], size: tuple[int, int], margin: float = 1.0
) -> tuple[float, float, float]:
    """The crop of a box: (scale, dx, dy), with ``crop = scale * picture + (dx, dy)``.

    A whole W x H picture is the box (-0.5, -0.5, W - 0.5, H - 0.5), with a margin of 1. An object's box gets the
    description's ``crop.margin``.

    Args:
        box: (x0, y0, x1, y1) in pixels of the picture.
        size: (width, height) of the crop: ``input_size``.
        margin: factor on both sides, about the centre.
    """
    x0, y0, x1, y1 = box
    width = max((x1 - x0) * margin, (y1 - y0) * margin * size[0] / size[1])  # lengthened, never squashed
    scale = size[0] / width
    return scale, (size[0] - 1) / 2 - scale * (x0 + x1) / 2, (size[1] - 1) / 2 - scale * (y0 + y1) / 2


def to_picture(point: tuple[float, float], mapped: tuple[float, float, float]) -> tuple[float, float]:
    """A point of the crop in pixels of the picture."""
    scale, dx, dy = mapped
    return (point[0] - dx) / scale, (point[1] - dy) / scale
