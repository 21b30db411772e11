"""The label page in a real browser: a model's proposals, taken over and mended."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from helpers.label_page import Model, Tab, serving


@pytest.fixture
def proposed(context, folder) -> Iterator[Tab]:
    with serving(folder, model=Model(folder), order="uncertain") as labeller:
        tab = Tab(context, labeller, wait=False)
        tab.wait(lambda: "accept the proposal" in tab.text("hint"))
        tab.wait(lambda: len(labeller._proposals.uncertainty()) == 5)
        yield tab
        context.close()
    assert tab.complaints == []


def test_a_proposal_is_accepted_and_mended(proposed):
    tab = proposed
    tab.keys("a")  # of the model's keypoints, by name; the one with a low score stays without a label
    assert tab.points().tolist() == [[30, 40, 1], [0, 0, 0], [45.5, 20, 2]]
    tab.says("hint", "right_disc: click")
    tab.click(70, 70)
    np.testing.assert_allclose(tab.points()[1], [70, 70, 2], atol=0.1)
    tab.keys("Control+z", "Control+z")
    assert tab.objects() == []
    tab.drag((45.5, 20), (50, 30))  # to drag a proposed point is to accept it
    assert tab.points()[:2].tolist() == [[30, 40, 1], [0, 0, 0]]
    np.testing.assert_allclose(tab.points()[2], [50, 30, 2], atol=0.1)
    tab.keys("w", "b")
    tab.drag((10, 60), (40, 90))
    tab.keys("m")  # what is there in this box
    tab.wait(lambda: sum(p[2] > 0 for p in tab.objects()[1]["points"]) == 2)
    np.testing.assert_allclose(tab.points(o=1)[[0, 2], :2], [[10, 90], [10, 60]], atol=0.2)


def test_uncertain_pictures_come_first(proposed):
    tab = proposed
    tab.page.reload()
    names = []
    for _ in range(5):
        tab.wait(lambda: tab.text("hint") and tab.text("name") not in names)
        tab.on(tab.text("name"))
        names.append(tab.text("name"))
        tab.keys("n")
    # 000 is the one that was there before the model knew anything; the others by their mean scores.
    assert names == ["000.png", "003.png", "001.png", "004.png", "002.png"]
