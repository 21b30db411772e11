"""The browse page in a real browser: keys, a picture that is not there, and a program that has gone."""

from __future__ import annotations

import threading

from helpers.discs import draw_discs
from helpers.label_page import PATIENCE
from posewright.web.browse import Browser


def test_keys_lead_through_the_set(context, tmp_path):
    labels = draw_discs(tmp_path, 8)
    labels.keypoints[3, 2, :2] = [48, -6]
    (tmp_path / "005.png").unlink()
    browser = Browser(labels, "discs <b>")
    thread = threading.Thread(target=browser.serve)
    thread.start()
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        page.goto(browser.address)
        page.wait_for_function("() => document.getElementById('name').textContent === '000.png'")
        for key, name in (
            ("f", "001.png"),
            ("ArrowRight", "002.png"),
            ("b", "001.png"),
            ("s", "003.png"),
            ("End", "007.png"),
        ):
            page.keyboard.press(key)
            page.wait_for_function("name => document.getElementById('name').textContent === name", arg=name)
        assert page.text_content("#title") == "discs <b>:"
        page.keyboard.press("b")
        page.keyboard.press("b")
        page.wait_for_function("() => document.getElementById('broken').textContent.includes('does not exist')")
    finally:
        browser.quit()
        thread.join(5)
    page.keyboard.press("f")
    page.wait_for_function("() => document.getElementById('place').textContent.includes('has gone')")
    assert complaints == []
