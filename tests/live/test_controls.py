"""The switches of a running call."""

from __future__ import annotations

import pytest

from posewright.errors import PosewrightError
from posewright.live.controls import Controls


def test_next_goes_round_the_views():
    controls = Controls()
    seen = []
    for _ in range(5):
        controls.do("next")
        seen.append(controls.view)
    assert seen == ["stages", "heatmaps", "crop", "overlay", "stages"]


def test_next_leaves_out_what_the_model_cannot_show():
    def allowed(view):
        if view in ("stages", "heatmaps"):
            raise PosewrightError("the model gives no heat maps")

    controls = Controls(allowed=allowed)
    controls.do("next")
    assert controls.view == "crop"
    controls.do("next")
    assert controls.view == "overlay"
    with pytest.raises(PosewrightError, match="no heat maps"):
        controls.do("stages")
    assert controls.view == "overlay"


def test_next_stays_where_there_is_nothing_else():
    def allowed(view):
        raise PosewrightError("only this one")

    controls = Controls(allowed=allowed)
    controls.do("next")
    assert controls.view == "overlay"
