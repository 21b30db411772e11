"""Seconds by part: what is added comes out, by frame."""

from __future__ import annotations

import pytest

from posewright.live.times import PARTS, RECENT, Times, read_timed


def test_parts_are_means_over_the_frames():
    times = Times()
    for i in range(4):
        times.add("net", 0.010)
        times.add("draw", 0.002 * i)
        times.frame()
    by_part = times.by_part()
    assert list(by_part) == list(PARTS)
    assert by_part["net"] == pytest.approx(10) and by_part["draw"] == pytest.approx(3) and by_part["crop"] == 0
    assert times.frames == 4 and times.rate > 0


def test_the_present_figures_forget_the_past():
    times = Times()
    for i in range(3 * RECENT):
        times.add("net", 1.0 if i < RECENT else 0.005)
        times.frame()
    assert times.now()[1]["net"] == pytest.approx(5)
    assert times.by_part()["net"] > 300


def test_before_anything_was_done():
    times = Times()
    assert times.now() == (0.0, dict.fromkeys(PARTS, 0.0))
    assert times.rate == 0 and set(times.by_part().values()) == {0.0}


def test_reading_is_timed_and_changes_nothing():
    times = Times()
    assert list(read_timed(iter("abc"), times)) == ["a", "b", "c"]
    times.frame()
    assert times.by_part()["read"] > 0


def test_an_error_while_reading_comes_through():
    def frames():
        yield 1
        raise ZeroDivisionError

    taken = []
    with pytest.raises(ZeroDivisionError):
        for frame in read_timed(frames(), Times()):
            taken.append(frame)
    assert taken == [1]
