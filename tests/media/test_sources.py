"""Files, folders, patterns and videos: found in order, named apart, read the right way up and at the right time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from posewright.errors import PosewrightError
from posewright.media.pictures import write_picture
from posewright.media.sinks import h264_video
from posewright.media.sources import find_sources, video_frames, video_info


def shade(level: int, height: int = 32, width: int = 48) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture
def shots(tmp_path, monkeypatch):
    """A folder with pictures on two levels, in three formats, among other files."""
    for name, level in (("b.png", 20), ("a.jpg", 10), ("sub/a.jpg", 30), ("sub/c.tif", 40)):
        write_picture(tmp_path / "shots" / name, shade(level))
    (tmp_path / "shots" / "notes.txt").write_text("no picture")
    (tmp_path / "shots" / "labels.json").write_text("{}")
    (tmp_path / "shots" / "._a.jpg").write_bytes(b"what a Mac leaves behind")
    (tmp_path / "shots" / ".thumbs").mkdir()
    write_picture(tmp_path / "shots" / ".thumbs" / "a.jpg", shade(99))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def levels(source) -> list[int]:
    return [round(frame.image.mean()) for frame in source.frames()]


def test_a_folder_is_one_source_in_order(shots):
    (source,) = find_sources(["shots"])
    assert (source.name, source.kind, source.count) == ("shots", "folder", 4)
    names = [p.relative_to("shots").as_posix() for p in source.pictures]
    assert names == ["a.jpg", "b.png", "sub/a.jpg", "sub/c.tif"]
    assert levels(source) == [10, 20, 30, 40]
    frames = list(source.frames())
    assert frames[0].frame is None and frames[0].time is None and frames[0].path == source.pictures[0]


def test_patterns_and_files_are_sources_of_their_own(shots):
    found = find_sources(["shots/*.jpg", "shots/**/*.tif", shots / "shots" / "b.png"])
    assert [(s.name, s.kind) for s in found] == [("a", "picture"), ("c", "picture"), ("b", "picture")]
    assert [levels(s) for s in found] == [[10], [40], [20]]


def test_names_are_kept_apart(shots):
    write_picture(shots / "A.png", shade(1))
    write_picture(shots / "a-2.png", shade(2))
    found = find_sources(["shots/a.jpg", "shots/sub/a.jpg", "A.png", "a-2.png", "shots/a.jpg"])
    names = [s.name for s in found]
    assert names == ["a", "a-2", "A-3", "a-2-2", "a-4"]
    assert len({n.lower() for n in names}) == 5


def test_the_current_folder_has_a_name(shots, monkeypatch):
    monkeypatch.chdir(shots / "shots" / "sub")
    assert find_sources(["."])[0].name == "sub"


def test_results_are_no_sources(shots):
    write_picture(shots / "shots" / "out" / "a_overlay.jpg", shade(77))
    assert find_sources(["shots"], exclude=shots / "shots" / "out")[0].count == 4
    assert find_sources(["shots"])[0].count == 5
    assert find_sources(["shots/out"], exclude=shots / "shots" / "out")[0].count == 1


def test_a_name_with_brackets_is_a_file(shots):
    write_picture(shots / "shot[1].png", shade(50))
    assert levels(find_sources(["shot[1].png"])[0]) == [50]


def complaint(specs) -> str:
    with pytest.raises(PosewrightError) as caught:
        for source in find_sources(specs):
            list(source.frames())
    return str(caught.value)


def test_what_is_not_there(shots):
    (shots / "empty").mkdir()
    assert complaint(["none.jpg"]) == "none.jpg: does not exist"
    assert "no file matches 'shots/*.gif'" in complaint(["shots/*.gif"])
    assert complaint(["empty"]) == "empty: holds no pictures"
    (shots / "empty" / "a.mp4").write_bytes(b"")
    assert "but 1 videos. Name the videos themselves" in complaint(["empty"])
    assert "is not a picture" in complaint(["shots/notes.txt"])
    assert "is empty" in complaint(["empty/a.mp4"])
    (shots / "text.mp4").write_text("no video at all")
    assert "is not a video" in complaint(["text.mp4"])


def test_bad_pictures_stop_or_are_handed_over(shots):
    (shots / "shots" / "b.png").write_bytes(b"")
    assert "b.png: is empty" in complaint(["shots"])
    bad: list[PosewrightError] = []
    (source,) = find_sources(["shots"])
    assert [round(f.image.mean()) for f in source.frames(bad.append)] == [10, 30, 40]
    assert len(bad) == 1 and "b.png" in str(bad[0])


# -- videos ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Twelve frames at uneven times, each with its own grey level, brighter at the top left."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with h264_video(path, 25) as add:
        for i in range(12):
            picture = shade(20 + 15 * i, 48, 64)
            picture[:16, :16] = 250
            add(picture, i * 0.04 + (0.5 if i >= 6 else 0))
    return path


def test_frames_and_times(clip):
    (source,) = find_sources([clip])
    assert (source.kind, source.name, source.count) == ("video", "clip", 12)
    frames = list(source.frames())
    assert [f.frame for f in frames] == list(range(12))
    times = [i * 0.04 + (0.5 if i >= 6 else 0) for i in range(12)]
    np.testing.assert_allclose([f.time for f in frames], times, atol=1e-4)
    for i, frame in enumerate(frames):
        assert frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8
        assert abs(frame.image[30:, 30:].mean() - (20 + 15 * i)) < 5
        assert frame.image[4:12, 4:12].mean() > 235
    assert video_info(clip).frames == 12


TURNED = {  # the display matrix's first four numbers, and where the bright corner is then seen
    90: ((0, 1, -1, 0), (slice(4, 12), slice(-12, -4)), (64, 48)),
    180: ((-1, 0, 0, -1), (slice(-12, -4), slice(-12, -4)), (48, 64)),
    270: ((0, -1, 1, 0), (slice(-12, -4), slice(4, 12)), (64, 48)),
}


@pytest.mark.parametrize("degrees", TURNED)
def test_videos_are_turned_as_phones_say(clip, tmp_path, degrees):
    """A phone stores its sensor's frames and a display matrix; ``degrees`` clockwise is how they are shown."""
    (a, b, c, d), corner, shape = TURNED[degrees]
    data = bytearray(clip.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 5 * 4 + 2 * 4 + 2 + 2 + 2 + 2
    unit = 1 << 16
    assert data[at : at + 4] == unit.to_bytes(4, "big"), "not where the matrix is"
    for place, value in zip((0, 4, 12, 16), (a, b, c, d)):
        data[at + place : at + place + 4] = (value * unit).to_bytes(4, "big", signed=True)
    path = tmp_path / "turned.mp4"
    path.write_bytes(data)
    image = next(video_frames(path)).image
    assert image.shape[:2] == shape and image.flags.c_contiguous
    assert image[corner].mean() > 235


def test_videos_cut_short(clip, tmp_path):
    whole = clip.read_bytes()
    path = tmp_path / "cut.mp4"
    for share in (0.05, 0.3, 0.7):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(PosewrightError) as caught:
            list(video_frames(path))
        assert "\n" not in str(caught.value) and "cut.mp4: " in str(caught.value)


def test_a_video_that_ends_early_gives_what_it_has(clip, tmp_path):
    """The header lies in front and promises more frames than follow."""
    path = tmp_path / "long.mp4"
    with h264_video(path, Fraction(25)) as add:
        for i in range(100):
            add(np.random.default_rng(i).integers(0, 255, (48, 64, 3), dtype=np.uint8), None)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    read, bad = [], []
    (source,) = find_sources([path])
    read = list(source.frames(bad.append))
    assert 20 < len(read) < 80
    assert len(bad) == 1 and ("cut short: it ends after" in str(bad[0]) or "damaged at frame" in str(bad[0]))


def test_real_videos(shared_data):
    for name, frames, rate in (("person_walking.mp4", 1394, None), ("sign_walk.mkv", None, 30)):
        path = shared_data / "video" / name
        info = video_info(path)
        assert frames is None or info.frames == frames
        assert rate is None or abs(info.rate - rate) < 1
        first = next(video_frames(path))
        assert first.time == 0 and first.image.std() > 10
