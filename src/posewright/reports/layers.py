"""Sheets of what a net looks like inside: feature maps, kernels, exciting pictures. Arrays in, pictures out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.media.drawing import contact_sheet

Picture = NDArray[np.uint8]
TILES = 63
"""A sheet shows so many channels, at most: with the picture, eight rows of eight."""
TILE = 112


def feature_sheet(maps: NDArray[np.floating[Any]], picture: Picture | None = None, most: int = TILES) -> Picture:
    """The channels of one layer ``[C, h, w]`` side by side, those that vary most first, each on its own scale.

    Args:
        maps: what the layer made of a crop.
        picture: that crop, to be shown first.
        most: channels to show.
    """
    order = np.argsort(-maps.std((1, 2)), kind="stable")[:most]
    tiles, captions = [], []
    if picture is not None:
        tiles.append(_enlarged(picture, smooth=True))
        captions.append("picture")
    for channel in order:
        low, high = float(maps[channel].min()), float(maps[channel].max())
        flat = (maps[channel] - low) / (high - low) if high > low else np.zeros_like(maps[channel])
        coloured = cv2.applyColorMap(np.round(255 * flat).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
        tiles.append(_enlarged(np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8)))
        captions.append(f"{channel}: {low:.2g} to {high:.2g}")
    return contact_sheet(tiles, captions, columns=8, tile=TILE)


def kernel_sheet(weights: NDArray[np.floating[Any]], colour: str = "rgb") -> Picture:
    """The kernels of a first layer ``[C, 3 or 1, kh, kw]`` as pictures, all on one scale, grey for 0.

    Args:
        weights: channels in the order in which the net sees them.
        colour: that order, "rgb", "bgr" or "grey".
    """
    scale = float(np.abs(weights).max()) or 1.0
    kernels = np.round(127.5 + 127.5 * weights / scale).astype(np.uint8).transpose(0, 2, 3, 1)
    if colour == "bgr":
        kernels = kernels[..., ::-1]
    if kernels.shape[-1] == 1:
        kernels = np.repeat(kernels, 3, axis=-1)
    return contact_sheet([_enlarged(np.ascontiguousarray(k)) for k in kernels], None, columns=16, tile=TILE // 2)


def exciting_sheet(pictures: Sequence[Picture], channels: Sequence[int]) -> Picture:
    """The crops that excite single channels most, stretched to full contrast."""
    tiles = []
    for picture in pictures:
        low, high = np.percentile(picture, (0.5, 99.5))
        stretched = np.clip((picture - low) * 255.0 / max(high - low, 1.0), 0, 255)
        tiles.append(np.round(stretched).astype(np.uint8))
    return contact_sheet(tiles, [f"channel {c}" for c in channels], columns=8, tile=max(TILE, 160))


def _enlarged(tile: Picture, smooth: bool = False) -> Picture:
    """A small map enlarged with its cells kept square and sharp."""
    factor = max(1, TILE // max(tile.shape[:2]))
    size = (tile.shape[1] * factor, tile.shape[0] * factor)
    how = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(tile, size, interpolation=how), np.uint8)
