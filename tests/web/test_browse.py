"""The browse page, spoken to as a browser would: what it answers, whom it refuses, how it ends."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from helpers.discs import draw_discs
from posewright.annotations import get_format
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.web.browse import LONGER_SIDE, Browser


@pytest.fixture
def browser(tmp_path) -> Iterator[Browser]:
    labels = draw_discs(tmp_path, 8)
    labels.keypoints[3, 2, :2] = [48, -6]
    (tmp_path / "005.png").unlink()
    made = Browser(labels, "discs <b>")
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield made
    if thread.is_alive():
        made.quit()
    thread.join(5)
    assert not thread.is_alive()


def get(browser: Browser, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, bytes]:
    request = urllib.request.Request(browser.address.rstrip("/") + path, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_page_and_set(browser):
    status, page = get(browser, "/")
    assert status == 200
    assert b"discs" not in page  # names arrive as data, never as HTML
    with urllib.request.urlopen(browser.address, timeout=10) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    for key in ("f:", "b:", "ArrowRight", "ArrowLeft", "q:"):
        assert key.encode() in page
    assert json.loads(get(browser, "/set")[1]) == {"title": "discs <b>", "count": 8}


def test_samples(browser):
    sample = json.loads(get(browser, "/sample/0")[1])
    assert sample["name"] == "000.png"
    assert sample["facts"][0] == "val, 96 x 96 px"
    assert sample["facts"][1].startswith("1: 3 of 3 keypoints labelled, 1 hidden, box ")
    assert (sample["suspicious"], sample["next_suspicious"]) == ([], 3)
    odd = json.loads(get(browser, "/sample/3")[1])
    assert "outside the picture: top: up to 6 px outside the picture" in odd["suspicious"]
    assert odd["next_suspicious"] == 3  # the only one: round it goes
    assert "no object" in json.loads(get(browser, "/sample/7")[1])["facts"]


def test_pictures_are_enlarged_and_labels_drawn_on_them(browser):
    status, data = get(browser, "/sample/1.jpg")
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert (status, shown.shape) == (200, (LONGER_SIDE, LONGER_SIDE, 3))
    plain = cv2.imread(str(browser.annotations.image_path(1)), cv2.IMREAD_COLOR_RGB)
    changed = np.abs(shown.astype(int) - cv2.resize(plain, shown.shape[:2][::-1]).astype(int)).max(2) > 60
    assert 0.005 < changed.mean() < 0.2
    x, y = (browser.annotations.keypoints[1, 2, :2] + 0.5) * LONGER_SIDE / 96
    assert changed[int(y) - 12 : int(y) + 12, int(x) - 12 : int(x) + 12].any()


def test_what_is_not_there(browser):
    for path in ("/sample/8", "/sample/8.jpg", "/sample/-1", "/000.png", "/../labels.json", "/sample/1.png", "/set?x"):
        assert get(browser, path)[0] == 404, path
    status, why = get(browser, "/sample/5.jpg")
    assert status == 404
    assert b"does not exist" in why


def test_strangers_are_refused(browser):
    assert browser.address.startswith("http://127.0.0.1:")
    assert get(browser, "/", {"Host": "evil.example"})[0] == 403
    assert get(browser, "/", {"Host": f"localhost:{browser.port}"})[0] == 200
    with pytest.raises(urllib.error.HTTPError, match="403"):  # the address holds a token
        urllib.request.urlopen(f"http://127.0.0.1:{browser.port}/set", timeout=10)
    assert get(browser, "/quit", method="POST")[0] == 404
    assert get(browser, "/quit", {"X-Posewright": "quit", "Host": "evil.example"}, "POST")[0] == 403
    assert get(browser, "/set")[0] == 200  # still there


def test_q_ends_it_and_frees_the_port(browser):
    assert get(browser, "/quit", {"X-Posewright": "quit"}, "POST") == (204, b"")
    for _ in range(50):
        try:
            again = Browser(browser.annotations, "again", browser.port)
        except PosewrightError:
            threading.Event().wait(0.1)
        else:
            again._server.server_close()
            return
    pytest.fail("the port was not given back")


def test_a_port_that_is_taken_and_an_empty_set(browser):
    with pytest.raises(PosewrightError, match="cannot be listened on"):
        Browser(browser.annotations, "x", browser.port)
    with pytest.raises(PosewrightError, match="nothing to browse"):
        Browser(browser.annotations.subset([]), "x")


def test_the_command_serves_until_q(tmp_path, capsys, monkeypatch):
    get_format("coco").write(draw_discs(tmp_path, 4), tmp_path / "labels.json")
    seen: list[int] = []

    def visit(self: Browser) -> None:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        seen.append(get(self, "/sample/2.jpg")[0])
        get(self, "/quit", {"X-Posewright": "quit"}, "POST")
        thread.join(5)
        self._server.server_close()

    monkeypatch.setattr(Browser, "serve", visit)
    assert main(["inspect", str(tmp_path / "labels.json"), "--browse"]) == 0
    out = capsys.readouterr().out
    assert seen == [200]
    assert out.startswith("4 pictures at http://127.0.0.1:")

    def interrupt(self: Browser) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Browser, "serve", interrupt)
    assert main(["inspect", str(tmp_path / "labels.json"), "--browse"]) == 0
    assert f"Next: posewright inspect {tmp_path / 'labels.json'}" in capsys.readouterr().out
    for more in (["--port", "8000"], ["--browse", "--quick"]):
        assert main(["inspect", str(tmp_path / "labels.json"), *more]) == 2
