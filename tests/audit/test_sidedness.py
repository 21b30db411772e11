"""Which way round a pose is, from the labels alone: what must not matter does not, and exchanged poses are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.walkers import Knowing, walkers
from posewright.audit import audit, mended
from posewright.audit.evidence import gather
from posewright.audit.exchanges import Exchange, exchanges, with_lone
from posewright.audit.shape import parts_of
from posewright.audit.sidedness import SwapSense

TRUTH = walkers(300)
ALL = exchanges(TRUTH.skeleton)[0]
PARTNER = TRUTH.skeleton.flip_order()
SPOILT, HALF, EMPTY = 3, 8, 11


def half_labelled():
    """A third of the figures lack the far hand; one has all its sides exchanged, that of the lone hand, too."""
    keypoints = TRUTH.keypoints.copy()
    keypoints[2::3, 2] = 0
    keypoints[EMPTY, 1:] = 0
    keypoints[HALF] = keypoints[HALF, PARTNER]
    return replace(TRUTH, keypoints=keypoints)


def ratio(labels, exchange):
    return SwapSense(labels, parts_of(labels)).log_ratio(exchange)


def test_exchanged_poses_are_told():
    keypoints = TRUTH.keypoints.copy()
    keypoints[SPOILT] = keypoints[SPOILT, PARTNER]
    found = ratio(replace(TRUTH, keypoints=keypoints), ALL)
    assert found[SPOILT] > 2
    assert np.delete(found, SPOILT).max() < 0


def test_the_opposite_of_an_exchange_is_as_likely_the_other_way_round():
    """The one pose is judged by what the other two parts taught, which stays as it was."""
    labels = replace(TRUTH, keypoints=TRUTH.keypoints.copy())
    before = ratio(labels, ALL)[SPOILT]
    mine = parts_of(labels) == parts_of(labels)[SPOILT]
    labels.keypoints[mine] = labels.keypoints[mine][:, PARTNER]
    assert ratio(labels, ALL)[SPOILT] == pytest.approx(-before, rel=0.1)


def test_neither_the_place_nor_the_size_nor_a_turn_matters():
    turned = replace(TRUTH, keypoints=TRUTH.keypoints.copy())
    angles = np.random.default_rng(0).uniform(-1.2, 1.2, len(TRUTH))
    turn = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], 1).reshape(-1, 2, 2)
    turned.keypoints[..., :2] = 3 * np.einsum("nij,nkj->nki", turn, TRUTH.keypoints[..., :2]) + 500
    np.testing.assert_allclose(ratio(turned, ALL), ratio(TRUTH, ALL), atol=0.5)


def test_nothing_is_said_where_nothing_changes():
    labels = half_labelled()
    assert ratio(labels, Exchange("hand", ALL.pairs[:1]))[2::3].max() == 0
    assert (ratio(labels, replace(ALL, lone=True))[EMPTY], ratio(labels, ALL)[EMPTY]) == (0, 0)
    one_sided = replace(labels, keypoints=labels.keypoints * (np.arange(7) % 2 == 0)[:, None])
    assert not ratio(one_sided, ALL).any()
    both, lone = (ratio(labels, e) for e in with_lone([ALL]))
    assert np.abs(both - lone)[2:200:3].max() > 0.1


def test_many_keypoints_are_reduced(monkeypatch):
    monkeypatch.setattr("posewright.audit.sidedness.MOST_DIMENSIONS", 5)
    keypoints = TRUTH.keypoints.copy()
    keypoints[SPOILT] = keypoints[SPOILT, PARTNER]
    found = ratio(replace(TRUTH, keypoints=keypoints), ALL)
    assert found.argmax() == SPOILT
    assert found[SPOILT] > 0


def test_a_keypoint_without_its_partner_is_renamed_with_the_others():
    labels = half_labelled()
    result = audit(labels, gather(Knowing(TRUTH), labels))
    found = next(f for f in result.findings if f.object == HALF)
    assert (found.kind, found.what) == ("swap", "all")
    assert set(found.keypoints) == {1, 2, 3, 4, 5, 6}
    assert np.isfinite(found.label[:, 0]).tolist().count(False) == 1
    copy, _ = mended(result, found.probability)
    expected = TRUTH.keypoints[HALF].copy()
    expected[2] = 0
    np.testing.assert_allclose(copy.keypoints[HALF], expected)
