"""Recall, false boxes and average precision of found boxes."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.metrics.boxes import judge

ONE = np.array([[0.0, 0, 10, 10]])
TWO = np.array([[0.0, 0, 10, 10], [50, 0, 60, 10]])
NONE = np.zeros((0, 4))


def found(*rows):
    """Boxes and scores of one picture, from (x0, y0, x1, y1, score)."""
    a = np.array(rows, float).reshape(-1, 5)
    return a[:, :4], a[:, 4]


def test_each_object_is_taken_once_and_the_surest_goes_first():
    finds = judge([found((0, 0, 10, 9, 0.6), (0, 0, 10, 10, 0.9), (51, 0, 61, 10, 0.3))], [TWO])
    assert finds.right.tolist() == [True, False, True] and finds.objects == 2
    assert finds.at(0.2) == (1.0, 1.0) and finds.at(0.8) == (0.5, 0.0)


def test_too_little_overlap_is_false_and_an_object_missed():
    finds = judge([found((0, 0, 10, 4.9, 0.9))], [ONE])
    assert finds.at(0.5) == (0.0, 1.0) and finds.ap == 0


def test_what_lies_in_an_unknown_place_does_not_count():
    crowd = np.array([[100.0, 0, 200, 50]])
    finds = judge([found((110, 10, 120, 20, 0.9), (0, 0, 10, 10, 0.8))], [ONE], [crowd])
    assert finds.right.tolist() == [True] and finds.at(0.5) == (1.0, 0.0)


def test_pictures_without_objects_count_for_false_boxes():
    finds = judge([found((0, 0, 10, 10, 0.9)), found((0, 0, 5, 5, 0.4)), found()], [ONE, NONE, NONE])
    assert finds.at(0.3) == (1.0, pytest.approx(1 / 3)) and finds.at(0.5) == (1.0, 0.0)


def test_average_precision_by_hand():
    # Right, wrong, right: precision 1 at the first object, 2/3 at the second, and a third is never found.
    three = np.concatenate([TWO, [[90.0, 0, 99, 9]]])
    finds = judge([found((0, 0, 10, 10, 0.9), (20, 20, 30, 30, 0.8), (50, 0, 60, 10, 0.7))], [three])
    assert finds.ap == pytest.approx((1 + 2 / 3) / 3)
    assert np.isnan(judge([found()], [NONE]).ap)


def test_the_threshold_keeps_to_the_false_boxes_that_are_allowed():
    rows = [found((0, 0, 10, 10, 0.9 - i / 100)) for i in range(10)]
    rows[9] = found((0, 0, 10, 10, 0.5), (30, 30, 40, 40, 0.6))
    finds = judge(rows, [ONE] * 10)
    assert 0.6 < finds.threshold(0.0) < 0.82 and finds.at(finds.threshold(0.0)) == (pytest.approx(0.9), 0.0)
    assert finds.threshold(0.1) < 0.5 and finds.at(finds.threshold(0.1)) == (1.0, pytest.approx(0.1))


def test_the_threshold_is_no_lower_than_it_helps():
    rows = [found((0, 0, 10, 10, 0.9), (30, 30, 40, 40, 0.1))] * 5
    assert judge(rows, [ONE] * 5).threshold(10.0) == pytest.approx(0.5)


@pytest.mark.parametrize("rows", [[found((30, 30, 40, 40, 0.7))], [found()]])
def test_a_threshold_where_nothing_right_is_found(rows):
    finds = judge(rows, [ONE])
    assert finds.at(finds.threshold(0.0)) == (0.0, 0.0)
