"""Which frames are chosen: different, sharp, apart in time, and the same for the same seed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from helpers.clips import moving_pictures, write_clip
from posewright.media import selection
from posewright.media.selection import Candidates, choose, look_through

SCENES = 6
EACH = 15
DARK, BLURRED = range(30, 34), range(50, 53)


def scene(number: int, shift: int) -> np.ndarray:
    """One of a few scenes that share nothing, moved by a pixel or two."""
    rng = np.random.default_rng(number)
    picture = np.full((96, 128, 3), rng.integers(60, 190, 3), np.uint8)
    for _ in range(8):
        x, y = rng.integers(0, 128), rng.integers(0, 96)
        colour = tuple(int(c) for c in rng.integers(0, 255, 3))
        cv2.circle(picture, (int(x) + shift % 2, int(y)), int(rng.integers(6, 22)), colour, -1)
    return picture


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> Candidates:
    """Six scenes of fifteen frames, some of the frames dark or blurred."""
    pictures = [scene(i // EACH, i) for i in range(SCENES * EACH)]
    for i in DARK:
        pictures[i] = np.full_like(pictures[i], 3)
    for i in BLURRED:
        pictures[i] = cv2.GaussianBlur(pictures[i], (0, 0), 5)
    path = write_clip(tmp_path_factory.mktemp("seen") / "scenes.mp4", pictures, options={"crf": "12"})
    return look_through(path)


def numbers(seen: Candidates, count: int, gap: float = 0.0, **how) -> list[int]:
    return [int(seen.frame[c.index]) for c in choose(seen, count, gap, **how)]


def test_what_is_looked_at(seen):
    assert (seen.frames, seen.dark, seen.blurred) == (SCENES * EACH, len(DARK), len(BLURRED))
    assert not set(seen.frame.tolist()) & {*DARK, *BLURRED}
    assert len(seen) == seen.frames - seen.dark - seen.blurred
    np.testing.assert_allclose(seen.time, seen.frame / 25, atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_one_of_each_scene(seen, seed):
    chosen = numbers(seen, SCENES, seed=seed)
    assert {number // EACH for number in chosen} == set(range(SCENES))
    assert chosen == sorted(chosen) == numbers(seen, SCENES, seed=seed)


def test_the_same_again_is_not_chosen(seen):
    """There are but six different pictures."""
    assert len(numbers(seen, 40)) == SCENES
    first = choose(seen, 1, 0.0)
    taken = seen.hashes[[c.index for c in first]]
    assert len(numbers(seen, 40, taken=taken)) == SCENES - 1


def test_time_between(seen):
    chosen = numbers(seen, SCENES, gap=1.0)
    assert 3 <= len(chosen) < SCENES
    assert min(np.diff(chosen)) >= 25


def test_rank_decides_within_a_part(seen):
    rank = (seen.frame % EACH == 11).astype(float)
    assert [number % EACH for number in numbers(seen, SCENES, rank=rank)] == [11] * SCENES
    among = np.flatnonzero(seen.frame < 3 * EACH)
    assert max(numbers(seen, SCENES, among=among)) < 3 * EACH


def test_long_videos_are_thinned_out(tmp_path):
    path = write_clip(tmp_path / "long.mp4", moving_pictures(100))
    seen = look_through(path, most=20)
    assert seen.frames == 100 and len(seen) <= 20
    assert set(np.diff(seen.frame).tolist()) == {8}


def test_a_growing_darkness_is_no_blur(tmp_path):
    pictures = [(scene(1, i) * (1 - 0.012 * i)).astype(np.uint8) for i in range(60)]
    assert look_through(write_clip(tmp_path / "dusk.mp4", pictures, options={"crf": "12"})).blurred == 0


def test_nothing_to_see(tmp_path):
    seen = look_through(write_clip(tmp_path / "night.mp4", [np.zeros((64, 64, 3), np.uint8)] * 5))
    assert (len(seen), seen.dark) == (0, 5) and choose(seen, 3, 0.0) == []
    assert selection.choose(seen, 0, 0.0) == []
