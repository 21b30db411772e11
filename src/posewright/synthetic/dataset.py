"""A folder of synthetic pictures with their labels."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path

import cv2
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
    workers: int = 1,
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
        workers: processes that draw; the pictures do not depend on it. More than one start this program's main module again,
            which needs the usual ``if __name__ == "__main__"``.
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
    if workers < 1:
        raise PosewrightError(f"workers is 1 or more, not {workers}")
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
        picture = partial(
            _picture, seed, size=(width, height), empty_share=empty_share, difficulty=difficulty, hands=hands
        )
        draw = partial(_draw, temporary, digits, picture)
        for i, (points, places) in enumerate(_drawn(draw, count, workers)):
            images.append(Image(_name(i, digits), width, height, id=i + 1))
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


Labels = tuple[Array, Array]
"""A picture's hands: their keypoints ``[N, 21, 3]`` and their boxes ``[N, 4]``."""
AT_ONCE = 16
"""Pictures that a process is given at a time."""
MOST_WORKERS = 61
"""Windows has no room for more."""


def _drawn(draw: Callable[[int], Labels], count: int, workers: int) -> Iterator[Labels]:
    """The labels of all pictures in order, which are written on the way."""
    workers = min(workers, -(-count // AT_ONCE), MOST_WORKERS)
    if workers <= 1:
        yield from map(draw, range(count))
        return
    # Started anew: a process that was forked from one with threads may wait for a lock that nobody holds.
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin) as pool:
        try:
            with _deaf_to_ctrl_c():  # which they inherit: it is for this process alone to end them
                labels = pool.map(draw, range(count), chunksize=AT_ONCE)
            yield from labels
        except BrokenProcessPool:
            fix = 'Draw with one process (workers=1), or call this under if __name__ == "__main__"'
            raise PosewrightError("a process that drew pictures ended early", fix=fix) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only there can it be set
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin() -> None:
    """Let a process use one thread, and end with the one that it works for, however that ends."""
    cv2.setNumThreads(1)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _draw(folder: Path, digits: int, picture: Callable[[int], tuple[Picture, Array, Array]], index: int) -> Labels:
    """Write one picture."""
    image, points, places = picture(index)
    write_picture(folder / _name(index, digits), image)
    return points, places


def _name(index: int, digits: int) -> str:
    return f"{_PICTURES}/{index:0{digits}d}.jpg"


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
