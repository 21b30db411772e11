"""Which frames of a video to label: sharp ones that differ in what they show, some time apart.

A video is decoded once, in order, at low resolution. Of every candidate a short description is kept: the colours' layout on a
coarse grid, and the directions of edges in the cells of a finer one (histograms of oriented gradients; Dalal and Triggs, CVPR
2005). Each value is divided by how much it varies over the video, so that what moves counts and a background that stands still
does not. Candidates are parted by k-means (k-means++ seeds; Arthur and Vassilvitskii 2007), and of each part the one nearest
to its middle is taken; where that leaves gaps, those furthest from all that were taken (Gonzalez 1985) follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.media.sources import open_video

Array = NDArray[np.float32]

MOST = 2400
"""Candidates kept of one video; of longer ones every second, fourth, ... frame is looked at."""
SIDE = 256
"""Longer side in pixels that frames are looked at with."""
GRID, CELLS, DIRECTIONS = 8, 6, 8
"""Sides of the grids for colours and for edges, and directions told apart."""
DARK, FLAT = 12.0, 4.0
"""A frame whose mean brightness or whose spread of brightness (of 255) is below this shows nothing."""
BLURRED = 0.4
"""A frame is blurred whose edges have less than this share of the median contrast of the frames around it."""
AROUND = 60
"""Candidates on both sides that a frame's sharpness is compared with."""
SAME_BITS = 6
"""Frames whose difference hashes differ in at most this many of 256 bits are the same picture."""
SAME = 0.3
"""Frames of one video are the same picture whose features are nearer than this; two taken at random are about 1 apart."""


@dataclass
class Candidates:
    """Frames of one video that might be labelled.

    Attributes:
        path: the video.
        frame: ``[N]`` their numbers, ascending.
        time: ``[N]`` seconds from the first frame.
        features: ``[N, F]``; distances between rows say how different two frames look.
        hashes: ``[N, 32]``, see :func:`posewright.annotations.duplicates.difference_hash`.
        frames: how many frames the video has.
        dark, blurred: how many candidates were passed over.
    """

    path: Path
    frame: NDArray[np.int64]
    time: NDArray[np.float64]
    features: Array
    hashes: NDArray[np.uint8]
    frames: int
    dark: int
    blurred: int

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class Choice:
    """A candidate that was chosen, and why."""

    index: int
    why: str


def look_through(path: str | Path, progress: Callable[[int], None] | None = None, most: int = MOST) -> Candidates:
    """Decode a video once and describe its frames.

    Args:
        path: the video.
        progress: called with 1 after each frame.
        most: candidates kept at most.

    Raises:
        PosewrightError: where it is missing, no video or damaged.
    """
    path = Path(path)
    rows: list[tuple[int, float, float, bool, Array, NDArray[np.uint8]]] = []
    step, count = 1, 0
    for number, time, small in _small_frames(path):
        count += 1
        if number % step == 0:
            rows.append((number, time, *_described(small)))
            if len(rows) > most:
                step *= 2
                rows = [row for row in rows if row[0] % step == 0]
        if progress is not None:
            progress(1)
    if not rows:
        raise PosewrightError("holds no frame", file=path)
    sharp = np.array([row[2] for row in rows])
    shown = ~np.array([row[3] for row in rows])
    clear = sharp >= BLURRED * _median_around(np.where(shown, sharp, np.nan))
    keep = np.flatnonzero(shown & clear)
    return Candidates(
        path,
        np.array([rows[i][0] for i in keep], np.int64),
        np.array([rows[i][1] for i in keep], float),
        _standardised(np.array([rows[i][4] for i in keep], np.float32)) if len(keep) else np.zeros((0, 1), np.float32),
        np.array([rows[i][5] for i in keep], np.uint8).reshape(-1, 32),
        count,
        int((~shown).sum()),
        int((shown & ~clear).sum()),
    )


def choose(
    candidates: Candidates,
    count: int,
    gap: float,
    seed: int = 0,
    among: Sequence[int] | None = None,
    rank: NDArray[np.float64] | None = None,
    taken: NDArray[np.uint8] | None = None,
) -> list[Choice]:
    """Choose frames that differ, in order of time.

    Args:
        candidates: of one video.
        count: how many at most; fewer where the rest looks the same or is too near in time.
        gap: least time between two of them, in seconds.
        seed: of the parting.
        among: indices of the candidates to choose from; all where None.
        rank: ``[N]``; of each part the candidate of the highest rank is taken instead of the middle one.
        taken: hashes ``[M, 32]`` of frames chosen elsewhere, which are not to be taken again.
    """
    pool = np.arange(len(candidates)) if among is None else np.array(sorted(among), int)
    chosen: list[Choice] = []
    if not len(pool) or count < 1:
        return chosen
    x = candidates.features[pool]
    labels, centres = _parts(x, min(count, len(pool)), seed)
    away = np.linalg.norm(x - centres[labels], axis=1)
    room = _Room(candidates, gap, taken)
    for part in np.argsort(-np.bincount(labels, minlength=len(centres)), kind="stable"):
        members = np.flatnonzero(labels == part)
        order = away[members] if rank is None else -rank[pool[members]]
        for k in members[np.argsort(order, kind="stable")]:
            if room.take(int(pool[k])):
                chosen.append(Choice(int(pool[k]), f"stands for {len(members)} of {len(pool)} that look alike"))
                break
    # Then, one by one, what differs most from all that were taken.
    distance = np.full(len(pool), np.inf)
    for c in chosen:
        distance = np.minimum(distance, np.linalg.norm(x - candidates.features[c.index], axis=1))
    while len(chosen) < count:
        worth = distance if rank is None else np.where(distance > 0, rank[pool] * np.minimum(distance, 1e3), 0)
        k = int(np.argmax(worth))
        if not worth[k] > 0:
            break
        i = int(pool[k])
        if room.take(i):
            chosen.append(Choice(i, "differs most from the others"))
            distance = np.minimum(distance, np.linalg.norm(x - candidates.features[i], axis=1))
        distance[k] = 0
    return sorted(chosen, key=lambda c: c.index)


class _Room:
    """Keeps frames apart in time and in looks."""

    def __init__(self, candidates: Candidates, gap: float, taken: NDArray[np.uint8] | None) -> None:
        self._candidates, self._gap = candidates, gap
        self._times: list[float] = []
        self._hashes = [] if taken is None else list(taken)
        self._looks: list[Array] = []

    def take(self, i: int) -> bool:
        """Take a candidate, unless it is too near to one that was taken."""
        from posewright.annotations.duplicates import hamming

        time, bits = float(self._candidates.time[i]), self._candidates.hashes[i]
        looks = self._candidates.features[i]
        # Times of frames are rounded by their files.
        if any(abs(time - other) < self._gap - 1e-3 for other in self._times):
            return False
        if self._hashes and (hamming(bits[None], np.array(self._hashes)) <= SAME_BITS).any():
            return False
        if any(np.linalg.norm(looks - other) < SAME for other in self._looks):
            return False
        self._times.append(time)
        self._hashes.append(bits)
        self._looks.append(looks)
        return True


def _parts(x: Array, count: int, seed: int) -> tuple[NDArray[np.int64], Array]:
    """k-means: the part of each row, and the parts' middles."""
    from scipy.cluster.vq import kmeans2

    from posewright.console import hushed

    if count == 1:
        return np.zeros(len(x), np.int64), x.mean(0, keepdims=True)
    with hushed():  # of parts that stay empty, which then give no frame
        centres, labels = kmeans2(x.astype(float), count, minit="++", rng=np.random.default_rng(seed))
    return labels.astype(np.int64), centres.astype(np.float32)


# -- what a frame looks like -------------------------------------------------------------------------------------------


def _small_frames(path: Path) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    """Number, seconds from the first frame and a small RGB picture of every frame, as the decoder returns them."""
    import av

    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        start, number = None, 0
        size: dict[str, Any] = {}
        try:
            for frame in container.decode(stream):
                if not size:
                    scale = min(1.0, SIDE / max(frame.width, frame.height))
                    size = {
                        "width": max(16, round(frame.width * scale)),
                        "height": max(16, round(frame.height * scale)),
                    }
                time = frame.time if frame.time is not None else number / float(stream.average_rate or 25)
                start = time if start is None else start
                small = frame.reformat(**size, format="rgb24", interpolation="AREA").to_ndarray()
                yield number, max(0.0, time - start), small
                number += 1
        except av.error.FFmpegError as error:
            raise PosewrightError(f"is damaged at frame {number}: {error.strerror}", file=path) from None


def _described(small: NDArray[np.uint8]) -> tuple[float, bool, Array, NDArray[np.uint8]]:
    """Sharpness, whether nothing is to be seen, features and hash."""
    import cv2

    from posewright.annotations.duplicates import difference_hash

    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    spread = float(grey.std())
    empty = float(grey.mean()) < DARK or spread < FLAT
    # Over the spread of brightness, so that a scene that grows dim does not count as one that grows blurred.
    sharp = float(cv2.Laplacian(grey, cv2.CV_32F).std()) / max(spread, 1.0)
    lab = cv2.cvtColor(cv2.resize(small, (GRID, GRID), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2LAB)
    side = CELLS * 12
    square = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    dx, dy = cv2.Sobel(square, cv2.CV_32F, 1, 0), cv2.Sobel(square, cv2.CV_32F, 0, 1)
    strength, angle = cv2.cartToPolar(dx, dy)
    way = (angle / (2 * np.pi) * DIRECTIONS).astype(int) % DIRECTIONS
    cell = np.arange(side) // 12
    place = (cell[:, None] * CELLS + cell) * DIRECTIONS + way
    edges = np.bincount(place.ravel(), strength.ravel(), CELLS * CELLS * DIRECTIONS)
    edges = np.sqrt(edges / max(float(edges.sum()), 1.0))
    features = np.concatenate([lab.astype(np.float32).ravel() / 255, edges.astype(np.float32)])
    return sharp, empty, features, difference_hash(small)


def _standardised(features: Array) -> Array:
    """Colours and edges, each divided by its spread over the video, with equal say as a whole."""
    colours = 3 * GRID * GRID
    blocks = []
    for block in (features[:, :colours], features[:, colours:]):
        spread = block.std(0)
        # What hardly changes is noise of the coding: it is not blown up to the size of what moves.
        floor = max(float(np.sqrt((spread**2).mean())), 1e-4)
        blocks.append((block - block.mean(0)) / np.maximum(spread, floor) / np.sqrt(block.shape[1]))
    return np.concatenate(blocks, 1).astype(np.float32)


def _median_around(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of the ``AROUND`` values on both sides of each, NaN left out; 0 where there is none."""
    from posewright.console import hushed

    padded = np.pad(values, AROUND, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * AROUND + 1)
    with hushed():
        return np.nan_to_num(np.nanmedian(windows, axis=1))
