"""Drawing poses on pictures, and laying pictures out on a sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.poses import Poses
from posewright.skeleton import COLOURS, Skeleton

Picture = NDArray[np.uint8]
RGB = tuple[int, int, int]

DARK: RGB = (24, 24, 27)
PAPER: RGB = (250, 250, 250)
GREY: RGB = (90, 90, 96)
_BITS = 4
"""Fractional bits in the coordinates OpenCV is given: a sixteenth of a pixel."""


def draw_poses(
    picture: Picture,
    poses: Poses,
    *,
    threshold: float = 0.2,
    boxes: bool = False,
    names: bool = False,
    colour: RGB | None = None,
    ellipses: bool = False,
) -> Picture:
    """A copy of a picture with poses on it.

    Args:
        picture: ``uint8 [H, W, 3]`` RGB.
        poses: in pixels of that picture.
        threshold: keypoints with a lower score are left out, and their links with them.
        boxes: draw the boxes that the model was shown, too.
        names: write each keypoint's name beside it.
        colour: one RGB colour for everything; the skeleton's own colours where None.
        ellipses: around each keypoint, draw where it lies in one case of two, where the poses have a covariance.
    """
    drawn = picture.copy()
    for i in range(len(poses)):
        if boxes:
            draw_box(drawn, poses.boxes[i], colour or PAPER)
        shown = poses.score[i] >= threshold
        draw_keypoints(drawn, poses.xy[i], shown, poses.skeleton, names=names, colour=colour)
        if ellipses and poses.covariance is not None:
            draw_ellipses(drawn, poses.xy[i], poses.covariance[i], shown, poses.skeleton, colour)
    return drawn


def draw_ellipses(
    picture: Picture,
    points: ArrayLike,
    covariance: ArrayLike,
    shown: ArrayLike,
    skeleton: Skeleton,
    colour: RGB | None = None,
) -> Picture:
    """Draw the ellipses that hold half of all errors into a picture, and return it.

    Args:
        picture: ``uint8 [H, W, 3]`` RGB, changed in place.
        points: ``[K, 2]`` in pixels of the picture.
        covariance: ``[K, 3]`` (xx, xy, yy) in px^2 of the picture.
        shown: ``[K]`` which keypoints' to draw.
        skeleton: the K keypoints, for their colours.
        colour: one RGB colour for all.
    """
    xy, three = np.asarray(points, float), np.asarray(covariance, float)
    colours = _keypoint_colours(skeleton, colour)
    round_trip = np.linspace(0, 2 * np.pi, 73)
    circle = np.stack([np.cos(round_trip), np.sin(round_trip)])
    for k in np.flatnonzero(np.asarray(shown, bool) & np.isfinite(xy).all(1) & np.isfinite(three).all(1)):
        xx, xy_, yy = three[k]
        root = np.linalg.cholesky(np.array([[xx, xy_], [xy_, yy]]) + 1e-9 * np.eye(2))
        # Squared Mahalanobis distance 2 ln 2: half of all errors, whatever the model's tail.
        outline = xy[k] + math.sqrt(2 * math.log(2)) * (root @ circle).T
        if np.abs(outline).max() < 1e6:
            for shade, width in ((DARK, 3), (colours[k], 1)):
                cv2.polylines(picture, [_fixed(outline)], True, shade, width, cv2.LINE_AA, _BITS)
    return picture


def draw_keypoints(
    picture: Picture,
    points: ArrayLike,
    shown: ArrayLike,
    skeleton: Skeleton,
    *,
    names: bool = False,
    colour: RGB | None = None,
    hollow: bool = False,
) -> Picture:
    """Draw one object's links and keypoints into a picture, and return it.

    Args:
        picture: ``uint8 [H, W, 3]`` RGB, changed in place.
        points: ``[K, 2]`` in pixels of the picture, (0, 0) at the first pixel's centre.
        shown: ``[K]`` which keypoints to draw; a link is drawn where both its ends are.
        skeleton: the K keypoints and their links.
        names: write each keypoint's name beside it.
        colour: one RGB colour for everything; the skeleton's own colours where None.
        hollow: rings without links, to mark the truth beside a prediction.
    """
    xy = np.asarray(points, float)
    seen = np.asarray(shown, bool) & (np.abs(np.nan_to_num(xy, nan=np.inf)) < 1e6).all(1)
    if not seen.any():
        return picture
    width = _line_width(picture, xy[seen])
    colours = _keypoint_colours(skeleton, colour)
    if not hollow:
        links = [(link, c) for link, c in zip(skeleton.links, skeleton.link_colours) if seen[list(link)].all()]
        # All edges first, so that no edge cuts through another link.
        for (a, b), _ in links if width > 1 else ():
            _line(picture, xy[a], xy[b], DARK, width + 2)
        for (a, b), own in links:
            _line(picture, xy[a], xy[b], colour or own, width)
    radius = 1.3 * width
    for k in np.flatnonzero(seen):
        if hollow:
            if width > 1:
                _ring(picture, xy[k], 2 * radius + 1, DARK, width + 1)
            _ring(picture, xy[k], 2 * radius + 1, colours[k], max(1, width - 1))
        else:
            _disc(picture, xy[k], radius + 1, DARK)
            _disc(picture, xy[k], radius, colours[k])
    if names:
        size = float(np.clip(width / 5, 0.35, 1.5))
        for k in np.flatnonzero(seen):
            place = (round(xy[k, 0] + 2 * radius), round(xy[k, 1] - radius))
            put_text(picture, skeleton.keypoints[k], place, size)
    return picture


def draw_labels(picture: Picture, keypoints: ArrayLike, boxes: ArrayLike, skeleton: Skeleton) -> Picture:
    """Draw labelled objects into a picture, and return it: visible keypoints filled, with links; hidden ones as rings.

    Args:
        picture: ``uint8 [H, W, 3]`` RGB, changed in place.
        keypoints: ``[N, K, 3]`` (x, y, v) in pixels of the picture, v as in COCO.
        boxes: ``[N, 4]`` in the same frame.
        skeleton: the K keypoints and their links.
    """
    for points, box in zip(np.asarray(keypoints, float), np.asarray(boxes, float), strict=True):
        draw_box(picture, box)
        draw_keypoints(picture, points[:, :2], points[:, 2] == 2, skeleton)
        draw_keypoints(picture, points[:, :2], points[:, 2] == 1, skeleton, hollow=True)
    return picture


def draw_box(picture: Picture, box: ArrayLike, colour: RGB = PAPER) -> Picture:
    """Draw a box (x0, y0, x1, y1), in pixels of the picture, into it."""
    x0, y0, x1, y1 = np.asarray(box, float)
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    width = max(1, round(min(picture.shape[:2]) / 300))
    for outline, thickness in ((DARK, width + 2), (colour, width)):
        cv2.polylines(picture, [_fixed(corners)], True, outline, thickness, cv2.LINE_AA, _BITS)
    return picture


def put_text(picture: Picture, text: str, place: tuple[int, int], size: float = 0.5, colour: RGB = PAPER) -> Picture:
    """Write one line into a picture, its baseline starting at ``place``; legible on any background."""
    plain, (x, y) = text.encode("ascii", "replace").decode(), place
    # A heavier line would make an edge, too, but its letters are wider in OpenCV 5 and drift apart from the others.
    for dx, dy in ((-1, -1), (1, -1), (-1, 1), (1, 1), (0, 0)):
        shade = DARK if dx else colour
        cv2.putText(picture, plain, (x + dx, y + dy), cv2.FONT_HERSHEY_SIMPLEX, size, shade, 1, cv2.LINE_AA)
    return picture


def contact_sheet(
    images: Sequence[Picture],
    captions: Sequence[str] | None = None,
    columns: int = 6,
    tile: int | None = None,
) -> Picture:
    """Pictures of any size in rows, each fitted into a tile, with a line of text below it.

    Args:
        images: ``uint8 [H, W, 3]`` RGB or grey ``[H, W]``; at least one.
        captions: one line each; no text where None.
        columns: tiles in a row.
        tile: longer side of a tile in pixels; the largest picture's, within 96..512, where None.

    Returns:
        ``uint8 [H, W, 3]`` RGB.
    """
    if not images or (captions is not None and len(captions) != len(images)):
        raise ValueError(f"a sheet needs pictures and as many captions, not {len(images)} and {len(captions or ())}")
    high, wide = max(i.shape[0] for i in images), max(i.shape[1] for i in images)
    side = tile or int(np.clip(max(high, wide), 96, 512))
    scale = side / max(high, wide)
    high, wide = max(1, round(high * scale)), max(1, round(wide * scale))
    gap, line = 4, 22 if captions is not None and any(captions) else 0
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * (high + line + gap) + gap, columns * (wide + gap) + gap, 3), PAPER, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (high + line + gap), gap + i % columns * (wide + gap)
        fitted = _fitted(image, wide, high)
        y, x = top + (high - fitted.shape[0]) // 2, left + (wide - fitted.shape[1]) // 2
        sheet[top : top + high, left : left + wide] = 225
        sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
        if line and captions is not None:
            _caption(sheet[top + high : top + high + line, left : left + wide], captions[i])
    return sheet


def _fitted(image: Picture, width: int, height: int) -> Any:
    """A picture enlarged or reduced to fit into ``width`` x ``height``."""
    factor = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    fitted = image if factor == 1 else cv2.resize(image, size, interpolation=how)
    return fitted if fitted.ndim == 3 else np.repeat(fitted[..., None], 3, axis=2)


def _caption(strip: NDArray[np.uint8], text: str) -> None:
    """Write a line into a strip of a sheet, small enough to fit, shortened where even that is too long."""
    plain = text.encode("ascii", "replace").decode()
    for size in (0.45, 0.4, 0.35):
        (width, _), _ = cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        if width <= strip.shape[1] - 4:
            break
    while width > strip.shape[1] - 4 and len(plain) > 4:
        plain = plain[:-4] + "..."
        (width, _), _ = cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    # A slice of the sheet is not contiguous, which OpenCV's drawing needs.
    own = np.ascontiguousarray(strip)
    cv2.putText(own, plain, (2, strip.shape[0] - 7), cv2.FONT_HERSHEY_SIMPLEX, size, DARK, 1, cv2.LINE_AA)
    strip[:] = own


def _line_width(picture: Picture, points: NDArray[np.float64]) -> int:
    """Thick enough to see on a large picture, thin enough for a small object: by the object's extent."""
    extent = float((points.max(0) - points.min(0)).max())
    side = float(min(picture.shape[:2]))
    return max(1, round(min(max(extent, side / 4) / 90, side / 120)))


def _keypoint_colours(skeleton: Skeleton, colour: RGB | None) -> list[RGB]:
    """Each keypoint takes the colour of the first link that ends in it, or else that starts from it."""
    if colour is not None:
        return [colour] * len(skeleton)
    spare = list(COLOURS.values())
    colours = {k: spare[k % len(spare)] for k in range(len(skeleton))}
    links = list(zip(skeleton.links, skeleton.link_colours))
    for (a, _), own in reversed(links):
        colours[a] = own
    for (_, b), own in reversed(links):
        colours[b] = own
    return [colours[k] for k in range(len(skeleton))]


def _fixed(points: ArrayLike) -> NDArray[np.int32]:
    return np.round(np.asarray(points, float) * 2**_BITS).astype(np.int32)


def _point(xy: NDArray[np.float64]) -> tuple[int, int]:
    x, y = _fixed(xy).tolist()
    return x, y


def _line(picture: Picture, a: NDArray[np.float64], b: NDArray[np.float64], colour: RGB, width: int) -> None:
    cv2.line(picture, _point(a), _point(b), colour, width, cv2.LINE_AA, _BITS)


def _disc(picture: Picture, centre: NDArray[np.float64], radius: float, colour: RGB) -> None:
    cv2.circle(picture, _point(centre), round(radius * 2**_BITS), colour, cv2.FILLED, cv2.LINE_AA, _BITS)


def _ring(picture: Picture, centre: NDArray[np.float64], radius: float, colour: RGB, width: int) -> None:
    cv2.circle(picture, _point(centre), round(radius * 2**_BITS), colour, width, cv2.LINE_AA, _BITS)
