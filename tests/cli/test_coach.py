"""``posewright coach`` as it is typed: on motions known exactly, and once on a generated video."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.bodies import body
from posewright.cli import main
from posewright.poses import Poses
from posewright.skeletons import BODY_14


def save(path, lifts, rate=15.0, **changes) -> None:
    lines = []
    for i, lift in enumerate(lifts):
        where = {"frame": i, "time": i / rate, "width": 300, "height": 300} | changes
        xy = None if lift is None else body(lift)
        if xy is None:
            poses = Poses.empty(BODY_14, **where)
        else:
            poses = Poses(BODY_14, xy[None], np.full((1, 14), 0.9), np.ones(1), np.array([[0, 0, 300, 300.0]]), **where)
        lines.append(poses.to_json() + "\n")
    path.write_text("".join(lines))


@pytest.fixture
def desk(tmp_path, monkeypatch):
    wave = 0.5 - 0.5 * np.cos(np.arange(60) / 60 * 2 * np.pi)
    save(tmp_path / "teacher.jsonl", wave)
    save(tmp_path / "slow.jsonl", np.repeat(wave, 2), rate=15.0)
    save(tmp_path / "lazy.jsonl", 0.3 * wave)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_same_motion_at_half_the_pace_needs_no_change(desk, capsys):
    assert main(["coach", "--reference", "teacher.jsonl", "--source", "slow.jsonl", "--no-video"]) == 0
    said = capsys.readouterr().out
    assert "No limb has to change." in said
    records = [json.loads(line) for line in (desk / "coach/coach.jsonl").read_text().splitlines()]
    assert len(records) == 120 and min(r["oks"] for r in records) > 0.9
    assert (np.diff([r["reference_time"] for r in records]) >= 0).all()
    assert (desk / "coach/coach.png").is_file() and not (desk / "coach/coach.mp4").exists()


def test_an_arm_that_stays_low_is_told_so_on_the_table_and_in_the_video(desk, capsys):
    from posewright.media.sources import video_frames

    save(desk / "up.jsonl", [0.9] * 45)
    save(desk / "down.jsonl", [0.2] * 30)
    assert main(["coach", "--reference", "up.jsonl", "--source", "down.jsonl", "-o", "out"]) == 0
    said = capsys.readouterr().out
    assert "left arm higher" in said
    frames = list(video_frames(desk / "out/coach.mp4"))
    assert len(frames) == 30
    quiet, told = (frames[i].image[-90:].mean() for i in (1, 20))
    assert told > quiet + 1, "words below the pictures"


def test_frames_without_a_pose_are_passed_over(desk, capsys):
    save(desk / "gaps.jsonl", [None, None, *np.linspace(0, 0.5, 20), None])
    assert main(["coach", "--reference", "teacher.jsonl", "--source", "gaps.jsonl", "--no-video"]) == 0
    assert "a pose on 20 of 23 frames" in capsys.readouterr().out
    records = [json.loads(line) for line in (desk / "coach/coach.jsonl").read_text().splitlines()]
    assert records[0] == {"time": 0.0, "reference_time": None, "oks": None, "feedback": []}


def test_videos_are_followed_by_a_model(desk, capsys):
    from posewright.synthetic import make_hand_video

    make_hand_video(desk / "hand.mp4", seconds=2, fps=10, size=(160, 120), seed=8)
    code = main(["coach", "--reference", "hand.mp4", "--source", "hand.mp4", "--model", "hand", "--threads", "1"])
    assert code == 0
    records = [json.loads(line) for line in (desk / "coach/coach.jsonl").read_text().splitlines()]
    oks = [r["oks"] for r in records if r["oks"] is not None]
    assert len(records) == 20 and len(oks) >= 10 and np.median(oks) > 0.95


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--source", "none.jsonl"], "none.jsonl: does not exist"),
        (["--source", "clip.mp4"], "is a video. Name what finds the poses with --model"),
        (["--source", "still.jsonl"], "has no times"),
        (["--source", "hand.jsonl"], "has the keypoints of 'hand-21'"),
        (["--source", "empty.jsonl"], "shows no pose on any of its 3 frames"),
        (["--source", "slow.jsonl", "--min-score", "2"], "--min-score is from 0 to 1"),
        (["--source", "slow.jsonl", "--filter", "kalmann"], "unknown filter 'kalmann'. Did you mean 'kalman'?"),
        (["--source", "text.jsonl"], "line 1: is no record of predictions"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(desk, capsys, words, complaint):
    from posewright.skeletons import HAND_21

    (desk / "clip.mp4").write_bytes(b"")
    save(desk / "still.jsonl", [0.1], time=None, frame=None)
    save(desk / "empty.jsonl", [None] * 3)
    hand = Poses(HAND_21, np.ones((1, 21, 2)), np.ones((1, 21)), np.ones(1), np.ones((1, 4)), frame=0, time=0.0)
    (desk / "hand.jsonl").write_text(hand.to_json() + "\n")
    (desk / "text.jsonl").write_text("left arm\n")
    assert main(["coach", "--reference", "teacher.jsonl", *words]) == 2
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1
    assert not (desk / "coach").exists()
