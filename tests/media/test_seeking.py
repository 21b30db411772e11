"""Any frame by its number is the frame that decoding in order gives: codecs, containers, threads, damage."""

from __future__ import annotations

import random
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from helpers.clips import moving_pictures, write_clip
from posewright.errors import PosewrightError
from posewright.media.seeking import VideoReader, video_reader
from posewright.media.sources import video_frames

COUNT = 40
X264 = "keyint=10:bframes=3:b-pyramid=2"
KINDS = {
    "h264.mp4": ("libx264", {"x264-params": X264}),
    "h264.mkv": ("libx264", {"x264-params": f"{X264}:open-gop=1"}),
    "h264.ts": ("libx264", {"x264-params": f"{X264}:open-gop=1"}),
    "h264.flv": ("libx264", {"x264-params": X264}),
    "h264.avi": ("libx264", {"x264-params": X264}),
    "interlaced.mp4": ("libx264", {"x264-params": "keyint=10:bframes=2:interlaced=1"}),
    "refreshed.ts": ("libx264", {"x264-params": "intra-refresh=1:keyint=10:bframes=2"}),
    "refreshed.mkv": ("libx264", {"x264-params": "intra-refresh=1:keyint=10:bframes=0"}),
    "one_key.mp4": ("libx264", {"x264-params": "keyint=infinite:bframes=2"}),
    "hevc.mp4": ("libx265", {"x265-params": "keyint=10:bframes=3:open-gop=1:log-level=none"}),
    "vp8.webm": ("libvpx", {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "8"}),
    "vp9.webm": ("libvpx-vp9", {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "8", "cpu-used": "8"}),
    "mpeg4.avi": ("mpeg4", {"bf": "2", "g": "10"}),
    "mpeg4.mp4": ("mpeg4", {"bf": "2", "g": "10"}),
    "mpeg2.mpg": ("mpeg2video", {"bf": "2", "g": "10"}),
    "motion_jpeg.avi": ("mjpeg", {}),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """An H.264 video with B-frames and four key frames, at uneven times, and its frames decoded in order."""
    times = [i * 0.04 + (i % 3) * 0.007 + (0.5 if i > 20 else 0) for i in range(COUNT)]
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    write_clip(path, moving_pictures(COUNT), options={"x264-params": X264}, times=times)
    return path, [frame.image for frame in video_frames(path)]


def all_equal(reader: VideoReader, frames, order) -> bool:
    return all(np.array_equal(reader.read(n), frames[n]) for n in order)


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_is_the_one_of_decoding_in_order(tmp_path, name):
    path = write_clip(tmp_path / name, moving_pictures(COUNT), *KINDS[name])
    frames = [frame.image for frame in video_frames(path)]
    assert len({frame.tobytes() for frame in frames}) == len(frames) == COUNT
    order = random.Random(0).sample(range(COUNT), COUNT)
    assert all_equal(VideoReader(path), frames, order)
    kept: dict[int, np.ndarray] = {}
    VideoReader(path).read(order[0], range(COUNT), lambda n, picture: kept.update({n: picture}) or True)
    assert order[0] in kept and all(np.array_equal(kept[n], frames[n]) for n in kept)


def test_real_videos(shared_data):
    for name in ("centered_pair_low_quality", "small_robot_3_frame"):
        path = shared_data / "formats" / "sleap" / f"{name}.mp4"
        reader = VideoReader(path)
        kept: dict[int, int] = {}

        def keep(n, picture, kept=kept):
            kept[n] = zlib.crc32(picture)
            return True

        # The second half first: it is reached by seeking.
        for n in [*range(reader.count // 2, reader.count), *range(reader.count // 2)]:
            if n not in kept:
                reader.read(n, range(reader.count), keep)
        assert kept == {frame.frame: zlib.crc32(frame.image) for frame in video_frames(path)}
        assert len(kept) == reader.count


def test_uneven_times_and_any_order(clip):
    path, frames = clip
    reader = VideoReader(path)
    assert reader.count == COUNT
    assert all_equal(reader, frames, [39, 0, 1, 2, 20, 19, 21, 21, 5, 38, 39])


def test_frames_between_two_key_frames_are_decoded_together(clip):
    path, frames = clip
    kept: dict[int, np.ndarray] = {}
    reader = VideoReader(path)
    got = reader.read(14, [1, 11, 14, 17, 23, 35], lambda n, picture: kept.update({n: picture}) or True)
    assert sorted(kept) == [11, 14, 17]
    assert np.array_equal(got, frames[14]) and all(np.array_equal(kept[n], frames[n]) for n in kept)
    refused: list[int] = []
    got = reader.read(5, range(COUNT), lambda n, picture: bool(refused.append(n)))
    assert refused == [0] and np.array_equal(got, frames[5])


def test_a_frame_that_another_thread_has_kept_is_not_decoded(clip):
    path, frames = clip
    asked: list[int] = []
    assert VideoReader(path).read(3, kept=lambda n: asked.append(n) or frames[7]) is frames[7]
    assert asked == [3]


def test_threads_share_a_reader(clip):
    path, frames = clip
    order = random.Random(1).choices(range(COUNT), k=120)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda n: video_reader(path).read(n), order))
    assert all(np.array_equal(picture, frames[n]) for n, picture in zip(order, got))
    assert video_reader(path) is video_reader(path)


def test_turned_videos_are_turned(clip, tmp_path):
    pictures = moving_pictures(12)
    path = write_clip(tmp_path / "clip.mp4", pictures, options={"x264-params": "keyint=4:bframes=2"})
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 5 * 4 + 2 * 4 + 2 + 2 + 2 + 2
    for place, number in ((0, 0), (4, 1), (12, -1), (16, 0)):
        data[at + place : at + place + 4] = int(number * 65536).to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    frames = [frame.image for frame in video_frames(path)]
    assert frames[0].shape == (64, 48, 3)
    assert all_equal(VideoReader(path), frames, [9, 1, 6, 0, 11])


def test_what_is_not_there(clip, tmp_path):
    path, _ = clip
    with pytest.raises(PosewrightError, match=r"clip.mkv: has no frame 40: it has 40, counted from 0"):
        VideoReader(path).read(40)
    with pytest.raises(PosewrightError, match=r"has no frame -1"):
        VideoReader(path).read(-1)
    with pytest.raises(PosewrightError, match=r"none.mp4: does not exist"):
        video_reader(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no video at all")
    with pytest.raises(PosewrightError, match="is not a video"):
        video_reader(tmp_path / "text.mp4")


def test_a_video_cut_short_gives_what_is_left(clip, tmp_path):
    path, frames = clip
    short = tmp_path / "short.mkv"
    short.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5])
    reader = VideoReader(short)
    assert np.array_equal(reader.read(12), frames[12])
    with pytest.raises(PosewrightError, match=r"short.mkv: (has no frame 39|is damaged)"):
        reader.read(39)


def test_times_that_foretell_something_else_are_found_out(clip):
    """As if the packets' times had promised other frames than come out: the video is then decoded from the beginning."""
    path, frames = clip
    reader = VideoReader(path)
    reader._times = [time + 1 for time in reader._times]
    assert all_equal(reader, frames, [25, 3, 39])
    assert reader.count is None
