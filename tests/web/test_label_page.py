"""The label page in a real browser: what hands and keys do, what is on the disk after it, what survives a death."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from helpers import chromium
from helpers.discs import DISCS, draw_discs
from posewright.annotations import ReadOptions, read_annotations
from posewright.poses import Poses
from posewright.web import label_store
from posewright.web.label import Labeller
from posewright.web.label_set import open_set
from posewright.web.label_store import LabelStore

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills processes the Unix way")


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    chromium.find_chromium()
    with chromium.driver() as kind:
        yield kind


@pytest.fixture(scope="module")
def browser(driver) -> Iterator[Any]:
    with chromium.browser(driver) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "photos").mkdir()
    draw_discs(tmp_path / "photos", 5)
    return tmp_path / "photos"


@contextmanager
def serving(folder: Path, output: Path | None = None, **more: Any) -> Iterator[Labeller]:
    output = output or folder.parent / "labels.json"
    labels, _ = open_set(folder, output, None, ReadOptions(DISCS))
    with Labeller(LabelStore(labels, output), "photos", **more) as page:
        thread = threading.Thread(target=page.serve, daemon=True)
        thread.start()
        try:
            yield page
        finally:
            if thread.is_alive():
                page.quit()
            thread.join(5)


class Tab:
    """One open page, and the labels behind it."""

    def __init__(self, context: Any, labeller: Labeller, wait: bool = True) -> None:
        self.labeller = labeller
        self.page = context.new_page()
        self.page.set_default_timeout(10000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda m: m.type == "error" and self.complaints.append(m.text))
        self.page.goto(labeller.address)
        if wait:
            self.wait(lambda: self.text("hint"))

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def wait(self, holds: Callable[[], Any]) -> Any:
        """Until something holds, with the page alive meanwhile."""
        for _ in range(200):
            found = holds()
            if found:
                return found
            self.page.wait_for_timeout(25)
        raise AssertionError("it never came to that")

    def settled(self) -> None:
        self.page.wait_for_timeout(30)
        self.wait(lambda: self.text("saved") == "Saved")

    def objects(self, i: int = 0) -> list[dict[str, Any]]:
        self.settled()
        return list(self.labeller.store.state(i)[1].objects)

    def points(self, i: int = 0, o: int = 0) -> np.ndarray:
        return np.array(self.objects(i)[o]["points"])

    def text(self, name: str) -> str:
        return self.page.locator(f"#{name}").text_content()

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where pixel (x, y) of a 96 x 96 picture that is fitted lies on the screen, by the page's own sums."""
        box = self.page.locator("#stage").bounding_box()
        zoom = min((box["width"] - 40) / 96, (box["height"] - 72) / 96)
        left = box["x"] + box["width"] / 2 - 48 * zoom
        top = box["y"] + 52 + (box["height"] - 72) / 2 - 48 * zoom
        return left + (x + 0.5) * zoom, top + (y + 0.5) * zoom

    def click(self, x: float, y: float, **how: Any) -> None:
        self.page.mouse.click(*self.at(x, y), **how)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*end), steps=4)
        self.page.mouse.up()


@pytest.fixture
def tab(browser, folder) -> Iterator[Tab]:
    with serving(folder) as labeller:
        context = browser.new_context(viewport={"width": 1000, "height": 700})
        opened = Tab(context, labeller)
        yield opened
        context.close()
    assert opened.complaints == []
    assert all(url.startswith((labeller.address, "data:,")) for url in opened.asked)


# -- where a pixel is --------------------------------------------------------------------------------------------------

RED, LIME = (255, 0, 0), (0, 255, 0)
MARKS = {RED: (237, 101), LIME: (420, 333)}


def seen(shot: bytes, colour: tuple[int, int, int]) -> tuple[float, float] | None:
    """The middle of what has a colour on a screenshot, in screen pixels, whose first covers 0 to 1; None where cut."""
    rgb = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR_RGB).astype(float)
    pure = np.array(colour, float) / 255
    strength = (rgb * pure).sum(2) - 2 * (rgb * (1 - pure)).sum(2)
    strength[strength < 60] = 0
    if not strength.any():
        return None
    ys, xs = np.nonzero(strength)
    weight = strength[ys, xs]
    return float((xs + 0.5) @ weight / weight.sum()), float((ys + 0.5) @ weight / weight.sum())


@pytest.mark.parametrize(("size", "ratio"), [((2600, 1900), 1), ((640, 480), 2)])
def test_a_click_on_a_pixel_is_saved_as_that_pixel(browser, tmp_path, size, ratio):
    """Not by the page's own sums: by where a screenshot shows the mark."""
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    grow = size[0] // 640
    marks = {colour: (x * grow, y * grow) for colour, (x, y) in MARKS.items()}
    for colour, (x, y) in marks.items():
        picture[y - 2 * grow : y + 2 * grow + 1, x - 2 * grow : x + 2 * grow + 1] = colour
    cv2.imwrite(str(folder / "marks.png"), picture[..., ::-1])
    with serving(folder) as labeller:
        context = browser.new_context(viewport={"width": 1000, "height": 700}, device_scale_factor=ratio)
        tab = Tab(context, labeller)
        zooms = []
        for steps in (0, 7, -9):
            target = seen(tab.page.screenshot(), RED)
            tab.page.mouse.move(target[0] / ratio, target[1] / ratio)
            tab.page.mouse.wheel(0, -160 * steps)
            tab.page.wait_for_timeout(250)
            shot = tab.page.screenshot()
            x, y = (value / ratio for value in seen(shot, RED))
            area = (seen_area(shot, RED) / ratio**2) ** 0.5
            zoom = area / (4 * grow + 1)
            zooms.append(zoom)
            tab.page.mouse.click(x, y)
            (px, py, v) = tab.points()[0]
            assert abs(px - marks[RED][0]) <= 0.5 / zoom, (px, zoom)
            assert abs(py - marks[RED][1]) <= 0.5 / zoom, (py, zoom)
            assert v == 2
            tab.keys("Control+z", "Shift+Tab")
            tab.page.mouse.move(x + 200, y)
            tab.page.wait_for_timeout(60)
        assert max(zooms) > 1.5 * zooms[0]  # a busy machine gathers wheel events, and some are lost
        assert min(zooms) < 0.9 * zooms[0]
        context.close()


def seen_area(shot: bytes, colour: tuple[int, int, int]) -> float:
    rgb = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR_RGB).astype(float)
    channel = colour.index(255)
    others = [c for c in range(3) if c != channel]
    return float(np.clip((rgb[..., channel] - rgb[..., others].max(2)) / 255, 0, 1).sum())


# -- hands and keys ----------------------------------------------------------------------------------------------------


def test_points_are_placed_in_order_and_moved(tab):
    assert tab.text("hint").startswith("left_disc: click to place it")
    tab.click(30, 40)
    assert tab.text("hint").startswith("right_disc")
    tab.click(60, 41, button="right")
    assert tab.text("hint").startswith("top")
    tab.click(45, 20)
    assert "all placed" in tab.text("hint")
    np.testing.assert_allclose(tab.points(), [[30, 40, 2], [60, 41, 1], [45, 20, 2]], atol=0.1)
    tab.click(80, 80)  # all are placed: nothing happens but a word
    assert "All are placed" in tab.text("toast")
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
    tab.wait(lambda: tab.text("name") == "001.png" and tab.text("hint").startswith("left_disc"))
    tab.click(10, 10)
    tab.keys("p")
    tab.wait(lambda: tab.text("name") == "000.png" and tab.text("hint").startswith("top"))
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
    assert tab.text("hint").startswith("Box")
    tab.drag((10, 50), (85, 90))
    np.testing.assert_allclose(tab.objects()[1]["box"], [10, 50, 85, 90], atol=0.2)
    tab.keys("Shift+B")
    assert tab.objects()[1]["box"] is None
    tab.keys("n")
    tab.wait(lambda: tab.text("name") == "001.png" and tab.text("many") == "")
    tab.keys("c")
    assert tab.objects(1) == tab.objects(0)
    tab.keys("c")
    assert "labels already" in tab.text("toast")
    tab.keys("j", "Shift+Delete")
    assert tab.objects(1) == tab.objects(0)[:1]
    tab.keys("z")  # zoomed in, the same places are elsewhere
    tab.page.mouse.move(*tab.at(45, 40))
    tab.keys("z")
    tab.drag((45, 20), (50, 25))
    np.testing.assert_allclose(tab.points(1)[2], [50, 25, 2], atol=0.1)


def test_marks_progress_and_what_is_next(tab):
    assert tab.text("counts") == "0 done, 0 labelled of 5"
    tab.click(30, 40)
    tab.keys("Enter")
    tab.wait(lambda: tab.text("name") == "001.png")
    assert tab.text("counts") == "1 done, 1 labelled of 5"
    tab.keys("f", "n", "d")
    tab.wait(lambda: tab.text("counts") == "2 done, 1 labelled, 1 flagged of 5")
    tab.keys("g")
    tab.wait(lambda: tab.text("name") == "001.png")
    assert tab.page.get_attribute("#flag", "aria-pressed") == "true"
    tab.keys("u")
    tab.wait(lambda: tab.text("name") == "003.png")  # 002 is done without an object: there is none on it
    tab.keys("Home", "Shift+U")
    tab.wait(lambda: tab.text("name") == "001.png")
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


# -- proposals ---------------------------------------------------------------------------------------------------------


class Model:
    """Proposes the same pose on every picture, surer of one than of the others."""

    skeleton = replace(DISCS, keypoints=("top", "left_disc", "right_disc"), swaps=((1, 2),), links=(), link_colours=())

    def __init__(self, folder: Path) -> None:
        self.known = [cv2.imread(str(path)) for path in sorted(folder.glob("*.png"))]

    def __call__(self, picture: np.ndarray, boxes: Any = None) -> Poses:
        number = next(i for i, known in enumerate(self.known) if (known[..., ::-1] == picture).all())
        low = [0.9, 0.4, 0.8, 0.2, 0.7][number]
        xy = np.array([[[45.5, 20], [30, 40], [60, 40]]], float)
        boxes = [[0, 0, 95, 95]] if boxes is None else np.asarray(boxes)
        xy = np.concatenate([xy if b[2] > 90 else [[[b[0], b[1]], [b[0], b[3]], [b[2], b[3]]]] for b in boxes])
        score = np.tile([low, 0.9, 0.1], (len(boxes), 1))
        return Poses(
            self.skeleton, xy, score, np.ones(len(boxes)), boxes, visibility=np.tile([1, 0.2, 1], (len(boxes), 1))
        )


@pytest.fixture
def proposed(browser, folder) -> Iterator[Tab]:
    with serving(folder, model=Model(folder), order="uncertain") as labeller:
        context = browser.new_context(viewport={"width": 1000, "height": 700})
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
    assert tab.text("hint").startswith("right_disc")
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
        names.append(tab.text("name"))
        tab.keys("n")
    # 000 is the one that was there before the model knew anything; the others by their mean scores.
    assert names == ["000.png", "003.png", "001.png", "004.png", "002.png"]


# -- deaths ------------------------------------------------------------------------------------------------------------


def test_the_browser_is_killed(driver, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(label_store, "EVERY", 3600.0)
    with serving(folder) as labeller:
        with chromium.own_process(tmp_path / "profile") as (process, address):
            opened = driver.connect_over_cdp(address)
            tab = Tab(opened.contexts[0], labeller)
            tab.click(30, 40)
            tab.wait(lambda: labeller.store.unwritten == 1)
            tab.page.mouse.move(*tab.at(30, 40))
            tab.page.mouse.down()
            tab.page.mouse.move(*tab.at(50, 60), steps=3)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        points = labeller.store.state(0)[1].objects[0]["points"]
        np.testing.assert_allclose(points[0], [30, 40, 2], atol=2)  # all but the gesture in progress
        journal = labeller.store.output.with_name("labels.json.journal").read_text().splitlines()
        assert json.loads(journal[-1])["objects"][0]["points"] == points


def start(folder: Path, output: Path) -> tuple[subprocess.Popen[str], str]:
    (folder.parent / "discs_classes.txt").write_text("\n".join(DISCS.keypoints))
    command = [sys.executable, "-m", "posewright", "label", str(folder), "-o", str(output)]
    command += ["--skeleton", str(folder.parent / "discs_classes.txt")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    while "http" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    return process, said


def test_the_program_is_killed_and_the_page_goes_on(browser, folder, tmp_path):
    output = tmp_path / "labels.json"
    process, said = start(folder, output)
    address = re.search(r"http\S+", said).group()
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    try:
        tab = Tab(context, type("There", (), {"address": address}))
        tab.click(30, 40)
        tab.settled()
        process.kill()
        process.wait(10)
        tab.click(60, 40)
        tab.click(45, 20)
        tab.wait(lambda: "1 not saved" in tab.text("saved"))
        assert "has gone" in tab.text("banner")
        process, said = start(folder, output)
        assert "1 changes that a crash had left in the journal are back" in said
        assert address in said
        tab.settled()
        tab.wait(lambda: not tab.page.is_visible("#banner"))
        tab.click(90, 90)
        tab.keys("Shift+Q")
        assert process.wait(10) == 0
        said = process.stdout.read()
        assert "1 of 5 pictures labelled, 0 done, 0 flagged." in said
        assert f"Next: posewright inspect {output}" in said
        tab.wait(lambda: "can be closed" in tab.text("banner"))
    finally:
        context.close()
        process.kill()
        process.stdout.close()
    np.testing.assert_allclose(read_annotations(output).keypoints[0], [[30, 40, 2], [60, 40, 2], [45, 20, 2]], atol=0.1)
    assert not list(tmp_path.glob("*.journal"))


# -- others ------------------------------------------------------------------------------------------------------------


def test_two_tabs(tab):
    other = Tab(tab.page.context, tab.labeller)
    tab.wait(lambda: "2 tabs" in tab.text("banner") and "2 tabs" in other.text("banner"))
    tab.click(30, 40)
    other.wait(lambda: other.text("many") == "1 of 3")  # each shows what the other does
    other.page.route("**/save/*", lambda route: route.abort())
    other.click(60, 40)
    other.wait(lambda: "1 not saved" in other.text("saved"))
    tab.click(70, 80)
    tab.settled()
    other.page.unroute("**/save/*")
    other.wait(lambda: "another tab" in other.text("toast"))
    np.testing.assert_allclose(tab.points()[1], [70, 80, 2], atol=0.1)
    other.keys("Control+z")  # what was made here is not gone
    other.settled()
    np.testing.assert_allclose(tab.points()[1], [60, 40, 2], atol=0.1)
    other.page.close()
    tab.wait(lambda: not tab.page.is_visible("#banner"))


def test_another_program_changes_the_file(tab):
    store = tab.labeller.store
    tab.click(30, 40)
    tab.settled()
    assert store.write()
    store.output.write_text("{}")
    tab.click(60, 40)
    tab.wait(lambda: store.unwritten == 1)
    assert not store.write()
    tab.labeller._tell(tab.labeller._saved())
    tab.wait(lambda: "changed by another program" in tab.text("banner"))
    assert store.output.read_text() == "{}"
    tab.page.click("#banner-button")
    tab.wait(lambda: not tab.page.is_visible("#banner"))
    assert len(read_annotations(store.output)) == 1
    assert store.output.with_name("labels.old-1.json").read_text() == "{}"


def test_a_picture_that_cannot_be_shown(browser, folder):
    with serving(folder) as labeller:
        (folder / "000.png").write_bytes((folder / "000.png").read_bytes()[:300])
        context = browser.new_context()
        tab = Tab(context, labeller, wait=False)
        tab.wait(lambda: "cut short" in tab.text("broken"))
        tab.keys("i", "a", "ArrowLeft", "z", "n")
        tab.wait(lambda: tab.text("name") == "001.png" and not tab.page.is_visible("#broken"))
        assert labeller.store.unwritten == 0
        context.close()


def test_colours_of_the_page_can_be_told_apart(tab):
    """Text on its ground by the contrast of WCAG 2: at least 4.5, in the light and in the dark."""
    measure = """() => [...document.querySelectorAll('button, #counts, #saved, h2, #name')].map(e => {
        let ground = e, style = getComputedStyle(e);
        while (getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)') ground = ground.parentElement || document.body;
        return [e.textContent, style.color, getComputedStyle(ground).backgroundColor];
    })"""

    def luminance(text: str) -> float:
        channels = np.array([float(v) for v in re.findall(r"[\d.]+", text)[:3]])
        channels = channels / 255 if text.startswith("rgb") else channels
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=scheme)
        for words, ink, ground in tab.page.evaluate(measure):
            low, high = sorted((luminance(ink), luminance(ground)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (scheme, words, ink, ground)
