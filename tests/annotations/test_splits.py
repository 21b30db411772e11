"""Parting by group: shares are met, groups stay whole, the seed decides, and impossible wishes are refused."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewright.annotations import Annotations, Image
from posewright.annotations.splits import assign_splits, groups_of, parse_keys, parse_shares, split_in_time
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton


def empty_set(images: list[Image], folder=".") -> Annotations:
    return Annotations(Skeleton("dot", ("dot",)), images, [], np.zeros((0, 1, 3)), np.zeros((0, 4)), folder)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=3, max_size=40),
    shares=st.sampled_from([(0.9, 0.1), (0.5, 0.5), (0.8, 0.1, 0.1), (0.98, 0.01, 0.01), (0.7, 0.0, 0.3)]),
    seed=st.integers(0, 5),
)
def test_groups_stay_whole_and_shares_are_met(sizes, shares, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    a = assign_splits(empty_set([Image(f"{i}.jpg") for i in range(len(groups))]), shares, groups, seed)
    splits = np.array([im.split for im in a.images])
    for group in range(len(sizes)):
        assert len(set(splits[groups == group].tolist())) == 1
    for name, share in zip(("train", "val", "test"), shares):
        taken = (splits == name).sum()
        assert (taken > 0) == (share > 0)
        # Each split asked for gets a group at least, and none is overfilled by more than one group for each split.
        assert abs(taken - share * len(groups)) <= len(shares) * max(sizes)


def test_single_pictures_are_parted_exactly_and_by_the_seed():
    a = empty_set([Image(f"{i}.jpg", split="test") for i in range(200)])
    groups = groups_of(a)
    parted = [assign_splits(a, (0.8, 0.15, 0.05), groups, seed) for seed in (0, 0, 1)]
    names = [[im.split for im in one.images] for one in parted]
    assert names[0] == names[1] != names[2]
    assert [names[0].count(s) for s in ("train", "val", "test")] == [160, 30, 10]


def test_what_keeps_pictures_together():
    images = [
        Image("v.mp4", frame=0, group="g"),
        Image("v.mp4", frame=9),
        Image("x/a.jpg", group="g"),
        Image("x/b.jpg"),
        Image("y/c.jpg"),
        Image("y/d.jpg", group="h"),
        Image("z/e.jpg", group="h"),
    ]
    a = empty_set(images)
    assert groups_of(a).tolist() == groups_of(a, ("video",)).tolist()
    together = _sets(groups_of(a))
    assert together == {(0, 1, 2), (3,), (4,), (5, 6)}
    assert _sets(groups_of(a, ("folder",))) == {(0, 1, 2, 3), (4, 5, 6)}


def test_persons_by_their_track_ids():
    images = [Image(f"{i}.jpg") for i in range(5)]
    a = Annotations(
        Skeleton("dot", ("dot",)),
        images,
        [0, 1, 1, 2, 3],
        np.full((5, 1, 3), 2.0),
        np.tile([0, 0, 9, 9.0], (5, 1)),
        track=[4, 4, 7, 7, -1],
    )
    assert _sets(groups_of(a, ("person",))) == {(0, 1, 2), (3,), (4,)}
    with pytest.raises(PosewrightError, match="no track ids"):
        groups_of(replace(a, track=np.full(5, -1)), ("person",))


def test_near_duplicates_by_their_hashes(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(6):
        if i < 3:
            picture = cv2.resize(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), (160, 120))
        else:  # the first three again, smaller
            picture = cv2.resize(cv2.imread(str(tmp_path / f"{i - 3}.png")), (80, 60), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture)
    a = empty_set([Image(f"{i}.png") for i in range(6)], tmp_path)
    done: list[int] = []
    assert _sets(groups_of(a, ("similar",), done.append)) == {(0, 3), (1, 4), (2, 5)}
    assert sum(done) == 6
    (tmp_path / "4.png").unlink()
    with pytest.raises(PosewrightError, match="does not exist"):
        groups_of(a, ("similar",))
    with pytest.raises(PosewrightError, match=r"v\.mp4: does not exist"):
        groups_of(empty_set([Image("v.mp4", frame=1)], tmp_path), ("similar",))


def _sets(groups: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(np.flatnonzero(groups == g).tolist()) for g in set(groups.tolist())}


@pytest.mark.parametrize("text", ["0.9", "0.9,0.2", "a,b", "-0.1,1.1", "0.25,0.25,0.25,0.25", "nan,1", ""])
def test_shares_that_are_refused(text):
    with pytest.raises(PosewrightError, match=r"0\.9,0\.1"):
        parse_shares(text)


def test_shares_and_keys_that_are_understood():
    assert parse_shares("0.8, 0.1,0.1") == (0.8, 0.1, 0.1)
    assert parse_keys("folder, similar") == ("folder", "similar")
    with pytest.raises(PosewrightError, match="Did you mean 'folder'"):
        parse_keys("folders")


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(3, 60),
    shares=st.sampled_from([(0.9, 0.1), (0.1, 0.9), (0.8, 0.1, 0.1), (0.98, 0.01, 0.01), (0.7, 0.0, 0.3), (1.0, 0.0)]),
    seed=st.integers(0, 5),
)
def test_a_single_group_is_cut_in_its_order(count, shares, seed):
    order = np.random.default_rng(seed).permutation(count)
    a = split_in_time(empty_set([Image(f"v/img{n}.png", group="v") for n in order]), shares)
    splits = [a.images[i].split for i in np.argsort(order)]
    names = ("train", "val", "test")[: len(shares)]
    assert splits == sorted(splits, key=names.index)
    for name, share in zip(names, shares):
        assert (splits.count(name) > 0) == (share > 0)
        assert abs(splits.count(name) - share * count) <= len(shares)


def test_fewer_groups_than_splits():
    a = empty_set([Image("a.jpg", group="g"), Image("b.jpg", group="g")])
    with pytest.raises(PosewrightError, match="1 groups of pictures"):
        assign_splits(a, (0.5, 0.5), groups_of(a))
    with pytest.raises(PosewrightError, match="no video"):
        groups_of(empty_set([Image("a.jpg")]), ("video",))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["train", "val", None, "test"], ["train", "val", "train", "test"]),
        (["val", None, "test"], ["val", "train", "test"]),
        (["train", "val"], ["train", "val"]),
    ],
)
def test_pictures_without_a_split_are_trained_on_beside_a_val_split(given, wanted):
    a = empty_set([Image(f"{i}.jpg", split=split) for i, split in enumerate(given)])
    assert [im.split for im in a.with_validation(0.2).images] == wanted
