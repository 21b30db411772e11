"""What a camera does to a picture: exposure, colour cast, blur, noise, compression. No keypoint moves by it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.synthetic.shading import Picture, grain_tile


@dataclass(frozen=True)
class Camera:
    """One camera and its settings; lengths in pixels.

    Attributes:
        smear: ``float32 [n, n]`` kernel of a motion blur, symmetric about its middle, or None.
        shrink: the picture is taken this many times smaller and enlarged again; 1 leaves it alone.
        defocus: standard deviation of a blur beside the lens's own; 0 for none.
        softness: standard deviation of the lens's blur, below 1.
        tables: ``uint8 [3, 256]``, exposure and white balance of red, green and blue.
        noise: standard deviation in grey levels.
        quality: JPEG quality 1..100 that the picture has gone through, or None.
    """

    smear: NDArray[np.float32] | None
    shrink: float
    defocus: float
    softness: float
    tables: NDArray[np.uint8]
    noise: float
    quality: int | None

    @classmethod
    def random(cls, rng: np.random.Generator, size: tuple[int, int], strength: float = 1.0) -> Camera:
        """Draw a camera for pictures of ``size`` = (width, height); ``strength`` 0 a good one, 1 the full range."""
        unit = max(size) / 256
        softness, fault, amount, noise, compressed, quality = rng.random(6).tolist()
        smear = _smear(rng, 3 + 7 * amount * unit) if fault < 0.07 * strength else None
        low = 0.07 * strength <= fault < 0.15 * strength
        blurred = 0.15 * strength <= fault < 0.22 * strength
        return cls(
            smear,
            1 + 1.5 * amount if low else 1.0,
            (0.8 + 1.2 * amount) * unit if blurred else 0.0,
            0.5 + 0.4 * softness,
            _tables(rng, strength),
            1.0 + 9.0 * noise**2.5 * strength,
            int(25 + 55 * quality) if compressed < 0.15 * strength else None,
        )

    def take(self, rng: np.random.Generator, picture: Picture) -> Picture:
        """Photograph a scene, ``uint8 [H, W, 3]`` RGB; ``rng`` decides the noise."""
        height, width = picture.shape[:2]
        if self.smear is not None:
            picture = cv2.filter2D(picture, -1, self.smear, borderType=cv2.BORDER_REPLICATE)
        if self.shrink > 1:
            small = (max(1, int(width / self.shrink)), max(1, int(height / self.shrink)))
            picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
        if self.defocus > 0:
            picture = cv2.GaussianBlur(picture, (0, 0), self.defocus)
        picture = cv2.GaussianBlur(picture, (3, 3), self.softness)
        # One table a channel: OpenCV's lookup of three channels at once takes twice as long.
        channels = zip(cv2.split(picture), self.tables, strict=True)
        picture = cv2.merge([cv2.LUT(channel, table) for channel, table in channels])
        _add_noise(rng, picture, self.noise)
        return picture if self.quality is None else _compressed(picture, self.quality)


def _smear(rng: np.random.Generator, length: float) -> NDArray[np.float32]:
    """Motion along a line, the same way forwards and back, so that nothing moves on average."""
    size = 2 * round(length / 2) + 1
    kernel = np.zeros((size, size), np.float32)
    angle, middle = rng.random() * np.pi, (size - 1) / 2
    dx, dy = middle * np.cos(angle), middle * np.sin(angle)
    start, end = ((round((middle + s * dx) * 16), round((middle + s * dy) * 16)) for s in (-1, 1))
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_8, 4)
    kernel += kernel[::-1, ::-1]
    return kernel / kernel.sum()


def _tables(rng: np.random.Generator, strength: float) -> NDArray[np.uint8]:
    """Gain, gamma, black level and white balance as a table for each channel."""
    gain, gamma, black, red, blue = (rng.normal(size=5) * (0.13, 0.16, 6, 0.05, 0.05) * strength).tolist()
    level = 255 * (1 + min(gain, 0.25)) * np.linspace(0, 1, 256) ** float(np.exp(gamma))
    table = np.array([[1 + red], [1], [1 + blue]]) * level + black
    return np.minimum(np.maximum(table, 0), 255).astype(np.uint8)


def _add_noise(rng: np.random.Generator, picture: Picture, deviation: float) -> None:
    """Grain in place: a random part of a fixed tile, which is far cheaper than drawing noise for every pixel."""
    height, width = picture.shape[:2]
    tile = _colour_grain(512)
    if max(width, height) > 480:
        tile = np.tile(tile, (-(-height // 512) + 1, -(-width // 512) + 1, 1))
    x = int(rng.random() * (tile.shape[1] - width + 1))
    y = int(rng.random() * (tile.shape[0] - height + 1))
    share = deviation / 32
    cv2.addWeighted(picture, 1, tile[y : y + height, x : x + width], share, -128 * share, dst=picture)


@lru_cache(maxsize=2)
def _colour_grain(size: int) -> Picture:
    """``uint8 [size, size, 3]`` of reproducible noise about 128, mostly of brightness with some of colour."""
    common = grain_tile(size, 0.5)
    own = [np.roll(common, shift, axis=(0, 1)) for shift in ((71, 193), (211, 37), (149, 331))]
    tile = cv2.merge([cv2.addWeighted(common, 0.8, grain, 0.6, -0.4 * 128) for grain in own])
    tile.setflags(write=False)
    return tile


def _compressed(picture: Picture, quality: int) -> Picture:
    """Through JPEG and back."""
    _, code = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded: Any = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
