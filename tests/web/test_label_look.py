"""The label page in a real browser: what it looks like, with whatever pictures and names."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from helpers.label_page import Tab, serving
from posewright.skeleton import Skeleton

LONG = Skeleton("long", tuple(f"{side}_metacarpophalangeal_joint_of_the_index_finger" for side in ("left", "right")))
FACE = Skeleton("face", tuple(f"landmark_{i}" for i in range(68)))
INSIDE = """() => [...document.querySelectorAll('header *, aside > *, #hint, #banner, #keypoints .name')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width && (box.left < 0 || box.right > innerWidth + 0.5 || e.scrollWidth > e.clientWidth + 1 && e.clientWidth);
}).map(e => e.id || e.textContent)"""
COVERED = """() => {
    const parts = [...document.querySelectorAll('header button, header span, #name, #bar')];
    const boxes = parts.map(e => e.getBoundingClientRect()).filter(b => b.width);
    return boxes.some((a, i) => boxes.some((b, j) => i < j && a.left < b.right - 1 && b.left < a.right - 1
        && a.top < b.bottom - 1 && b.top < a.bottom - 1));
}"""


@pytest.mark.parametrize("skeleton", [LONG, FACE], ids=lambda s: s.name)
@pytest.mark.parametrize("width", [480, 1280])
def test_nothing_is_cut_or_covered(browser, folder, skeleton, width):
    with serving(folder, skeleton=skeleton) as labeller:
        context = browser.new_context(viewport={"width": width, "height": 800})
        tab = Tab(context, labeller)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.page.evaluate(INSIDE) == []
        assert not tab.page.evaluate(COVERED)
        assert tab.page.locator("#name").bounding_box()["width"] > 20
        assert tab.page.locator("#stage").bounding_box()["height"] > 250
        labeller.store.problem = "the disk is " + "very " * 20 + "full"
        labeller._tell(labeller._saved())
        tab.says("banner", "very full")
        banner, hint = (tab.page.locator(name).bounding_box() for name in ("#banner", "#hint"))
        assert banner["y"] + banner["height"] <= hint["y"]
        labeller.store.problem = ""
        context.close()


def test_pictures_of_many_kinds_come_the_right_way_up(context, tmp_path):
    """A phone's photo lies on its side in its file; a browser, the model and the labels see it upright."""
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = np.full((60, 100, 3), 90, np.uint8)
    picture[:30, :50] = (0, 0, 255)  # red, top left as stored: top right when turned to the right
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    turned = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    (folder / "a_turned.jpg").write_bytes(turned)
    (folder / "b_upright.jpg").write_bytes(turned.replace(b"\x06\0\0\0\0", b"\x01\0\0\0\0", 1))
    cv2.imwrite(str(folder / "c_grey.png"), picture[..., 2])
    cv2.imwrite(str(folder / "d_clear.png"), np.dstack([picture, np.full((60, 100), 128, np.uint8)]))
    with serving(folder) as labeller:
        assert [labeller.picture(i)[0] for i in range(2)] == ["image/png", "image/jpeg"]  # as it is, where it can be
        tab = Tab(context, labeller)
        for i, name in enumerate(("a_turned.jpg", "b_upright.jpg", "c_grey.png", "d_clear.png")):
            tab.on(name)
            tab.settled()
            pixels = labeller.pixels(i)
            size = f"{pixels.shape[1]},{pixels.shape[0]}"
            assert size == ("60,100" if i == 0 else "100,60")
            box = tab.page.locator("#stage").bounding_box()
            shot = cv2.imdecode(np.frombuffer(tab.page.screenshot(), np.uint8), cv2.IMREAD_COLOR_RGB)
            zoom = min((box["width"] - 40) / pixels.shape[1], (box["height"] - 72) / pixels.shape[0])
            for fx, fy in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)):
                x = box["x"] + box["width"] / 2 + (fx - 0.5) * pixels.shape[1] * zoom
                y = box["y"] + 52 + (box["height"] - 72) / 2 + (fy - 0.5) * pixels.shape[0] * zoom
                there = pixels[int(fy * pixels.shape[0]), int(fx * pixels.shape[1])].astype(int)
                assert np.abs(shot[int(y), int(x)].astype(int) - there).max() <= 4, (name, fx, fy)
            tab.keys("n")


def test_a_picture_that_cannot_be_shown(context, folder):
    with serving(folder) as labeller:
        (folder / "000.png").write_bytes((folder / "000.png").read_bytes()[:300])
        tab = Tab(context, labeller, wait=False)
        tab.says("broken", "cut short")
        tab.keys("i", "a", "ArrowLeft", "z", "n")
        tab.wait(lambda: tab.text("name") == "001.png" and not tab.page.is_visible("#broken"))
        assert labeller.store.unwritten == 0


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
