"""The picture that labels are about: frames of videos, the cache they are kept in, threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from helpers.clips import moving_pictures, write_clip
from posewright.annotations.tables import Annotations, Image
from posewright.errors import PosewrightError
from posewright.media import seeking
from posewright.media.frame_cache import FrameCache, frame_cache, video_key
from posewright.media.labelled import VideoFrame, labelled_size, picture_of, picture_source
from posewright.media.pictures import read_picture, write_picture
from posewright.media.sources import video_frames
from posewright.skeleton import Skeleton

COUNT = 24


@pytest.fixture
def filmed(tmp_path, monkeypatch):
    """A picture and six frames of a video, with a cache of their own."""
    monkeypatch.setenv("POSEWRIGHT_CACHE", str(tmp_path / "cache"))
    write_picture(tmp_path / "set" / "photo.png", moving_pictures(1)[0])
    write_clip(tmp_path / "set/film/a.mp4", moving_pictures(COUNT), options={"x264-params": "keyint=10:bframes=2"})
    numbers = [3, 23, 0, 12, 7, 15]
    images = [Image("photo.png"), *(Image("film/a.mp4", frame=n) for n in numbers)]
    n = len(images)
    skeleton = Skeleton("spot", ("spot",))
    a = Annotations(
        skeleton, images, np.arange(n), np.full((n, 1, 3), 2.0), np.tile([0.0, 0, 9, 9], (n, 1)), tmp_path / "set"
    )
    return a, [frame.image for frame in video_frames(tmp_path / "set/film/a.mp4")]


def kept(a: Annotations) -> list[str]:
    return sorted(path.name for path in frame_cache().folder.glob("*/*.png"))


def test_pictures_and_frames(filmed):
    a, frames = filmed
    assert np.array_equal(picture_of(a, 0), read_picture(a.root / "photo.png"))
    for i, im in enumerate(a.images[1:], 1):
        assert np.array_equal(picture_of(a, i), frames[im.frame])
    assert picture_source(a, 0) == a.root / "photo.png"
    assert str(picture_source(a, 2)).endswith("a.mp4, frame 23")
    assert labelled_size(a, 0) == labelled_size(a, 1) == (64, 48)
    assert [im.name for im in a.images[:2]] == ["photo.png", "a.mp4 #3"]


def test_each_stretch_is_decoded_once(filmed, monkeypatch):
    a, frames = filmed
    assert kept(a) == []
    picture_of(a, 1)
    assert kept(a) == ["00000000.png", "00000003.png", "00000007.png"]
    picture_of(a, 2)
    picture_of(a, 4)
    assert len(kept(a)) == 6
    monkeypatch.setattr(seeking.VideoReader, "read", lambda *_: pytest.fail("decoded again"))
    for i, im in enumerate(a.images[1:], 1):
        assert np.array_equal(picture_of(a, i), frames[im.frame])
    # A video that was replaced is another one.
    monkeypatch.undo()
    path = a.root / "film/a.mp4"
    os.utime(path, ns=(0, 0))
    assert frame_cache().get(video_key(path), 3) is None


def test_threads_get_the_right_frames(filmed):
    a, frames = filmed
    order = list(range(1, 7)) * 8
    with ThreadPoolExecutor(8) as pool:
        for i, picture in zip(order, pool.map(lambda i: picture_of(a, i), order)):
            assert np.array_equal(picture, frames[a.images[i].frame])


def test_another_process_finds_the_frames(filmed):
    a, _ = filmed
    for i in range(1, 7):
        picture_of(a, i)
    code = (
        "import sys; from pathlib import Path; from posewright.media import seeking; seeking.video_reader = None\n"
        "from posewright.media.labelled import VideoFrame\n"
        "print(VideoFrame(Path(sys.argv[1]), 12, [12]).read().sum())"
    )
    said = subprocess.run([sys.executable, "-c", code, str(a.root / "film/a.mp4")], capture_output=True, text=True)
    assert int(said.stdout) == picture_of(a, 4).sum(), said.stderr


def test_without_a_cache(filmed, monkeypatch):
    a, frames = filmed
    monkeypatch.setenv("POSEWRIGHT_CACHE_GB", "0")
    for i in (5, 1, 2, 3):
        assert np.array_equal(picture_of(a, i), frames[a.images[i].frame])
    assert kept(a) == []
    monkeypatch.setenv("POSEWRIGHT_CACHE_GB", "many")
    with pytest.raises(PosewrightError, match="POSEWRIGHT_CACHE_GB is 'many', not a number"):
        picture_of(a, 1)


def test_a_cache_that_cannot_be_written_is_done_without(filmed, monkeypatch, tmp_path):
    a, frames = filmed
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("POSEWRIGHT_CACHE", str(tmp_path / "file"))
    for i in (2, 1):
        assert np.array_equal(picture_of(a, i), frames[a.images[i].frame])
    assert frame_cache().closed


def test_a_damaged_frame_is_decoded_again(filmed):
    a, frames = filmed
    picture_of(a, 1)
    path = next(frame_cache().folder.glob("*/00000003.png"))
    path.write_bytes(path.read_bytes()[:200])
    assert np.array_equal(picture_of(a, 1), frames[3])


def test_the_oldest_frames_make_room(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    first = FrameCache(tmp_path, 1 << 30)
    for n in range(6):
        assert first.put("old", n, picture)
        os.utime(tmp_path / "old" / f"{n:08d}.png", (time.time() - 1000 + n,) * 2)
    size = (tmp_path / "old" / "00000000.png").stat().st_size
    cache = FrameCache(tmp_path, int(6.5 * size))
    assert cache.get("old", 0) is not None  # used by this process now: no longer the oldest
    assert cache.put("new", 0, picture)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*.png"))
    assert left == ["new/00000000.png", *(f"old/0000000{n}.png" for n in (0, 3, 4, 5))]
    # What this process uses stays, even where nothing else can be kept then.
    while cache.put("new", len(list((tmp_path / "new").iterdir())), picture):
        pass
    assert cache.closed and cache.get("old", 0) is not None and cache.get("new", 0) is not None


def test_what_is_missing_is_named(filmed):
    a, _ = filmed
    (a.root / "film/a.mp4").rename(a.root / "film/b.mp4")
    assert a.missing_pictures() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(PosewrightError, match=r"video .*a.mp4 does not exist"):
        a.require_pictures()
    with pytest.raises(PosewrightError, match=r"a.mp4: does not exist"):
        picture_of(a, 1)
    with pytest.raises(PosewrightError, match="has no frame 99"):
        VideoFrame(a.root / "film/b.mp4", 99, [99]).read()
