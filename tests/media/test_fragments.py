"""Videos in fragments that were cut short anywhere: what is whole of them is read to its end."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from posewright.media.fragments import cut_to_whole_fragments
from posewright.media.sinks import h264_video
from posewright.media.sources import video_frames


class Broken(Exception):
    pass


@pytest.fixture(scope="module")
def fragments(tmp_path_factory) -> bytes:
    """A video of 120 frames, as it lies there shortly before it ends: in fragments of a second."""
    path, found = tmp_path_factory.mktemp("clips") / "clip.mp4", b""
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    with suppress(Broken), h264_video(path, 20, lambda error: True) as add:
        for i in range(120):
            add(np.roll(picture, i, 1), None)
        found = path.with_name("clip.partial.mp4").read_bytes()
        raise Broken
    assert found.count(b"moof") >= 3
    return found


def test_a_file_cut_anywhere_is_read_to_its_end(fragments, tmp_path):
    path = tmp_path / "clip.mp4"
    last = fragments.rindex(b"moof") - 4
    first = fragments.index(b"mdat", fragments.index(b"moof"))
    counts = []
    for at in np.linspace(fragments.index(b"moof", first), len(fragments) - 1, 12).astype(int):
        path.write_bytes(fragments[:at])
        cut_to_whole_fragments(path)
        assert 0 < path.stat().st_size <= at
        counts.append(len(list(video_frames(path))))
    assert counts == sorted(counts) and counts[0] > 0
    path.write_bytes(fragments[: last + 6])  # within a box's header
    cut_to_whole_fragments(path)
    assert path.read_bytes() == fragments[:last]


def test_what_is_whole_or_no_video_stays(fragments, tmp_path):
    path = tmp_path / "clip.mp4"
    with h264_video(path, 20) as add:
        for _ in range(5):
            add(np.zeros((32, 32, 3), np.uint8), None)
    start = fragments[: fragments.index(b"moof") + 20]  # nothing whole in it yet
    for data in (path.read_bytes(), fragments, start, b"", b"no video", bytes(100)):
        path.write_bytes(data)
        cut_to_whole_fragments(path)
        assert path.read_bytes() == data
