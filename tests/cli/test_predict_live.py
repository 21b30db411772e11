"""``posewright predict`` on what moves: following, filters, views, live sources."""

from __future__ import annotations

import json
import re
import time

import numpy as np
import pytest

from helpers.feeds import Feed
from helpers.predicting import COUNT, PLACES, clip_shot, clip_time, complaint, names, places, records, run
from helpers.spots import ALL, spot_model
from posewright.media.pictures import read_picture, write_picture
from posewright.media.sinks import h264_video
from posewright.media.sources import video_frames
from posewright.runtime.predictor import Predictor
from posewright.tracking import FILTERS

# -- following ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*sorted(set(FILTERS) - {"cpm"}), None])
def test_following_through_a_filter(clip_desk, name):
    options = ("--track",) if name is None else ("--filter", name)
    assert run("spots.onnx", "clip.mp4", *options, "-o", "out") == 0
    found = records(clip_desk / "out" / "clip.jsonl")
    assert [r["frame"] for r in found] == list(range(COUNT))
    np.testing.assert_allclose([r["time"] for r in found], [clip_time(i) for i in range(COUNT)], atol=1e-4)
    assert [len(r["poses"]) for r in found] == [0] + [1] * (COUNT - 1)
    for i in range(1, COUNT):
        np.testing.assert_allclose(places(found[i]) - PLACES, [[i, i / 2]] * 3, atol=3)
        assert found[i]["poses"][0]["track_id"] == 0
    drawn = list(video_frames(clip_desk / "out" / "clip_overlay.mp4"))
    np.testing.assert_allclose([f.time for f in drawn], [clip_time(i) for i in range(COUNT)], atol=1e-3)
    # Each drawn frame is that of its poses, also where these came later.
    for i in (5, 20):
        own, other = (np.abs(drawn[i].image.astype(int) - clip_shot(k)).mean() for k in (i, i - 3))
        assert own < other


def test_every_filter_is_named_in_the_help(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    text = re.sub(r"[\s│╭╮╰╯─]", "", capsys.readouterr().out)
    assert f"--filter{'|'.join(FILTERS)}" in text


def test_the_summary(clip_desk, capsys):
    assert run("spots.onnx", "clip.mp4", "--track", "--csv", "--coco", "-o", "out") == 0
    out = capsys.readouterr().out
    assert out.startswith("30 frames, 29 poses: an object (presence 0.5 or more) on 29 (97%).\n")
    line = r"clip: [\d.]+ frames a second; ms a frame, side by side: "
    assert re.search(line + "read .*, crop .*, net .*, filter .*, draw .*, write .*", out)
    assert names(clip_desk / "out") == ["clip.coco.json", "clip.csv", "clip.jsonl", "clip_overlay.mp4"]
    assert len(json.loads((clip_desk / "out" / "clip.coco.json").read_text())) == 29
    assert len((clip_desk / "out" / "clip.csv").read_text().splitlines()) == 30


def test_a_first_box_and_an_upright_crop(clip_desk):
    assert run("spots.onnx", "clip.mp4", "--track", "--box", "40,20,160,100", "--no-overlay", "-o", "out") == 0
    assert [len(r["poses"]) for r in records(clip_desk / "out" / "clip.jsonl")][1:] == [1] * (COUNT - 1)
    assert run("spots.onnx", "clip.mp4", "--upright", "red, green", "--no-overlay", "-o", "up") == 0
    up = records(clip_desk / "up" / "clip.jsonl")
    np.testing.assert_allclose(places(up[20]) - PLACES, [[20, 10]] * 3, atol=0.7)
    assert run("spots.onnx", "clip.mp4", "--both-hands", "--no-overlay", "-o", "both") == 0
    assert max(len(r["poses"]) for r in records(clip_desk / "both" / "clip.jsonl")) <= 2


def test_seconds(clip_desk):
    assert run("spots.onnx", "clip.mp4", "--seconds", "0.5", "--no-overlay", "-o", "out") == 0
    assert len(records(clip_desk / "out" / "clip.jsonl")) == 10


def test_white_balance_changes_what_the_net_sees(clip_desk):
    write_picture(clip_desk / "red.png", np.minimum(clip_shot(0) + np.array([40, 0, 0]), 255).astype(np.uint8))
    for name, more in (("plain", ()), ("balanced", ("--white-balance",))):
        assert run("spots.onnx", "red.png", "--view", "crop", "-o", name, *more) == 0
    plain, balanced = (read_picture(clip_desk / n / "red_crop.png").astype(float) for n in ("plain", "balanced"))
    excess = [np.median(p[..., 0]) - np.median(p[..., 1]) for p in (plain, balanced)]
    assert excess[0] > 30 and abs(excess[1]) < 12
    before, after = (places(records(clip_desk / n / "red.jsonl")[0]) for n in ("plain", "balanced"))
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
def test_what_makes_no_sense(clip_desk, capsys, args, reason):
    assert reason in complaint(capsys, "spots.onnx", *args, "-o", "out")
    assert not (clip_desk / "out").exists() or names(clip_desk / "out") == []


# -- views -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["stages", "heatmaps", "crop"])
def test_views_of_what_the_net_sees(clip_desk, view):
    (clip_desk / "shots").mkdir()
    (clip_desk / "shots" / "a.png").symlink_to(clip_desk / "a.png")
    assert run("spots.onnx", "clip.mp4", "shots", "a.png", "--view", view, "-o", "out") == 0
    folder = {"stages": "shots_stages", "heatmaps": "shots_heatmaps", "crop": "shots_crops"}[view]
    assert names(clip_desk / "out") == sorted(
        ["a.jsonl", f"a_{view}.png", "clip.jsonl", f"clip_{view}.mp4", "shots.jsonl", folder]
    )
    assert len(list(video_frames(clip_desk / "out" / f"clip_{view}.mp4"))) == COUNT
    assert run("spots.onnx", "clip.mp4", "--no-overlay", "-o", "plain") == 0
    for seen, plain in zip(records(clip_desk / "out" / "clip.jsonl"), records(clip_desk / "plain" / "clip.jsonl")):
        assert seen == plain


def test_a_model_without_heat_maps_has_no_such_views(clip_desk, capsys):
    said = complaint(capsys, "bare.onnx", "clip.mp4", "--view", "heatmaps", "-o", "out")
    assert "bare.onnx: has no heat maps, which the view 'heatmaps' shows" in said
    assert run("bare.onnx", "clip.mp4", "--view", "crop", "--track", "-o", "out") == 0


def test_ellipses_and_names_on_a_followed_video(clip_desk):
    spot_model(clip_desk / "all.onnx", outputs=ALL)
    assert run("all.onnx", "clip.mp4", "--filter", "rts", "--ellipses", "--names", "-o", "out") == 0
    assert all("covariance" in r["poses"][0] for r in records(clip_desk / "out" / "clip.jsonl")[1:])


# -- live sources ------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow_net(monkeypatch):
    real = Predictor._fetch

    def fetch(self, *args):
        time.sleep(0.12)
        return real(self, *args)

    monkeypatch.setattr(Predictor, "_fetch", fetch)


def test_late_frames_of_a_live_source_are_dropped_and_counted(clip_desk, capsys, slow_net):
    assert run("spots.onnx", "clip.mp4", "--live", "--no-overlay", "-o", "out") == 0
    found, out = records(clip_desk / "out" / "clip.jsonl"), capsys.readouterr().out
    dropped = int(re.search(r"clip: (\d+) late frames dropped \(\d+% of 30\)", out)[1])
    assert dropped > 0 and dropped + len(found) == COUNT
    numbers = [r["frame"] for r in found]
    assert numbers == sorted(set(numbers)) and numbers[-1] == COUNT - 1
    for r in found:  # no frame has another's poses
        np.testing.assert_allclose(places(r)[0, 0], 60 + r["frame"], atol=0.7)


def test_a_slow_net_drops_nothing_of_a_file(clip_desk, slow_net):
    assert run("spots.onnx", "clip.mp4", "--seconds", "0.7", "--no-overlay", "-o", "out") == 0
    assert [r["frame"] for r in records(clip_desk / "out" / "clip.jsonl")] == list(range(14))


def test_a_stream_of_another_size_in_the_middle(clip_desk, capsys):
    def serve(number, send):
        for i in range(24 if number == 0 else 0):
            send(clip_shot(i) if i < 12 else clip_shot(i, 200, 220))
            time.sleep(0.02)

    with Feed(serve) as feed:
        assert run("spots.onnx", feed.address, "--patience", "0.6", "-o", "out") == 0
    found = records(next((clip_desk / "out").glob("*.jsonl")))
    assert {(r["width"], r["height"]) for r in found} == {(256, 160), (200, 220)}
    drawn = list(video_frames(next((clip_desk / "out").glob("*_overlay.mp4"))))
    assert len(drawn) == len(found) and {f.image.shape for f in drawn} == {(160, 256, 3)}
    out, err = capsys.readouterr()
    assert "late frames dropped" in out and "taken for its end" in err and "fell silent" in out


def test_no_recording_of_a_live_source_is_written_over(clip_desk):
    def serve(number, send):
        for i in range(5 if fresh else 0):
            send(clip_shot(i))
        fresh.clear()

    with Feed(serve) as feed:
        for _ in range(2):
            fresh = [True]
            assert run("spots.onnx", feed.address, "--patience", "0.3", "--no-overlay", "-o", "out") == 0
    assert names(clip_desk / "out") == ["127.0.0.1-feed-2.jsonl", "127.0.0.1-feed.jsonl"]


def test_damaged_frames_are_left_out_and_counted(clip_desk, capsys):
    with h264_video(clip_desk / "noise.mp4", 25) as add:
        for i in range(60):
            add(np.random.default_rng(i).integers(0, 255, (64, 96, 3), dtype=np.uint8), None)
    data = bytearray((clip_desk / "noise.mp4").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20_000] = bytes(20_000)
    (clip_desk / "noise.mp4").write_bytes(data)
    assert run("spots.onnx", "noise.mp4", "--no-overlay", "-o", "out") == 0
    out = capsys.readouterr().out
    lost = int(re.search(r"noise: (\d+) damaged frames left out", out)[1])
    found = records(clip_desk / "out" / "noise.jsonl")
    assert lost > 0 and 40 < len(found) < 60
    assert [r["frame"] for r in found] == list(range(len(found)))
