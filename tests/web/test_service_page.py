"""The service's two pages in a real browser: a picture is dropped, a box drawn, the interface tried."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi", reason="the service is tested with pip install 'posewright[serve]'")
pytest.importorskip("httpx", reason="the service is tested with pip install httpx")

import posewright
from helpers.service import picture_bytes
from helpers.spots import spot_model
from posewright.media.pictures import decode_picture
from posewright.web.service import run
from posewright.web.service.app import make_app
from posewright.web.service.core import Service


@pytest.fixture
def address(tmp_path) -> Iterator[str]:
    model = posewright.load(spot_model(tmp_path / "spots.onnx"), threads=1)
    service = Service({"spots": model})
    made = run.listening("127.0.0.1", 0)
    server = run.serve(make_app(service, token="s3cret"), made, lambda: setattr(service, "closing", True))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [made]})
    thread.start()
    yield f"http://127.0.0.1:{made.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    made.close()
    assert not thread.is_alive()


@pytest.fixture
def page(context, address):
    opened = context.new_page()
    opened.complaints, opened.asked = [], []
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("request", lambda request: opened.asked.append(request.url))
    yield opened
    assert opened.complaints == []
    assert all(url.startswith((address, "data:", "blob:")) for url in opened.asked)


def says(page, where: str, text: str) -> None:
    """Wait until a part of the page holds a text."""
    from playwright.sync_api import expect

    expect(page.locator(where)).to_contain_text(text)


def test_a_picture_is_looked_at(page, address, tmp_path):
    data = picture_bytes(70)
    (tmp_path / "a.png").write_bytes(data)
    page.goto(address)
    says(page, "#state", "Authorization")
    page.fill("#token", "s3cret")
    page.press("#token", "Tab")
    page.wait_for_selector("#model option", state="attached")
    page.set_input_files("#file", tmp_path / "a.png")
    says(page, "#state", "1 pose in")
    rows = page.eval_on_selector_all("#points tr", "rows => rows.map(row => [...row.cells].map(c => c.textContent))")
    wanted = posewright.load(tmp_path / "spots.onnx", threads=1)(decode_picture(data))
    assert [row[1] for row in rows[1:]] == ["red", "green", "blue"]
    for row, (x, y) in zip(rows[1:], wanted.xy[0]):
        assert float(row[2]) == pytest.approx(x, abs=0.06) and float(row[3]) == pytest.approx(y, abs=0.06)

    # A box is drawn over the picture, where its keypoints lie.
    spot = page.locator("#canvas").bounding_box()
    scale = spot["width"] / 200
    for where, act in (((40, 20), page.mouse.down), ((140, 130), page.mouse.up)):
        page.mouse.move(spot["x"] + where[0] * scale, spot["y"] + where[1] * scale)
        act()
    page.wait_for_selector("#clear", state="visible")
    says(page, "#state", "1 pose in")
    box = json.loads(page.text_content("#answer"))["pictures"][0]["poses"][0]["box"]
    assert box == pytest.approx([39.5, 19.5, 139.5, 129.5], abs=1.5)

    (tmp_path / "b.png").write_bytes(b"nothing")
    page.set_input_files("#file", tmp_path / "b.png")
    says(page, "#state", "is not a picture")


def test_the_interface_is_explained_and_can_be_tried(page, address, tmp_path):
    (tmp_path / "a.png").write_bytes(picture_bytes(70))
    page.goto(f"{address}/docs")
    page.wait_for_selector("section")
    heads = page.eval_on_selector_all("section h2", "heads => heads.map(head => head.textContent)")
    assert heads[0] == "POST /v1/poses" and "GET /metrics" in heads
    page.fill("#token", "s3cret")
    part = page.locator("section").first
    part.locator("select").select_option("image/png")
    part.locator("input[type=file]").set_input_files(tmp_path / "a.png")
    part.get_by_label("box", exact=True).fill("40,20,140,130;0,0,99,99")
    part.get_by_role("button", name="Try it").click()
    says(page, "section >> nth=0 >> pre >> nth=0", "200 OK")
    assert part.locator("pre").text_content().count('"presence"') == 2
    part.locator("select").select_option("multipart/form-data")
    part.get_by_role("button", name="Try it").click()
    says(page, "section >> nth=0 >> pre >> nth=0", "a.png")
