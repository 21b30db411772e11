"""Frames that another program pipes in: pictures of any kind, videos, and what is of no use."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from helpers.feeds import jpeg, levels, piped, shade
from posewright.errors import PosewrightError
from posewright.media.intake import Capture, Intake
from posewright.media.picture_row import split_pictures
from posewright.media.piped import piped_frames

LIVE = Capture()


def gradient(seed: int) -> np.ndarray:
    """A smooth picture, no two alike."""
    y, x = np.mgrid[:48, :64]
    waves = [np.sin((x * (seed + 2) + y * c) / 40 + c + seed) for c in range(3)]
    return np.rint(127 + 100 * np.stack(waves, -1)).astype(np.uint8)


def through(chunks, intake: Intake | None = None, rate: float | None = None):
    with piped(chunks) as end:
        return list(piped_frames(Path("stdin"), Capture(rate=rate), intake or Intake(), end))


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_pictures_through_a_pipe(ending):
    found = through([jpeg(shade(10 * i), ending) for i in range(1, 20)], rate=50.0)
    np.testing.assert_allclose(levels(found), 10 * np.arange(1, 20), atol=2)
    np.testing.assert_allclose([f.time for f in found], np.arange(19) / 50, atol=1e-3)
    assert [f.frame for f in found] == list(range(19))


def test_one_picture_through_a_pipe():
    (frame,) = through([jpeg(shade(90))])
    assert frame.image.shape == (48, 64, 3)


def test_pictures_that_change_their_size():
    chunks = [jpeg(shade(60, *((48, 64) if i < 4 else (80, 32)))) for i in range(8)]
    assert [f.image.shape for f in through(chunks)] == [(48, 64, 3)] * 4 + [(80, 32, 3)] * 4


@pytest.mark.parametrize("ending", [".jpg", ".png"])
@pytest.mark.parametrize("harm", ["zeros", "cut short", "rubbish between"])
def test_damaged_pictures_in_the_middle_are_counted(ending, harm):
    shots = [gradient(i) for i in range(10)]
    chunks = [jpeg(shot, ending) for shot in shots]
    for i in (3, 4, 7):
        data = chunks[i]
        broken = {
            "zeros": data[:100] + bytes(len(data) - 112) + data[-12:],
            "cut short": data[: len(data) // 2],
            "rubbish between": b"rubbish" + data + b"and more",
        }
        chunks[i] = broken[harm]
    intake = Intake()
    found = through([b"".join(chunks)], intake)
    left = [i for i in range(10) if harm == "rubbish between" or i not in (3, 4, 7)]
    assert intake.damaged == 10 - len(left)
    assert [round(f.time * 25) for f in found] == left
    for frame, i in zip(found, left):
        assert np.abs(frame.image.astype(int) - shots[i]).mean() < 4


def test_pictures_of_any_kind_cut_anywhere():
    """JPEG with a thumbnail, with restarts, progressive; bytes come one by one."""
    picture = np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8)[..., ::-1].copy()
    kinds = ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 1], [cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    made = [cv2.imencode(".jpg", picture, kind)[1].tobytes() for kind in kinds]
    inner = b"Exif\0\0" + made[0]
    made.append(made[0][:2] + b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner + made[0][2:])
    made.append(cv2.imencode(".png", picture)[1].tobytes())
    whole = b"".join(made)
    bytes_left = iter([*(whole[i : i + 1] for i in range(len(whole))), b""])
    assert list(split_pictures(lambda: next(bytes_left))) == made


@pytest.mark.parametrize("kind", ["matroska", "mpegts"])
def test_a_video_through_a_pipe(tmp_path, kind):
    path = tmp_path / "a.bin"
    with av.open(str(path), "w", format=kind) as container:
        out = container.add_stream("libx264", rate=10)
        out.width, out.height, out.pix_fmt = 64, 48, "yuv420p"
        for i in range(15):
            container.mux(out.encode(av.VideoFrame.from_ndarray(shade(15 * i + 10), format="rgb24")))
        container.mux(out.encode(None))
    data = path.read_bytes()
    found = through([data[i : i + 997] for i in range(0, len(data), 997)])
    np.testing.assert_allclose(levels(found), 15 * np.arange(15) + 10, atol=4)
    np.testing.assert_allclose([f.time for f in found], np.arange(15) / 10, atol=1e-3)


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([], "nothing came through"),
        ([b"hello world, this is text" * 400], "neither pictures nor a video"),
        ([b"\xff\xd8\xff"], "stdin: "),
    ],
)
def test_nothing_of_use_through_a_pipe(chunks, reason):
    with pytest.raises(PosewrightError, match=reason):
        through(chunks)


def test_a_pipe_that_says_nothing_can_be_ended():
    wait = threading.Event()

    def chunks():
        for i in range(30):
            yield jpeg(shade(10 + i))
        wait.wait(30)

    intake = Intake()
    threading.Timer(0.5, intake.stopped.set).start()
    with piped(chunks()) as end:
        found = list(piped_frames(Path("stdin"), LIVE, intake, end))
        wait.set()
    assert len(found) <= 30


def test_a_terminal_is_not_waited_for():
    pty = pytest.importorskip("pty")
    _ours, theirs = pty.openpty()
    with pytest.raises(PosewrightError, match="is a terminal"):
        list(piped_frames(Path("stdin"), LIVE, Intake(), theirs))


def test_a_process_that_stops_reading_ends_at_once(tmp_path):
    """A thread that still waits for a pipe must not keep Python from ending."""
    code = """
import sys
from pathlib import Path
from posewright.live.overlap import ReadAhead
from posewright.media.intake import Capture, Intake
from posewright.media.picture_row import split_pictures
from posewright.media.piped import piped_frames
intake = Intake()
with ReadAhead(piped_frames(Path("stdin"), Capture(), intake), stop=intake.stopped.set) as ahead:
    next(iter(ahead))
print("done")
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for i in range(60):
        process.stdin.write(jpeg(shade(i)))
    process.stdin.flush()
    assert process.stdout.read() == b"done\n"
    assert process.wait(30) == 0
    process.stdin.close()
