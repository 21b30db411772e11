"""The live page over HTTP: the picture, each key, what is refused, and how it ends."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from helpers.live_page import make_desk, running
from posewright.media.pictures import decode_picture, read_picture
from posewright.media.sources import video_frames


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_desk(tmp_path_factory.mktemp("made"))


@pytest.fixture
def desk(made, tmp_path):
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def numbers(desk) -> list[int]:
    return [json.loads(line)["frame"] for line in (desk / "out" / "clip.jsonl").read_text().splitlines()]


def test_it_begins_when_somebody_watches_and_shows_what_is_drawn(desk, monkeypatch):
    with running(desk, monkeypatch) as page:
        assert page.state()["frame"] is None
        with page.watching() as pictures:
            seen = [decode_picture(next(pictures)) for _ in range(4)]
        assert {p.shape for p in seen} == {(144, 224, 3)}
        assert any((a != b).any() for a, b in itertools.pairwise(seen))
        state = page.wait(lambda s: s["frame"] and s["frame"] > 3)
        assert state["view"] == "overlay" and state["recording"] and not state["paused"]
    assert page.code == 0
    found = numbers(desk)
    assert found == list(range(len(found)))
    assert len(list(video_frames(desk / "out" / "clip_overlay.mp4"))) == len(found)


def test_pause_step_and_go_on(desk, monkeypatch):
    with running(desk, monkeypatch) as page, page.watching() as pictures:
        next(pictures)
        page.do("pause")
        still = page.wait(lambda s: s["paused"])["frame"]
        # What was on its way when the key was pressed still comes.
        still = max(still, *(page.state()["frame"] for _ in range(40)))
        assert all(page.state()["frame"] == still for _ in range(40))
        for i in range(1, 4):
            page.do("step")
            page.wait(lambda s, i=i: s["frame"] == still + i)
        assert page.state()["paused"]
        page.do("pause")
        page.wait(lambda s: s["frame"] > still + 6)
    found = numbers(desk)
    assert found == list(range(len(found)))


@pytest.mark.parametrize("paused", [False, True])
def test_views_switch_while_it_runs_and_while_it_is_paused(desk, monkeypatch, paused):
    with running(desk, monkeypatch, "--track") as page, page.watching() as pictures:
        next(pictures)
        page.wait(lambda s: s["poses"])
        if paused:
            page.do("pause")
        shapes = {"before": (144, 224, 3)}
        for view in ("stages", "heatmaps", "crop", "overlay"):
            assert page.do(view)["view"] == view
            before = list(shapes.values())[-1]
            shapes[view] = next(shape for shape in (decode_picture(p).shape for p in pictures) if shape != before)
    assert len(set(shapes.values())) == 4 and shapes["overlay"] == shapes["before"]


def test_recording_off_and_on(desk, monkeypatch):
    with running(desk, monkeypatch) as page, page.watching() as pictures:
        next(pictures)
        page.wait(lambda s: s["frame"] and s["frame"] > 5)
        assert page.do("record")["recording"] is False
        off = page.state()["frame"]
        page.wait(lambda s: s["frame"] > off + 8)
        assert page.do("record")["recording"] is True
        on = page.state()["frame"]
        page.wait(lambda s: s["frame"] > on + 5)
    assert sorted(p.name for p in (desk / "out").iterdir()) == ["clip.jsonl", "clip_overlay-2.mp4", "clip_overlay.mp4"]
    stretches = [len(list(video_frames(desk / "out" / f"clip_overlay{n}.mp4"))) for n in ("", "-2")]
    found = numbers(desk)
    assert found == list(range(len(found)))
    assert min(stretches) > 3 and sum(stretches) < len(found)


def test_nothing_is_recorded_unless_asked_for(desk, monkeypatch):
    with running(desk, monkeypatch, "--no-overlay") as page, page.watching() as pictures:
        next(pictures)
        page.wait(lambda s: s["frame"] and s["frame"] > 5)
        assert page.state()["recording"] is False
    assert [p.name for p in (desk / "out").iterdir()] == ["clip.jsonl"]


def test_snapshots(desk, monkeypatch):
    with running(desk, monkeypatch, "--no-overlay") as page, page.watching() as pictures:
        next(pictures)
        page.do("snapshot")
        page.wait(lambda s: s["saved"] == 1)
        page.do("pause")
        page.do("heatmaps")
        page.do("snapshot")
        page.wait(lambda s: s["saved"] == 2)
    shots = sorted((desk / "out").glob("clip_*.png"))
    assert [p.name.rsplit("_", 1)[0] for p in shots] == ["clip_heatmaps", "clip_overlay"]
    assert read_picture(shots[1]).shape == (144, 224, 3)


def test_figures_are_on_the_screen_and_not_in_the_recording(desk, monkeypatch):
    with running(desk, monkeypatch) as page, page.watching() as pictures:
        next(pictures)
        page.do("pause")
        plain = [decode_picture(next(pictures)) for _ in range(3)][-1]
        assert page.do("figures")["figures"]
        marked = [decode_picture(next(pictures)) for _ in range(3)][-1]
        assert np.abs(marked[:130, :130].astype(int) - plain[:130, :130]).mean() > 2
        ms = page.state()["ms"]
        assert list(ms) == ["read", "crop", "net", "filter", "draw", "write"]
    frames = [f.image for f in video_frames(desk / "out" / "clip_overlay.mp4")]
    assert np.abs(frames[-1][:30, :130].astype(int) - frames[0][:30, :130]).mean() < 2


def test_ending_it(desk, monkeypatch):
    with running(desk, monkeypatch) as page, page.watching() as pictures:
        next(pictures)
        assert page.do("end")["ended"]
        assert len(list(pictures)) < 20  # the stream ends, too
    assert page.code == 0 and 0 < len(numbers(desk)) < 400


def test_two_watch_and_one_leaves(desk, monkeypatch):
    with running(desk, monkeypatch) as page, page.watching() as first:
        with page.watching() as second:
            next(second)
        for _ in range(5):
            next(first)


def test_what_is_refused(desk, monkeypatch):
    with running(desk, monkeypatch) as page:
        assert page.ask("do/pause", "POST")[0] == 404  # not from this page
        assert page.ask("do/pause", "POST", X_Posewright="x", Origin="http://evil.example")[0] == 403
        status, said = page.ask("do/explode", "POST", X_Posewright="x")
        assert status == 400 and b"unknown switch 'explode'" in said
        assert page.ask("nothing")[0] == 404
        assert page.ask("picture.jpg")[0] == 404
        status, text = page.ask("")
        assert status == 200 and b"<kbd>Space</kbd> pause" in text
        assert not page.state()["paused"]


def test_a_view_that_the_model_cannot_show_is_said(desk, monkeypatch):
    from helpers.spots import spot_model

    (desk / "spots.onnx").unlink()
    spot_model(desk / "spots.onnx", outputs=("keypoints", "presence"))
    with running(desk, monkeypatch) as page, page.watching() as pictures:
        next(pictures)
        status, said = page.ask("do/stages", "POST", X_Posewright="x")
        assert status == 400 and b"has no heat maps" in said
        assert page.state()["view"] == "overlay"
        assert page.do("crop")["view"] == "crop"
