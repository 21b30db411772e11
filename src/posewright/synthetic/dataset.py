"""A folder of synthetic pictures with their labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from posewright.annotations import Annotations, Image, get_format
from posewright.errors import PosewrightError
from posewright.files import whole_folder
from posewright.media.pictures import write_picture
from posewright.skeletons import HAND_21
from posewright.synthetic.anatomy import Array
from posewright.synthetic.hand import EMPTY_SHARE, check_seed, check_share, check_size, render_hand
from posewright.synthetic.several import check_hands, render_hands
from posewright.synthetic.shading import Picture

_LABELS, _PICTURES = "annotations.json", "images"


def make_hand_set(
    folder: str | Path,
    count: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = (256, 256),
    val_share: float = 0.2,
    empty_share: float = EMPTY_SHARE,
    difficulty: float = 1.0,
    hands: tuple[int, int] | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Annotations:
    """Write ``folder/images/*.jpg`` and ``folder/annotations.json`` (COCO keypoints with a split for each picture).

    Picture i is ``render_hand(seed, i, ...)``, or with ``hands`` ``render_hands(seed, i, ...)``. The folder appears when
    everything in it is written.

    Args:
        folder: must be new or empty.
        count: number of pictures.
        seed, size, empty_share, difficulty: as for :func:`render_hand`.
        hands: fewest and most hands of a picture; exactly one, large, where None.
        val_share: 0..1, the share of pictures in the split "val"; the others are in "train".
        overwrite: replace what an earlier call wrote. A folder that holds anything else is never replaced.
        progress: called after each picture with 1, the number of pictures that have been added.

    Raises:
        PosewrightError: where an argument makes no sense or the folder cannot be written.
    """
    width, height = check_size(size)
    check_seed(seed)
    for name, share in (("val_share", val_share), ("empty_share", empty_share), ("difficulty", difficulty)):
        check_share(name, share)
    if hands is not None:
        check_hands(hands)
    if count < 1:
        raise PosewrightError(f"a set of {count} pictures is none")
    folder = Path(folder)
    _check_target(folder, overwrite)
    digits = max(5, len(str(count - 1)))
    images: list[Image] = []
    owner: list[int] = []
    keypoints: list[Array] = []
    boxes: list[Array] = []
    with whole_folder(folder) as temporary:
        (temporary / _PICTURES).mkdir()
        for i in range(count):
            image, points, places = _picture(seed, i, (width, height), empty_share, difficulty, hands)
            name = f"{_PICTURES}/{i:0{digits}d}.jpg"
            write_picture(temporary / name, image)
            images.append(Image(name, width, height, id=i + 1))
            owner += [i] * len(points)
            keypoints += list(points)
            boxes += list(places)
            if progress is not None:
                progress(1)
        annotations = Annotations(
            HAND_21,
            images,
            np.array(owner, np.int64),
            np.array(keypoints),
            np.array(boxes),
            temporary,
            source=str(folder),
        ).with_splits(val_share, seed)
        write = get_format("coco").write
        assert write is not None
        write(annotations, temporary / _LABELS)
    return replace(annotations, root=folder)


def _picture(
    seed: int,
    index: int,
    size: tuple[int, int],
    empty_share: float,
    difficulty: float,
    hands: tuple[int, int] | None,
) -> tuple[Picture, Array, Array]:
    """A picture, its hands' keypoints ``[N, 21, 3]`` and their boxes ``[N, 4]``."""
    if hands is not None:
        several = render_hands(seed, index, size, hands=hands, empty_share=empty_share, difficulty=difficulty)
        return several.image, several.keypoints, several.boxes
    one = render_hand(seed, index, size, empty_share=empty_share, difficulty=difficulty)
    return one.image, one.keypoints, np.zeros((0, 4)) if one.box is None else one.box[None]


def _check_target(folder: Path, overwrite: bool) -> None:
    """Raise where something would be lost by putting a set in this place."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise PosewrightError("is a file, not a folder", file=folder)
    inside = sorted(entry.name for entry in folder.iterdir())
    foreign = [name for name in inside if name not in (_LABELS, _PICTURES)]
    if foreign:
        fix = "Name a folder that is new or empty"
        raise PosewrightError(f"holds other things, such as '{foreign[0]}'", file=folder, fix=fix)
    if inside and not overwrite:
        raise PosewrightError("holds a set already", file=folder, fix="Name another folder, or overwrite it")
