"""What lies behind a hand: rooms, shelves, patterns, people, clutter, none of it a hand."""

from __future__ import annotations

import cv2
import numpy as np

from posewright.synthetic.shading import TONES, Colour, Picture, grain_tile


class Palette:
    """A handful of colours that go together, as the things of one room do."""

    def __init__(self, rng: np.random.Generator) -> None:
        count = 5
        hsv = np.empty((1, count + 1, 3), np.uint8)
        main, draws = rng.random() * 180, rng.random((3, count + 1))
        spread = 18 if rng.random() < 0.4 else 90
        hsv[0, :, 0] = (main + (draws[0] - 0.5) * 2 * spread) % 180
        hsv[0, :, 1] = 255 * np.clip(draws[1] ** 1.6 * rng.uniform(0.2, 0.9), 0, 1)
        hsv[0, :, 2] = 255 * np.clip(0.08 + 0.9 * draws[2], 0, 1)
        self.colours: list[list[int]] = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0].tolist()

    def pick(self, rng: np.random.Generator, jitter: float = 14.0) -> Colour:
        r, g, b = self.colours[int(rng.random() * len(self.colours))]
        return _jittered(rng, (r, g, b), jitter)


def skin_colour(rng: np.random.Generator) -> Colour:
    """The colour of somebody's skin, in some light."""
    place, bright = rng.random(2).tolist()
    r, g, b = TONES[int(place**1.2 * len(TONES))]
    return _jittered(rng, (r * (0.7 + 0.4 * bright), g * (0.7 + 0.4 * bright), b * (0.7 + 0.4 * bright)), 8.0)


def _jittered(rng: np.random.Generator, colour: Colour, deviation: float) -> Colour:
    (r, g, b), (dr, dg, db) = colour, (rng.normal(size=3) * deviation).tolist()
    return max(0.0, min(255.0, r + dr)), max(0.0, min(255.0, g + dg)), max(0.0, min(255.0, b + db))


def background(rng: np.random.Generator, width: int, height: int, clutter: float = 1.0) -> Picture:
    """A background, ``uint8 [height, width, 3]`` RGB.

    Args:
        rng: decides everything.
        clutter: 0 for a plain wall, 1 for the full variety.
    """
    palette = Palette(rng)
    picture = _ground(rng, width, height, palette)
    layers = (_shelf, _boxes, _stripes, _discs, _sticks, _writing, _quads, _person, _blobs)
    chance = np.array([0.2, 0.5, 0.22, 0.35, 0.45, 0.2, 0.4, 0.25, 0.35]) * clutter
    chosen = np.flatnonzero(rng.random(len(layers)) < chance)
    soft = rng.random() < 0.5
    for i in rng.permutation(chosen).tolist():
        layers[i](rng, picture, palette)
    if soft:
        size = 2 * int(1 + rng.random() ** 2 * 0.008 * max(width, height)) + 1
        small = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        small = cv2.blur(cv2.blur(small, (size, size)), (size, size))
        picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.3 * clutter:
        layers[int(rng.random() * len(layers))](rng, picture, palette)
    if rng.random() < 0.4:
        _texture(rng, picture)
    if rng.random() < 0.5:
        light = cv2.resize(rng.integers(120, 256, (2, 2), np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
        picture = cv2.multiply(picture, cv2.merge([light] * 3), scale=1 / 220)
    return picture


def _ground(rng: np.random.Generator, width: int, height: int, palette: Palette) -> Picture:
    """A wall: clouds of colour from several octaves, or a plain gradient."""
    corners = np.array([palette.pick(rng) for _ in range(4)]).reshape(2, 2, 3).clip(0, 255).astype(np.uint8)
    strength = rng.random() * 0.75
    cells = 2.0 + rng.random() * 3
    ground = cv2.resize(corners, (64, 64), interpolation=cv2.INTER_LINEAR)
    while strength > 0.06 and cells < 60:
        grid = rng.integers(0, 256, (max(2, int(cells * height / width)), int(cells) + 1, 3), np.uint8)
        # Mostly light and dark; a wall rarely changes its hue.
        tint = rng.random() ** 2 * 0.6
        grid = cv2.addWeighted(grid, tint, cv2.merge([grid[..., 0]] * 3), 1 - tint, 0)
        cloud = cv2.resize(grid, (64, 64), interpolation=cv2.INTER_CUBIC)
        ground = cv2.addWeighted(ground, 1 - strength * 0.6, cloud, strength * 0.6, 0)
        strength *= 0.55
        cells *= 2.4
    return cv2.resize(ground, (width, height), interpolation=cv2.INTER_CUBIC)


def _texture(rng: np.random.Generator, picture: Picture) -> None:
    """Grain of plaster, cloth, grass or wood, in place."""
    height, width = picture.shape[:2]
    tile = grain_tile(512, (0.8, 2.0)[int(rng.random() * 2)])
    cut_w, cut_h = (max(8, int(s * (0.25 + 0.7 * rng.random()))) for s in (min(width, 500), min(height, 500)))
    x, y = int(rng.random() * (512 - cut_w)), int(rng.random() * (512 - cut_h))
    grain = cv2.resize(tile[y : y + cut_h, x : x + cut_w], (width, height), interpolation=cv2.INTER_LINEAR)
    strength = 0.1 + rng.random() ** 2 * 0.6
    cv2.addWeighted(picture, 1, cv2.merge([grain] * 3), strength, -128 * strength, dst=picture)


def _shelf(rng: np.random.Generator, picture: Picture, palette: Palette) -> None:
    """Rows of like things: books, bottles, bricks, tiles, keys."""
    height, width = picture.shape[:2]
    rows, columns = int(2 + rng.random() * 6), int(3 + rng.random() * 9)
    slant, gap = rng.normal() * 0.06, 0.04 + 0.3 * rng.random()
    draws = rng.random((rows, columns, 3))
    colours = [palette.pick(rng, 30) for _ in range(6)]
    cell_w, cell_h = width / columns, height / rows
    shift = rng.random() * cell_w if rng.random() < 0.5 else 0.0
    for r in range(rows):
        for c in range(columns + 1):
            a, b, k = draws[r, c % columns].tolist()
            if k < 0.12:
                continue
            x0, x1 = (c - 1 + gap * a) * cell_w + shift * (r % 2), (c - gap * b * 0.5) * cell_w + shift * (r % 2)
            y1 = (r + 1) * cell_h + slant * x0
            y0 = y1 - cell_h * (1 - gap - 0.25 * a * gap)
            cv2.rectangle(picture, (int(x0), int(y0)), (int(x1), int(y1)), colours[int(k * 6)], -1)
            if k > 0.55:
                cv2.line(picture, (int(x0 + 2), int(y0)), (int(x0 + 2), int(y1)), colours[int(a * 6)], 2)
        y = int((r + 1) * cell_h)
        cv2.line(picture, (0, y), (width, int(y + slant * width)), colours[0], int(1 + 4 * gap))


def _boxes(rng: np.random.Generator, picture: Picture, palette: Palette) -> None:
    """Furniture, screens, posters, doors: upright rectangles, some with a frame."""
    height, width = picture.shape[:2]
    for cx, cy, w, h, frame in rng.random((int(1 + rng.random() * 6), 5)).tolist():
        x0, y0 = int((cx - 0.35 * w - 0.05) * width), int((cy - 0.35 * h - 0.05) * height)
        x1, y1 = int((cx + 0.35 * w + 0.05) * width), int((cy + 0.35 * h + 0.05) * height)
        cv2.rectangle(picture, (x0, y0), (x1, y1), palette.pick(rng, 25), -1)
        if frame < 0.5:
            cv2.rectangle(picture, (x0, y0), (x1, y1), palette.pick(rng, 25), int(1 + frame * 12), cv2.LINE_AA)


def _quads(rng: np.random.Generator, picture: Picture, palette: Palette) -> None:
    """Slanted polygons: table tops, papers, leaves, shadows."""
    height, width = picture.shape[:2]
    for _ in range(int(1 + rng.random() * 5)):
        corners = int(3 + rng.random() * 3)
        angle = np.sort(rng.random(corners)) * 2 * np.pi
        reach = (0.08 + 0.42 * rng.random()) * (0.6 + 0.4 * rng.random(corners))
        points = np.column_stack([np.cos(angle), np.sin(angle)]) * reach[:, None] + rng.random(2)
        cv2.fillPoly(picture, [(points * (width, height)).astype(np.int32)], palette.pick(rng, 25), cv2.LINE_AA)


def _stripes(rng: np.random.Generator, picture: Picture, palette: Palette) -> None:
    """Blinds, fences, boards, striped cloth, over all of the picture or one band of it."""
    height, width = picture.shape[:2]
    angle, step = rng.random() * np.pi, (0.03 + 0.15 * rng.random()) * max(width, height)
    thick = max(1, int(step * (0.15 + 0.6 * rng.random())))
    colour, across = palette.pick(rng, 20), np.array([-np.sin(angle), np.cos(angle)])
    along, middle = np.array([np.cos(angle), np.sin(angle)]) * 2 * max(width, height), np.array([width, height]) / 2
    count = int(max(width, height) * 0.75 / step * (0.3 + 0.7 * rng.random()))
    offset = rng.normal() * 0.2 * max(width, height)
    for i in range(-count, count + 1):
        p = middle + across * (i * step + offset)
        a, b = (p - along).astype(int).tolist(), (p + along).astype(int).tolist()
        cv2.line(picture, a, b, colour, thick, cv2.LINE_AA)


def _discs(rng: np.random.Generator, picture: Picture, palette: Palette) -> None:
    """Lamps, plates, wheels, balls, cups from above."""
    height, width = picture.shape[:2]
    for x, y, r, ratio, ring in rng.random((int(1 + rng.random() * 5), 5)).tolist():
        axes = (int((0.02 + 0.16 * r) * width), int((0.02 + 0.16 * r) * width * (0.5 + 0.5 * ratio)))
        centre, turn = (int(x * width), int(y * height)), ring * 180
        cv2.ellipse(picture, centre, axes, turn, 0, 360, palette.pick(rng, 30), -1, cv2.LINE_AA)
        if ring < 0.6:
            inner = (int(axes[0] * (0.5 + 0.4 * ratio)), int(axes[1] * (0.5 + 0.4 * ratio)))
            cv2.ellipse(picture, centre, inner, turn, 0, 360, palette.pick(rng, 30), -1, cv2.LINE_AA)


def _sticks(rng: np.random.Generator, picture: Picture, palette: Palette) -> None:
    """Cables, branches, legs of chairs, edges; some of them finger-thick and of the colour of skin."""
    height, width = picture.shape[:2]
    fan = rng.random() < 0.4
    origin = rng.random(2)
    for x, y, u, v, t, s in rng.random((int(2 + rng.random() * 8), 6)).tolist():
        colour = skin_colour(rng) if s < 0.25 else palette.pick(rng, 30)
        thick = max(1, int((0.006 + 0.06 * t * t) * width))
        start = (origin[0], origin[1]) if fan else (x, y)
        end = (start[0] + (u - 0.5), start[1] + (v - 0.5))
        points = [(int(a * width), int(b * height)) for a, b in (start, end)]
        cv2.line(picture, points[0], points[1], colour, thick, cv2.LINE_AA)


def _writing(rng: np.random.Generator, picture: Picture, palette: Palette) -> None:
    """Letters and figures on signs, screens and packages."""
    height, width = picture.shape[:2]
    signs = "AEHKMNRSTXZ2345789"
    for x, y, s, t in rng.random((int(1 + rng.random() * 4), 4)).tolist():
        text = "".join(signs[int(i)] for i in rng.random(int(2 + 6 * t)) * len(signs))
        scale = (0.35 + 1.6 * s * s) * width / 256
        place = (int((x - 0.2) * width), int((0.1 + 0.9 * y) * height))
        cv2.putText(picture, text, place, int(t * 5), scale, palette.pick(rng, 40), max(1, int(scale * 2)), cv2.LINE_AA)


def _blobs(rng: np.random.Generator, picture: Picture, palette: Palette) -> None:
    """Soft patches, some of the colour of skin: knees, elbows, faces far away, wood."""
    height, width = picture.shape[:2]
    for x, y, a, b, turn in rng.random((int(1 + rng.random() * 3), 5)).tolist():
        w, h = (0.04 + 0.2 * a) * width, (0.04 + 0.2 * b) * height
        colour = skin_colour(rng) if turn < 0.75 else palette.pick(rng, 30)
        centre = (int(x * width), int(y * height))
        cv2.ellipse(picture, centre, (int(w), int(h)), turn * 180, 0, 360, colour, -1, cv2.LINE_AA)
        lit = tuple(min(255.0, c * 1.13 + 6) for c in colour)
        off = (int(centre[0] - 0.2 * w), int(centre[1] - 0.25 * h))
        cv2.ellipse(picture, off, (int(w * 0.6), int(h * 0.55)), turn * 180, 0, 360, lit, -1, cv2.LINE_AA)


def _person(rng: np.random.Generator, picture: Picture, palette: Palette) -> None:
    """Head and shoulders of somebody, whole or cut by the picture's edge."""
    height, width = picture.shape[:2]
    x, y, s, turn = rng.random(4).tolist()
    unit, skin, shirt = (0.12 + 0.28 * s) * height, skin_colour(rng), palette.pick(rng, 20)
    cx, cy = x * width, (0.1 + 0.6 * y) * height
    hair: Colour = tuple(c * 0.35 for c in palette.pick(rng, 20))  # type: ignore[assignment]
    dark: Colour = tuple(c * 0.55 for c in skin)  # type: ignore[assignment]

    def oval(dx: float, dy: float, w: float, h: float, colour: Colour, angle: float = 0.0) -> None:
        centre = (int(cx + dx * unit), int(cy + dy * unit))
        axes = (max(1, int(w * unit)), max(1, int(h * unit)))
        cv2.ellipse(picture, centre, axes, angle, 0, 360, colour, -1, cv2.LINE_AA)

    cv2.line(picture, (int(cx), int(cy)), (int(cx), int(cy + 0.8 * unit)), dark, max(1, int(0.34 * unit)), cv2.LINE_AA)
    oval(0, 1.75, 1.15, 1.05, shirt)
    oval(0, -0.12, 0.46, 0.56, hair)
    oval(0, 0.04, 0.38, 0.5, skin)
    lean = (turn - 0.5) * 0.3
    for side in (-1, 1):
        oval(lean + side * 0.15, -0.04, 0.06, 0.035, dark)
    oval(lean * 1.3, 0.12, 0.05, 0.09, dark)
    oval(lean, 0.29, 0.13, 0.035, tuple(c * 0.7 for c in skin))  # type: ignore[arg-type]
