"""Samples: the picture and its points stay together through every augmentation; order and position are exact."""

from __future__ import annotations

import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from helpers.discs import COLOURS, DISCS
from posewright.errors import PosewrightError
from posewright.geometry import CropRule, negative_box
from posewright.training.augment import mirror_order
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.config import TrainConfig
from posewright.training.data import loaders
from posewright.training.dataset import DRAWN, EMPTY, IGNORED, CropDataset, EpochSampler
from posewright.training.prefetch import Prefetched

RULE = CropRule((96, 64))
GEOMETRY = replace(PLAIN, scale=0.25, rotation=40, shift=0.06, flip=0.5, flip_vertical=0.5, perspective=25)


def colour_centre(image: np.ndarray, colour) -> np.ndarray | None:
    """Where in a crop the pixels of one disc's colour lie."""
    near = np.abs(image.astype(int) - colour).sum(2) < 60
    if near.sum() < 6:
        return None
    y, x = np.nonzero(near)
    return np.array([x.mean(), y.mean()])


def test_points_follow_the_picture_and_names_follow_the_mirror(discs):
    """Left and right discs differ in colour only: where a crop is mirrored, the name goes to the other colour."""
    data = CropDataset(discs, RULE, GEOMETRY, seed=3)
    seen = {True: 0, False: 0}
    for epoch in range(6):
        for item in range(len(data)):
            sample = data[(epoch, item)]
            linear = sample["inverse"][:, :2].numpy()
            mirrored = np.linalg.det(linear) < 0
            colours = (COLOURS[1], COLOURS[0], COLOURS[2]) if mirrored else COLOURS
            for colour, point, state in zip(colours, sample["points"].numpy(), sample["state"], strict=True):
                centre = colour_centre(sample["image"].numpy(), colour)
                margin = min(*point, 95 - point[0], 63 - point[1])
                if state == DRAWN and margin > 8 and centre is not None:
                    assert np.abs(centre - point).max() < 1.0
                    seen[bool(mirrored)] += 1
    assert min(seen.values()) > 30


def test_inverse_leads_back_to_the_label(discs):
    data = CropDataset(discs, RULE, replace(GEOMETRY, flip=0, flip_vertical=0, perspective=0), seed=1)
    for item in range(len(data)):
        sample = data[(2, item)]
        back = sample["points"].numpy() @ sample["inverse"][:, :2].numpy().T + sample["inverse"][:, 2].numpy()
        assert np.allclose(back, discs.keypoints[int(sample["index"]), :, :2], atol=1e-3)


def test_a_sample_depends_on_seed_epoch_and_object_alone(discs):
    make = lambda seed: CropDataset(discs, RULE, AugmentConfig(), seed)  # noqa: E731
    one, other = make(5), pickle.loads(pickle.dumps(make(5)))
    first = one[(3, 7)]
    [other[(0, i)] for i in range(5)]
    again = other[(3, 7)]
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["image"], one[(4, 7)]["image"])
    assert not torch.equal(first["image"], make(6)[(3, 7)]["image"])


def test_what_each_keypoint_asks_for(discs):
    keypoints = discs.keypoints.copy()
    keypoints[0, 1] = (0, 0, 0)
    labels = replace(discs, keypoints=keypoints)
    tight = CropDataset(
        replace(labels, boxes=np.column_stack([keypoints[:, 0, :2] - 9, keypoints[:, 0, :2] + 9])),
        CropRule((64, 64), 1.0),
    )
    state = tight[0]["state"].tolist()
    assert state == [DRAWN, IGNORED, EMPTY]  # inside; not labelled; known to lie outside the crop


def test_hidden_keypoints_are_trained_like_the_others(discs):
    hidden = np.flatnonzero(discs.keypoints[:, 2, 2] == 1)
    data = CropDataset(discs, RULE)
    assert len(hidden) > 2
    assert all(data[int(i)]["state"][2] == DRAWN for i in hidden)


def test_negatives_show_no_object(discs):
    data = CropDataset(discs, CropRule((64, 64)), replace(GEOMETRY, negative=1.0, half_body=1.0), seed=0)
    negatives = [data[(e, i)] for e in range(3) for i in range(len(data))]
    negatives = [s for s in negatives if not s["present"]]
    assert len(negatives) > 20
    for sample in negatives:
        assert (sample["state"] == EMPTY).all()
        assert all(colour_centre(sample["image"].numpy(), c) is None for c in COLOURS)


def test_negative_box_keeps_clear_of_every_object():
    rng = np.random.default_rng(0)
    boxes = np.array([[10.0, 10, 60, 60], [70, 0, 99, 40]])
    found = [negative_box((100, 100), boxes, 50, rng) for _ in range(200)]
    found = [b for b in found if b is not None]
    assert len(found) > 50
    for x0, y0, x1, y1 in found:
        assert min(x0, y0) >= -0.5
        assert max(x1, y1) <= 99.5
        assert all(x1 <= b[0] or x0 >= b[2] or y1 <= b[1] or y0 >= b[3] for b in boxes)
    assert negative_box((100, 100), np.array([[-1.0, -1, 101, 101]]), 50, rng) is None


def test_mirrors_compose():
    assert mirror_order(DISCS, True, False).tolist() == [1, 0, 2]
    assert mirror_order(DISCS, False, True).tolist() == [
        1,
        0,
        2,
    ]  # no vertical pairs: a mirror image swaps sides all the same
    assert mirror_order(DISCS, True, True).tolist() == [0, 1, 2]
    square = replace(DISCS, vertical_swaps=((0, 2),))
    assert mirror_order(square, False, True).tolist() == [2, 1, 0]


def test_every_item_once_a_pass_and_from_any_position_on():
    def passes(start):
        sampler = EpochSampler(23, seed=4, batch_size=5, start=start)
        for epoch in range(start // 4, 4):
            sampler.set_epoch(epoch)
            yield from sampler

    whole = list(passes(0))
    assert len(whole) == 4 * 20
    for epoch in range(4):
        items = [i for e, i in whole if e == epoch]
        assert len(set(items)) == 20
    for start in (0, 1, 3, 4, 7, 12):
        assert list(passes(start)) == whole[start * 5 :]
    assert [i for _, i in whole[:20]] != [i for _, i in whole[20:40]]


@pytest.mark.parametrize("name", ["flip", "blur", "negative"])
def test_strengths_are_checked(name):
    with pytest.raises(ValueError, match=f"augment.{name}"):
        AugmentConfig(**{name: 1.5})


def test_prefetching_changes_neither_order_nor_errors(discs):
    sampler = EpochSampler(len(discs), seed=1, batch_size=4)
    plain = DataLoader(CropDataset(discs, RULE, AugmentConfig(), seed=1), 4, sampler=sampler, drop_last=True)
    ahead = Prefetched(plain)
    assert len(ahead) == len(plain)
    for a, b in zip(plain, ahead, strict=True):
        assert all(torch.equal(a[k], b[k]) for k in a)
    before = threading.active_count()
    for _ in ahead:
        break  # a pass that is broken off leaves no thread behind
    assert threading.active_count() == before
    missing = replace(discs, root=discs.root / "nowhere")
    broken = Prefetched(DataLoader(CropDataset(missing, RULE), 4))
    with pytest.raises(PosewrightError, match="does not exist"):
        list(broken)


def test_loader_processes_are_spawned_and_give_the_same_batches(discs):
    config = TrainConfig(input_size="64", batch_size=4, workers=1)
    one = [b["image"] for b in loaders(config, discs, CropRule((64, 64)))[0]]
    other = [b["image"] for b in loaders(replace(config, workers=0), discs, CropRule((64, 64)))[0]]
    assert len(one) == len(other) > 2
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
