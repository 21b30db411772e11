"""A source held against a reference while it runs: what is said and drawn of each frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np

from helpers.bodies import body
from posewright.live.coached import Coached
from posewright.live.views import Drawing
from posewright.live.work import Item
from posewright.media.sources import Frame
from posewright.metrics.coaching import Coach
from posewright.poses import Poses
from posewright.reports.coaching import HEIGHT, LINES, STRIP, Canvas
from posewright.skeletons import BODY_14
from posewright.tracking.motion import Motion

TIMES = np.arange(30) / 15


def item(i: int, lift: float) -> Item:
    poses = Poses(BODY_14, body(lift)[None], np.full((1, 14), 0.9), np.ones(1), np.array([[0, 0, 300, 300.0]]))
    return Item(Frame(np.full((300, 300, 3), 200, np.uint8), Path("camera"), i, i / 15), poses)


def coached() -> Coached:
    reference = Motion(Path("up.jsonl"), BODY_14, TIMES, np.stack([body(0.9)] * 30), (300, 300), False)
    drawing = Drawing(cast(Any, None))
    return Coached(Coach(reference.xy, TIMES, BODY_14), Canvas(reference, None), drawing, 0.1)


def test_words_come_once_a_limb_has_been_off_for_a_while(tmp_path):
    by, pictures = coached(), []
    with by.records(tmp_path / "coach.jsonl", None) as write:
        for i in range(24):
            given = item(i, 0.9 if i < 8 else 0.2)
            for _ in range(2):  # shown, and shown once more while paused
                pictures.append(by.draw(given))
            write(given.frame, given.poses)
    found = [json.loads(line) for line in (tmp_path / "coach.jsonl").read_text().splitlines()]
    assert [r["time"] for r in found] == [round(i / 15, 6) for i in range(24)]
    assert min(r["oks"] for r in found[:8]) > 0.95 > max(r["oks"] for r in found[8:])
    assert not any(r["feedback"] for r in found[:11])
    assert all("left arm higher" in r["feedback"] for r in found[-6:])
    assert {p.shape[0] for p in pictures} == {HEIGHT + STRIP * LINES}
    assert np.array_equal(pictures[-1], pictures[-2])
    quiet, told = (p[HEIGHT + STRIP :].astype(float).mean() for p in (pictures[2], pictures[-1]))
    assert told > quiet + 1, "words below the pictures"


def test_a_frame_without_a_pose_is_shown_and_noted(tmp_path):
    by, empty = coached(), item(0, 0.5)
    empty.poses = Poses.empty(BODY_14)
    with by.records(tmp_path / "coach.jsonl", None) as write:
        assert by.draw(empty).shape[0] == HEIGHT + STRIP * LINES
        write(empty.frame, empty.poses)
    assert json.loads((tmp_path / "coach.jsonl").read_text()) == {
        "time": 0.0, "reference_time": None, "oks": None, "feedback": [],
    }  # fmt: skip
