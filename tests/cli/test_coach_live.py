"""``posewright coach`` on what is compared while it runs: a stream, and a video on the page."""

from __future__ import annotations

import io
import json
import time

import numpy as np
import pytest

from helpers.feeds import Feed
from helpers.live_page import make_desk, running
from helpers.predicting import COUNT, PLACES, clip_shot, names, records
from helpers.spots import picture_with_spots
from posewright.cli import main
from posewright.media.pictures import decode_picture, write_picture
from posewright.media.sources import video_frames
from posewright.reports.coaching import HEIGHT, LINES, STRIP


def coach(*args: str) -> int:
    return main(["coach", "--reference", "clip.mp4", "--model", "spots.onnx", *args])


def low_spot(i: int) -> np.ndarray:
    """The clip's frame with its middle spot further down."""
    places = [(x + i, y + i / 2 + (30 if k == 1 else 0)) for k, (x, y) in enumerate(PLACES)]
    return picture_with_spots(256, 160, places, 7)


def test_a_stream_is_compared_as_it_comes(clip_desk, capsys):
    def serve(number, send):
        for i in range(2 * COUNT if number == 0 else 0):
            send(clip_shot(i) if i < COUNT // 2 else low_spot(i % COUNT))
            time.sleep(0.04)

    with Feed(serve) as feed:
        assert coach("--source", feed.address, "--patience", "0.6", "-o", "out") == 0
    found, poses = records(clip_desk / "out/coach.jsonl"), records(clip_desk / "out/poses.jsonl")
    assert len(found) == len(poses) > COUNT
    assert [r["time"] for r in found] == pytest.approx([r["time"] for r in poses], abs=1e-5)
    oks = [r["oks"] for r in found if r["oks"] is not None]
    assert np.mean(oks[3:8]) > 0.95 and np.mean(oks[-8:]) < 0.85
    drawn = [frame.image for frame in video_frames(clip_desk / "out/coach.mp4")]
    assert len(drawn) == len(found)
    assert drawn[0].shape == (HEIGHT + STRIP * LINES, 2 * HEIGHT * 256 // 160, 3)
    out = capsys.readouterr().out
    assert "late frames dropped" in out and "posewright similarity clip.mp4" in out
    assert names(clip_desk / "out") == ["coach.jsonl", "coach.mp4", "coach.png", "poses.jsonl"]


def test_on_the_page_both_motions_are_seen(tmp_path, monkeypatch):
    make_desk(tmp_path, 80)
    command = ("coach", "--reference", "clip.mp4", "--source", "clip.mp4", "--model", "spots.onnx", "--page")
    with running(tmp_path, monkeypatch, "-o", "out", "--no-video", command=command) as asked:
        with asked.watching() as pictures:
            asked.wait(lambda state: (state["frame"] or 0) > 2)
            shown = decode_picture(next(pictures))
            assert shown.shape == (HEIGHT + STRIP * LINES, 2 * round(HEIGHT * 224 / 144), 3)
            state = asked.do("crop")
            assert state["view"] == "crop" and "clip beside clip.mp4" in state["title"]
            asked.do("overlay")
            asked.wait(lambda state: (state["frame"] or 0) > 20)
        asked.do("end")
    assert asked.code == 0
    found = [json.loads(line) for line in io.StringIO((tmp_path / "out/coach.jsonl").read_text())]
    assert len(found) > 20 and np.mean([r["oks"] for r in found if r["oks"] is not None]) > 0.95
    assert not (tmp_path / "out/coach.mp4").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--source", "shot.png"), "shot.png: is no motion"),
        (("--source", "clip.jsonl", "--page"), "--page is for what is compared while it runs"),
        (("--source", "clip.mp4", "--seconds", "2"), "--seconds is for what is compared while it runs"),
        (("--source", "clip.mp4", "--port", "8000"), "--port is the page's"),
        (("--source", "nowhere"), "nowhere: does not exist"),
        (("--source", "0", "--seconds", "-1"), "--seconds must be above 0"),
    ],
)
def test_what_cannot_be_compared(clip_desk, capsys, args, says):
    write_picture(clip_desk / "shot.png", clip_shot(0))
    (clip_desk / "clip.jsonl").write_text("{}")
    assert coach(*args, "-o", "out") == 2
    out, err = capsys.readouterr()
    assert out == "" and says in err and err.count("\n") == 1
    assert not (clip_desk / "out").exists()


def test_a_stream_needs_a_model(clip_desk, capsys):
    (clip_desk / "ref.jsonl").write_text("{}")
    assert main(["coach", "--reference", "ref.jsonl", "--source", "http://127.0.0.1:9/feed"]) == 2
    err = capsys.readouterr().err
    assert "holds no poses yet. Name what finds the poses with --model" in err
