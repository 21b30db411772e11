"""Reading ahead and writing behind: everything in order, nothing piles up, whoever is slow, whatever breaks."""

from __future__ import annotations

import random
import threading
import time

import pytest

from posewright.live.overlap import Closed, Handover, ReadAhead, WriteBehind


def slow(items, rng):
    for item in items:
        if rng.random() < 0.2:
            time.sleep(0.002)
        yield item


@pytest.mark.parametrize("slowest", ["reader", "worker", "writer", "nobody"])
def test_all_arrive_in_order_whoever_is_slow(slowest):
    rng, written = random.Random(1), []

    def write(item):
        if slowest == "writer" and rng.random() < 0.2:
            time.sleep(0.002)
        written.append(item)

    source = slow(range(300), rng) if slowest == "reader" else iter(range(300))
    with WriteBehind(write) as behind, ReadAhead(source) as ahead:
        for item in slow(ahead, rng) if slowest == "worker" else ahead:
            behind.put(item)
    assert written == list(range(300))
    assert ahead.dropped == 0
    assert ahead.most <= 4 and behind.most <= 4


def test_a_writer_that_hangs_holds_the_reader_up():
    """The reader is never more than the two queues and what is in hand ahead of the writer."""
    released, made = threading.Event(), []

    def source():
        for i in range(100):
            made.append(i)
            yield i

    def write(_):
        released.wait(20)

    with WriteBehind(write, depth=3) as behind, ReadAhead(source(), depth=2) as ahead:
        threading.Timer(0.3, released.set).start()
        for i in ahead:
            behind.put(i)
            if not released.is_set():
                assert len(made) <= (i + 1) + 2 + 1 + 1
    assert len(made) == 100


def test_a_live_source_drops_the_oldest_and_counts():
    handover: Handover[int] = Handover(3, drop=True)
    for i in range(10):
        handover.put(i)
    handover.end()
    assert handover.dropped == 7 and handover.most == 3
    assert [handover.get() for _ in range(3)] == [7, 8, 9]
    with pytest.raises(Closed):
        handover.get()


def test_what_was_dropped_and_what_was_taken_make_up_all():
    taken = []
    with ReadAhead(iter(range(2000)), drop=True) as ahead:
        for item in ahead:
            taken.append(item)
            time.sleep(0.0005)
    assert ahead.dropped > 0
    assert len(taken) + ahead.dropped == 2000
    assert taken == sorted(set(taken)) and taken[-1] == 1999


def test_an_error_of_the_reader_comes_after_what_it_read():
    def source():
        yield from range(5)
        raise ZeroDivisionError

    taken = []
    with pytest.raises(ZeroDivisionError), ReadAhead(source()) as ahead:
        for item in ahead:
            taken.append(item)
    assert taken == [0, 1, 2, 3, 4]


def test_an_error_of_the_writer_reaches_the_worker():
    written = []

    def write(item):
        if item == 7:
            raise OSError("full")
        written.append(item)

    with pytest.raises(OSError, match="full"), WriteBehind(write) as behind:
        for i in range(10_000):
            behind.put(i)
    assert written == list(range(7))


def test_an_error_of_the_writer_at_the_very_end():
    def write(_):
        time.sleep(0.05)
        raise OSError("full")

    with pytest.raises(OSError, match="full"), WriteBehind(write) as behind:
        behind.put(1)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_of_the_worker_lets_the_writer_finish_and_ends_the_reader(error):
    written, closed = [], threading.Event()

    def source():
        try:
            i = 0
            while True:
                yield i
                i += 1
        finally:
            closed.set()

    def write(item):
        time.sleep(0.01)
        written.append(item)

    with pytest.raises(error), WriteBehind(write) as behind, ReadAhead(source()) as ahead:
        for item in ahead:
            behind.put(item)
            if item == 20:
                raise error
    assert written == list(range(21))
    assert closed.wait(5)


def test_a_reader_that_waits_for_the_world_is_woken_up():
    stopped = threading.Event()

    def source():
        yield 1
        stopped.wait(60)

    start = time.monotonic()
    with ReadAhead(source(), stop=stopped.set) as ahead:
        assert next(iter(ahead)) == 1
    assert time.monotonic() - start < 30
    assert not ahead._thread.is_alive()
