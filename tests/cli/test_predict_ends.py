"""How ``posewright predict`` ends when it is ended: by Ctrl-C, by death, by a full disk."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.feeds import Feed, jpeg
from helpers.predicting import COUNT, clip_shot, clip_time, names, records, run
from posewright.media.sinks import h264_video
from posewright.media.sources import video_frames
from posewright.runtime.predictor import Predictor

STARTED: list[subprocess.Popen[bytes]] = []


def start(clip_desk: Path, *args: str, **more) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "posewright", "predict", "spots.onnx", *args, "-o", "out"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    STARTED.append(subprocess.Popen(command, cwd=clip_desk, **pipes))
    return STARTED[-1]


@pytest.fixture(autouse=True)
def nothing_runs_on():
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def wait_for_lines(path: Path, count: int) -> None:
    for _ in range(600):
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never had {count} lines")


@pytest.fixture(scope="module")
def long_clip(clip_made):
    path = clip_made / "long.mp4"
    with h264_video(path, 20) as add:
        for i in range(600):
            add(clip_shot(i % 60), None)
    return path


def whole(folder: Path, stem: str, partial: str) -> int:
    """How many records there are; every file opens, and all tell of the same frames."""
    lines = (folder / f"{stem}{partial}.jsonl").read_bytes()
    assert lines.endswith(b"\n")
    found = [json.loads(line) for line in lines.splitlines()]
    assert [r["frame"] for r in found] == list(range(len(found)))
    rows = (folder / f"{stem}{partial}.csv").read_text()
    assert rows.endswith("\n") and abs(rows.count("\n") - 1 - len(found)) <= 1
    results = json.loads((folder / f"{stem}.coco{partial}.json").read_text())
    assert abs(len(results) - len(found)) <= 1
    return len(found)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_the_middle_of_a_file(clip_desk, long_clip, how):
    """What was found until then is kept, under a name that says that it is not all."""
    process = start(clip_desk, "long.mp4", "--live", "--csv", "--coco")
    wait_for_lines(clip_desk / "out" / "long.partial.jsonl", 12)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == b""
    assert (
        err.decode().startswith("posewright: interrupted; what was found until then is in out")
        and err.count(b"\n") == 1
    )
    assert names(clip_desk / "out") == [
        "long.coco.partial.json",
        "long.partial.csv",
        "long.partial.jsonl",
        "long_overlay.partial.mp4",
    ]
    count = whole(clip_desk / "out", "long", ".partial")
    assert 12 <= count < 600
    assert len(list(video_frames(clip_desk / "out" / "long_overlay.partial.mp4"))) == count


def test_a_process_that_is_killed_leaves_files_that_open(clip_desk, long_clip):
    process = start(clip_desk, "long.mp4", "--live", "--csv", "--coco")
    wait_for_lines(clip_desk / "out" / "long.partial.jsonl", 100)
    process.kill()
    process.communicate(timeout=60)
    count = whole(clip_desk / "out", "long", ".partial")
    drawn = list(video_frames(clip_desk / "out" / "long_overlay.partial.mp4"))
    assert 20 <= len(drawn) <= count


def test_ctrl_c_is_how_a_stream_ends(clip_desk):
    def serve(number, send):
        for i in range(10**6):
            send(clip_shot(i % 60))
            time.sleep(0.02)

    with Feed(serve) as feed:
        process = start(clip_desk, feed.address, "--csv", "--coco", "--filter", "rts")
        wait_for_lines(clip_desk / "out" / "127.0.0.1-feed.partial.jsonl", 12)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err == b"", err
    assert b"late frames dropped" in out
    found = records(clip_desk / "out" / "127.0.0.1-feed.jsonl")
    numbers = [r["frame"] for r in found]
    assert len(found) >= 12 and numbers == sorted(set(numbers))
    assert len(list(video_frames(clip_desk / "out" / "127.0.0.1-feed_overlay.mp4"))) == len(found)
    assert names(clip_desk / "out") == [
        f"127.0.0.1-feed{end}" for end in (".coco.json", ".csv", ".jsonl", "_overlay.mp4")
    ]


@pytest.mark.parametrize("overlay", [True, False])
def test_a_full_disk_while_recording(clip_desk, long_clip, overlay):
    """No file may grow beyond 100 kB, which is how a full disk looks to a process."""
    resource = pytest.importorskip("resource")
    more = () if overlay else ("--no-overlay",)
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))}
    process = start(clip_desk, "long.mp4", "--csv", "--coco", *more, **limit)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and out == b""
    said = err.decode()
    assert said.count("\n") == 1 and "cannot be written: File too large. What was found until then is in out" in said
    assert not any(p.suffix == ".tmp" or ".tmp" in p.name for p in (clip_desk / "out").iterdir())
    count = whole(clip_desk / "out", "long", ".partial")
    assert 50 < count < 600
    if overlay:
        drawn = list(video_frames(clip_desk / "out" / "long_overlay.partial.mp4"))
        assert 0 < len(drawn) <= count


def test_an_earlier_result_stays_until_there_is_a_new_one(clip_desk, long_clip):
    (clip_desk / "out").mkdir()
    (clip_desk / "out" / "long.jsonl").write_text("{}\n")
    process = start(clip_desk, "long.mp4", "--live", "--no-overlay")
    wait_for_lines(clip_desk / "out" / "long.partial.jsonl", 3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert (clip_desk / "out" / "long.jsonl").read_text() == "{}\n"


def test_frames_piped_in(clip_desk):
    data = b"".join(jpeg(clip_shot(i)) for i in range(20))
    process = start(clip_desk, "-", "--track", "--fps", "10", stdin=subprocess.PIPE)
    out, err = process.communicate(data, timeout=60)
    assert process.returncode == 0 and err == b"", err
    found = records(clip_desk / "out" / "stdin.jsonl")
    assert [r["frame"] for r in found] == list(range(20)) and found[10]["time"] == 1.0
    assert b"20 frames, 19 poses" in out
    (clip_desk / "clip.mkv").symlink_to(clip_desk / "clip.mp4")
    with (clip_desk / "clip.mp4").open("rb") as file:  # an mp4 whose index comes first can be piped
        process = start(clip_desk, "-", stdin=file)
        assert process.wait(60) == 0
    np.testing.assert_allclose(
        [r["time"] for r in records(clip_desk / "out" / "stdin.jsonl")], [clip_time(i) for i in range(COUNT)], atol=1e-3
    )


def test_an_error_of_a_broken_stage_leaves_what_was_recorded(clip_desk, capsys, monkeypatch):
    """A mistake of ours in the middle of a live recording: what came before it is there."""
    real, calls = Predictor._fetch, []

    def fetch(self, *args):
        calls.append(1)
        if len(calls) > 8:
            raise RuntimeError("a mistake")
        return real(self, *args)

    monkeypatch.setattr(Predictor, "_fetch", fetch)

    def serve(number, send):
        for i in range(200):
            send(clip_shot(i % 60))

    with Feed(serve) as feed, pytest.raises(RuntimeError):
        run("spots.onnx", feed.address, "-o", "out")
    found = records(clip_desk / "out" / "127.0.0.1-feed.partial.jsonl")
    assert len(found) == 8
    assert len(list(video_frames(clip_desk / "out" / "127.0.0.1-feed_overlay.partial.mp4"))) == 8


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux shows them")
def test_nothing_stays_open(clip_desk):
    def open_files():
        return {str(p.resolve()) for p in Path("/proc/self/fd").iterdir()}

    run("spots.onnx", "clip.mp4", "--track", "-o", "out")
    assert not [name for name in open_files() if name.startswith(str(clip_desk.resolve()))]
