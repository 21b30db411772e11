"""Freezing: which parts a net has, and what can be named."""

from __future__ import annotations

import pytest

from helpers.discs import DISCS
from helpers.starts import FAMILY, net_for, start_of
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.training.freezing import freeze, norms
from posewright.training.start import take_over


@FAMILY
def test_every_family_has_a_trunk_and_stages_that_share_all_weights(family):
    net = net_for(family, 3)
    names = {part: {n for n, _ in net.named_parameters() if n.startswith(tuple(f"{m}." for m in net.parts[part]))}
             for part in ("trunk", "stages")}  # fmt: skip
    assert names["trunk"]
    assert names["stages"]
    assert not names["trunk"] & names["stages"]
    assert names["trunk"] | names["stages"] == {n for n, _ in net.named_parameters()}


def test_parts_modules_and_patterns():
    for wanted, expected in (
        (["trunk"], ("stem.",)),
        (["stacks.0", "heads.*.feature"], ("stacks.0.", "heads.0.feature.", "heads.1.feature.")),
    ):
        net = net_for("hourglass", 3)
        frozen = freeze(net, wanted)
        still = {n for n, p in net.named_parameters() if not p.requires_grad}
        assert still == {n for n, _ in net.named_parameters() if n.startswith(expected)}
        assert frozen.parameters == sum(p.numel() for p in net.parameters() if not p.requires_grad)
        assert norms(net, frozen.modules)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["stack"], "hourglass has no part 'stack'. Did you mean 'stacks'"),
        (["qqq"], "no part 'qqq'. Its parts: trunk, stages"),
        (["trunk", "stages"], "leaves nothing to train"),
        (["*"], "leaves nothing to train"),
    ],
)
def test_what_cannot_be_frozen(wanted, message):
    with pytest.raises(PosewrightError, match=message):
        freeze(net_for("hourglass", 3), wanted)


def test_new_parts_are_not_frozen():
    net = net_for("hourglass", 3, seed=1)
    taken = take_over(net, DISCS, start_of(net_for("hourglass", 2), Skeleton("two", ("x", "y"))))
    with pytest.raises(PosewrightError, match=r"--freeze heads: its heads\.0\.predict\.\w+ is new"):
        freeze(net, ["heads"], taken)
