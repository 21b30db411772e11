"""Weights to start from: what is taken over, what is not, and what a person is told."""

from __future__ import annotations

import pytest
import torch

from helpers.discs import DISCS
from helpers.starts import FAMILY, net_for, start_of, state
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BODY_14, COCO_17
from posewright.training.start import find_start, keypoint_dimensions, take_over


@FAMILY
def test_the_same_skeleton_takes_everything(family):
    there, here = net_for(family, 14), net_for(family, 14, seed=1)
    taken = take_over(here, BODY_14, start_of(there, BODY_14))
    assert all(torch.equal(a, b) for a, b in zip(here.state_dict().values(), there.state_dict().values(), strict=True))
    assert not taken.new
    assert not taken.unused
    assert (taken.tensors, taken.parameters) == (taken.of_tensors, taken.of_parameters)
    assert taken.keypoints == BODY_14.keypoints


@FAMILY
def test_another_skeleton_keeps_the_trunk_and_carries_keypoints_over_by_name(family):
    there, here = net_for(family, 14), net_for(family, 17, seed=1)
    fresh = state(here)
    per_keypoint = keypoint_dimensions(here.config, 17)
    taken = take_over(here, COCO_17, start_of(there, BODY_14))
    a, b = there.state_dict(), here.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in b if k not in per_keypoint)
    shared = set(BODY_14.keypoints) & set(COCO_17.keypoints)
    assert set(taken.keypoints) == shared
    predicting = [k for k in per_keypoint if k.endswith("bias") and fresh[k].shape[0] == here.head_channels]
    assert predicting
    for bias in predicting:
        weight = bias.removesuffix("bias") + "weight"
        for k, name in enumerate(COCO_17.keypoints):
            source = a[weight][BODY_14.index(name)] if name in shared else fresh[weight][k]
            assert torch.equal(b[weight][k], source), name
        if here.config.background:
            assert torch.equal(b[weight][17], a[weight][14])


@FAMILY
@pytest.mark.parametrize("asked", [True, False])
def test_visibility_on_one_side_only_leaves_the_maps_their_weights(family, asked):
    there, here = net_for(family, 14, visibility=not asked), net_for(family, 14, seed=1, visibility=asked)
    taken = take_over(here, BODY_14, start_of(there, BODY_14))
    assert taken.keypoints == BODY_14.keypoints
    a, b = there.state_dict(), here.state_dict()
    heads = [k for k in keypoint_dimensions(here.config, 14) if k.endswith("bias") and len(b[k]) == here.head_channels]
    assert heads
    assert all(torch.equal(a[k][: here.maps], b[k][: here.maps]) for k in heads)
    assert torch.isfinite(here.eval()(torch.full((1, 64, 64, 3), 99, dtype=torch.uint8))).all()


def test_layers_that_see_maps_and_features_keep_the_features():
    """In a pose machine's later stages the first layer sees maps, features and the centre map, in this order."""
    there, here = net_for("cpm", 3), net_for("cpm", 2, seed=1)
    one, two = Skeleton("one", ("a", "b", "c")), Skeleton("two", ("c", "z"))
    fresh = state(here)["stages.1.conv1.weight"]
    take_over(here, two, start_of(there, one))
    got, given = here.state_dict()["stages.1.conv1.weight"], there.state_dict()["stages.1.conv1.weight"]
    assert torch.equal(got[:, 0], given[:, 2])  # c
    assert torch.equal(got[:, 1], fresh[:, 1])  # z is new
    assert torch.equal(got[:, 2:], given[:, 3:])  # background, features, centre


def test_as_many_keypoints_of_other_names_get_a_new_head():
    """The shapes would fit, but channel 0 was a knee and is a wing."""
    there, here = net_for("hourglass", 3), net_for("hourglass", 3, seed=1)
    fresh = state(here)
    taken = take_over(here, DISCS, start_of(there, Skeleton("other", ("x", "y", "z"))))
    assert torch.equal(here.state_dict()["heads.0.predict.weight"], fresh["heads.0.predict.weight"])
    assert taken.keypoints == ()
    assert {"heads.0.predict.weight", "heads.1.predict.bias", "heads.0.from_maps.weight"} == set(taken.new) - {
        "heads.0.predict.bias",
        "heads.1.predict.weight",
    }
    assert "new: heads.0.predict" in taken.describe("there", 3)


def test_maps_through_another_activation_get_a_new_head():
    there, here = net_for("hourglass", 3), net_for("hourglass", 3, seed=1, activation="sigmoid")
    fresh = state(here)
    taken = take_over(here, DISCS, start_of(there, DISCS))
    assert "maps are linear: a loss such as --loss mse would keep its head" in taken.describe("there", 3)
    assert torch.equal(here.state_dict()["heads.0.predict.bias"], fresh["heads.0.predict.bias"])
    assert torch.equal(here.state_dict()["stem.conv.weight"], there.state_dict()["stem.conv.weight"])


def test_of_another_preset_what_fits_is_taken_and_the_rest_told():
    there, here = net_for("hourglass", 3, stacks=2), net_for("hourglass", 3, seed=1, stacks=1)
    taken = take_over(here, DISCS, start_of(there, DISCS))
    assert not taken.new
    assert {n.split(".")[1] for n in taken.unused} >= {"1"}
    assert "Left behind" in taken.describe("there", 3)
    wider = net_for("hourglass", 3, channels=32)
    said = take_over(wider, DISCS, start_of(there, DISCS)).describe("there", 3)
    assert "new: " in said


@pytest.mark.parametrize(
    ("here", "there", "message"),
    [
        (("cpm", {}), ("hourglass", {}), "none of its weights fits cpm.*Leave --model"),
        (
            ("hourglass", {"order": "preact"}),
            ("hourglass", {}),
            r"order=conv_bn_relu, whose weights.*--net order=conv_bn",
        ),
    ],
)
def test_a_start_that_does_not_fit_is_one_clear_line(here, there, message):
    given = net_for(there[0], 3, **there[1])
    with pytest.raises(PosewrightError, match=message) as caught:
        take_over(net_for(here[0], 3, **here[1]), DISCS, start_of(given, DISCS))
    assert "\n" not in str(caught.value)


def test_a_start_that_is_no_checkpoint(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    for spec, message in (
        (str(tmp_path / "weights.safetensors"), "not a safetensors file"),
        (str(tmp_path / "none.safetensors"), "does not exist"),
        ("hant", "Did you mean 'hand'"),
        (str(tmp_path), "holds no model.safetensors"),
    ):
        with pytest.raises(PosewrightError, match=message):
            find_start(spec)
