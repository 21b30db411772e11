"""``posewright predict`` on what moves: following, filters, views, live sources; and how it ends when it is ended."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.feeds import Feed, jpeg
from helpers.spots import ALL, SPOTS, picture_with_spots, spot_model
from posewright.cli import main
from posewright.media import enduring, stream
from posewright.media.pictures import read_picture, write_picture
from posewright.media.sinks import h264_video
from posewright.media.sources import video_frames
from posewright.poses import Poses
from posewright.runtime.predictor import Predictor
from posewright.tracking import FILTERS

PLACES = [(60.0, 40.0), (100.0, 80.0), (140.0, 60.0)]
COUNT = 30


def shot(i: float, width: int = 256, height: int = 160) -> np.ndarray:
    return picture_with_spots(width, height, [(x + i, y + i / 2) for x, y in PLACES], 7)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model that finds three spots, and a clip of them on their way, its second half later than its rate says."""
    folder = tmp_path_factory.mktemp("made")
    spot_model(folder / "spots.onnx")
    spot_model(folder / "bare.onnx", outputs=("keypoints", "presence"))
    with h264_video(folder / "clip.mp4", 20) as add:
        for i in range(COUNT):
            add(shot(i), clip_time(i))
    write_picture(folder / "a.png", shot(0))
    return folder


def clip_time(i: int) -> float:
    return i / 20 + (0.1 if i >= 15 else 0)


@pytest.fixture
def desk(made, tmp_path, monkeypatch):
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(enduring, "RETRY", 0.05)
    monkeypatch.setattr(stream, "READ", 0.5)
    return tmp_path


def run(*args: str) -> int:
    return main(["predict", *map(str, args)])


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def places(record: dict) -> np.ndarray:
    return Poses.from_record(record, SPOTS).xy[0]


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def complaint(capsys, *args: str) -> str:
    assert run(*args) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("posewright: ") and err.count("\n") == 1, err
    return err


# -- following ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*sorted(set(FILTERS) - {"cpm"}), None])
def test_following_through_a_filter(desk, name):
    options = ("--track",) if name is None else ("--filter", name)
    assert run("spots.onnx", "clip.mp4", *options, "-o", "out") == 0
    found = records(desk / "out" / "clip.jsonl")
    assert [r["frame"] for r in found] == list(range(COUNT))
    np.testing.assert_allclose([r["time"] for r in found], [clip_time(i) for i in range(COUNT)], atol=1e-4)
    assert [len(r["poses"]) for r in found] == [0] + [1] * (COUNT - 1)
    for i in range(1, COUNT):
        np.testing.assert_allclose(places(found[i]) - PLACES, [[i, i / 2]] * 3, atol=3)
        assert found[i]["poses"][0]["track_id"] == 0
    drawn = list(video_frames(desk / "out" / "clip_overlay.mp4"))
    np.testing.assert_allclose([f.time for f in drawn], [clip_time(i) for i in range(COUNT)], atol=1e-3)
    # Each drawn frame is that of its poses, also where these came later.
    for i in (5, 20):
        own, other = (np.abs(drawn[i].image.astype(int) - shot(k)).mean() for k in (i, i - 3))
        assert own < other


def test_every_filter_is_named_in_the_help(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    text = re.sub(r"[\s│╭╮╰╯─]", "", capsys.readouterr().out)
    assert f"--filter{'|'.join(FILTERS)}" in text


def test_the_summary(desk, capsys):
    assert run("spots.onnx", "clip.mp4", "--track", "--csv", "--coco", "-o", "out") == 0
    out = capsys.readouterr().out
    assert out.startswith("30 frames, 29 poses: an object (presence 0.5 or more) on 29 (97%).\n")
    line = r"clip: [\d.]+ frames a second; ms a frame, side by side: "
    assert re.search(line + "read .*, crop .*, net .*, filter .*, draw .*, write .*", out)
    assert names(desk / "out") == ["clip.coco.json", "clip.csv", "clip.jsonl", "clip_overlay.mp4"]
    assert len(json.loads((desk / "out" / "clip.coco.json").read_text())) == 29
    assert len((desk / "out" / "clip.csv").read_text().splitlines()) == 30


def test_a_first_box_and_an_upright_crop(desk):
    assert run("spots.onnx", "clip.mp4", "--track", "--box", "40,20,160,100", "--no-overlay", "-o", "out") == 0
    assert [len(r["poses"]) for r in records(desk / "out" / "clip.jsonl")][1:] == [1] * (COUNT - 1)
    assert run("spots.onnx", "clip.mp4", "--upright", "red, green", "--no-overlay", "-o", "up") == 0
    up = records(desk / "up" / "clip.jsonl")
    np.testing.assert_allclose(places(up[20]) - PLACES, [[20, 10]] * 3, atol=0.7)
    assert run("spots.onnx", "clip.mp4", "--both-hands", "--no-overlay", "-o", "both") == 0
    assert max(len(r["poses"]) for r in records(desk / "both" / "clip.jsonl")) <= 2


def test_seconds(desk):
    assert run("spots.onnx", "clip.mp4", "--seconds", "0.5", "--no-overlay", "-o", "out") == 0
    assert len(records(desk / "out" / "clip.jsonl")) == 10


def test_white_balance_changes_what_the_net_sees(desk):
    write_picture(desk / "red.png", np.minimum(shot(0) + np.array([40, 0, 0]), 255).astype(np.uint8))
    for name, more in (("plain", ()), ("balanced", ("--white-balance",))):
        assert run("spots.onnx", "red.png", "--view", "crop", "-o", name, *more) == 0
    plain, balanced = (read_picture(desk / n / "red_crop.png").astype(float) for n in ("plain", "balanced"))
    excess = [np.median(p[..., 0]) - np.median(p[..., 1]) for p in (plain, balanced)]
    assert excess[0] > 30 and abs(excess[1]) < 12
    before, after = (places(records(desk / n / "red.jsonl")[0]) for n in ("plain", "balanced"))
    assert not np.array_equal(before, after)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("a.png", "--track"), "a.png: pictures do not follow each other in time"),
        (("clip.mp4", "a.png", "--filter", "kalman"), "nothing to track or to filter"),
        (("clip.mp4", "--track", "--box", "1,2,30,40", "--box", "1,2,30,41"), "follows one object"),
        (("clip.mp4", "--both-hands", "--box", "1,2,30,40"), "looks for two"),
        (("clip.mp4", "--track", "--boxes", "labels.json"), "--boxes says where"),
        (("clip.mp4", "--filter", "None"), "unknown filter 'None'. Did you mean 'none'?"),
        (("clip.mp4", "--upright", "red"), "two keypoints"),
        (("clip.mp4", "--upright", "red,red"), "two keypoints"),
        (("clip.mp4", "--upright", "red,gren"), "no keypoint 'gren'. Did you mean 'green'"),
        (("a.png", "--page"), "--page is for videos"),
        (("a.png", "--live"), "--live is for videos"),
        (("a.png", "--seconds", "3"), "--seconds is for videos"),
        (("0", "--live"), "are live anyway"),
        (("clip.mp4", "--seconds", "0"), "--seconds must be above 0"),
        (("clip.mp4", "--seconds", "nan"), "--seconds must be above 0"),
        (("clip.mp4", "--port", "8000"), "--port is the page's"),
        (("clip.mp4", "--camera-size", "640x480"), "is for cameras"),
        (("0", "--camera-size", "640"), "'640' is no size"),
        (("0", "--camera-size", "0x480"), "cannot have 0 x 480"),
        (("clip.mp4", "--fps", "30"), "--fps is for cameras"),
        (("0", "--fps", "0"), "above 0"),
        (("0", "--patience", "-1"), "above 0 seconds"),
        (("clip.mp4", "--view", "crop", "--no-overlay"), "to draw nothing"),
        (("clip.mp4", "--view", "stages", "--names"), "draw on the overlay"),
        (("77",), "camera77: camera 77 cannot be opened"),
        (("http://127.0.0.1:9/x.mjpg", "--patience", "0.3"), "127.0.0.1-x: cannot be read: Connection refused"),
    ],
)
def test_what_makes_no_sense(desk, capsys, args, reason):
    assert reason in complaint(capsys, "spots.onnx", *args, "-o", "out")
    assert not (desk / "out").exists() or names(desk / "out") == []


# -- views -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["stages", "heatmaps", "crop"])
def test_views_of_what_the_net_sees(desk, view):
    (desk / "shots").mkdir()
    (desk / "shots" / "a.png").symlink_to(desk / "a.png")
    assert run("spots.onnx", "clip.mp4", "shots", "a.png", "--view", view, "-o", "out") == 0
    folder = {"stages": "shots_stages", "heatmaps": "shots_heatmaps", "crop": "shots_crops"}[view]
    assert names(desk / "out") == sorted(
        ["a.jsonl", f"a_{view}.png", "clip.jsonl", f"clip_{view}.mp4", "shots.jsonl", folder]
    )
    assert len(list(video_frames(desk / "out" / f"clip_{view}.mp4"))) == COUNT
    assert run("spots.onnx", "clip.mp4", "--no-overlay", "-o", "plain") == 0
    for seen, plain in zip(records(desk / "out" / "clip.jsonl"), records(desk / "plain" / "clip.jsonl")):
        assert seen == plain


def test_a_model_without_heat_maps_has_no_such_views(desk, capsys):
    said = complaint(capsys, "bare.onnx", "clip.mp4", "--view", "heatmaps", "-o", "out")
    assert "bare.onnx: has no heat maps, which the view 'heatmaps' shows" in said
    assert run("bare.onnx", "clip.mp4", "--view", "crop", "--track", "-o", "out") == 0


def test_ellipses_and_names_on_a_followed_video(desk):
    spot_model(desk / "all.onnx", outputs=ALL)
    assert run("all.onnx", "clip.mp4", "--filter", "rts", "--ellipses", "--names", "-o", "out") == 0
    assert all("covariance" in r["poses"][0] for r in records(desk / "out" / "clip.jsonl")[1:])


# -- live sources ------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow_net(monkeypatch):
    real = Predictor._fetch

    def fetch(self, *args):
        time.sleep(0.12)
        return real(self, *args)

    monkeypatch.setattr(Predictor, "_fetch", fetch)


def test_late_frames_of_a_live_source_are_dropped_and_counted(desk, capsys, slow_net):
    assert run("spots.onnx", "clip.mp4", "--live", "--no-overlay", "-o", "out") == 0
    found, out = records(desk / "out" / "clip.jsonl"), capsys.readouterr().out
    dropped = int(re.search(r"clip: (\d+) late frames dropped \(\d+% of 30\)", out)[1])
    assert dropped > 0 and dropped + len(found) == COUNT
    numbers = [r["frame"] for r in found]
    assert numbers == sorted(set(numbers)) and numbers[-1] == COUNT - 1
    for r in found:  # no frame has another's poses
        np.testing.assert_allclose(places(r)[0, 0], 60 + r["frame"], atol=0.7)


def test_a_slow_net_drops_nothing_of_a_file(desk, slow_net):
    assert run("spots.onnx", "clip.mp4", "--seconds", "0.7", "--no-overlay", "-o", "out") == 0
    assert [r["frame"] for r in records(desk / "out" / "clip.jsonl")] == list(range(14))


def test_a_stream_of_another_size_in_the_middle(desk, capsys):
    def serve(number, send):
        for i in range(24 if number == 0 else 0):
            send(shot(i) if i < 12 else shot(i, 200, 220))
            time.sleep(0.02)

    with Feed(serve) as feed:
        assert run("spots.onnx", feed.address, "--patience", "0.6", "-o", "out") == 0
    found = records(next((desk / "out").glob("*.jsonl")))
    assert {(r["width"], r["height"]) for r in found} == {(256, 160), (200, 220)}
    drawn = list(video_frames(next((desk / "out").glob("*_overlay.mp4"))))
    assert len(drawn) == len(found) and {f.image.shape for f in drawn} == {(160, 256, 3)}
    out, err = capsys.readouterr()
    assert "late frames dropped" in out and "taken for its end" in err and "fell silent" in out


def test_no_recording_of_a_live_source_is_written_over(desk):
    def serve(number, send):
        for i in range(5 if fresh else 0):
            send(shot(i))
        fresh.clear()

    with Feed(serve) as feed:
        for _ in range(2):
            fresh = [True]
            assert run("spots.onnx", feed.address, "--patience", "0.3", "--no-overlay", "-o", "out") == 0
    assert names(desk / "out") == ["127.0.0.1-feed-2.jsonl", "127.0.0.1-feed.jsonl"]


def test_damaged_frames_are_left_out_and_counted(desk, capsys):
    with h264_video(desk / "noise.mp4", 25) as add:
        for i in range(60):
            add(np.random.default_rng(i).integers(0, 255, (64, 96, 3), dtype=np.uint8), None)
    data = bytearray((desk / "noise.mp4").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20_000] = bytes(20_000)
    (desk / "noise.mp4").write_bytes(data)
    assert run("spots.onnx", "noise.mp4", "--no-overlay", "-o", "out") == 0
    out = capsys.readouterr().out
    lost = int(re.search(r"noise: (\d+) damaged frames left out", out)[1])
    found = records(desk / "out" / "noise.jsonl")
    assert lost > 0 and 40 < len(found) < 60
    assert [r["frame"] for r in found] == list(range(len(found)))


# -- how it ends -------------------------------------------------------------------------------------------------------


STARTED: list[subprocess.Popen[bytes]] = []


def start(desk: Path, *args: str, **more) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "posewright", "predict", "spots.onnx", *args, "-o", "out"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    STARTED.append(subprocess.Popen(command, cwd=desk, **pipes))
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
def long_clip(made):
    path = made / "long.mp4"
    with h264_video(path, 20) as add:
        for i in range(600):
            add(shot(i % 60), None)
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
def test_ctrl_c_in_the_middle_of_a_file(desk, long_clip, how):
    """What was found until then is kept, under a name that says that it is not all."""
    process = start(desk, "long.mp4", "--live", "--csv", "--coco")
    wait_for_lines(desk / "out" / "long.partial.jsonl", 12)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == b""
    assert (
        err.decode().startswith("posewright: interrupted; what was found until then is in out")
        and err.count(b"\n") == 1
    )
    assert names(desk / "out") == [
        "long.coco.partial.json",
        "long.partial.csv",
        "long.partial.jsonl",
        "long_overlay.partial.mp4",
    ]
    count = whole(desk / "out", "long", ".partial")
    assert 12 <= count < 600
    assert len(list(video_frames(desk / "out" / "long_overlay.partial.mp4"))) == count


def test_a_process_that_is_killed_leaves_files_that_open(desk, long_clip):
    process = start(desk, "long.mp4", "--live", "--csv", "--coco")
    wait_for_lines(desk / "out" / "long.partial.jsonl", 100)
    process.kill()
    process.communicate(timeout=60)
    count = whole(desk / "out", "long", ".partial")
    drawn = list(video_frames(desk / "out" / "long_overlay.partial.mp4"))
    assert 20 <= len(drawn) <= count


def test_ctrl_c_is_how_a_stream_ends(desk):
    def serve(number, send):
        for i in range(10**6):
            send(shot(i % 60))
            time.sleep(0.02)

    with Feed(serve) as feed:
        process = start(desk, feed.address, "--csv", "--coco", "--filter", "rts")
        wait_for_lines(desk / "out" / "127.0.0.1-feed.partial.jsonl", 12)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err == b"", err
    assert b"late frames dropped" in out
    found = records(desk / "out" / "127.0.0.1-feed.jsonl")
    numbers = [r["frame"] for r in found]
    assert len(found) >= 12 and numbers == sorted(set(numbers))
    assert len(list(video_frames(desk / "out" / "127.0.0.1-feed_overlay.mp4"))) == len(found)
    assert names(desk / "out") == [f"127.0.0.1-feed{end}" for end in (".coco.json", ".csv", ".jsonl", "_overlay.mp4")]


@pytest.mark.parametrize("overlay", [True, False])
def test_a_full_disk_while_recording(desk, long_clip, overlay):
    """No file may grow beyond 100 kB, which is how a full disk looks to a process."""
    resource = pytest.importorskip("resource")
    more = () if overlay else ("--no-overlay",)
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))}
    process = start(desk, "long.mp4", "--csv", "--coco", *more, **limit)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and out == b""
    said = err.decode()
    assert said.count("\n") == 1 and "cannot be written: File too large. What was found until then is in out" in said
    assert not any(p.suffix == ".tmp" or ".tmp" in p.name for p in (desk / "out").iterdir())
    count = whole(desk / "out", "long", ".partial")
    assert 50 < count < 600
    if overlay:
        drawn = list(video_frames(desk / "out" / "long_overlay.partial.mp4"))
        assert 0 < len(drawn) <= count


def test_an_earlier_result_stays_until_there_is_a_new_one(desk, long_clip):
    (desk / "out").mkdir()
    (desk / "out" / "long.jsonl").write_text("{}\n")
    process = start(desk, "long.mp4", "--live", "--no-overlay")
    wait_for_lines(desk / "out" / "long.partial.jsonl", 3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert (desk / "out" / "long.jsonl").read_text() == "{}\n"


def test_frames_piped_in(desk):
    data = b"".join(jpeg(shot(i)) for i in range(20))
    process = start(desk, "-", "--track", "--fps", "10", stdin=subprocess.PIPE)
    out, err = process.communicate(data, timeout=60)
    assert process.returncode == 0 and err == b"", err
    found = records(desk / "out" / "stdin.jsonl")
    assert [r["frame"] for r in found] == list(range(20)) and found[10]["time"] == 1.0
    assert b"20 frames, 19 poses" in out
    (desk / "clip.mkv").symlink_to(desk / "clip.mp4")
    with (desk / "clip.mp4").open("rb") as file:  # an mp4 whose index comes first can be piped
        process = start(desk, "-", stdin=file)
        assert process.wait(60) == 0
    np.testing.assert_allclose(
        [r["time"] for r in records(desk / "out" / "stdin.jsonl")], [clip_time(i) for i in range(COUNT)], atol=1e-3
    )


def test_an_error_of_a_broken_stage_leaves_what_was_recorded(desk, capsys, monkeypatch):
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
            send(shot(i % 60))

    with Feed(serve) as feed, pytest.raises(RuntimeError):
        run("spots.onnx", feed.address, "-o", "out")
    found = records(desk / "out" / "127.0.0.1-feed.partial.jsonl")
    assert len(found) == 8
    assert len(list(video_frames(desk / "out" / "127.0.0.1-feed_overlay.partial.mp4"))) == 8


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux shows them")
def test_nothing_stays_open(desk):
    def open_files():
        return {str(p.resolve()) for p in Path("/proc/self/fd").iterdir()}

    run("spots.onnx", "clip.mp4", "--track", "-o", "out")
    assert not [name for name in open_files() if name.startswith(str(desk.resolve()))]
