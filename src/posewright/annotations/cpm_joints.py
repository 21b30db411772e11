"""The joints of the convolutional pose machines' own data: what ``labels.txt`` and the TFRecords mean by joint 0, 1, ...

The system's hand data counts each finger from its tip to its base, thumb first, and the wrist last; ``hand-21`` starts
at the wrist and counts from the base. Both files are read and written in the system's order where the skeleton is
``hand-21``, and in the skeleton's own order where it is another.
"""

from __future__ import annotations

from pathlib import Path

from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN, load_skeleton

HAND = "hand-21"


def stored_order(skeleton: Skeleton) -> list[int]:
    """``order[i]`` is the skeleton's index of the system's joint ``i``."""
    if not skeleton.same_keypoints(BUILTIN[HAND]):
        return list(range(len(skeleton)))
    return [1 + 4 * finger + joint for finger in range(5) for joint in (3, 2, 1, 0)] + [0]


def known_skeleton(file: Path, wanted: Skeleton | None) -> Skeleton | None:
    """The skeleton given, or the one whose text files lie beside the labels (``<stem>_classes.txt``), or None."""
    own = file.with_name(f"{file.stem}_classes.txt")
    return wanted or (load_skeleton(str(own)) if own.is_file() else None)


def skeleton_of(file: Path, count: int, known: Skeleton | None) -> Skeleton:
    """What the joints are; 21 that nothing is said of are the system's hand.

    Raises:
        PosewrightError: where the number differs, or nothing says what the joints are.
    """
    if known is None and count == 21:
        return BUILTIN[HAND]
    if known is None:
        what = f"has {count} joints an object, and does not say which"
        raise PosewrightError(what, file=file, fix="Give --skeleton NAME or FILES")
    if len(known) != count:
        raise PosewrightError(f"has {count} joints an object, but skeleton '{known.name}' has {len(known)}", file=file)
    return known
