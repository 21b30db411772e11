"""Small videos in many codecs and containers, of pictures that all differ."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest


def moving_pictures(count: int, size: tuple[int, int] = (64, 48), seed: int = 0) -> list[np.ndarray]:
    """``count`` pictures ``[H, W, 3]`` of a camera that moves over a coloured cloud, a little brighter each time."""
    width, height = size
    cloud = np.random.default_rng(seed).integers(0, 200, (height, width + 2 * count, 3), np.uint8)
    cloud = cv2.GaussianBlur(cloud, (0, 0), 2)
    return [np.ascontiguousarray(cloud[:, 2 * i : 2 * i + width]) + np.uint8(i) for i in range(count)]


def write_clip(
    path: Path,
    pictures,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    times: list[float] | None = None,
) -> Path:
    """Encode pictures, 25 a second or at ``times`` in seconds; skips the test where this build of PyAV cannot."""
    if codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no {codec}")
    unit = Fraction(1, 1000 if times else 25)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate, stream.options = 4_000_000, options or {}
        stream.codec_context.time_base = unit
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts, frame.time_base = (round(times[i] * 1000) if times else i), unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
