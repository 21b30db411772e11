"""What a camera does to a picture: exposure, colour cast, blur, noise, compression. No keypoint moves by it."""

from __future__ import annotations

import cv2
import numpy as np

from posewright.synthetic.shading import Picture, grain_tile


def expose(rng: np.random.Generator, picture: Picture, strength: float = 1.0) -> Picture:
    """Photograph a scene.

    Args:
        rng: decides everything.
        picture: ``uint8 [H, W, 3]`` RGB.
        strength: 0 for a good camera in good light, 1 for the full range of them.

    Returns:
        A picture of the same size.
    """
    height, width = picture.shape[:2]
    unit = max(width, height) / 256
    blur, fault, amount = rng.random(3).tolist()
    if fault < 0.07 * strength:
        picture = _smear(rng, picture, 3 + 7 * amount * unit)
    elif fault < 0.15 * strength:
        shrink = 1 + 1.5 * amount
        small = cv2.resize(picture, (int(width / shrink), int(height / shrink)), interpolation=cv2.INTER_AREA)
        picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    elif fault < 0.22 * strength:
        picture = cv2.GaussianBlur(picture, (0, 0), (0.8 + 1.2 * amount) * unit)
    picture = cv2.GaussianBlur(picture, (3, 3), 0.45 + 0.3 * blur)
    picture = _tone(rng, picture, strength)
    _noise(rng, picture, (1.0 + 9.0 * rng.random() ** 2.5 * strength))
    if rng.random() < 0.2 * strength:
        picture = _compress(picture, int(25 + 55 * rng.random()))
    return picture


def _smear(rng: np.random.Generator, picture: Picture, length: float) -> Picture:
    """Motion along a line, the same way forwards and back."""
    size = 2 * round(length / 2) + 1
    kernel = np.zeros((size, size), np.float32)
    angle, middle = rng.random() * np.pi, (size - 1) / 2
    dx, dy = middle * np.cos(angle), middle * np.sin(angle)
    ends = [(round((middle + s * dx) * 16), round((middle + s * dy) * 16)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
    kernel += kernel[::-1, ::-1]
    return cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _tone(rng: np.random.Generator, picture: Picture, strength: float) -> Picture:
    """Gain, gamma, black level and white balance, as one table."""
    gain, gamma, black, red, blue = (rng.normal(size=5) * (0.13, 0.16, 6, 0.05, 0.05) * strength).tolist()
    level = np.linspace(0, 1, 256) ** float(np.exp(gamma))
    table = level[:, None] * (255 * (1 + gain)) * np.array([1 + red, 1, 1 + blue]) + black
    return cv2.LUT(picture, table.clip(0, 255).astype(np.uint8)[None])


def _noise(rng: np.random.Generator, picture: Picture, deviation: float) -> None:
    """Grain in place, mostly of brightness with some of colour; cut at random from a fixed tile for speed."""
    height, width = picture.shape[:2]
    size = 512 if max(width, height) <= 400 else 2048
    tile = grain_tile(size, 0.5)
    across, down = -(-width // (size - 60)), -(-height // (size - 60))
    tile = np.tile(tile, (down, across)) if max(across, down) > 1 else tile
    span_y, span_x = tile.shape[0] - height, tile.shape[1] - width
    places = (rng.random((3, 2)) * (span_y + 1, span_x + 1)).astype(int).tolist()
    grains = [tile[y : y + height, x : x + width] for y, x in places]
    grain = cv2.merge([cv2.addWeighted(grains[0], 0.8, g, 0.6, -0.4 * 128) for g in grains])
    share = deviation / 32
    cv2.addWeighted(picture, 1, grain, share, -128 * share, dst=picture)


def _compress(picture: Picture, quality: int) -> Picture:
    """Through JPEG and back; the channel order matters only to the weights of its colour space."""
    _, code = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(code, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
