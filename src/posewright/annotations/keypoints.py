"""Tables of keypoints: the boxes around them, and which of them cannot be true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]

FAR_OUTSIDE = 0.5
"""A visible keypoint further outside its picture than this share of the longer side is taken for a mistake."""


def far_outside(keypoints: Column, sizes: Column) -> NDArray[np.bool_]:
    """Which visible keypoints lie too far outside their pictures to be true, ``[N, K]``.

    Args:
        keypoints: ``[N, K, 3]`` (x, y, v) in pixels of the picture.
        sizes: ``[N, 2]`` width and height of each object's picture; where they are 0, unknown, nothing is far outside.
    """
    xy, slack = keypoints[..., :2], FAR_OUTSIDE * sizes.max(1)[:, None, None]
    with np.errstate(invalid="ignore"):
        far = ((xy < -slack) | (xy > sizes[:, None] + slack)).any(2)
    return far & (keypoints[..., 2] == 2) & (sizes[:, :1] > 0)


BOX_MARGIN = 1.2
"""The factor on the box around an object's keypoints, used where a format has no boxes of its own."""


def boxes_from_keypoints(keypoints: Column, margin: float = BOX_MARGIN) -> Column:
    """Boxes ``[N, 4]`` around the labelled keypoints ``[N, K, 3]``, as :func:`posewright.geometry.keypoints_box` makes
    them one by one; NaN where an object has none."""
    points = np.asarray(keypoints, float)
    labelled = points[..., 2:] > 0
    low = np.where(labelled, points[..., :2], np.inf).min(1, initial=np.inf)
    high = np.where(labelled, points[..., :2], -np.inf).max(1, initial=-np.inf)
    low[~labelled.any((1, 2))] = np.nan
    with np.errstate(over="ignore", invalid="ignore"):  # a keypoint at infinity gives no finite box, which is the truth
        centre, half = (low + high) / 2, np.maximum((high - low) * margin, 1.0) / 2
        return np.concatenate([centre - half, centre + half], 1)
