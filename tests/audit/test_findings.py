"""Planted errors are found, told for what they are, and mended; what the model is bad at is not blamed on the labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.walkers import Knowing, walkers
from posewright.audit import audit, mended, weighed
from posewright.audit.evidence import gather
from posewright.audit.shape import LIMIT, Reach, parts_of, wanted_places
from posewright.errors import PosewrightError

TRUTH = walkers(300)
WHOLE, LEGS, FAR, OTHERS, BOX = 3, 20, 41, 77, 120


def spoil(truth):
    """One error of each kind."""
    keypoints, boxes = truth.keypoints.copy(), truth.boxes.copy()
    for a, b in truth.skeleton.swaps:
        keypoints[WHOLE, [a, b]] = keypoints[WHOLE, [b, a]]
    for a, b in truth.skeleton.swaps[1:]:
        keypoints[LEGS, [a, b]] = keypoints[LEGS, [b, a]]
    keypoints[FAR, 5, :2] += (45, -50)
    # Another figure's place, that lies about in a box of its own.
    keypoints[OTHERS, :, :2] = (keypoints[OTHERS, :, :2] - 100) @ np.array([[0, 0.5], [-0.5, 0]]) + (130, 70)
    boxes[BOX] += (45, 30, 45, 30)
    return replace(truth, keypoints=keypoints, boxes=boxes)


@pytest.fixture(scope="module")
def audited():
    labels = spoil(TRUTH)
    return audit(labels, gather(Knowing(TRUTH), labels))


def first_of(audited, i):
    return next(f for f in audited.findings if f.object == i)


def test_the_spoilt_objects_come_first(audited):
    order = list(dict.fromkeys(f.object for f in audited.findings))
    assert set(order[:5]) == {WHOLE, LEGS, FAR, OTHERS, BOX}
    assert audited.looked_at == len(TRUTH)


@pytest.mark.parametrize(
    ("i", "kind", "what"),
    [
        (WHOLE, "swap", "all"),
        (LEGS, "swap", "hip, foot"),
        (FAR, "point", "left_foot"),
        (OTHERS, "pose", "7 keypoints"),
        (BOX, "box", "box"),
    ],
)
def test_each_is_told_for_what_it_is(audited, i, kind, what):
    found = first_of(audited, i)
    assert (found.kind, found.what) == (kind, what)
    assert found.probability > 0.4  # of five mistakes among 300 figures, no kind is common


def test_what_is_proposed_is_the_truth(audited):
    swap, far, box = (first_of(audited, i) for i in (WHOLE, FAR, BOX))
    np.testing.assert_allclose(swap.proposed, TRUTH.keypoints[WHOLE, list(swap.keypoints), :2])
    assert np.linalg.norm(far.proposed[0] - TRUTH.keypoints[FAR, 5, :2]) < 8
    assert np.abs(box.proposed.ravel() - TRUTH.boxes[BOX]).max() < 25
    assert np.abs(box.label.ravel() - TRUTH.boxes[BOX]).max() > 25


def test_the_corrected_copy(audited):
    before = audited.annotations.keypoints.copy()
    copy, done = mended(audited, 0.4)
    assert done["swap"] >= 2
    np.testing.assert_allclose(copy.keypoints[[WHOLE, LEGS]], TRUTH.keypoints[[WHOLE, LEGS]])
    assert copy.keypoints[FAR, 5, 2] == 0
    assert not copy.labelled[OTHERS].any()
    moved, _ = mended(audited, 0.5, "move")
    assert moved.keypoints[FAR, 5, 2] == 2
    assert np.linalg.norm(moved.keypoints[FAR, 5, :2] - TRUTH.keypoints[FAR, 5, :2]) < 8
    np.testing.assert_array_equal(audited.annotations.keypoints, before)


def test_the_weighed_copy_moves_nothing(audited):
    copy, _ = weighed(audited, 0.5)
    same = copy.labelled
    np.testing.assert_array_equal(copy.keypoints[same], audited.annotations.keypoints[same])
    assert copy.keypoints[FAR, 5, 2] == 0
    assert copy.weight[WHOLE] == pytest.approx(1 - first_of(audited, WHOLE).probability)
    assert copy.weight[OTHERS] < 0.5
    assert np.median(copy.weight) == 1


def test_nothing_below_the_level_is_touched(audited):
    copy, done = mended(audited, 1.0)
    untouched = [f.kind for f in audited.findings if f.probability < 1]
    assert len(untouched) == len(audited.findings) - sum(f.probability >= 1 for f in audited.findings)
    assert sum(done.values()) == sum(f.probability >= 1 for f in audited.findings if f.kind != "missing")
    np.testing.assert_array_equal(copy.keypoints[LEGS], audited.annotations.keypoints[LEGS])


@pytest.mark.parametrize(("level", "points"), [(0.0, "move"), (1.5, "move"), (0.9, "guess")])
def test_what_cannot_be_asked_for(audited, level, points):
    with pytest.raises(PosewrightError):
        mended(audited, level, points)


def test_clean_labels_are_hardly_doubted():
    found = audit(TRUTH, gather(Knowing(TRUTH), TRUTH)).findings
    assert sum(f.probability > 0.5 for f in found) <= 2


def test_a_model_that_mistakes_sides_says_little_of_sides():
    """Of the same exchanged object, a model that confuses a third of all objects is less sure."""
    labels = spoil(TRUTH)
    sure, confused = (first_of(audit(labels, gather(Knowing(TRUTH, confused=c), labels)), WHOLE).score for c in (0, 4))
    assert confused < sure


def test_a_model_file_without_maps():
    labels = spoil(TRUTH)
    found = audit(labels, gather(Knowing(TRUTH, maps=False), labels)).findings
    assert {WHOLE, FAR} <= {f.object for f in found[:12]}


def test_a_keypoint_that_is_seen_and_not_labelled():
    keypoints = TRUTH.keypoints.copy()
    keypoints[::2, 1] = 0
    labels = replace(TRUTH, keypoints=keypoints)
    evidence = gather(Knowing(TRUTH), labels)
    evidence.score[::2, 1] = 0.05
    evidence.score[[10, 50], 1] = 0.9
    found = [f for f in audit(labels, evidence).findings if f.kind == "missing"]
    assert {f.object for f in found[:2]} == {10, 50}
    assert not np.isfinite(found[0].label).any()
    assert found[0].keypoints == (1,)


def test_a_limb_is_never_longer_than_it_is():
    """Where a keypoint was moved away, the link that ends there says so; of an object without it nothing is said."""
    keypoints = TRUTH.keypoints.copy()
    keypoints[FAR, 5, :2] += (-150, 0)
    keypoints[9, 6, 2] = 0
    labels = replace(TRUTH, keypoints=keypoints)
    reach = Reach(labels)
    usual, spoilt = Reach(TRUTH).links_at(TRUTH.keypoints[..., :2]), reach.links_at(keypoints[..., :2])
    assert (usual[:, 5] < 2.5).all()
    assert spoilt[FAR, 5] > usual[:, 5].max()
    assert spoilt[FAR, 3] > usual[FAR, 3]  # the hip that it hangs on
    size = reach.size[9, 4]
    assert spoilt[9, 4] == pytest.approx(
        np.linalg.norm(keypoints[9, 4, :2] - keypoints[9, 0, :2]) / size
    )  # only the head's
    far = TRUTH.keypoints[..., :2] + 1e6
    assert (reach.links_at(far) <= LIMIT).all()
    unlinked = Reach(replace(labels, skeleton=replace(labels.skeleton, links=(), link_colours=())))
    assert (unlinked.links_at(far) == 0).all()
    assert reach.between(far, np.full_like(far, np.nan)).max() == 0


def test_places_that_an_exchange_wants():
    """With all pairs exchanged, an exchanged object's keypoints are wanted where a right one's are."""
    right, spoilt = (wanted_places(labels, parts_of(labels)) for labels in (TRUTH, spoil(TRUTH)))
    np.testing.assert_allclose(spoilt[1].place[WHOLE], right[0].place[WHOLE], atol=3)
    assert np.abs(right[1].place[WHOLE, 1] - right[0].place[WHOLE, 1]).max() > 5


def test_a_single_pair_exchanged_is_told_as_an_exchange():
    """Not as two keypoints that happen to lie in each other's place."""
    keypoints = TRUTH.keypoints.copy()
    keypoints[50, [1, 2]] = keypoints[50, [2, 1]]
    labels = replace(TRUTH, keypoints=keypoints)
    found = first_of(audit(labels, gather(Knowing(TRUTH), labels)), 50)
    assert (found.kind, found.what) == ("swap", "hand")


def test_nothing_to_judge():
    empty = replace(TRUTH, keypoints=np.zeros_like(TRUTH.keypoints))
    with pytest.raises(PosewrightError, match="no labelled object"):
        audit(empty, gather(Knowing(TRUTH), empty))
