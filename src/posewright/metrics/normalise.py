"""The lengths that a metric divides distances by, one for each object."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError, did_you_mean
from posewright.skeleton import NORMALISERS, Normaliser, Skeleton

Array = NDArray[np.float64]

SHORTEST = 0.1
"""A segment shorter than this share of the box's longer side is foreshortened too far to measure anything by."""
HOURGLASS_SHARE = 0.1 * 1.25
"""The hourglass system's 6.4 of 64 heatmap cells, as a share of the box's longer side: its crop is 1.25 boxes wide."""
WHOLE_BOX = ("box", "diagonal", "box_area", "hourglass")
"""Kinds that need nothing but the object's box."""


def normaliser_lengths(
    labels: Annotations | tuple[ArrayLike, ArrayLike, ArrayLike | None],
    skeleton: Skeleton,
    normaliser: Normaliser | None = None,
) -> Array:
    """The normaliser's length for every object.

    Args:
        labels: the annotations, or (keypoints ``[N, K, 3]``, boxes ``[N, 4]``, head sizes ``[N]`` or None), all in
            pixels of one frame; lengths come out in that frame.
        skeleton: names the keypoints.
        normaliser: the skeleton's own where None.

    Returns:
        ``[N]`` pixels; NaN for an object that is left out: one of the segment's two keypoints is not labelled (v = 0),
        the segment is shorter than a tenth of the box's longer side (a head is about that long, so only a head of no
        length is left out), or the head size is unknown.

    Raises:
        PosewrightError: where the skeleton lacks a keypoint that the normaliser names, or a "head" has neither labelled
            sizes nor keypoints.
    """
    keypoints, boxes, head_size = (
        (labels.keypoints, labels.boxes, labels.head_size) if isinstance(labels, Annotations) else labels
    )
    points = np.asarray(keypoints, float).reshape(-1, len(skeleton), 3)
    box = np.asarray(boxes, float).reshape(-1, 4)
    normaliser = normaliser or skeleton.normaliser
    longer = (box[:, 2:] - box[:, :2]).max(1, initial=0)
    if normaliser.kind == "fixed":
        return np.full(len(points), float(normaliser.length or 0))
    if normaliser.kind in WHOLE_BOX:
        width, height = (box[:, 2:] - box[:, :2]).T
        lengths = {
            "box": longer,
            "diagonal": np.hypot(width, height),
            "box_area": np.sqrt(np.maximum(width * height, 0)),
            "hourglass": HOURGLASS_SHARE * longer,
        }
        return _or_nan(lengths[normaliser.kind])
    if normaliser.kind == "head":
        sizes = np.full(len(points), np.nan) if head_size is None else np.asarray(head_size, float).reshape(-1)
        if normaliser.keypoints is None:
            if len(sizes) and not (sizes > 0).any():
                fix = "Choose another normaliser, such as box or segment:NAME,NAME"
                raise PosewrightError("no object has a head size to normalise by", fix=fix)
            return _or_nan(sizes)
        return _or_nan(np.where(sizes > 0, sizes, _segment(points, skeleton, normaliser)))
    length = _segment(points, skeleton, normaliser)
    with np.errstate(invalid="ignore"):
        return _or_nan(np.where(length >= SHORTEST * longer, length, np.nan))


def parse_normaliser(text: str, skeleton: Skeleton) -> Normaliser:
    """What ``--normaliser`` takes: ``box``, ``diagonal``, ``box_area``, ``head``, ``hourglass``, ``torso``, ``palm``,
    ``outer_eye_corners``, ``fixed:PIXELS`` or ``segment:NAME,NAME``.

    A kind that is a segment between two keypoints takes them from the skeleton's own normaliser or from the shipped
    skeleton whose keypoints are of the same names; ``KIND:NAME,NAME`` names them.

    Raises:
        PosewrightError: where the text is none of these or the skeleton has no such keypoints.
    """
    kind, _, rest = (part.strip() for part in text.partition(":"))
    if kind not in NORMALISERS:
        raise PosewrightError(f"unknown normaliser '{kind}'", fix=did_you_mean(kind, NORMALISERS))
    if kind == "fixed":
        try:
            length = float(rest)
        except ValueError:
            length = 0.0
        if not 0 < length < float("inf"):
            raise PosewrightError(f"normaliser '{text}' names no length", fix="Write fixed:PIXELS, such as fixed:10")
        return Normaliser("fixed", length=length)
    if rest:
        names = [name.strip() for name in rest.split(",")]
        if kind in WHOLE_BOX or len(names) != 2 or names[0] == names[1]:
            raise PosewrightError(
                f"normaliser '{text}' does not name two keypoints", fix="Write it like segment:left_shoulder,right_hip"
            )
        a, b = (skeleton.keypoints[skeleton.index(name)] for name in names)
        return Normaliser(kind, (a, b))
    if kind in WHOLE_BOX:
        return Normaliser(kind)
    if skeleton.normaliser.kind == kind:
        return skeleton.normaliser
    ends = _usual_ends(kind, skeleton)
    if ends or kind == "head":
        return Normaliser(kind, ends)
    raise PosewrightError(
        f"skeleton '{skeleton.name}' does not say between which keypoints its '{kind}' lies",
        fix=f"Name them: {kind}:NAME,NAME",
    )


def _usual_ends(kind: str, skeleton: Skeleton) -> tuple[str, str] | None:
    """The two keypoints of a shipped skeleton's normaliser of this kind, where this skeleton has both."""
    from posewright.skeletons import BUILTIN

    for shipped in BUILTIN.values():
        names = shipped.normaliser.keypoints
        if shipped.normaliser.kind == kind and names and all(n in skeleton.keypoints for n in names):
            return names
    return None


def _segment(points: Array, skeleton: Skeleton, normaliser: Normaliser) -> Array:
    """``[N]``: the distance between the normaliser's two keypoints, NaN where either is not labelled."""
    a, b = (skeleton.index(name) for name in normaliser.keypoints or ())
    length = np.linalg.norm(points[:, a, :2] - points[:, b, :2], axis=1)
    return np.where((points[:, a, 2] > 0) & (points[:, b, 2] > 0), length, np.nan)


def _or_nan(length: Array) -> Array:
    """Lengths above 0 and finite; NaN in the place of the others."""
    with np.errstate(invalid="ignore"):
        return np.where((length > 0) & np.isfinite(length), length, np.nan)
