"""Where a pixel is: what is clicked on a screenshot of the label page is what is saved."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from helpers.label_page import WINDOW, Tab, serving

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
        context = browser.new_context(viewport=WINDOW, device_scale_factor=ratio)
        tab = Tab(context, labeller)
        zooms: list[float] = []
        shot = tab.page.screenshot()
        for steps in (0, 7, -9):
            target = seen(shot, RED)
            tab.page.mouse.move(target[0] / ratio, target[1] / ratio)
            if steps:
                tab.page.mouse.wheel(0, -160 * steps)
                zoomed(tab, shot)
                tab.settled()
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
            tab.settled()
            shot = tab.page.screenshot()
        assert max(zooms) > 1.5 * zooms[0]  # a busy machine gathers wheel events, and some are lost
        assert min(zooms) < 0.9 * zooms[0]
        context.close()


def zoomed(tab: Tab, before: bytes) -> None:
    """Until the red mark has another size than before."""
    tab.wait(lambda: seen_area(tab.page.screenshot(), RED) != seen_area(before, RED))


def seen_area(shot: bytes, colour: tuple[int, int, int]) -> float:
    rgb = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR_RGB).astype(float)
    channel = colour.index(255)
    others = [c for c in range(3) if c != channel]
    return float(np.clip((rgb[..., channel] - rgb[..., others].max(2)) / 255, 0, 1).sum())
