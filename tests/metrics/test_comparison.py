"""Which keypoints got better or worse, where that is known beforehand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from posewright.annotations import Annotations, Image
from posewright.errors import PosewrightError
from posewright.metrics.bootstrap import paired_bootstrap
from posewright.metrics.comparison import compare
from posewright.skeleton import Skeleton

TRIO = Skeleton("trio", ("better", "worse", "same", "never"))
SIDE = 100.0


def labels(n=300):
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(20, 80, (n, 4, 2)), np.full((n, 4, 1), 2)], 2)
    points[:, 3] = 0
    return Annotations(
        TRIO, [Image(f"{i}.jpg") for i in range(n)], np.arange(n), points, np.tile([0.0, 0, SIDE, SIDE], (n, 1))
    )


def predictions(truth, shares, seed):
    """Each keypoint is exact in such a share of the pictures and 50 px off in the others."""
    rng = np.random.default_rng(seed)
    xy = truth.keypoints[..., :2].copy()
    xy[..., 0] += 50 * (rng.random(xy.shape[:2]) >= np.array(shares))
    return xy


@pytest.fixture(scope="module")
def found():
    truth = labels()
    a, b = predictions(truth, [0.5, 0.9, 0.7, 0], 1), predictions(truth, [0.9, 0.5, 0.7, 0], 2)
    return truth, a, b, compare(a, b, truth, resamples=1000)


def test_verdicts(found):
    comparison = found[3]
    assert comparison.keypoints("better") == ["better"]
    assert comparison.keypoints("worse") == ["worse"]
    assert comparison.keypoints("not clear") == ["same"]
    assert comparison.by_keypoint["never"] is None
    assert comparison.by_keypoint["better"].difference == pytest.approx(0.4, abs=0.1)
    said = "\n".join(comparison.summary())
    assert "No clear difference between A and B" in said
    assert "Clearly better: better." in said
    assert "Clearly worse: worse." in said
    assert [row["B is"] for row in comparison.rows()] == ["better", "worse", "not clear", "", "not clear"]


@pytest.mark.parametrize(("pictures", "verdict"), [(1, "not clear"), (5, "not clear"), (6, "better")])
def test_so_few_pictures_that_chance_would_do_give_no_verdict(pictures, verdict):
    """All hits against all misses: the bootstrap's interval is the point 1, of a single picture, too."""
    truth = labels(pictures)
    a, b = predictions(truth, [0, 0, 0, 0], 0), predictions(truth, [1, 1, 1, 1], 0)
    found = compare(a, b, truth, resamples=100)
    assert (found.total.low, found.total.high, found.total.differing) == (1, 1, pictures)
    assert found.keypoints(verdict) == ["better", "worse", "same"]
    assert any(line.startswith(f"Caution: {pictures} picture") for line in found.conventions())


def test_only_pictures_that_differ_speak_for_a_verdict():
    """Five better ones among three hundred: the interval leaves out 0, a sign test would not."""
    truth = labels()
    a = predictions(truth, [0, 0, 0, 0], 0)
    b = a.copy()
    b[:5, 0] = truth.keypoints[:5, 0, :2]
    one = compare(a, b, truth, resamples=1000)
    assert one.by_keypoint["better"].low > 0
    assert one.keypoints("better") == []
    b[5, 0] = truth.keypoints[5, 0, :2]
    other = compare(a, b, truth, resamples=1000)
    assert other.keypoints("better") == ["better"]
    assert "differ on at least 6 pictures" in "\n".join(other.conventions())


def test_figures_are_those_of_the_bootstrap(found):
    truth, _, _, comparison = found
    by_hand = paired_bootstrap(comparison.a.normalised, comparison.b.normalised, truth.image, 0.1, resamples=1000)
    assert comparison.total == by_hand
    assert (comparison.threshold, comparison.total.pictures) == (0.1, 300)


def test_a_missing_prediction_is_a_miss(found):
    truth, a, _, _ = found
    without = a.copy()
    without[:150] = np.nan
    got = compare(a, without, truth, resamples=200)
    assert got.b.n_missing == 150
    assert got.keypoints("worse") == ["worse", "same", "better"]


def test_the_other_way_round_is_the_opposite(found):
    truth, a, b, comparison = found
    back = compare(b, a, truth, resamples=1000)
    assert back.total.difference == pytest.approx(-comparison.total.difference)
    assert back.keypoints("better") == ["worse"]


def test_the_record_is_json(found):
    record = json.loads(found[3].dumps())
    assert record["by_keypoint"]["never"] is None
    assert record["by_keypoint"]["better"]["verdict"] == "better"
    assert record["all"]["low"] < record["all"]["difference"] < record["all"]["high"]
    assert "paired bootstrap, 1000 resamples of 300 whole pictures" in record["conventions"][1]
    assert "Of 3 keypoints" in record["conventions"][2]


def test_progress_counts_every_difference(found):
    truth, a, b, _ = found
    done = []
    compare(a, b, truth, resamples=100, progress=done.append)
    assert sum(done) == len(TRIO) + 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"resamples": 5}, "at least 100 resamples"),
        ({"level": 1.0}, "level is a share"),
        ({"seed": -1}, "a seed must not be below 0"),
        ({"threshold": -1.0}, "above 0"),
    ],
)
def test_numbers_that_make_no_sense(found, options, complaint):
    truth, a, b, _ = found
    with pytest.raises(PosewrightError, match=complaint):
        compare(a, b, truth, **options)
