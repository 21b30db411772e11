"""How ``Poses`` look in a notebook: drawn over their picture, with a line that says what they are and a table to unfold."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.poses import Poses

LONGEST = 900
"""Longer side of the picture in a notebook, in pixels; a larger one is reduced."""
MOST_ROWS = 200
"""Keypoints listed in the table below it."""
_SMALLEST_CANVAS = 64


def draw(poses: Poses, picture: NDArray[np.uint8] | None = None, longest: int | None = None, **how: Any) -> Any:
    """Poses drawn over their picture, or over a plain canvas of its size where the picture is not at hand.

    Args:
        poses: of one frame.
        picture: ``uint8 [H, W, 3]`` RGB; read from ``poses.source`` unless given, which may be a picture file or, with
            ``poses.frame``, a video file.
        longest: the longer side that the result has at most, in pixels.
        how: options of :func:`posewright.media.drawing.draw_poses`.

    Returns:
        ``uint8 [h, w, 3]`` RGB.
    """
    import cv2

    from posewright.media.drawing import draw_poses

    if picture is None:
        picture = _own_picture(poses)
    if picture is not None and picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    width, height = _size(poses) if picture is None else (picture.shape[1], picture.shape[0])
    factor = min(1.0, (longest or max(width, height)) / max(width, height))
    small = max(1, round(width * factor)), max(1, round(height * factor))
    if picture is None:
        canvas = np.full((small[1], small[0], 3), 236, np.uint8)
    elif factor < 1:
        canvas = np.asarray(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), np.uint8)
    else:
        canvas = picture
    return draw_poses(canvas, _scaled(poses, factor), **how)


def _scaled(poses: Poses, factor: float) -> Poses:
    """The same poses in pixels of their picture reduced by ``factor``; pixel corners, not centres, keep their places."""
    if factor == 1:
        return poses
    covariance = None if poses.covariance is None else poses.covariance * factor**2
    return Poses(
        poses.skeleton,
        (poses.xy + 0.5) * factor - 0.5,
        poses.score,
        poses.presence,
        (poses.boxes + 0.5) * factor - 0.5,
        covariance=covariance,
    )


def _own_picture(poses: Poses) -> NDArray[np.uint8] | None:
    """The pixels that the poses were found in; None where they are not at hand, or are not those any longer."""
    from posewright.media.labelled import VideoFrame
    from posewright.media.pictures import read_picture

    path = Path(poses.source)
    try:
        if not poses.source or not path.is_file():
            return None
        picture = read_picture(path) if poses.frame is None else VideoFrame(path, poses.frame).read()
    except (PosewrightError, OSError, ValueError):
        return None
    known = poses.width > 0 and poses.height > 0
    return None if known and picture.shape[:2] != (poses.height, poses.width) else picture


def _size(poses: Poses) -> tuple[int, int]:
    """(width, height) of a canvas: the picture's, or what holds all keypoints where that is not known."""
    if poses.width > 0 and poses.height > 0:
        return int(poses.width), int(poses.height)
    points = poses.xy[np.isfinite(poses.xy).all(-1)]
    far = np.clip(points.max(0) * 1.05, _SMALLEST_CANVAS, 1e6) if len(points) else np.full(2, _SMALLEST_CANVAS)
    return int(far[0]), int(far[1])


def as_html(poses: Poses) -> str:
    """The figure that a notebook shows."""
    from posewright.media.pictures import encode_picture

    picture = draw(poses, longest=LONGEST)
    data = encode_picture(picture) or b""
    text = html.escape(repr(poses))
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    image = f'<img src="{source}" alt="{text}" width="{picture.shape[1]}" style="max-width:100%">'
    return f'<figure style="margin:0">{image}<figcaption>{text}</figcaption>{_table(poses)}</figure>'


def _table(poses: Poses) -> str:
    if not len(poses):
        return ""
    k = len(poses.skeleton)
    head = "".join(f"<th>{name}</th>" for name in ("pose", "keypoint", "x", "y", "score"))
    rows = []
    for number in range(min(len(poses) * k, MOST_ROWS)):
        i, point = divmod(number, k)
        name = html.escape(poses.skeleton.keypoints[point])
        (x, y), score = poses.xy[i, point], poses.score[i, point]
        rows.append(f"<tr><td>{i}</td><td>{name}</td><td>{x:.1f}</td><td>{y:.1f}</td><td>{score:.2f}</td></tr>")
    left = len(poses) * k - len(rows)
    more = f"<p>and {left} more: to_dataframe() has them all</p>" if left else ""
    return f"<details><summary>keypoints</summary><table><tr>{head}</tr>{''.join(rows)}</table>{more}</details>"
