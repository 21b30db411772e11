"""Cameras, streams and pipes: what they give, and what becomes of them when they stall, break, change or end."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.feeds import Feed, jpeg, levels, shade
from posewright.errors import PosewrightError
from posewright.media import camera, enduring, stream
from posewright.media.intake import Capture, Intake
from posewright.media.sinks import h264_video
from posewright.media.sources import find_sources, video_frames

LIVE = Capture()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(enduring, "RETRY", 0.05)
    monkeypatch.setattr(stream, "READ", 0.5)


# -- what is taken for what --------------------------------------------------------------------------------------------


def test_what_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    specs = ["0", "rtsp://me:secret@host.local:554/a/b.sdp", "https://host/clip.mp4?x=1", "-", "http://host", "0"]
    found = find_sources(specs, capture=LIVE)
    assert [(s.kind, s.name) for s in found] == [
        ("camera", "camera0"),
        ("stream", "host.local-b"),
        ("stream", "host-clip"),
        ("pipe", "stdin"),
        ("stream", "host"),
        ("camera", "camera0-2"),
    ]
    assert not any("secret" in f"{s.name} {s.path}" for s in found)
    assert [s.endless for s in found] == [True, True, False, False, True, True]
    assert [s.live for s in found] == [True, True, False, False, True, True]
    assert [s.open_ended for s in found] == [True, True, False, True, True, True]
    assert all(s.moving for s in found)


def test_files_come_first_and_other_commands_know_no_cameras(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PosewrightError, match="0: does not exist"):
        find_sources(["0"])
    (tmp_path / "0").write_bytes(jpeg(shade(50)))
    assert find_sources(["0"], capture=LIVE)[0].kind == "picture"


@pytest.mark.parametrize(
    ("specs", "reason"),
    [
        (["12345678901234567890"], "does not exist"),
        (["-", "-"], "can be read once"),
        (["http://"], "'http://' is no address of a stream"),
        (["ftp://host/a.mp4"], "is no address of a stream"),
        (["http://host/a b"], "is no address of a stream"),
    ],
)
def test_what_is_no_source(specs, reason):
    with pytest.raises(PosewrightError, match=reason):
        find_sources(specs, capture=LIVE)


@pytest.mark.parametrize(
    "bad", [{"size": (0, 480)}, {"rate": 0.0}, {"rate": float("nan")}, {"patience": 0.0}, {"patience": float("nan")}]
)
def test_what_makes_no_sense(bad):
    with pytest.raises(PosewrightError):
        Capture(**bad)


# -- cameras -----------------------------------------------------------------------------------------------------------


class Camera:
    """Stands for OpenCV's. ``script`` has for each time that it is opened how many pictures it gives; None: it cannot be."""

    script: list[int | None]
    opened = 0
    asked: dict[int, float]

    def __init__(self, number: int) -> None:
        kind = type(self)
        turn = min(kind.opened, len(kind.script) - 1)
        kind.opened += 1
        self.left, self.turn = kind.script[turn], turn

    def isOpened(self) -> bool:
        return self.left is not None

    def set(self, what: int, value: float) -> bool:
        type(self).asked[what] = value
        return True

    def read(self):
        if not self.left:
            return False, None
        self.left -= 1
        picture = shade(0)
        picture[..., 2] = 100 + 10 * self.turn  # OpenCV has red last
        return True, picture

    def release(self) -> None:
        pass


@pytest.fixture
def cameras(monkeypatch):
    def plug(*script: int | None) -> type[Camera]:
        kind = type("Plugged", (Camera,), {"script": list(script), "asked": {}})
        monkeypatch.setattr(cv2, "VideoCapture", kind)
        return kind

    return plug


def frames_of(spec: str, intake: Intake, capture: Capture):
    return list(find_sources([spec], capture=capture)[0].frames(intake=intake))


def test_a_camera_that_is_unplugged_and_back(cameras):
    kind, said = cameras(3, None, None, 2, None), []
    intake = Intake(tell=said.append)
    found = frames_of("0", intake, Capture((640, 480), 25.0, patience=0.4))
    assert [f.frame for f in found] == [0, 1, 2, 3, 4]
    times = [f.time for f in found]
    assert times[0] == 0.0 and all(a < b for a, b in itertools.pairwise(times))
    assert [int(f.image[0, 0, 0]) for f in found] == [100, 100, 100, 130, 130] and (found[0].image[..., 1:] == 0).all()
    assert intake.interruptions == 2
    assert "trying again for 0.4 s" in said[0] and said[-1] == "camera0: nothing for 0.4 s, taken for its end"
    assert kind.asked[cv2.CAP_PROP_FRAME_WIDTH] == 640 and kind.asked[cv2.CAP_PROP_FPS] == 25


@pytest.mark.parametrize("script", [(None,), (0,)])
def test_a_camera_that_never_gives_anything(cameras, script):
    cameras(*script)
    with pytest.raises(PosewrightError, match=r"camera0: .*plugged in"):
        frames_of("0", Intake(), LIVE)


def test_a_camera_is_ended_by_its_switch(cameras):
    cameras(10**9)
    intake, taken = Intake(), []
    for frame in find_sources(["3"], capture=LIVE)[0].frames(intake=intake):
        taken.append(frame)
        if len(taken) == 5:
            intake.stopped.set()
    assert len(taken) == 5 and taken[0].path == Path("camera3")


def test_opencv_itself_without_a_camera(monkeypatch):
    monkeypatch.setattr(camera.cv2, "VideoCapture", cv2.VideoCapture)
    with pytest.raises(PosewrightError, match="cannot be opened"):
        frames_of("97", Intake(), LIVE)


# -- streams -----------------------------------------------------------------------------------------------------------


def test_a_stream_that_stalls_comes_back_and_ends():
    said: list[str] = []

    def serve(number, send):
        for i in range(6):
            send(shade(40 * (number + 1) + i))
        if number < 2:
            feed.hang()

    intake = Intake(tell=said.append)
    with Feed(serve) as feed:
        found = []
        for frame in find_sources([feed.address], capture=Capture(patience=1.5))[0].frames(intake=intake):
            found.append(frame)
            if len(found) > 12 and feed.connections > 2:
                intake.stopped.set()
    assert [f.frame for f in found] == list(range(len(found)))
    times = [f.time for f in found]
    assert all(a < b for a, b in itertools.pairwise(times))
    first = {round(level / 40) for level in levels(found)}
    assert {1, 2, 3} <= first
    assert intake.interruptions >= 2 and "nothing for 0.5 s; trying again for 1.5 s" in said[0]


def test_a_stream_that_stays_silent_ends_after_the_patience():
    said: list[str] = []

    def serve(number, send):
        if number == 0:
            for i in range(5):
                send(shade(50 + i))
        feed.hang()

    with Feed(serve) as feed:
        found = frames_of(feed.address, Intake(tell=said.append), Capture(patience=0.8))
    assert len(found) >= 1 and "taken for its end" in said[-1]


def test_a_stream_that_is_not_there():
    with pytest.raises(PosewrightError, match="Connection refused"):
        frames_of("http://127.0.0.1:9/x.mjpg", Intake(), Capture(patience=0.5))


def test_a_video_file_over_http_is_read_to_its_end(tmp_path):
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    with h264_video(tmp_path / "clip.mp4", 20) as add:
        for i in range(12):
            add(shade(20 + 15 * i), i / 20)
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = frames_of(f"http://127.0.0.1:{server.server_address[1]}/clip.mp4", Intake(), LIVE)
    server.shutdown()
    server.server_close()
    np.testing.assert_allclose([f.time for f in found], np.arange(12) / 20, atol=1e-3)
    np.testing.assert_allclose(levels(found), 20 + 15 * np.arange(12), atol=4)


# -- damaged files -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """Eighty frames of noise, some bytes in the middle of which are overwritten."""
    path = tmp_path_factory.mktemp("damaged") / "clip.mp4"
    with h264_video(path, 25) as add:
        for i in range(80):
            add(np.random.default_rng(i).integers(0, 255, (64, 96, 3), dtype=np.uint8), None)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(data)
    return path


def test_damaged_frames_in_the_middle_of_a_file(damaged):
    with pytest.raises(PosewrightError, match="is damaged at frame"):
        list(video_frames(damaged))
    intake = Intake()
    found = list(video_frames(damaged, intake))
    assert intake.damaged > 0 and 60 < len(found) < 80
    assert len(found) + intake.damaged >= 79
    assert found[-1].time == pytest.approx(79 / 25, abs=0.1)
    assert [f.frame for f in found] == list(range(len(found)))


def test_a_paced_file_takes_its_time_and_can_be_ended(damaged):
    from dataclasses import replace

    (source,) = find_sources([damaged], capture=LIVE)
    intake = Intake()
    taken = []
    threading.Timer(0.3, intake.stopped.set).start()
    for frame in replace(source, paced=True).frames(intake=intake):
        taken.append(frame)
    assert 1 <= len(taken) < 40
