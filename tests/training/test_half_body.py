"""Crops of half a body: which keypoints belong together, and what a crop then knows of the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.discs import six_points
from posewright.geometry import CropRule
from posewright.skeletons import ANIMAL_20, BODY_14, BUILTIN, COCO_17, FACE_68, HAND_21, MPII_16
from posewright.training.augment_config import PLAIN
from posewright.training.dataset import DRAWN, EMPTY, IGNORED, CropDataset
from posewright.training.half_body import LEAST, body_halves, part_box, random_part

RULE = CropRule((96, 64))


def test_bodies_have_an_upper_and_a_lower_half():
    for skeleton in (BODY_14, MPII_16, COCO_17):
        halves = body_halves(skeleton)
        assert halves is not None
        assert sorted(np.concatenate(halves)) == list(range(len(skeleton)))
        names = [{skeleton.keypoints[i] for i in half} for half in halves]
        assert {"left_wrist", "right_shoulder"} <= names[0] and {"left_ankle", "right_hip"} <= names[1]
    assert all(body_halves(s) is None for s in (HAND_21, FACE_68, ANIMAL_20))


@settings(deadline=None, max_examples=120)
@given(
    st.sampled_from(["body-14", "mpii-16", "coco-17", "hand-21", "face-68", "animal-20"]),
    st.integers(0, 2**32 - 1),
    st.one_of(st.floats(0, 1), st.just(1.0)),
)
def test_a_part_belongs_together(name, seed, share):
    skeleton = BUILTIN[name]
    rng = np.random.default_rng(seed)
    k = len(skeleton)
    keypoints = np.column_stack([rng.uniform(0, 100, (k, 2)), 2 * (rng.random(k) < share)])
    box = np.array([-10.0, -10.0, 110.0, 110.0])
    part, labelled = random_part(keypoints, skeleton, rng), np.flatnonzero(keypoints[:, 2] > 0)
    halves = body_halves(skeleton)
    if part is None:
        assert len(labelled) < 2 * LEAST or halves is not None
        return
    assert np.isin(part, labelled).all() and len(set(part)) == len(part)
    assert LEAST <= len(part) <= len(labelled) - LEAST
    if halves is not None:
        assert any(np.isin(part, half).all() for half in halves)
    if name == "hand-21" and len(labelled) == k:
        assert connected(part, skeleton.links)
    if name == "face-68" and len(labelled) == k:
        assert separable(keypoints[part, :2], keypoints[np.setdiff1d(labelled, part), :2])
    around = part_box(keypoints, box, skeleton, rng)
    assert around is not None
    assert (around[2:] - around[:2] >= 0.25 * 120 - 1e-9).all()


def connected(part: np.ndarray, links) -> bool:
    reached, left = {int(part[0])}, set(map(int, part[1:]))
    while left:
        near = {b for link in links for a, b in (link, link[::-1]) if a in reached and b in left}
        if not near:
            return False
        reached |= near
        left -= near
    return True


def separable(one: np.ndarray, other: np.ndarray) -> bool:
    angles = np.deg2rad(np.arange(0, 360, 0.25))
    ways = np.stack([np.cos(angles), np.sin(angles)])
    return bool(((one @ ways).max(0) <= (other @ ways).min(0)).any())


def test_half_body_crops_are_closer_and_know_what_lies_outside():
    """One body seen from afar: its upper or lower half fills the crop, the other half's keypoints ask for silence."""
    x, y = (
        np.array([10, 10, 12, 18, 20, 20, 4, 6, 11, 19, 24, 26, 15, 15]),
        np.array([90, 75, 58, 58, 75, 90, 48, 38, 30, 30, 38, 48, 26, 10]),
    )
    keypoints = np.column_stack([x + 30, y, np.full(14, 2)]).astype(float)
    keypoints[4] = 0  # a knee nobody labelled
    outcomes = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        box = part_box(keypoints, np.array([28.0, 2, 62, 98]), BODY_14, rng)
        assert box is not None
        lower = box[1] > 40
        outcomes.add(bool(lower))
        inside = ((keypoints[:, :2] > box[:2]) & (keypoints[:, :2] < box[2:])).all(1) & (keypoints[:, 2] > 0)
        assert inside[[0, 1, 2, 3, 5]].all() if lower else inside[6:].all()
        assert not inside[[6, 7, 12, 13]].any() if lower else not inside[[0, 5]].any()
    assert outcomes == {True, False}


def test_half_body_states_follow_the_crop_rule(discs):
    labels = six_points(discs)
    keypoints = labels.keypoints.copy()
    keypoints[:, 5] = 0
    keypoints[:, 4] += (0.5, 12, 0)
    labels = replace(labels, keypoints=keypoints)
    with_none = CropDataset(labels, CropRule((64, 64), 1.0), replace(PLAIN, half_body=1))
    assert torch.equal(
        with_none[0]["image"], CropDataset(labels, CropRule((64, 64), 1.0))[0]["image"]
    )  # five are too few
    data = CropDataset(six_points(discs), CropRule((64, 64), 1.0), replace(PLAIN, half_body=1))
    whole = CropDataset(six_points(discs), CropRule((64, 64), 1.0))
    states = []
    for item in range(len(data)):
        sample = data[(0, item)]
        assert np.linalg.det(sample["inverse"][:, :2]) < np.linalg.det(whole[item]["inverse"][:, :2])
        inside = ((sample["points"] >= -0.5) & (sample["points"] < 63.5)).all(1)
        assert torch.equal(sample["state"] == DRAWN, inside) and torch.equal(sample["state"] == EMPTY, ~inside)
        states += sample["state"].tolist()
    assert states.count(EMPTY) > 10 and IGNORED not in states
