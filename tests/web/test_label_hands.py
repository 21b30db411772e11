"""The label page in a real browser: what hands and keys do, and what is on the disk after it."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.label_page import Tab, serving
from posewright.annotations import read_annotations


def test_points_are_placed_in_order_and_moved(tab):
    tab.says("hint", "left_disc: click to place it")
    tab.click(30, 40)
    tab.says("hint", "right_disc: click")
    tab.click(60, 41, button="right")
    tab.says("hint", "top: click")
    tab.click(45, 20)
    tab.says("hint", "all placed")
    np.testing.assert_allclose(tab.points(), [[30, 40, 2], [60, 41, 1], [45, 20, 2]], atol=0.1)
    tab.click(80, 80)  # all are placed: nothing happens but a word
    tab.says("toast", "All are placed")
    tab.drag((30.6, 40.4), (20.6, 50.4))  # held beside its middle, it moves by as much as the hand does
    np.testing.assert_allclose(tab.points()[0], [20, 50, 2], atol=0.1)
    tab.drag((20, 50), (-40, 50))  # not out of the picture
    assert tab.points()[0, 0] == -0.5
    tab.keys("Control+z")
    start = tab.points()[0]
    tab.keys("ArrowRight", "ArrowRight", "Shift+ArrowDown", "Alt+ArrowLeft", "Alt+ArrowLeft", "Alt+ArrowLeft")
    np.testing.assert_allclose(tab.points()[0], start + np.array([1.7, 10, 0]), atol=1e-6)
    tab.keys("v")
    assert tab.points()[0, 2] == 1
    tab.keys("Tab", "Delete")
    assert tab.points()[:, 2].tolist() == [1, 0, 2]
    tab.click(62, 42)  # the one taken away is the one placed next
    np.testing.assert_allclose(tab.points()[1], [62, 42, 2], atol=0.1)


def test_undo_and_redo_are_for_each_picture(tab):
    tab.click(30, 40)
    tab.click(60, 40)
    tab.keys("n")
    tab.on("001.png")
    tab.click(10, 10)
    tab.keys("p")
    tab.on("000.png")
    for key, labelled in (("z", 1), ("z", 0), ("z", 0), ("Shift+z", 1), ("y", 2), ("y", 2)):
        tab.keys(f"Control+{key}")
        tab.settled()
        state = tab.labeller.store.state(0)[1]
        assert sum(p[2] > 0 for o in state.objects for p in o["points"]) == labelled
    assert tab.labeller.store.state(1)[1].labelled
    for _ in range(3):
        tab.keys("ArrowUp")
    tab.keys("Control+z")  # a row of moves is one step
    np.testing.assert_allclose(tab.points()[:2, 1], [40, 40], atol=0.1)


def test_several_objects_boxes_sides_and_copies(tab):
    for x, y in ((30, 40), (60, 40), (45, 20)):
        tab.click(x, y)
    tab.keys("w")
    for x, y in ((20, 70), (70, 72), (40, 60)):
        tab.click(x, y)
    assert len(tab.objects()) == 2
    tab.keys("x")
    np.testing.assert_allclose(tab.points(o=1), [[70, 72, 2], [20, 70, 2], [40, 60, 2]], atol=0.1)
    tab.keys("b")
    tab.says("hint", "Box: ")
    tab.drag((10, 50), (85, 90))
    np.testing.assert_allclose(tab.objects()[1]["box"], [10, 50, 85, 90], atol=0.2)
    tab.keys("Shift+B")
    assert tab.objects()[1]["box"] is None
    tab.keys("n")
    tab.on("001.png")
    tab.keys("c")
    assert tab.objects(1) == tab.objects(0)
    tab.keys("c")
    tab.says("toast", "labels already")
    tab.keys("j", "Shift+Delete")
    assert tab.objects(1) == tab.objects(0)[:1]
    tab.keys("z")  # zoomed in, the same places are elsewhere
    tab.page.mouse.move(*tab.at(45, 40))
    tab.keys("z")
    tab.drag((45, 20), (50, 25))
    np.testing.assert_allclose(tab.points(1)[2], [50, 25, 2], atol=0.1)


def test_keys_are_meant_for_the_picture_that_was_asked_for(tab):
    """Though it takes its time to come: nothing is done to the one that is still seen."""
    held: list[Any] = []
    tab.page.route("**/pixels/2", lambda route: held.append(route))
    for x, y in ((30, 40), (60, 40)):
        tab.click(x, y)
    tab.keys("n")
    tab.on("001.png")
    tab.click(20, 20)
    tab.keys("n")
    tab.wait(lambda: held)
    tab.keys("i", "ArrowRight", "Enter")  # for 002, and then to 003
    tab.click(80, 80)  # on a picture that is on its way out
    assert [len(tab.objects(i)) for i in range(4)] == [1, 1, 0, 0]
    held[0].continue_()
    tab.on("003.png")
    assert [len(tab.objects(i)) for i in range(4)] == [1, 1, 1, 0]
    assert [tab.labeller.store.state(i)[1].done for i in range(4)] == [False, False, True, False]
    assert tab.points(1)[:, 2].tolist() == [2, 0, 0]


def test_marks_progress_and_what_is_next(tab):
    tab.says("counts", "0 done, 0 labelled of 5")
    tab.click(30, 40)
    tab.keys("Enter")
    tab.on("001.png")
    tab.says("counts", "1 done, 1 labelled of 5")
    tab.keys("f", "n", "d")
    tab.wait(lambda: tab.text("counts") == "2 done, 1 labelled, 1 flagged of 5")
    tab.keys("g")
    tab.on("001.png")
    assert tab.page.get_attribute("#flag", "aria-pressed") == "true"
    tab.keys("u")
    tab.on("003.png")  # 002 is done without an object: there is none on it
    tab.keys("Home", "Shift+U")
    tab.on("001.png")
    tab.settled()
    assert tab.labeller.store.write()
    assert [im.path for im in read_annotations(tab.labeller.store.output).images] == ["000.png", "002.png"]


def test_without_a_mouse(tab):
    tab.keys("i")
    middle = tab.points()[0]
    assert 40 < middle[0] < 56 and 40 < middle[1] < 56
    tab.keys("Shift+ArrowLeft", "ArrowUp", "Tab", "ArrowRight", "ArrowRight", "Tab", "Shift+Tab", "v")
    points = tab.points()
    np.testing.assert_allclose(points[0], middle + np.array([-10, -1, 0]))
    np.testing.assert_allclose(points[1], [middle[0] + 1, middle[1], 1])
    tab.keys("Escape")  # out of the picture, where Tab goes from button to button
    focused = "document.activeElement.dataset.action"
    assert tab.page.evaluate(focused) == "previous"
    tab.keys("Tab")
    assert tab.page.evaluate(focused) == "next"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert tab.page.evaluate(outline) == "solid"
    tab.keys("Tab", "Enter")
    tab.settled()
    assert tab.labeller.store.state(0)[1].done
    tab.keys("?")
    assert tab.page.evaluate("document.getElementById('help').open")
    assert "next keypoint" in tab.text("help")
    tab.keys("Escape", "Escape")
    assert tab.page.evaluate("document.activeElement.id") == "stage"


def test_fingers(browser, folder):
    with serving(folder) as labeller:
        context = browser.new_context(viewport={"width": 700, "height": 900}, has_touch=True)
        tab = Tab(context, labeller)
        tab.page.touchscreen.tap(*tab.at(30, 40))
        np.testing.assert_allclose(tab.points()[0], [30, 40, 2], atol=0.3)
        line = context.new_cdp_session(tab.page)

        def touch(kind: str, *places: tuple[float, float]) -> None:
            points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
            line.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        (x, y), step = tab.at(30, 40), 6
        touch("touchStart", (x, y))
        for i in range(1, 11):
            touch("touchMove", (x + step * i, y))
        touch("touchEnd")
        assert tab.points()[0, 0] > 31  # dragged
        before = len(tab.objects())
        x, y = tab.at(60, 70)
        touch("touchStart", (x, y), (x + 60, y))
        for i in range(1, 9):
            touch("touchMove", (x - 8 * i, y), (x + 60 + 8 * i, y))
        touch("touchEnd")
        tab.page.touchscreen.tap(x, y)
        assert len(tab.objects()) == before
        placed = tab.points()[1]  # zoomed in, 100 screen pixels are fewer picture pixels
        tab.page.touchscreen.tap(x + 100, y)
        assert 0 < (tab.points()[2] - placed)[0] < 100 / (tab.at(1, 0)[0] - tab.at(0, 0)[0]) * 0.8
        context.close()
