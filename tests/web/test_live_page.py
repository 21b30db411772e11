"""The live page in a real browser: the picture moves, and the keys do what they say."""

from __future__ import annotations

from helpers.live_page import PATIENCE, make_desk, running


def test_keys_on_the_page(context, tmp_path, monkeypatch):
    make_desk(tmp_path)
    with running(tmp_path, monkeypatch) as asked:
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(asked.page.address, wait_until="commit")
        page.wait_for_function("() => document.getElementById('picture').naturalWidth === 224")
        page.wait_for_function("() => /overlay, frame [0-9]+/.test(document.getElementById('state').textContent)")
        for key, holds in (
            (" ", lambda s: s["paused"]),
            ("2", lambda s: s["view"] == "stages"),
            ("vv", lambda s: s["view"] == "crop"),
            ("3", lambda s: s["view"] == "heatmaps"),
            ("4", lambda s: s["view"] == "crop"),
            ("1", lambda s: s["view"] == "overlay"),
            ("f", lambda s: s["figures"]),
            ("r", lambda s: not s["recording"]),
            ("s", lambda s: s["saved"] == 1),
        ):
            page.keyboard.type(key)  # faster than the page's own picture of the state
            asked.wait(holds)
        page.wait_for_function("() => document.getElementById('state').textContent.includes('paused')")
        before = asked.state()["frame"]
        page.keyboard.press("ArrowRight")
        asked.wait(lambda s: s["frame"] > before)
        page.keyboard.press("q")
        page.wait_for_function("() => document.getElementById('state').textContent.startsWith('has ended')")
        assert complaints == []
    assert asked.code == 0
