"""Joining crops: who shares a run of the net with whom, who waits, and who is dropped."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from posewright.web.service.batches import Batcher


class Net:
    """Says which crop it was given; waits until it may, and breaks on crops above 200."""

    def __init__(self) -> None:
        self.runs: list[tuple[list[int], bool]] = []
        self.may, self.begun = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, crops, flip):
        values = [int(crop[0]) for crop in crops]
        self.runs.append((values, flip))
        self.begun.release()
        assert self.may.acquire(timeout=10)
        if max(values) > 200:
            raise ValueError("no")
        return {"value": np.array(values), "twice": np.array(values)[:, None] * [1, 2]}


def crops(*values: int) -> list:
    return [np.array([value], np.uint8) for value in values]


@pytest.fixture
def net():
    return Net()


@pytest.fixture
def batcher(net):
    made = Batcher(net, 4, 0.0)
    yield made
    net.may.release(1000)
    made.close()
    assert not made._thread.is_alive()


def start(net, batcher):
    """Have the net be busy with crop 0, so that what follows waits."""
    first = batcher.submit(crops(0))
    assert net.begun.acquire(timeout=10)
    return first


def test_each_gets_its_own(net, batcher):
    net.may.release(1000)
    futures = [batcher.submit(crops(*range(i, i + 5))) for i in range(0, 50, 5)]
    for i, future in enumerate(futures):
        found = future.result(10)
        assert found["value"].tolist() == list(range(5 * i, 5 * i + 5))
        assert found["twice"].tolist() == [[v, 2 * v] for v in range(5 * i, 5 * i + 5)]
    assert max(len(values) for values, _ in net.runs) == 4
    assert batcher.submit([]).result(10) == {}
    assert batcher.waiting == 0


def test_many_crops_do_not_hold_up_a_single_one(net, batcher):
    start(net, batcher)
    large = batcher.submit(crops(*range(1, 41)))
    small = batcher.submit(crops(100))
    assert batcher.waiting == 41
    net.may.release(2)
    assert small.result(10)["value"].tolist() == [100]
    assert not large.done()
    assert net.runs[1] == ([1, 100, 2, 3], False)
    net.may.release(100)
    assert large.result(10)["value"].tolist() == list(range(1, 41))


def test_mirrored_crops_run_apart(net, batcher):
    start(net, batcher)
    futures = [batcher.submit(crops(i, i + 10), flip=i % 2 == 0) for i in range(1, 5)]
    net.may.release(100)
    assert [f.result(10)["value"].tolist() for f in futures] == [[1, 11], [2, 12], [3, 13], [4, 14]]
    assert net.runs[1:] == [([1, 3, 11, 13], False), ([2, 4, 12, 14], True)]


def test_what_is_cancelled_is_dropped(net, batcher):
    start(net, batcher)
    futures = [batcher.submit(crops(i)) for i in range(1, 4)]
    assert futures[1].cancel()
    assert batcher.waiting == 2
    net.may.release(100)
    assert futures[2].result(10)["value"].tolist() == [3]
    assert net.runs[1:] == [([1, 3], False)]


def test_nothing_is_run_where_all_have_gone(net, batcher):
    start(net, batcher)
    futures = [batcher.submit(crops(i)) for i in range(1, 4)]
    for future in futures:
        future.cancel()
    net.may.release(100)
    assert batcher.submit(crops(9)).result(10)["value"].tolist() == [9]
    assert [values for values, _ in net.runs] == [[0], [9]]


def test_one_that_is_cancelled_in_the_net_harms_nobody(net, batcher):
    first = start(net, batcher)
    assert first.cancel()
    net.may.release(100)
    assert batcher.submit(crops(5)).result(10)["value"].tolist() == [5]


def test_a_failure_is_only_its_own(net, batcher):
    start(net, batcher)
    good, bad, other = (batcher.submit(crops(value)) for value in (1, 201, 2))
    net.may.release(100)
    assert good.result(10)["value"].tolist() == [1]
    assert other.result(10)["value"].tolist() == [2]
    with pytest.raises(ValueError, match="no"):
        bad.result(10)
    assert [values for values, _ in net.runs] == [[0], [1, 201, 2], [1], [201], [2]]


def test_the_rest_of_what_failed_is_not_run(net, batcher):
    start(net, batcher)
    bad = batcher.submit(crops(201, *range(1, 20)))
    net.may.release(100)
    with pytest.raises(ValueError):
        bad.result(10)
    assert batcher.submit(crops(7)).result(10)["value"].tolist() == [7]
    assert [values for values, _ in net.runs] == [[0], [201, 1, 2, 3], [7]]


def test_it_waits_for_who_is_expected_and_no_longer_than_the_delay():
    net = Net()
    net.may.release(1000)
    batcher = Batcher(net, 4, 0.8)
    begun = time.monotonic()
    batcher.submit(crops(1)).result(10)
    assert time.monotonic() - begun < 0.7  # nobody else is on the way
    with batcher.expecting():
        futures = [batcher.submit(crops(2))]
        time.sleep(0.05)
        futures += [batcher.submit(crops(3, 4)), batcher.submit(crops(5))]
        for future in futures:
            future.result(10)
        assert net.runs[1:] == [([2, 3, 5, 4], False)]  # full, and gone
        begun = time.monotonic()
        batcher.submit(crops(6)).result(10)
        assert 0.7 < time.monotonic() - begun < 8
    batcher.close()


def test_closing_runs_what_waits(net):
    batcher = Batcher(net, 4, 10.0)
    start(net, batcher)
    futures = [batcher.submit(crops(i)) for i in range(1, 7)]
    net.may.release(100)
    batcher.close()
    assert [f.result(0)["value"].tolist() for f in futures] == [[i] for i in range(1, 7)]
    with pytest.raises(RuntimeError):
        batcher.submit(crops(1))
