"""What several tests of commands work on."""

from __future__ import annotations

import pytest

from helpers.predicting import COUNT, clip_shot, clip_time
from helpers.spots import spot_model
from posewright.media import enduring, stream
from posewright.media.pictures import write_picture
from posewright.media.sinks import h264_video


@pytest.fixture(scope="session")
def clip_made(tmp_path_factory):
    """A model that finds three spots, and a clip of them on their way, its second half later than its rate says."""
    folder = tmp_path_factory.mktemp("made")
    spot_model(folder / "spots.onnx")
    spot_model(folder / "bare.onnx", outputs=("keypoints", "presence"))
    with h264_video(folder / "clip.mp4", 20) as add:
        for i in range(COUNT):
            add(clip_shot(i), clip_time(i))
    write_picture(folder / "a.png", clip_shot(0))
    return folder


@pytest.fixture
def clip_desk(clip_made, tmp_path, monkeypatch):
    """A folder to work in with all of that, where live sources wait for nothing long."""
    for path in clip_made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(enduring, "RETRY", 0.05)
    monkeypatch.setattr(stream, "READ", 0.5)
    return tmp_path
